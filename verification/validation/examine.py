"""What an address tells by itself: its syntax, and what lists say of its two halves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailservice.core.addresses import AddressError, parse_email
from verification.validation.duplicates import duplicate_key
from verification.validation.names import ROLE_NAMES, SPECIAL_USE
from verification.validation.typos import likely_domain

if TYPE_CHECKING:
    from verification.validation.lists import DomainLists

#: What is shown of something that is no address.
MAX_SHOWN_CHARS = 320
#: Longer texts are refused unseen: an address has 254 octets.
_MAX_CHARS = 1000
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# NUL and lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_JOINERS = str.maketrans("", "", "-_.")


@dataclass(frozen=True, slots=True)
class Examined:
    """An address looked at without asking anybody."""

    #: As given, in a form that can be stored and shown.
    email: str
    #: The wire form, empty if it is no address; then `fault` says why.
    normalized: str = ""
    domain: str = ""
    fault: str = ""
    is_disposable: bool = False
    is_role: bool = False
    is_free: bool = False
    is_special_use: bool = False
    suggestion: str = ""
    duplicate_key: str = ""


def examine(text: str, lists: DomainLists) -> Examined:
    """Look at an address; never raises, whatever the text holds."""
    shown = showable(text)
    if len(text) > _MAX_CHARS:
        return Examined(shown, fault="An address has at most 254 octets.")
    if _REPLACEMENT in shown:  # also what was lost when the text was stored
        return Examined(shown, fault="The address holds a character that cannot be read.")
    try:
        email = parse_email(text)
    except AddressError as error:
        return Examined(shown, fault=showable(error.message))
    local, _, domain = email.rpartition("@")
    is_known = lists.is_known(domain)
    meant = "" if is_known else likely_domain(domain)
    return Examined(
        email=shown,
        normalized=email,
        domain=domain,
        is_disposable=lists.is_disposable(domain),
        is_role=is_role(local),
        is_free=lists.is_free(domain),
        is_special_use=domain.rpartition(".")[2] in SPECIAL_USE,
        suggestion=f"{local}@{meant}" if meant else "",
        duplicate_key=duplicate_key(email),
    )


def is_role(local: str) -> bool:
    """Tell whether the part before the @-sign names a function: `info`, `no-reply`, `sales+eu`."""
    name = local.partition("+")[0].lower()
    return name in ROLE_NAMES or name.translate(_JOINERS) in ROLE_NAMES


def showable(text: str) -> str:
    """Return a text that a database and a page can hold: short, without NUL and half characters."""
    if text.isascii() and text.isprintable() and len(text) <= MAX_SHOWN_CHARS:
        return text
    cut = text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "…"
    return _UNSTORABLE.sub(_REPLACEMENT, cut)
