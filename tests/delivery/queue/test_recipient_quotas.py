from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Sum
from django.utils import timezone

from accounts.models import User
from delivery.models import EmailType, Message
from delivery.queue.sweep import sweep
from mailservice.core.ids import uuid7
from providers import quotas
from providers.models import Provider, ProviderMinute, ProviderUsage, Reservation
from providers.routing import MessageFacts, ProviderState, Skip, Snapshot, choose
from providers.selectors import forget_snapshot, take_snapshot
from tests.support.mail import drain, make_due, queue, simulator, smtp_account
from tests.support.smtp_server import FaultyServer

pytestmark = pytest.mark.django_db

OWNER = UUID(int=7)


def to(count: int) -> list[str]:
    return [f"u{number}@example.net" for number in range(count)]


def statuses(*messages: Message) -> list[str]:
    for message in messages:
        message.refresh_from_db()
    return [message.status for message in messages]


def figures() -> tuple[int, int]:
    usage = ProviderUsage.objects.get()
    return usage.hour_count, usage.reserved


def test_limits_count_recipients(user: User) -> None:
    simulator(hourly_limit=5, priority_reserve=0)
    messages = [queue(user, to=to(2)) for _ in range(3)]
    drain()
    assert (statuses(*messages), figures()) == (["sent", "sent", "retry"], (4, 0))


def test_a_message_that_does_not_fit_makes_room_for_a_smaller_one(user: User) -> None:
    simulator(hourly_limit=5, priority_reserve=0)
    messages = [queue(user, to=to(count)) for count in (4, 3, 1, 1)]
    drain()
    assert (statuses(*messages), figures()) == (["sent", "retry", "sent", "retry"], (5, 0))
    assert messages[1].error.startswith("Waiting: no open account has enough of its quota left")


def test_a_mail_that_waits_for_its_recipients_leaves_the_rest_to_others(user: User) -> None:
    provider = simulator(hourly_limit=5, priority_reserve=0)
    big = queue(user, to=to(3))
    quotas.reserve(
        provider_id=provider.pk,
        time_zone="UTC",
        lease_id=uuid7(),
        wanted=3,
        now=timezone.now(),
    )
    drain()
    small = queue(user, to=to(2))
    drain()
    assert (statuses(big, small), figures()) == (["retry", "sent"], (2, 3))


def test_what_was_granted_and_fits_nobody_is_given_back(user: User) -> None:
    simulator(hourly_limit=5, priority_reserve=0)
    messages = [queue(user, to=to(3)) for _ in range(2)]
    forget_snapshot()
    drain()
    assert (statuses(*messages), figures()) == (["sent", "retry"], (3, 0))
    assert sum(Reservation.objects.values_list("count", flat=True)) == 0


def test_urgent_mail_goes_first_and_others_get_nothing_of_its_slice(user: User) -> None:
    simulator(hourly_limit=10, priority_reserve=50)
    other = queue(user, to=to(1))
    urgent = [queue(user, to=to(4), priority=1) for _ in range(3)]
    drain()
    assert statuses(*urgent) == ["sent", "sent", "retry"]
    assert (statuses(other), figures()) == (["retry"], (8, 0))


def test_the_next_account_takes_what_one_has_no_quota_for(user: User) -> None:
    simulator(name="small", position=1, hourly_limit=2, priority_reserve=0)
    large = simulator(name="large", position=2)
    one, three = queue(user, to=to(1)), queue(user, to=to(3))
    drain()
    assert statuses(one, three) == ["sent", "sent"]
    assert (three.provider_id, one.provider_id != large.pk) == (large.pk, True)


def test_more_recipients_than_any_limit_is_told_and_given_up(user: User) -> None:
    simulator(daily_limit=4, hourly_limit=1_000, priority_reserve=25)
    message = queue(user, to=to(4))
    drain()
    assert statuses(message) == ["retry"]
    assert message.error == (
        "Waiting: no account may take this mail: it has more recipients than the highest limit, 3."
    )
    created_at = timezone.now() - timedelta(days=10)
    Message.objects.update(created_at=created_at)
    make_due(message.pk)
    sweep()
    drain()
    assert statuses(message) == ["failed"]
    assert message.error.startswith("Given up: no account may take this mail: it has more")


def test_priority_1_may_have_as_many_recipients_as_the_whole_limit(user: User) -> None:
    simulator(daily_limit=4, priority_reserve=25)
    message = queue(user, to=to(4), priority=1)
    drain()
    assert (statuses(message), figures()) == (["sent"], (4, 0))


def test_a_warm_up_plan_that_is_too_small_today_is_waited_for(user: User) -> None:
    today = timezone.now().date().isoformat()
    simulator(warm_up={"starts_on": today, "daily": [2, 2, 2]})
    message = queue(user, to=to(3))
    drain()
    assert statuses(message) == ["retry"]
    assert message.error == (
        "Waiting: no open account has enough of its quota left for all recipients."
    )


def test_mail_of_test_mode_needs_no_quota_for_its_recipients(user: User) -> None:
    simulator(hourly_limit=5, priority_reserve=0)
    message = queue(user, to=to(5), is_test=True)
    drain()
    assert statuses(message) == ["sent"]
    assert not ProviderUsage.objects.exists()


def test_a_probe_of_several_recipients_frees_all_it_had_reserved(user: User) -> None:
    simulator(
        {"match": "*", "outcome": "not_accepted", "scope": "provider", "times": 1},
        hourly_limit=100,
    )
    EmailType.objects.update(retry_first_seconds=1)
    message = queue(user, to=to(3))
    drain()
    assert (statuses(message), figures()) == (["retry"], (0, 0))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, None),
        ({"hourly_limit": 100}, (100, 95)),
        ({"hourly_limit": 100, "daily_limit": 40, "monthly_limit": 500}, (40, 38)),
        ({"monthly_limit": 1}, (1, 1)),
    ],
)
def test_the_narrowest_limit_bounds_the_recipients(
    limits: dict[str, Any], expected: tuple[int, int] | None
) -> None:
    assert quotas.recipient_limits(Provider(priority_reserve=5, **limits)) == expected
    simulator(**limits)
    assert take_snapshot(timezone.now()).providers[0].recipient_limits == expected


@pytest.mark.parametrize(
    ("count", "priority", "fields", "skip"),
    [
        (10, 3, {"remaining": 10}, None),
        (11, 3, {"remaining": 10}, Skip.QUOTA),
        (9, 3, {"remaining": 10, "kept_for_urgent": 2}, Skip.QUOTA),
        (8, 3, {"remaining": 10, "kept_for_urgent": 2}, None),
        (10, 1, {"remaining": 10, "kept_for_urgent": 2}, None),
        (96, 3, {"remaining": 100, "recipient_limits": (100, 95)}, Skip.RECIPIENTS),
        (96, 1, {"remaining": 100, "recipient_limits": (100, 95)}, None),
        (96, 3, {"remaining": None}, None),
    ],
)
def test_the_choice_passes_over_accounts_without_room_for_all_recipients(
    count: int, priority: int, fields: dict[str, Any], skip: Skip | None
) -> None:
    state = ProviderState(uuid7(), "one", None, True, "", 1, **fields)  # noqa: FBT003 - positional
    snapshot = Snapshot(timezone.now(), [state])
    facts = MessageFacts(OWNER, "news", "a@example.com", recipient_count=count, priority=priority)
    for decision in (choose(facts, snapshot), snapshot.decide(facts)):
        assert decision.candidates[0].skipped is skip


def test_messages_of_different_sizes_do_not_share_a_decision() -> None:
    state = ProviderState(uuid7(), "one", None, True, "", 1, remaining=5)  # noqa: FBT003 - as above
    snapshot = Snapshot(timezone.now(), [state])
    facts = [MessageFacts(OWNER, "news", "a@example.com", recipient_count=n) for n in (5, 6)]
    assert [snapshot.decide(each).provider_id for each in facts] == [state.provider_id, None]


def test_an_accounts_figures_tell_how_many_recipients_it_took(user: User) -> None:
    refuse = {"RCPT dead@example.net": "550 5.1.1 no such user"}
    with FaultyServer((refuse,)) as server:
        smtp_account(server.port, max_connections=1)
        queue(user, to=["a@example.net", "b@example.net", "dead@example.net"])
        queue(user, to="c@example.net")
        drain()
    row = ProviderMinute.objects.aggregate(Sum("accepted"), Sum("accepted_mails"))
    assert row == {"accepted__sum": 2, "accepted_mails__sum": 3}
