"""Values of a template's context that only the finished mail may show.

The links of verifications and password resets are secrets, yet a queued mail waits in the database.
So such values stand in its context encrypted, are opened when the mail is composed, and pages that
show the mail later put dots in their place. A value is bound to the recipient: whoever gets hold of
one can at best have it mailed to the very person it was meant for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mailservice.core.addresses import normalized
from mailservice.core.secrets import DecryptionError, decrypt, encrypt

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: The member of a context that names its sealed values.
SEALED = "_sealed"
DOTS = "••••••••"


def sealed(
    context: Mapping[str, Any], secrets: Mapping[str, str], *, recipient: str
) -> dict[str, Any]:
    """Return the context with the secrets added, readable only in mail to `recipient` alone."""
    if not secrets:
        return dict(context)
    closed = {
        name: encrypt({"for": normalized(recipient), "name": name, "value": value})
        for name, value in secrets.items()
    }
    return {**context, **closed, SEALED: sorted(secrets)}


def unsealed(
    context: Mapping[str, Any] | None, recipients: Collection[str]
) -> Mapping[str, Any] | None:
    """Return the context with its sealed values opened.

    What cannot be opened, or is meant for somebody else, is left out, so that the mail fails for
    want of it instead of showing a cipher. Never raises.
    """
    names = _names(context)
    if context is None or not names:
        return context
    owner = next(iter(recipients)) if len(recipients) == 1 else ""
    result = {name: value for name, value in context.items() if name not in {*names, SEALED}}
    for name in names:
        value = _opened(context.get(name), name, normalized(owner))
        if value is not None:
            result[name] = value
    return result


def masked(context: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the context with dots for its sealed values, to be shown to people."""
    names = _names(context)
    if context is None or not names:
        return context
    shown = {name: value for name, value in context.items() if name != SEALED}
    return shown | dict.fromkeys(names, DOTS)


def _names(context: Mapping[str, Any] | None) -> list[str]:
    # What an application wrote there itself may be anything.
    names = context.get(SEALED) if context else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _opened(token: object, name: str, recipient: str) -> str | None:
    if not isinstance(token, str) or not recipient:
        return None
    try:
        held = decrypt(token)
    except (DecryptionError, UnicodeEncodeError):
        return None
    if not isinstance(held, dict) or (held.get("for"), held.get("name")) != (recipient, name):
        return None
    return str(held.get("value", ""))
