"""Which mails are tracked, their marks, and what a mark says when it comes back.

The choice is the message's, else its email type's; an address that refused it is never tracked, nor
is a mail to several of whom one refused it. Marks hold all they need, signed: they work when the
message is long purged and after any number of new keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import connection

from delivery.compose import Marks
from delivery.link_keys import key_ring, ring_for
from delivery.links.tracks import (
    MAX_TOKEN_CHARS,
    NOBODY,
    read_click,
    read_open,
    recipient_mark,
)
from delivery.unsubscribing import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from delivery.compose import CompiledContent, MailFields
    from delivery.links.tracks import Track
    from delivery.models import EmailType
    from delivery.queue.claims import Claimed
    from mailservice.core.errors import DomainError

# As text: compiling a query set with so many values takes longer than running it.
_REFUSED = "SELECT address FROM delivery_trackingrefusal WHERE address = ANY(%s)"
_LISTED = re.compile(r"<\s*([^>]+?)\s*>")


@dataclass(frozen=True, slots=True)
class Tracked:
    """What is tracked in a mail; at least one of the two."""

    opens: bool
    clicks: bool


#: What is tracked, by message; messages that are not are left out.
TrackedMails = Mapping[UUID, Tracked]
_NONE: TrackedMails = {}


def tracked_among(
    messages: Iterable[Claimed],
    contents: Mapping[UUID, CompiledContent | DomainError],
    types: Mapping[str, EmailType],
) -> TrackedMails:
    """Return what is tracked; asks for refusals only if anything is, once for all."""
    found: dict[UUID, Tracked] = {}
    addresses: dict[UUID, Sequence[str]] = {}
    for message in messages:
        tracked = _choice(contents.get(message.content_id), types[message.email_type])
        if tracked is not None:
            found[message.id] = tracked
            addresses[message.id] = message.addresses
    if not found:
        return _NONE
    refused = _refusing({address for each in addresses.values() for address in each})
    if refused:
        found = {key: each for key, each in found.items() if refused.isdisjoint(addresses[key])}
    return found


def _refusing(addresses: Iterable[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(_REFUSED, [list(addresses)])
        return {row[0] for row in cursor.fetchall()}


def _choice(content: CompiledContent | DomainError | None, kind: EmailType) -> Tracked | None:
    source = getattr(content, "source", None)
    if source is None or not source.html:
        return None
    opens = kind.track_opens if source.track_opens is None else source.track_opens
    clicks = kind.track_clicks if source.track_clicks is None else source.track_clicks
    return Tracked(opens, clicks) if opens or clicks else None


def with_marks(fields: MailFields, tracked: Tracked, addresses: Sequence[str]) -> MailFields:
    """Return what the composer fills in, with the marks of a tracked mail.

    `addresses` are all recipients in normal form: a mail to several tells of nobody.
    """
    marks = Marks(
        base=settings.PUBLIC_URL,
        ring=key_ring(),
        message_id=fields.message_id,
        recipient=recipient_mark(fields.message_id, addresses[0])
        if len(addresses) == 1
        else NOBODY,
        opens=tracked.opens,
        clicks=tracked.clicks,
        spared=_spared(fields) if tracked.clicks else frozenset(),
    )
    return replace(fields, marks=marks)


def _spared(fields: MailFields) -> frozenset[str]:
    """Return the addresses for unsubscribing that are the sender's own."""
    found = [value for name in VARIABLES if (value := (fields.context or {}).get(name))]
    for name, value in (fields.headers or {}).items():
        if name.lower() == "list-unsubscribe":
            found += _LISTED.findall(value)
    return frozenset(one for one in found if isinstance(one, str))


def opened(token: str) -> Track | None:
    """Return what a pixel's token says; None if we did not make it."""
    return read_open(ring_for(token), token) if _is_like_one(token) else None


def clicked(token: str) -> Track | None:
    """Return what a link's token says; None if we did not make it."""
    return read_click(ring_for(token), token) if _is_like_one(token) else None


def _is_like_one(token: str) -> bool:
    return token.isascii() and len(token) <= MAX_TOKEN_CHARS
