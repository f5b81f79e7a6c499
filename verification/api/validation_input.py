"""What `/validations` reads from requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings

from mailservice.core.errors import InvalidInputError
from mailservice.core.rest import RequestTooLargeError
from verification.services.validation_jobs import table_addresses
from verification.validation import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.core.files.uploadedfile import UploadedFile
    from rest_framework.request import Request

#: More addresses than these are a job.
MAX_AT_ONCE = 100
_FIELDS = frozenset({"email", "emails", "async", "probe", "name"})
_PARTS = frozenset({"file", "column", "probe", "name"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as understood."""

    emails: Sequence[str] = ()
    file: UploadedFile[bytes] | None = field(default=None, repr=False)
    column: str = ""
    name: str = ""
    is_single: bool = False
    is_job: bool = False
    does_probe: bool = False

    @property
    def source(self) -> str:
        """Return the field that holds the addresses of a job."""
        if self.file is not None:
            return "file"
        return "email" if self.is_single else "emails"

    def addresses(self) -> Iterable[str]:
        """Return the addresses of a job. Raises `InvalidInputError` for the file, while reading."""
        return self.emails if self.file is None else table_addresses(self.file, column=self.column)


def read_asked(request: Request) -> Asked:
    """Return what is asked. Raises `InvalidInputError`."""
    if (request.content_type or "").startswith("multipart/"):
        return _read_parts(request)
    data: dict[str, Any] = request.data if isinstance(request.data, dict) else {}
    _refuse_unknown(data, _FIELDS)
    if ("email" in data) == ("emails" in data):
        raise InvalidInputError.for_field(
            "email", 'Give either "email" or "emails".', code="required"
        )
    emails = _read_emails(data)
    does_probe = _read_flag(data.get("probe"), "probe")
    is_job = _read_flag(data.get("async"), "async") or len(emails) > MAX_AT_ONCE
    if does_probe and not is_job and len(emails) > 1:
        raise InvalidInputError.for_field(
            "probe", 'Give one address, or "async": true: asking mail servers takes time.'
        )
    return Asked(
        emails=emails,
        name=_read_name(data.get("name")),
        is_single="email" in data,
        is_job=is_job,
        does_probe=does_probe,
    )


def _read_emails(data: dict[str, Any]) -> Sequence[str]:
    if "email" in data:
        if not isinstance(data["email"], str):
            raise InvalidInputError.for_field(
                "email", "The email must be a string.", code="invalid_type"
            )
        return [data["email"]]
    emails = data["emails"]
    if not isinstance(emails, list):
        raise InvalidInputError.for_field("emails", "This must be a list.", code="invalid_type")
    if not emails:
        raise InvalidInputError.for_field("emails", "The list is empty.", code="required")
    limit = settings.VALIDATION_MAX_ADDRESSES
    if len(emails) > limit:
        raise InvalidInputError.for_field(
            "emails", f"A job has at most {limit} addresses, {len(emails)} given.", code="too_many"
        )
    wrong = next((index for index, each in enumerate(emails) if not isinstance(each, str)), None)
    if wrong is not None:
        raise InvalidInputError.for_field(
            f"emails[{wrong}]", "The email must be a string.", code="invalid_type"
        )
    return emails


def _read_parts(request: Request) -> Asked:
    # Django's own bound leaves files out.
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise RequestTooLargeError("The request body is too large.")
    _refuse_unknown([*request.POST, *request.FILES], _PARTS)
    files = request.FILES.getlist("file")
    if len(files) != 1:
        raise InvalidInputError.for_field("file", 'Give one CSV file, as "file".', code="required")
    return Asked(
        file=files[0],
        column=request.POST.get("column", ""),
        name=_read_name(request.POST.get("name") or files[0].name or ""),
        is_job=True,
        does_probe=request.POST.get("probe", "").lower() in {"true", "1", "yes"},
    )


def _refuse_unknown(given: Iterable[str], known: frozenset[str]) -> None:
    faults = [
        (
            name[:64],
            "unknown_field",
            f"There is no such field; there are {', '.join(sorted(known))}.",
        )
        for name in sorted(set(given) - known)[:10]
    ]
    if faults:
        raise InvalidInputError.for_fields(faults)


def _read_flag(value: object, name: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidInputError.for_field(name, "Use true or false.", code="invalid_type")


def _read_name(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInputError.for_field("name", "The name must be a string.", code="invalid_type")
    return value


# --- paths and query strings ----------------------------------------------------------------------


def require_uuid(text: str) -> UUID | None:
    """Return the id in a path, None for what is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def check_parameters(given: Iterable[str], known: set[str]) -> None:
    """Raise `InvalidInputError` naming query parameters that do not exist."""
    _refuse_unknown(given, frozenset(known))


def verdict_of(text: str) -> str:
    """Return the verdict to keep, empty for all. Raises `InvalidInputError`."""
    if text and text not in set(Verdict):
        raise InvalidInputError.for_field(
            "verdict", f"Known are {', '.join(Verdict)}.", code="invalid_choice"
        )
    return text
