"""Rules for header fields that a caller may add to a mail: names, values, and what is ours to set.

`List-Unsubscribe` and `List-Unsubscribe-Post` may be given: a caller who hosts its own
unsubscribe page needs them.
"""

from __future__ import annotations

import re

#: RFC 5322 §2.1.1: octets of one line without CRLF, so also the bound for "Name: value".
MAX_LINE_OCTETS = 998
MAX_NAME_CHARS = 76
MAX_HEADERS = 50

#: What any mail program could take for a line end, other controls, and lone surrogates.
UNSAFE_IN_HEADER = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# RFC 5322 §3.6.8 ftext is wider; names outside the token form of RFC 9110 §5.6.2 get lost on the
# way through provider APIs.
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")

_OWN_FIELD = {
    "from": "from",
    "to": "to",
    "cc": "cc",
    "bcc": "bcc",
    "reply-to": "reply_to",
    "subject": "subject",
}
_SET_BY_SERVICE = frozenset(
    {
        "authentication-results",
        "date",
        "delivered-to",
        "dkim-signature",
        "dkim2-signature",
        "domainkey-signature",
        "envelope-to",
        "message-id",
        "mime-version",
        "received",
        "received-spf",
        "return-path",
        "sender",
        "x-original-to",
    }
)
_SET_BY_SERVICE_PREFIXES = ("arc-", "content-", "resent-")


class HeaderError(ValueError):
    """A header field that cannot be sent.

    `code` is one of `invalid_type`, `invalid_header_name`, `protected_header`, `required`,
    `invalid_header_value`, `too_long`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def check_header(name: str, value: object) -> str:
    """Return the value without outer spaces, fit to be sent under `name`. Raises `HeaderError`."""
    check_header_name(name)
    if not isinstance(value, str):
        raise HeaderError("invalid_type", "The value must be a string.")
    if UNSAFE_IN_HEADER.search(value):
        raise HeaderError(
            "invalid_header_value", "The value holds a line break or control character."
        )
    value = value.strip(" ")
    if not value:
        raise HeaderError("required", "The value is empty.")
    octets = len(name) + 2 + len(value.encode())
    if octets > MAX_LINE_OCTETS:
        raise HeaderError(
            "too_long",
            f'"Name: value" has at most {MAX_LINE_OCTETS} octets, this one has {octets}.',
        )
    return value


def check_header_name(name: str) -> None:
    """Raise `HeaderError` unless `name` is well-formed and free for callers to set."""
    if len(name) > MAX_NAME_CHARS:
        raise HeaderError("too_long", f"A header name has at most {MAX_NAME_CHARS} characters.")
    if not _NAME.match(name):
        raise HeaderError(
            "invalid_header_name", "A header name consists of ASCII letters, digits and hyphens."
        )
    reason = protected_reason(name)
    if reason:
        raise HeaderError("protected_header", reason)


def protected_reason(name: str) -> str:
    """Return why callers may not set this header, or an empty string if they may."""
    lower = name.lower()
    own = _OWN_FIELD.get(lower)
    if own:
        return f'Use the field "{own}" instead of this header.'
    if lower in _SET_BY_SERVICE or lower.startswith(_SET_BY_SERVICE_PREFIXES):
        return "This header is set by the service."
    return ""
