"""Email addresses: one parser, one wire form and one look-up form for the whole service.

The wire form keeps the local part as given (NFC, RFC 6532 §3.1) and writes the domain in lower case
as A-labels (RFC 5890), so a domain never needs SMTPUTF8. The look-up form is `normalized()`.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header

import idna
from email_validator import EmailNotValidError, validate_email

from mailservice.core.headers import UNSAFE_IN_HEADER

#: RFC 5321 §4.5.3.1, in octets: a path of 256 leaves 254 for what stands between the brackets.
MAX_LOCAL_OCTETS = 64
MAX_EMAIL_OCTETS = 254
MAX_NAME_CHARS = 256
#: Longest text looked at: a quoted name with every character escaped, and an address.
_MAX_TEXT_CHARS = 2 * MAX_NAME_CHARS + MAX_EMAIL_OCTETS + 64

# A strict subset of what the full check accepts; whatever it misses takes the slow way.
_PLAIN = re.compile(
    r"(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:(?!-)[A-Za-z0-9-]{1,63}(?<!-)\.)+[A-Za-z]{2,63}\Z"
)
# email-validator refuses these; mail inside a company and test beds use them.
_SPECIAL_USE = re.compile(r"[@.](?:arpa|invalid|local|localhost|onion|test)\Z", re.IGNORECASE)
_STAND_IN = ".example"
_SEVERAL = re.compile(r"@[^@\",; ]+[,; ]")
_ONE_EXPECTED = "One address is expected here; give several as a list of strings."
_QUOTED_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"\Z')
_QUOTED_PAIR = re.compile(r"\\(.)")
# RFC 5322 §3.2.3 specials, and what a reader could take for an encoded word.
_NEEDS_QUOTES = re.compile(r'[()<>\[\]:;@\\,."]|=\?')


class AddressError(ValueError):
    """The value is no usable address.

    `code` is one of `required`, `invalid_type`, `invalid_email`, `invalid_name`, `too_long`,
    `unknown_field`, `conflict`; `field` names the member of an object at fault (`email`, `name`)
    or is empty.
    """

    def __init__(self, code: str, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: wire-form `email` and an optional display name, safe to put into a header."""

    email: str
    name: str = ""


def parse_address(value: object) -> Address:
    """Return the address that a JSON value stands for. Raises `AddressError`.

    `value` is `"a@b.example"`, `"Name <a@b.example>"` (name optionally quoted; an unquoted name may
    hold RFC 2047 encoded words, which are decoded) or an object with `email` (or `address`) and an
    optional `name`.
    """
    if isinstance(value, str):
        if _PLAIN.match(value) and len(value) <= MAX_EMAIL_OCTETS and "--" not in value:
            return Address(_lower_domain(value))
        return _parse_text(value)
    if isinstance(value, dict):
        return _parse_object(value)
    raise AddressError(
        "invalid_type", 'Use "a@b.example", "Name <a@b.example>" or {"email": …, "name": …}.'
    )


def parse_email(value: str) -> str:
    """Return the wire form of a bare address, without a name. Raises `AddressError`."""
    if _PLAIN.match(value) and len(value) <= MAX_EMAIL_OCTETS and "--" not in value:
        return _lower_domain(value)
    if not value.strip():
        raise AddressError("required", "An email address is required.")
    if UNSAFE_IN_HEADER.search(value):
        raise AddressError("invalid_email", "The address holds a line break or control character.")
    if len(value) > _MAX_TEXT_CHARS:
        raise AddressError("too_long", f"An address has at most {MAX_EMAIL_OCTETS} octets.")
    return _checked_email(value.strip(" "))


def check_name(name: object) -> str:
    """Return a display name without outer spaces. Raises `AddressError` if it is unsafe."""
    if name is None:
        return ""
    if not isinstance(name, str):
        raise AddressError("invalid_type", "The name must be a string.", field="name")
    if UNSAFE_IN_HEADER.search(name):
        raise AddressError(
            "invalid_name", "The name holds a line break or control character.", field="name"
        )
    if len(name) > MAX_NAME_CHARS:
        raise AddressError(
            "too_long", f"The name has at most {MAX_NAME_CHARS} characters.", field="name"
        )
    return name.strip(" ")


def normalized(email: str) -> str:
    """Return the form for look-ups, suppressions and de-duplication: lower case, NFC, A-labels.

    Meant for wire-form addresses and for what people type into a search box; never raises.
    """
    if email.isascii():
        return email.lower()
    local, at, domain = email.rpartition("@")
    if not domain.isascii() and len(domain) <= MAX_EMAIL_OCTETS:
        with suppress(idna.IDNAError, UnicodeError):  # no domain: compared as text
            domain = idna.encode(domain, uts46=True).decode("ascii")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local + at + domain).lower())


def domain_of(email: str) -> str:
    """Return the domain of a wire-form address."""
    return email.rpartition("@")[2]


def format_address(address: Address) -> str:
    """Return `email` or `Name <email>`, the name not encoded; `parse_address` reads it back."""
    name = address.name
    if not name:
        return address.email
    if _NEEDS_QUOTES.search(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{address.email}>"


def _lower_domain(email: str) -> str:
    if email.islower():
        return email
    at = email.rindex("@")
    return email[:at] + email[at:].lower()


def _parse_text(text: str) -> Address:
    if not text.strip():
        raise AddressError("required", "An email address is required.")
    if UNSAFE_IN_HEADER.search(text):
        raise AddressError("invalid_email", "The address holds a line break or control character.")
    if len(text) > _MAX_TEXT_CHARS:
        raise AddressError("too_long", f"An address has at most {MAX_EMAIL_OCTETS} octets.")
    text = text.strip(" ")
    if not text.endswith(">"):
        return Address(_checked_email(text))
    name, bracket, email = text[:-1].rpartition("<")
    if not bracket:
        raise AddressError("invalid_email", "There is a '>' without a '<' before it.")
    return Address(parse_email(email), _parse_phrase(name.strip(" ")))


def _parse_phrase(phrase: str) -> str:
    """Return the name that stands before `<email>`: a quoted string or words."""
    if phrase.startswith('"'):
        quoted = _QUOTED_NAME.match(phrase)
        if quoted is None:
            raise AddressError("invalid_name", "The quotes around the name do not match.")
        name = _QUOTED_PAIR.sub(r"\1", quoted[1])
    elif re.search(r'[<>@"]', phrase):
        raise AddressError("invalid_email", _ONE_EXPECTED)
    else:
        name = _decode_words(phrase)
    try:
        return check_name(name)
    except AddressError as error:
        raise AddressError(error.code, error.message) from None


def _decode_words(phrase: str) -> str:
    """Return the phrase with its RFC 2047 encoded words decoded, or unchanged if they cannot be."""
    if "=?" not in phrase:
        return phrase
    try:
        return str(make_header(decode_header(phrase)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return phrase


def _parse_object(value: dict[object, object]) -> Address:
    unknown = [key for key in value if key not in {"email", "address", "name"}]
    if unknown:
        raise AddressError(
            "unknown_field", 'An address has the fields "email" and "name" only.', field="email"
        )
    email = value.get("email", value.get("address"))
    if email is None:
        raise AddressError("required", "An email address is required.", field="email")
    if not isinstance(email, str):
        raise AddressError("invalid_type", "The email must be a string.", field="email")
    if value.get("address", email) != email:
        raise AddressError("conflict", '"email" and "address" differ; give one.', field="email")
    try:
        return Address(parse_email(email), check_name(value.get("name")))
    except AddressError as error:
        raise AddressError(error.code, error.message, field=error.field or "email") from None


def _checked_email(email: str) -> str:
    """Return the wire form of any address by the full check."""
    if email.count("@") > 1 and _SEVERAL.search(email):
        raise AddressError("invalid_email", _ONE_EXPECTED)
    suffix = _STAND_IN if _SPECIAL_USE.search(email) else ""
    try:
        result = validate_email(
            email + suffix,
            check_deliverability=False,
            globally_deliverable=False,
            allow_quoted_local=True,
            strict=True,
        )
    except EmailNotValidError as error:
        code = "too_long" if "too long" in str(error) else "invalid_email"
        raise AddressError(code, str(error)) from None
    local = result.local_part
    domain = (result.ascii_domain or result.domain).lower().removesuffix(suffix)
    if not local.startswith('"'):
        # The library lowers role names such as Info; the wire form keeps what was given.
        given = unicodedata.normalize("NFC", email[: email.rindex("@")])
        local = given if given.lower() == local.lower() else local
    _check_octets(local, domain)
    _check_top_level(domain)
    return f"{local}@{domain}"


def _check_top_level(domain: str) -> None:
    last_label = domain.rpartition(".")[2]
    if last_label == domain != "localhost":
        raise AddressError("invalid_email", f'The domain "{domain}" has no dot.')
    if last_label.isdigit():
        raise AddressError("invalid_email", f'"{domain}" is no domain name.')


def _check_octets(local: str, domain: str) -> None:
    octets = len(local.encode())
    if octets > MAX_LOCAL_OCTETS:
        raise AddressError(
            "too_long", f"At most {MAX_LOCAL_OCTETS} octets may stand before the @-sign."
        )
    if octets + 1 + len(domain) > MAX_EMAIL_OCTETS:
        raise AddressError("too_long", f"An address has at most {MAX_EMAIL_OCTETS} octets.")
