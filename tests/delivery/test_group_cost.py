"""What a batch has cost."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.utils import timezone

from accounts.models import User
from delivery.models import Attempt, Message
from delivery.selectors import GroupCost, cost_of_group
from tests.support.mail import queue


def attempt(message: Message, number: int, nanos: int) -> None:
    Attempt.objects.create(
        message=message,
        number=number,
        started_at=timezone.now(),
        duration_ms=1,
        outcome="accepted",
        scope="message",
        cost_nanos=nanos,
    )


def in_group(message: Message, group_id: UUID) -> Message:
    Message.objects.filter(pk=message.pk).update(group_id=group_id)
    return message


def test_a_group_costs_what_its_attempts_did(user: User) -> None:
    group_id = uuid4()
    first, second = (in_group(queue(user), group_id) for _ in range(2))
    attempt(first, 1, 0)
    attempt(first, 2, 1_250_000)
    attempt(second, 1, 800_000)
    attempt(queue(user), 1, 9_000_000)
    assert cost_of_group(group_id) == GroupCost(attempts=3, nanos=2_050_000)
    assert cost_of_group(uuid4()) == GroupCost(attempts=0, nanos=0)
