from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction

from delivery.models import Message
from delivery.states import (
    FINISHED,
    RETRIABLE,
    STOPPABLE,
    TRANSITIONS,
    UNFINISHED,
    WAITING,
    Status,
)
from mailservice.core.ids import uuid7
from tests.support.mail import force_status, queue

if TYPE_CHECKING:
    from accounts.models import User

each = pytest.mark.parametrize("status", Status)


def reachable(start: Status, *, without: Status | None = None) -> set[Status]:
    """Return what can follow `start`, at any distance, never passing through `without`."""
    found: set[Status] = set()
    edge = {start}
    while edge:
        targets = {target for state in edge for target in TRANSITIONS[state]}
        edge = {target for target in targets - found if target is not without}
        found |= edge
    return found


def test_every_status_has_its_moves_and_is_finished_or_not() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert set(Status) == FINISHED | UNFINISHED
    assert not FINISHED & UNFINISHED
    assert WAITING < UNFINISHED


@each
def test_no_state_moves_to_itself(status: Status) -> None:
    assert status not in TRANSITIONS[status]


def test_only_a_queued_message_can_be_claimed() -> None:
    leaving = {state for state, targets in TRANSITIONS.items() if Status.SENDING in targets}
    assert leaving == {Status.QUEUED}


@pytest.mark.parametrize("status", sorted(FINISHED))
def test_a_finished_message_is_sent_again_only_through_the_queue(status: Status) -> None:
    assert TRANSITIONS[status] <= FINISHED | {Status.QUEUED}
    assert Status.SENDING not in reachable(status, without=Status.QUEUED)


@pytest.mark.parametrize("status", sorted(FINISHED))
def test_only_an_explicit_retry_reopens_a_finished_message(status: Status) -> None:
    assert (Status.QUEUED in TRANSITIONS[status]) is (status in RETRIABLE)


@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED, Status.COMPLAINED])
def test_what_was_served_is_never_sent_again(status: Status) -> None:
    assert Status.QUEUED not in reachable(status, without=Status.BOUNCED)
    assert status not in RETRIABLE


@each
def test_every_message_can_come_to_an_end(status: Status) -> None:
    assert status in FINISHED or reachable(status) & FINISHED


@each
def test_every_state_is_reached_from_acceptance(status: Status) -> None:
    assert status in reachable(Status.QUEUED) | {Status.QUEUED}


@each
def test_what_is_certain_not_to_be_on_the_wire_may_be_stopped(status: Status) -> None:
    targets = TRANSITIONS[status]
    assert (Status.CANCELLED in targets) is (status in STOPPABLE)
    assert (Status.HELD in targets) is (status in STOPPABLE - {Status.HELD})
    assert (Status.EXPIRED in targets) is (status in STOPPABLE | {Status.SENDING})


@pytest.mark.parametrize("status", sorted(STOPPABLE))
def test_what_may_be_stopped_may_be_rescheduled_or_released(status: Status) -> None:
    assert TRANSITIONS[status] | {status} >= {Status.SCHEDULED, Status.QUEUED}


@pytest.mark.parametrize("status", sorted(WAITING))
def test_what_waits_comes_back_through_the_queue(status: Status) -> None:
    assert Status.QUEUED in TRANSITIONS[status]
    assert Status.SENDING not in TRANSITIONS[status]


@pytest.mark.parametrize("status", sorted(RETRIABLE))
def test_a_retry_queues(status: Status) -> None:
    assert Status.QUEUED in TRANSITIONS[status]


def test_news_after_the_end_never_moves_backwards() -> None:
    assert TRANSITIONS[Status.SENT] == {Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED}
    assert TRANSITIONS[Status.DELIVERED] == {Status.BOUNCED, Status.COMPLAINED}
    assert TRANSITIONS[Status.BOUNCED] == {Status.QUEUED, Status.COMPLAINED}
    assert TRANSITIONS[Status.COMPLAINED] == frozenset()


@pytest.mark.django_db
def test_the_database_allows_the_moves_of_the_table_and_no_other(user: User) -> None:
    message = queue(user)
    lease_id = uuid7()
    allowed = set()
    for start, target in product(Status, Status):
        force_status(message, start, lease_id=lease_id if start is Status.SENDING else None)
        to_lease = lease_id if target is Status.SENDING else None
        try:
            with transaction.atomic():
                Message.objects.filter(pk=message.pk).update(status=target, lease_id=to_lease)
        except IntegrityError:
            continue
        allowed.add((start, target))
    expected = {(start, target) for start in Status for target in TRANSITIONS[start]}
    assert allowed == expected | {(status, status) for status in Status}
