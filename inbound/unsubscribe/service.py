"""Unsubscribing, and the preferences of an address."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from delivery.email_types import email_types
from delivery.models import Event, Suppression, SuppressionReason, TrackingRefusal
from delivery.models.suppressions import ALL_MARKETING
from delivery.services.news import News, apply_news
from delivery.services.suppressions import (
    NewSuppression,
    Scope,
    add_suppressions,
    set_tracking_refusal,
    withdraw_unsubscribes,
)
from delivery.states import EventKind
from mailservice.core.sql import advisory_key, lock_for_transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from delivery.models import EmailType
    from delivery.unsubscribing import MailLink

logger = logging.getLogger(__name__)

_ALL: Scope = ("", "")
_MARKETING: Scope = (ALL_MARKETING, "")
_CHOICES = (EventKind.UNSUBSCRIBED, EventKind.RESUBSCRIBED)
#: A worker may be writing the message down right now; that takes milliseconds.
_TRIES, _PAUSE_SECONDS = 5, 0.1


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to get or not to get."""

    #: The name of an email type or of a list.
    name: str
    title: str
    description: str
    is_wanted: bool


@dataclass(frozen=True, slots=True)
class Preferences:
    """What an address gets, as far as its owner decides."""

    types: Sequence[Choice]
    #: The list that the mail with the link went to.
    list: Choice | None
    refuses_tracking: bool
    #: All mail is stopped for a reason that its owner cannot take back here.
    is_stopped: bool


def scope_of(link: MailLink) -> Scope:
    """Return what one click unsubscribes from: the list if the mail had one, else its type."""
    return ("", link.list_key) if link.list_key else (link.email_type, "")


def title_of(link: MailLink) -> str:
    """Return how people know what one click unsubscribes from."""
    if link.list_key:
        return link.list_key
    kind = email_types().get(link.email_type)
    return (kind.title if kind is not None else "") or link.email_type


def unsubscribe(link: MailLink) -> None:
    """Stop mail of the link's scope. Twice is as good as once."""
    _stop(link, [scope_of(link)])


def unsubscribe_from_marketing(link: MailLink) -> None:
    """Stop all marketing mail, of types yet to come too, and the link's list."""
    _stop(link, [_MARKETING, *([("", link.list_key)] if link.list_key else [])])


def preferences_of(link: MailLink) -> Preferences:
    """Return what the link's address gets."""
    stopped = _stopped(link.address)
    own = {scope for scope, reason in stopped.items() if reason == SuppressionReason.UNSUBSCRIBE}
    gets_none = bool(own & {_ALL, _MARKETING})
    types = [
        Choice(
            kind.name,
            kind.title or kind.name,
            kind.description,
            is_wanted=not gets_none and (kind.name, "") not in stopped,
        )
        for kind in _marketing_types()
    ]
    listed = None
    if link.list_key:
        wanted = not gets_none and ("", link.list_key) not in stopped
        listed = Choice(link.list_key, link.list_key, "", is_wanted=wanted)
    return Preferences(
        types=types,
        list=listed,
        refuses_tracking=TrackingRefusal.objects.filter(pk=link.address).exists(),
        is_stopped=_ALL in stopped and _ALL not in own,
    )


def save_preferences(
    link: MailLink, *, wanted: Collection[str], wants_list: bool, refuses_tracking: bool
) -> None:
    """Have the address get mail of the `wanted` marketing types and of no other.

    Takes back the owner's own unsubscribes only: what bounced, was complained about or was entered
    by the operator stays.
    """
    scopes: dict[Scope, bool] = {
        (kind.name, ""): kind.name in wanted for kind in _marketing_types()
    }
    if link.list_key:
        scopes["", link.list_key] = wants_list
    back = [scope for scope, is_wanted in scopes.items() if is_wanted]
    if not back:
        # Wanting nothing on the page means wanting nothing that may come to stand there either.
        off = [_MARKETING, *scopes]
    else:
        off = [scope for scope, is_wanted in scopes.items() if not is_wanted]
        back += [_ALL, _MARKETING]
    with transaction.atomic():
        set_tracking_refusal(address=link.address, is_refused=refuses_tracking)
        before = _stopped(link.address)
        withdrawn = withdraw_unsubscribes(address=link.address, scopes=back)
        _write(link, off)
    _tell(link, EventKind.RESUBSCRIBED, withdrawn)
    # Replacing an unsubscribe from everything by narrower ones is news only of what came back.
    fresh = [] if withdrawn & {_ALL, _MARKETING} else [one for one in off if one not in before]
    _tell(link, EventKind.UNSUBSCRIBED, fresh)


def _marketing_types() -> list[EmailType]:
    return [kind for _, kind in sorted(email_types().items()) if kind.is_marketing]


def _stopped(address: str) -> dict[Scope, str]:
    rows = Suppression.objects.filter(address=address).order_by()
    return {
        (row[0], row[1]): row[2] for row in rows.values_list("email_type", "list_key", "reason")
    }


def _stop(link: MailLink, scopes: Sequence[Scope]) -> None:
    _write(link, scopes)
    _tell(link, EventKind.UNSUBSCRIBED, scopes)


def _write(link: MailLink, scopes: Iterable[Scope]) -> None:
    add_suppressions(
        NewSuppression(
            link.address,
            SuppressionReason.UNSUBSCRIBE,
            email_type=email_type,
            list_key=list_key,
            message_id=link.message_id,
        )
        for email_type, list_key in scopes
    )


def _tell(link: MailLink, kind: EventKind, scopes: Iterable[Scope]) -> None:
    """Write the choice down with the message it follows from, if that is still there."""
    wanted = sorted(scopes)
    for _ in range(_TRIES):
        if not wanted or _is_told(link, kind, wanted):
            return
        time.sleep(_PAUSE_SECONDS)
    # What counts, the suppression, is written.
    logger.warning("Message %s is busy: its event %s is left out.", link.message_id, kind.value)


def _is_told(link: MailLink, kind: EventKind, scopes: Iterable[Scope]) -> bool:
    with transaction.atomic():
        # Two clicks at once are one event.
        lock_for_transaction(advisory_key("unsubscribe", link.message_id))
        latest = _latest(link)
        now = timezone.now()
        news = [
            News(
                message_id=link.message_id,
                kind=kind,
                at=now,
                key=f"{email_type}\x1f{list_key}",
                recipient=link.address,
                actor="recipient",
                detail=_words(email_type, list_key),
                data={"email_type": email_type, "list": list_key},
            )
            for email_type, list_key in scopes
            if latest.get((email_type, list_key)) != kind
        ]
        return not apply_news(news).waiting


def _latest(link: MailLink) -> dict[Scope, str]:
    """Return what was last chosen by links of this mail, by scope."""
    events = Event.objects.filter(
        message_id=link.message_id, kind__in=_CHOICES, recipient=link.address
    ).order_by("pk")
    return {
        (data.get("email_type", ""), data.get("list", "")): kind
        for kind, data in events.values_list("kind", "data")
        if data
    }


def _words(email_type: str, list_key: str) -> str:
    if list_key:
        return f"Mail of the list {list_key}"
    if email_type == ALL_MARKETING:
        return "All marketing mail"
    return f"Mail of type {email_type}" if email_type else "All mail"
