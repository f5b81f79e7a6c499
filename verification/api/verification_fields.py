"""What requests about verifications hold, with every fault by its field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mailservice.core.errors import InvalidInputError
from mailservice.core.rest import dump_json
from verification.models import VerificationState
from verification.services.tokens import DEFAULT_LIFETIME_SECONDS, VerificationRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

Fault = tuple[str, str, str]

_REQUEST = ("email", "template", "locale", "redirect_url", "metadata", "expires_in")
_SETTINGS = ("app_name", "from_email", "template", "redirects")
_QUERY = ("email", "status", "limit", "cursor")
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,3}\Z")
_TEMPLATE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
_MAX_METADATA_BYTES = 8 * 1024
_MAX_METADATA_DEPTH = 20
#: The database gives whole numbers back in full, and JSON for the API has 64 bits for them.
_TOO_LARGE = 2.0**63
_MAX_LOCALE_CHARS = 35
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def read_request(data: object) -> VerificationRequest:
    """Return what is asked for. Raises `InvalidInputError`."""
    given, faults = _known(data, _REQUEST)
    email = _text(given, "email", faults)
    if not email and not any(field == "email" for field, _, _ in faults):
        faults.append(("email", "required", "An email address is required."))
    locale = _text(given, "locale", faults)
    if locale and (len(locale) > _MAX_LOCALE_CHARS or not _LOCALE.match(locale)):
        faults.append(("locale", "invalid", 'Use a language tag such as "pt-BR".'))
    template = _text(given, "template", faults)
    _check_template(template, faults)
    request = VerificationRequest(
        email=email,
        template=template,
        locale=locale.replace("_", "-"),
        redirect_url=_text(given, "redirect_url", faults),
        metadata=_metadata(given.get("metadata"), faults),
        lifetime_seconds=_seconds(given.get("expires_in"), faults),
    )
    if faults:
        raise InvalidInputError.for_fields(faults)
    return request


def read_settings(data: object) -> dict[str, Any]:
    """Return the settings to change. Raises `InvalidInputError`."""
    given, faults = _known(data, _SETTINGS, keep_null=True)
    changes: dict[str, Any] = {
        name: _text(given, name, faults)
        for name in ("app_name", "from_email", "template")
        if name in given
    }
    _check_template(changes.get("template", ""), faults)
    if "redirects" in given:
        redirects = given["redirects"] or []
        if not isinstance(redirects, list) or not all(isinstance(one, str) for one in redirects):
            faults.append(("redirects", "invalid_type", "This must be a list of strings."))
        changes["redirects"] = redirects
    if faults:
        raise InvalidInputError.for_fields(faults)
    return changes


def read_query(query: Mapping[str, str]) -> tuple[str, str]:
    """Return address and state that a list is narrowed to. Raises `InvalidInputError`."""
    unknown = set(query) - set(_QUERY)
    if unknown:
        raise InvalidInputError.for_field(
            min(unknown)[:64], "There is no such parameter.", code="unknown_field"
        )
    state = query.get("status", "")
    if state and state not in VerificationState.values:
        known = ", ".join(VerificationState.values)
        raise InvalidInputError.for_field("status", f"Use one of {known}.")
    email = query.get("email", "")
    if "\x00" in email:
        raise InvalidInputError.for_field("email", "Not allowed: the NUL character.")
    return email, state


def _known(
    data: object, names: tuple[str, ...], *, keep_null: bool = False
) -> tuple[dict[str, Any], list[Fault]]:
    given = dict(data) if isinstance(data, dict) else {}
    faults: list[Fault] = [
        (str(name)[:64], "unknown_field", "There is no such field.")
        for name in given
        if name not in names
    ]
    if not keep_null:
        given = {name: value for name, value in given.items() if value is not None}
    return given, faults[:100]


def _text(given: Mapping[str, Any], name: str, faults: list[Fault]) -> str:
    value = given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        faults.append((name, "invalid_type", "This must be a string."))
        return ""
    if _CONTROL.search(value):
        faults.append((name, "invalid_characters", "A control character is not allowed."))
        return ""
    return value.strip(" ")


def _check_template(name: str, faults: list[Fault]) -> None:
    if name and not _TEMPLATE.match(name):
        faults.append(("template", "invalid", "Use the name (slug) or id of a template."))


def _metadata(value: object, faults: list[Fault]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        faults.append(("metadata", "invalid_type", "This must be an object."))
        return {}
    fault = _unkept(value)
    if fault is not None:
        faults.append(("metadata", *fault))
        return {}
    if len(dump_json(value)) > _MAX_METADATA_BYTES:
        faults.append(("metadata", "too_long", f"At most {_MAX_METADATA_BYTES} bytes as JSON."))
    return value


def _unkept(value: object, depth: int = 1) -> tuple[str, str] | None:
    """Return code and sentence of what could not be kept or given back, None if all can."""
    if isinstance(value, str) and "\x00" in value:
        return "invalid_characters", "Not allowed: the NUL character."
    if isinstance(value, float) and abs(value) >= _TOO_LARGE:
        return "out_of_range", "Give numbers beyond 64 bits as strings."
    if not isinstance(value, (dict, list)):
        return None
    if depth > _MAX_METADATA_DEPTH:
        return "too_deep", f"At most {_MAX_METADATA_DEPTH} levels of lists and objects."
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return next(filter(None, (_unkept(part, depth + 1) for part in parts)), None)


def _seconds(value: object, faults: list[Fault]) -> int:
    if value is None:
        return DEFAULT_LIFETIME_SECONDS
    if not isinstance(value, int) or isinstance(value, bool):
        faults.append(("expires_in", "invalid_type", "This must be a whole number of seconds."))
        return DEFAULT_LIFETIME_SECONDS
    return value
