"""The fields of an SMTP account in the API, and how they lie in `Provider`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from mailservice.core.errors import InvalidInputError
from providers.quotas import windows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.models import Provider
    from providers.services import ProviderChanges

_SUBMISSION_PORT, _SUBMISSIONS_PORT = 587, 465
_TEXTS = frozenset({"name", "email_address", "display_name", "smtp_host", "username", "password"})
_FLAGS = frozenset({"use_tls", "use_ssl", "active"})
_NUMBERS = frozenset({"smtp_port", "daily_limit", "hourly_limit"})
_WRITABLE = _TEXTS | _FLAGS | _NUMBERS
#: Shown, not set: accepted and ignored, so that what was read can be sent back.
_READ_ONLY = frozenset(
    {
        "id",
        "config_id",
        "message",
        "shared",
        "sent_count_today",
        "sent_count_hour",
        "last_sent",
        "created_at",
        "updated_at",
    }
)
_REQUIRED = ("email_address", "smtp_host")
#: Field → where the services find it.
_COLUMNS = {
    "name": "name",
    "email_address": "from_email",
    "display_name": "from_name",
    "active": "is_active",
    "daily_limit": "daily_limit",
    "hourly_limit": "hourly_limit",
}
_SETTINGS = {
    "smtp_host": "host",
    "smtp_port": "port",
    "username": "username",
    "use_tls": "use_tls",
    "use_ssl": "use_ssl",
}
_FIELD_OF = (
    {column: field for field, column in _COLUMNS.items()}
    | {f"settings.{setting}": field for field, setting in _SETTINGS.items()}
    | {"secrets.password": "password"}
)


@dataclass(frozen=True, slots=True)
class Given:
    """Fields of a request, of the right types."""

    values: Mapping[str, Any]

    def completed(self) -> Given:
        """Return all fields but the password, defaults for those not given.

        Raises `InvalidInputError` if one without a default is missing.
        """
        missing = [name for name in _REQUIRED if not self.values.get(name)]
        if missing:
            raise InvalidInputError.for_fields(
                [(name, "required", "This field is required.") for name in missing]
            )
        given = {key: value for key, value in self.values.items() if value is not None}
        port = given.get("smtp_port")
        if port is None:
            port = _SUBMISSIONS_PORT if given.get("use_ssl") else _SUBMISSION_PORT
        # The registered ports say how they are secured (RFC 8314 §7.3): never less by default.
        use_ssl = given.get("use_ssl", port == _SUBMISSIONS_PORT and not given.get("use_tls"))
        return Given(
            {
                "name": given.get("name") or given["email_address"],
                "email_address": given["email_address"],
                "display_name": given.get("display_name", ""),
                "smtp_host": given["smtp_host"],
                "smtp_port": port,
                "username": given.get("username", ""),
                "use_tls": given.get("use_tls", port == _SUBMISSION_PORT and not use_ssl),
                "use_ssl": use_ssl,
                "active": given.get("active", True),
                "daily_limit": given.get("daily_limit"),
                "hourly_limit": given.get("hourly_limit"),
                **({"password": self.values["password"]} if "password" in self.values else {}),
            }
        )

    def changes(self, kept: Mapping[str, Any]) -> ProviderChanges:
        """Return the arguments of `providers.services`; `kept` holds the settings so far.

        A password goes when null or empty was given, or when no user name is left to use it.
        """
        settings = dict(kept)
        for field, setting in _SETTINGS.items():
            if field in self.values:
                settings[setting] = self.values[field]
        settings = {key: value for key, value in settings.items() if value not in (None, "")}
        changes: ProviderChanges = {"settings": settings}
        for field, column in _COLUMNS.items():
            if field in self.values:
                changes[column] = self.values[field]  # type: ignore[literal-required]  # columns are its keys
        if "password" in self.values:
            changes["secrets"] = {"password": self.values["password"] or None}
        elif not settings.get("username"):
            changes["secrets"] = {"password": None}
        return changes


def read_fields(data: object) -> Given:
    """Return what a request's JSON sets. Raises `InvalidInputError` with every fault."""
    faults: list[tuple[str, str, str]] = []
    values: dict[str, Any] = {}
    for name, value in data.items() if isinstance(data, dict) else ():
        if name in _READ_ONLY:
            continue
        if name not in _WRITABLE:
            faults.append((name[:64], "unknown_field", "There is no such field."))
        elif fault := _type_fault(name, value):
            faults.append((name, "invalid_type", fault))
        else:
            values[name] = "" if value is None and name in _TEXTS else value
    if faults:
        raise InvalidInputError.for_fields(faults[:100])
    return Given(values)


def _type_fault(name: str, value: object) -> str:
    if name in _FLAGS:
        return "" if isinstance(value, bool) else "This must be true or false."
    if value is None:
        return ""
    if name in _NUMBERS:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return "" if is_number else "This must be a whole number."
    if not isinstance(value, str):
        return "This must be a string."
    return "Not allowed: the NUL character." if "\x00" in value else ""


def in_api_words(error: InvalidInputError) -> InvalidInputError:
    """Return a service's refusal with the API's names of the fields."""
    return InvalidInputError.for_fields(
        [
            (_FIELD_OF.get(path, path), fault["code"], fault["message"])
            for path, faults in error.details.items()
            for fault in faults
        ]
    )


def present(provider: Provider) -> dict[str, Any]:
    """Return an account as the API shows it: never its password."""
    settings = provider.settings
    usage = getattr(provider, "usage", None)
    frame = windows(timezone.now(), provider.time_zone)
    use_ssl = settings.get("use_ssl", False)
    return {
        "id": provider.pk,
        "config_id": provider.pk,
        "name": provider.name,
        "email_address": provider.from_email,
        "display_name": provider.from_name,
        "smtp_host": settings.get("host", ""),
        "smtp_port": settings.get("port", _SUBMISSIONS_PORT if use_ssl else _SUBMISSION_PORT),
        "username": settings.get("username", ""),
        "use_tls": settings.get("use_tls", False),
        "use_ssl": use_ssl,
        "active": provider.is_active,
        "daily_limit": provider.daily_limit,
        "hourly_limit": provider.hourly_limit,
        "sent_count_today": usage.day_count_at(frame.day_start) if usage else 0,
        "sent_count_hour": usage.hour_count_at(frame.hour_start) if usage else 0,
        "last_sent": usage.last_sent_at if usage else None,
        "shared": provider.owner_id is None,
        "created_at": provider.created_at,
        "updated_at": provider.updated_at,
    }
