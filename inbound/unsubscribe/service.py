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
    unsubscribe_scope,
    withdraw_unsubscribes,
)
from delivery.states import EventKind
from inbound.unsubscribe.choices import (
    ALL,
    MARKETING,
    Choice,
    changes_of,
    choices_of,
    gets_needed,
)
from mailservice.core.sql import advisory_key, lock_for_transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from delivery.unsubscribing import MailLink

logger = logging.getLogger(__name__)

_CHOICES = (EventKind.UNSUBSCRIBED, EventKind.RESUBSCRIBED)
#: A worker may be writing the message down right now; that takes milliseconds.
_TRIES, _PAUSE_SECONDS = 5, 0.1


@dataclass(frozen=True, slots=True)
class Preferences:
    """What an address gets, as far as its owner decides."""

    #: The list that the mail with the link went to.
    list: Choice | None
    types: Sequence[Choice]
    #: Its owner has unsubscribed from all mail, whatever it is.
    is_all_off: bool
    #: All mail is stopped for a reason that its owner cannot take back here.
    is_stopped: bool
    #: Mail that is no marketing is sent, of whatever type.
    gets_needed: bool
    refuses_tracking: bool

    @property
    def has_fixed(self) -> bool:
        """Some of it is not the owner's to choose."""
        return any(choice.is_fixed for choice in (*self.types, *([self.list] if self.list else [])))


def scope_of(link: MailLink) -> Scope:
    """Return what one click unsubscribes from."""
    return unsubscribe_scope(email_type=link.email_type, list_key=link.list_key)


def title_of(link: MailLink) -> str:
    """Return how people know what one click unsubscribes from; empty for all marketing."""
    if link.list_key:
        return link.list_key
    if scope_of(link) == MARKETING:
        return ""
    return email_types()[link.email_type].title or link.email_type


def unsubscribe(link: MailLink) -> None:
    """Stop mail of the link's scope. Twice is as good as once."""
    _stop(link, [scope_of(link)])


def unsubscribe_from_marketing(link: MailLink) -> None:
    """Stop all marketing mail, of types yet to come too, and the link's list."""
    _stop(link, [MARKETING, *([("", link.list_key)] if link.list_key else [])])


def preferences_of(link: MailLink) -> Preferences:
    """Return what the link's address gets."""
    types, stopped = email_types(), _stopped(link.address)
    choices = choices_of(link, types, stopped)
    over_all = stopped.get(ALL)
    return Preferences(
        list=next((choice for choice in choices if choice.scope[1]), None),
        types=[choice for choice in choices if not choice.scope[1]],
        is_all_off=over_all == SuppressionReason.UNSUBSCRIBE,
        is_stopped=over_all not in {None, SuppressionReason.UNSUBSCRIBE},
        gets_needed=gets_needed(types, stopped),
        refuses_tracking=TrackingRefusal.objects.filter(pk=link.address).exists(),
    )


def save_preferences(link: MailLink, *, wanted: Collection[Scope], refuses_tracking: bool) -> None:
    """Have the address get what is `wanted` of its choices and nothing else of them.

    Takes back the owner's own unsubscribes only: what bounced, was complained about or was entered
    by the operator stays.
    """
    with transaction.atomic():
        set_tracking_refusal(address=link.address, is_refused=refuses_tracking)
        before = _stopped(link.address)
        changes = changes_of(choices_of(link, email_types(), before), wanted, before)
        withdrawn = withdraw_unsubscribes(address=link.address, scopes=changes.back)
        _write(link, changes.off)
    _tell(link, EventKind.RESUBSCRIBED, withdrawn)
    # Replacing an unsubscribe from everything by narrower ones is news only of what came back.
    fresh = (
        [] if withdrawn & {ALL, MARKETING} else [one for one in changes.off if one not in before]
    )
    _tell(link, EventKind.UNSUBSCRIBED, fresh)


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
