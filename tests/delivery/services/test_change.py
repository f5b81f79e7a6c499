from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from delivery.models import Event, Lease, Message
from delivery.services import change
from delivery.services.change import Change, StateError, require_changed
from delivery.states import RETRIABLE, STOPPABLE, Status
from mailservice.core.broker import redis_client
from mailservice.core.errors import InvalidInputError
from mailservice.core.ids import uuid7
from tests.support.mail import force_status, queue

pytestmark = pytest.mark.django_db

ACTOR = "user:ann@example.com"
LATER = timedelta(hours=3)


def message_in(user: User, status: Status, **fields: Any) -> Message:
    """Return a message in any state, as if the pipeline had brought it there."""
    message = queue(user)
    lease_id = None
    if status is Status.SENDING:
        now = timezone.now()
        lease = Lease.objects.create(worker="w", lane=1, started_at=now, expires_at=now + LATER)
        lease_id = lease.pk
    force_status(message, status, lease_id=lease_id, **fields)
    return message


def events(message: Message) -> list[tuple[str, str]]:
    return list(Event.objects.filter(message=message).values_list("kind", "actor"))


def row(message: Message) -> dict[str, Any]:
    return dict(Message.objects.filter(pk=message.pk).values().get())


def reschedule(*, ids: Any, actor: str, send_at: datetime | None = None) -> Change:
    return change.reschedule(ids=ids, actor=actor, send_at=send_at or timezone.now() + LATER)


MOVES: list[tuple[Callable[..., Change], frozenset[Status], Status, str]] = [
    (change.cancel, STOPPABLE, Status.CANCELLED, "cancelled"),
    (change.hold, STOPPABLE - {Status.HELD}, Status.HELD, "held"),
    (change.release, frozenset({Status.HELD}), Status.QUEUED, "released"),
    (change.retry, RETRIABLE, Status.QUEUED, "retried"),
    (reschedule, STOPPABLE - {Status.HELD}, Status.SCHEDULED, "rescheduled"),
]
each_move = pytest.mark.parametrize(
    ("move", "allowed", "target", "kind"), MOVES, ids=[move[3] for move in MOVES]
)


@each_move
@pytest.mark.parametrize("status", Status)
def test_a_move_leaves_only_the_states_it_may_leave(
    user: User,
    move: Callable[..., Change],
    allowed: frozenset[Status],
    target: Status,
    kind: str,
    status: Status,
) -> None:
    message = message_in(user, status)
    before = row(message)
    done = move(ids=[message.pk], actor=ACTOR)
    if status in allowed:
        assert done == Change((message.pk,), {})
        assert row(message)["status"] == target
        assert events(message) == [(kind, ACTOR)]
    else:
        assert done == Change((), {message.pk: status.value})
        assert row(message) == before
        assert events(message) == []


def test_many_move_at_once_and_each_refusal_is_named(user: User) -> None:
    first, sent, second = queue(user), message_in(user, Status.SENT), queue(user)
    missing = uuid7()
    done = change.cancel(ids=[first.pk, sent.pk, missing, second.pk, first.pk], actor=ACTOR)
    assert set(done.changed) == {first.pk, second.pk}
    assert len(done.changed) == 2
    assert done.refused == {sent.pk: "sent"}


def test_a_second_cancel_changes_nothing(user: User) -> None:
    message = queue(user)
    change.cancel(ids=[message.pk], actor=ACTOR)
    assert change.cancel(ids=[message.pk], actor=ACTOR).refused == {message.pk: "cancelled"}
    assert events(message) == [("cancelled", ACTOR)]


def test_nothing_to_change_is_no_error(db: None) -> None:
    assert change.cancel(ids=[], actor=ACTOR) == Change((), {})


def test_a_refusal_of_the_one_message_is_an_error_with_its_state(user: User) -> None:
    sent, missing = message_in(user, Status.SENT), uuid7()
    done = change.cancel(ids=[sent.pk, missing], actor=ACTOR)
    with pytest.raises(StateError, match="sent and cannot be cancelled") as caught:
        require_changed(done, sent.pk, "cancelled")
    assert (caught.value.code, caught.value.details) == ("wrong_state", {"status": "sent"})
    with pytest.raises(StateError, match="gone"):
        require_changed(done, missing, "cancelled")


def test_a_change_that_happened_is_none(user: User) -> None:
    message = queue(user)
    require_changed(change.hold(ids=[message.pk], actor=ACTOR), message.pk, "held")


def test_a_released_message_keeps_the_time_it_was_scheduled_for(user: User) -> None:
    send_at = timezone.now() + LATER
    message = queue(user, send_at=send_at.isoformat())
    change.hold(ids=[message.pk], actor=ACTOR)
    assert change.release(ids=[message.pk], actor=ACTOR).changed == (message.pk,)
    after = row(message)
    assert (after["status"], after["due_at"]) == ("scheduled", send_at)


def test_a_released_message_whose_time_has_come_keeps_its_place_in_the_queue(user: User) -> None:
    message = queue(user)
    change.hold(ids=[message.pk], actor=ACTOR)
    change.release(ids=[message.pk], actor=ACTOR)
    after = row(message)
    assert (after["status"], after["due_at"]) == ("queued", message.due_at)


def test_a_retry_begins_anew_for_those_not_served(user: User) -> None:
    expired = timezone.now() - timedelta(minutes=1)
    fates = ["sent", "delivered", "complained", "bounced", "failed", "suppressed", ""]
    recipients = [
        {"k": "to", "a": f"r{number}@example.net"} | ({"s": fate, "r": "why"} if fate else {})
        for number, fate in enumerate(fates)
    ]
    message = message_in(
        user,
        Status.FAILED,
        recipients=recipients,
        attempt_count=7,
        error="451 later",
        expires_at=expired,
    )
    change.retry(ids=[message.pk], actor=ACTOR)
    after = row(message)
    assert (after["status"], after["attempt_count"], after["error"]) == ("queued", 0, "")
    assert after["expires_at"] is None
    assert after["due_at"] > message.due_at
    assert after["recipients"] == [
        *recipients[:3],
        *({"k": "to", "a": entry["a"]} for entry in recipients[3:]),
    ]


def test_a_retry_keeps_an_expiry_still_to_come(user: User) -> None:
    expires_at = timezone.now() + LATER
    message = message_in(user, Status.FAILED, expires_at=expires_at)
    change.retry(ids=[message.pk], actor=ACTOR)
    assert row(message)["expires_at"] == expires_at


def test_other_moves_leave_attempts_and_error_alone(user: User) -> None:
    message = message_in(user, Status.RETRY, attempt_count=3, error="451 later")
    change.hold(ids=[message.pk], actor=ACTOR)
    change.release(ids=[message.pk], actor=ACTOR)
    after = row(message)
    assert (after["attempt_count"], after["error"]) == (3, "451 later")


def test_rescheduling_sets_the_time_and_notes_it(user: User) -> None:
    send_at = timezone.now() + LATER
    message = queue(user)
    reschedule(ids=[message.pk], actor=ACTOR, send_at=send_at)
    after = row(message)
    assert (after["status"], after["due_at"]) == ("scheduled", send_at)
    assert Event.objects.get().detail == f"for {send_at.isoformat()}"


def test_rescheduling_to_the_past_means_now(user: User) -> None:
    message = queue(user, send_at=(timezone.now() + LATER).isoformat())
    began = timezone.now()
    reschedule(ids=[message.pk], actor=ACTOR, send_at=began - LATER)
    after = row(message)
    assert after["status"] == "queued"
    assert began <= after["due_at"] <= timezone.now()


def test_a_time_without_offset_is_refused(user: User) -> None:
    message = queue(user)
    with pytest.raises(InvalidInputError) as caught:
        reschedule(ids=[message.pk], actor=ACTOR, send_at=datetime(2030, 1, 1))  # noqa: DTZ001 - the point
    assert set(caught.value.details) == {"send_at"}
    assert events(message) == []


def test_a_time_at_or_after_the_expiry_is_refused_for_all(user: User) -> None:
    expires_at = timezone.now() + LATER
    expiring, other = queue(user, expires_at=expires_at.isoformat()), queue(user)
    with pytest.raises(InvalidInputError):
        reschedule(ids=[expiring.pk, other.pk], actor=ACTOR, send_at=expires_at)
    assert (row(expiring)["status"], row(other)["status"]) == ("queued", "queued")


def turns(*messages: Message) -> list[bool]:
    """Return which of the messages may go."""
    return [not row(message)["awaits_turn"] for message in messages]


def three(user: User) -> tuple[Message, Message, Message]:
    first, second, third = (queue(user, sequence_key="order 7") for _ in range(3))
    assert turns(first, second, third) == [True, False, False]
    return first, second, third


def test_cancelling_the_head_of_a_sequence_gives_the_turn_to_the_next(user: User) -> None:
    first, second, third = three(user)
    change.cancel(ids=[first.pk], actor=ACTOR)
    assert turns(second, third) == [True, False]


def test_cancelling_two_moves_the_sequence_on_by_two(user: User) -> None:
    first, second, third = three(user)
    change.cancel(ids=[second.pk, first.pk], actor=ACTOR)
    assert turns(third) == [True]


def test_cancelling_in_the_middle_leaves_the_turn_where_it_is(user: User) -> None:
    first, second, third = three(user)
    change.cancel(ids=[second.pk], actor=ACTOR)
    assert turns(first, third) == [True, False]


@pytest.mark.parametrize("move", [change.hold, reschedule])
def test_a_head_that_is_put_off_still_blocks_its_sequence(
    user: User, move: Callable[..., Change]
) -> None:
    first, second, third = three(user)
    move(ids=[first.pk], actor=ACTOR)
    assert turns(second, third) == [False, False]


def test_a_message_that_comes_back_takes_its_old_place(user: User) -> None:
    first, second, third = three(user)
    change.cancel(ids=[first.pk], actor=ACTOR)
    change.retry(ids=[first.pk], actor=ACTOR)
    assert turns(first, second, third) == [True, False, False]


def test_another_users_sequence_of_the_same_name_is_left_alone(user: User) -> None:
    other = User.objects.create_user("other@example.com")
    theirs = [queue(other, sequence_key="order 7") for _ in range(2)]
    first, *_ = three(user)
    change.cancel(ids=[first.pk], actor=ACTOR)
    assert turns(*theirs) == [True, False]


def marks() -> set[object]:
    return set(redis_client().keys("wake:*"))


@pytest.mark.parametrize(
    ("status", "move", "wakes"),
    [
        (Status.HELD, change.release, True),
        (Status.FAILED, change.retry, True),
        (Status.QUEUED, change.hold, False),
        (Status.QUEUED, change.cancel, False),
        (Status.QUEUED, reschedule, False),
    ],
)
def test_workers_are_woken_for_what_is_queued(
    user: User,
    django_capture_on_commit_callbacks: Any,
    status: Status,
    move: Callable[..., Change],
    *,
    wakes: bool,
) -> None:
    message = message_in(user, status)
    with django_capture_on_commit_callbacks(execute=True):
        move(ids=[message.pk], actor=ACTOR)
    assert marks() == ({b"wake:transactional"} if wakes else set())
