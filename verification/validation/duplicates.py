"""Which addresses reach the same mailbox: a hint to find duplicates, never a form to send to."""

from __future__ import annotations

from dataclasses import dataclass

from mailservice.core.addresses import normalized


@dataclass(frozen=True, slots=True)
class _Habit:
    """What a provider leaves out of account before the @-sign."""

    #: Stands between mailbox and tag.
    tag: str = "+"
    ignored: str = ""
    #: The domain that its other names stand for.
    domain: str = ""


_GMAIL = _Habit(ignored=".", domain="gmail.com")
_PROTON = _Habit(ignored=".-_", domain="proton.me")
_HYPHEN = _Habit(tag="-")
_HABITS = {
    "gmail.com": _GMAIL,
    "googlemail.com": _GMAIL,
    "proton.me": _PROTON,
    "protonmail.com": _PROTON,
    "pm.me": _PROTON,
    "icloud.com": _Habit(domain="icloud.com"),
    "me.com": _Habit(domain="icloud.com"),
    "mac.com": _Habit(domain="icloud.com"),
    "yahoo.com": _HYPHEN,
    "ymail.com": _HYPHEN,
    "rocketmail.com": _HYPHEN,
}
_PLUS = _Habit()
_PLUS_DOMAINS = frozenset(
    {"hotmail.com", "outlook.com", "live.com", "msn.com", "fastmail.com", "zoho.com"}
)


def duplicate_key(email: str) -> str:
    """Return the same text for addresses that reach the same mailbox.

    `email` is in wire form. Beyond letter case only habits of providers that publish them count.
    """
    plain = normalized(email)
    local, _, domain = plain.rpartition("@")
    habit = _HABITS.get(domain) or (_PLUS if domain in _PLUS_DOMAINS else None)
    if habit is None or local.startswith('"'):
        return plain
    kept = local.partition(habit.tag)[0]
    for character in habit.ignored:
        kept = kept.replace(character, "")
    return f"{kept or local}@{habit.domain or domain}"
