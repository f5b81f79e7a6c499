"""News of messages: written once, in any order, with all that follows from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connections, transaction
from django.utils import timezone

from accounts.models import User
from delivery.models import Event, Message, Suppression, SuppressionReason
from delivery.services.news import Applied, News, apply_news
from delivery.states import EventKind
from mailservice.core.ids import uuid7
from providers.models import ProviderMinute
from tests.support.mail import drain, force_status, queue, simulator

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 10, 0, 0, 123000, tzinfo=UTC)


def news(message_id: UUID, kind: EventKind, **fields: Any) -> News:
    given: dict[str, Any] = {"at": AT, "key": "k1"} | fields
    return News(message_id, kind, **given)


def sent(user: User, **fields: Any) -> Message:
    simulator()
    message = queue(user, **fields)
    drain()
    message.refresh_from_db()
    assert message.status == "sent"
    return message


def test_a_delivery_is_written_and_counted_once(user: User) -> None:
    message = sent(user)
    told = news(message.pk, EventKind.DELIVERED, recipient="bob@example.net", actor="provider:x")
    assert apply_news([told]) == Applied(applied=1)
    assert apply_news([told, told]) == Applied(repeated=1)
    message.refresh_from_db()
    assert message.status == "delivered"
    event = Event.objects.get(message=message)
    assert (event.kind, event.recipient, event.at) == ("delivered", "bob@example.net", AT)
    minute = ProviderMinute.objects.get(delivered__gt=0)
    assert (minute.provider_id, minute.delivered, minute.bounced) == (message.provider_id, 1, 0)


def test_a_hard_bounce_suppresses_and_says_why(user: User) -> None:
    message = sent(user)
    told = news(
        message.pk,
        EventKind.BOUNCED,
        detail="550 5.1.1 no such user",
        suppress=SuppressionReason.HARD_BOUNCE,
        data={"class": "address", "code": "5.1.1"},
    )
    apply_news([told])
    message.refresh_from_db()
    assert (message.status, message.error) == ("bounced", "550 5.1.1 no such user")
    entry = Suppression.objects.get()
    assert (entry.address, entry.reason, entry.message_id) == (
        "bob@example.net",
        "hard_bounce",
        message.pk,
    )
    assert Event.objects.get(message=message).data == {"class": "address", "code": "5.1.1"}


def test_news_of_a_purged_message_still_suppresses() -> None:
    told = news(
        uuid7(),
        EventKind.COMPLAINED,
        recipient="ann@example.com",
        suppress=SuppressionReason.COMPLAINT,
    )
    assert apply_news([told]) == Applied(gone=[told])
    assert Suppression.objects.get().reason == "complaint"
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("kind", "data", "blocked"),
    [
        (EventKind.SOFT_BOUNCED, {"class": "reputation", "side": "sender"}, 1),
        (EventKind.BOUNCED, {"class": "authentication", "side": "sender"}, 1),
        (EventKind.SOFT_BOUNCED, {"class": "content", "side": "sender"}, 0),
        (EventKind.SOFT_BOUNCED, {"class": "policy", "side": "recipient"}, 0),
        (EventKind.SOFT_BOUNCED, None, 0),
        (EventKind.DELAYED, {"class": "reputation", "side": "sender"}, 0),
    ],
)
def test_what_its_account_is_to_blame_for_is_counted_against_it(
    user: User, kind: EventKind, data: dict[str, str] | None, blocked: int
) -> None:
    message = sent(user)
    told = news(message.pk, kind, recipient="bob@example.net", data=data)
    assert apply_news([told, told]).applied == 1
    assert apply_news([told]).repeated == 1
    found = sum(ProviderMinute.objects.values_list("blocked", flat=True))
    assert found == blocked


def test_news_of_a_message_in_a_workers_hands_waits(user: User) -> None:
    message = queue(user)
    force_status(message, "sending", lease_id=uuid7())
    told = news(message.pk, EventKind.DELIVERED)
    assert apply_news([told]) == Applied(waiting=[told])
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_news_never_waits_for_a_locked_message(user: User) -> None:
    message = sent(user)
    told = news(message.pk, EventKind.DELIVERED)
    other = connections["default"].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM delivery_message WHERE id = %s FOR UPDATE", [message.pk])
        assert apply_news([told]).waiting == [told]
        other.rollback()
    finally:
        other.close()
    assert apply_news([told]).applied == 1


def test_a_delivery_settles_an_unknown_outcome_and_moves_the_sequence_on(user: User) -> None:
    simulator()
    first = queue(user, sequence_key="order 7")
    second = queue(user, sequence_key="order 7")
    assert second.awaits_turn
    force_status(first, "unknown")
    apply_news([news(first.pk, EventKind.DELIVERED)])
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.status == "delivered"
    assert first.sent_at is not None
    assert not second.awaits_turn


def test_who_has_the_mail_already_is_not_sent_it_again(user: User) -> None:
    simulator()
    message = queue(user)
    Message.objects.filter(pk=message.pk).update(status="held")
    apply_news([news(message.pk, EventKind.DELIVERED)])
    Message.objects.filter(pk=message.pk).update(status="queued", due_at=timezone.now())
    drain()
    message.refresh_from_db()
    assert message.status == "sent"
    assert message.recipients[0]["s"] == "delivered"
    assert message.attempts.count() == 0


def test_an_event_id_says_when_and_what(user: User) -> None:
    told = news(uuid7(), EventKind.DELIVERED)
    assert told.event_id.version == 7
    assert told.event_id.int >> 80 == int(AT.timestamp() * 1000)
    assert told.event_id == news(told.message_id, EventKind.DELIVERED, detail="other").event_id
    assert told.event_id != news(told.message_id, EventKind.DELIVERED, key="k2").event_id
    assert told.event_id != news(told.message_id, EventKind.BOUNCED).event_id


def test_many_at_once_are_one_transaction(user: User, django_assert_max_num_queries: Any) -> None:
    simulator()
    messages = [queue(user, to=f"u{n}@example.net") for n in range(30)]
    drain()
    told = [
        news(message.pk, EventKind.DELIVERED, at=AT + timedelta(seconds=n))
        for n, message in enumerate(messages)
    ]
    with django_assert_max_num_queries(9), transaction.atomic():
        assert apply_news(told).applied == 30
    assert Message.objects.filter(status="delivered").count() == 30
