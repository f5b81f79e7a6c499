"""Where what an account sends comes back to: what may be set."""

from __future__ import annotations

from mailservice.core.addresses import MAX_LOCAL_OCTETS, AddressError, parse_email

#: Characters of the longest token that goes into a return path.
TOKEN_CHARS = 45
#: What an address may have before its @-sign, so that `+` and a token still fit.
MAX_BASE_CHARS = MAX_LOCAL_OCTETS - 1 - TOKEN_CHARS
#: What stands before the token at a domain that takes nothing but returned mail.
PREFIX = "b-"


def parse_return_path(value: str) -> str:
    """Return an account's return path in wire form; empty for the From address.

    `bounces@example.com` has mail come back to `bounces+<token>@example.com`, and
    `@bounces.example.com` to `b-<token>@bounces.example.com`. Raises `AddressError`.
    """
    value = value.strip()
    if not value:
        return ""
    if value.startswith("@"):
        longest = parse_email(f"{PREFIX}{'x' * TOKEN_CHARS}{value}")
        return longest[longest.rindex("@") :]
    local, _, domain = parse_email(value).rpartition("@")
    if not local.isascii() or local.startswith('"'):
        raise AddressError(
            "invalid_email", "Use plain ASCII before the @-sign: not every server takes more."
        )
    if len(local) > MAX_BASE_CHARS:
        raise AddressError(
            "too_long",
            f"At most {MAX_BASE_CHARS} characters may stand before the @-sign: a token follows.",
        )
    parse_email(f"{local}+{'x' * TOKEN_CHARS}@{domain}")
    return f"{local}@{domain}"
