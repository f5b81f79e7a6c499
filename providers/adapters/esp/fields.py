"""The fields of an account: what they mean to people, and what makes a value wrong.

Forms, API schemas and validation all read these, so a field is described once.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_TEXT_CHARS = 1_000
# RFC 9110 field values and RFC 3986 paths are made of these; braces would be read as slots.
_PLAIN = re.compile(r"[!-z|~ ]+\Z")
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})+\Z", re.IGNORECASE)


class FieldType(StrEnum):
    """What kind of value a field takes."""

    #: One line of printable ASCII.
    TEXT = "text"
    #: A domain name.
    DOMAIN = "domain"
    #: The address of an API: https, or http on this machine; no credentials, no query.
    URL = "url"
    #: One of `choices`.
    CHOICE = "choice"
    #: A whole number from `minimum` to `maximum`.
    INTEGER = "integer"
    #: True or false.
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Field:
    """One setting or credential of an account."""

    name: str
    label: str
    help: str = ""
    type: FieldType = FieldType.TEXT
    is_required: bool = False
    #: Kept encrypted and never shown again.
    is_secret: bool = False
    #: What applies if it is left out; None if that is up to the provider.
    default: str | int | bool | None = None
    #: (value, label) pairs.
    choices: tuple[tuple[str, str], ...] = ()
    minimum: int = 0
    maximum: int = 2_147_483_647

    def problem_with(self, value: object) -> str | None:
        """Return what is wrong with a value in a sentence, or None."""
        return _CHECKS[self.type](self, value)


def _text(_field: Field, value: object) -> str | None:
    if not isinstance(value, str) or not value.strip(" "):
        return "Must be text."
    if len(value) > _MAX_TEXT_CHARS:
        return f"Must have at most {_MAX_TEXT_CHARS} characters."
    if not _PLAIN.match(value) or value != value.strip(" "):
        return "Must be one line of ASCII characters without braces and without spaces around it."
    return None


def _domain(_field: Field, value: object) -> str | None:
    if isinstance(value, str) and _DOMAIN.match(value):
        return None
    return "Must be a domain name such as mg.example.com."


def _url(field: Field, value: object) -> str | None:
    if (problem := _text(field, value)) is not None:
        return problem
    try:
        parts = urlsplit(str(value))
        is_sound = bool(parts.hostname) and parts.port != 0 and " " not in str(value)
    except ValueError:
        return "Not a URL."
    if not is_sound or parts.scheme not in {"http", "https"}:
        return "Must be a URL such as https://api.example.com/."
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "Must hold no credentials and end with the path: no query, no fragment."
    if parts.scheme == "http" and not is_loopback(str(parts.hostname)):
        return "Must begin with https: credentials and mail would travel readable to anybody."
    return None


def is_loopback(host: str) -> bool:
    """Tell whether a host name or IP address stands for this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _choice(field: Field, value: object) -> str | None:
    allowed = [choice for choice, _ in field.choices]
    return None if value in allowed else f"Must be one of: {', '.join(allowed)}."


def _integer(field: Field, value: object) -> str | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if is_whole and field.minimum <= int(str(value)) <= field.maximum:
        return None
    return f"Must be a whole number from {field.minimum} to {field.maximum}."


def _boolean(_field: Field, value: object) -> str | None:
    return None if isinstance(value, bool) else "Must be true or false."


_CHECKS: dict[FieldType, Callable[[Field, object], str | None]] = {
    FieldType.TEXT: _text,
    FieldType.DOMAIN: _domain,
    FieldType.URL: _url,
    FieldType.CHOICE: _choice,
    FieldType.INTEGER: _integer,
    FieldType.BOOLEAN: _boolean,
}
