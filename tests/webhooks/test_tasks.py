"""Whose turn it is, what confirms an address, and when to try again."""

from __future__ import annotations

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from delivery import announcements
from delivery.services.news import News, apply_news
from delivery.states import EventKind
from mailservice.core.broker import redis_client
from tests.support.esp.server import ApiServer
from tests.support.mail import queue
from tests.webhooks.conftest import Make, work
from verification.models import Verification
from verification.signals import verified
from webhooks.dispatch import Turn
from webhooks.kinds import MEANINGS
from webhooks.models import Delivery
from webhooks.retries import MAX_ATTEMPTS, MAX_RETRY_AFTER_SECONDS, WAIT_SECONDS, after_failure
from webhooks.tasks import deliver, housekeeping


@pytest.mark.django_db(transaction=True)
def test_the_task_tells_what_happened(user: User, make: Make, hook: ApiServer) -> None:
    make(kinds=["email.opened"])
    message = queue(user)
    apply_news([News(message.pk, EventKind.OPENED, timezone.now(), "1")])
    deliver()
    assert [request.json["type"] for request in hook.requests] == ["email.opened"]
    housekeeping()
    assert Delivery.objects.get().status == "delivered"


@pytest.mark.django_db(transaction=True)
def test_only_one_process_sends_at_a_time(user: User, make: Make, hook: ApiServer) -> None:
    make(kinds=["email.opened"])
    message = queue(user)
    apply_news([News(message.pk, EventKind.OPENED, timezone.now(), "1")])
    other = Turn()
    assert other.take()
    deliver()
    assert hook.requests == []
    assert other.keep()
    other.give_back()
    redis_client().delete("tick:webhooks")
    deliver()
    assert len(hook.requests) == 1
    assert Turn().take()


def test_a_turn_that_another_has_is_lost() -> None:
    late, other = Turn(), Turn()
    assert late.take()
    redis_client().delete("turn:webhooks")
    assert other.take()
    assert not late.keep()
    late.give_back()
    assert not Turn().take()


@pytest.mark.django_db(transaction=True)
def test_a_confirmed_address_is_told(user: User, make: Make, hook: ApiServer) -> None:
    make(kinds=["verification.confirmed"])
    make(kinds=["email.sent"])
    now = timezone.now()
    verification = Verification(
        owner=user, email="Bob@example.net", state="confirmed", ended_at=now, metadata={"id": 7}
    )
    verified.send(sender=Verification, verification=verification)
    assert work() == 1
    body = hook.requests[0].json
    assert body["type"] == "verification.confirmed"
    assert body["data"]["email"] == "Bob@example.net"
    assert body["data"]["metadata"] == {"id": 7}


def test_every_announcement_has_a_meaning() -> None:
    assert set(MEANINGS) == {*announcements.KINDS, "verification.confirmed"}


@given(
    st.integers(1, MAX_ATTEMPTS),
    st.integers(0, 599),
    st.none() | st.floats(-10, 1e9),
    st.floats(0, 1),
)
def test_waits_are_bounded(attempts: int, code: int, asked: float | None, chance: float) -> None:
    step = after_failure(attempts=attempts, code=code, retry_after_seconds=asked, chance=chance)
    assert step.is_over == (attempts == MAX_ATTEMPTS or code == 410)
    assert 0 <= step.pause_seconds <= MAX_RETRY_AFTER_SECONDS
    if not step.is_over:
        planned = WAIT_SECONDS[attempts - 1]
        assert step.wait_seconds >= planned * 0.9
        assert step.wait_seconds <= max(planned * 1.1, step.pause_seconds) + 1e-6
    if code not in {429, 503}:
        assert step.pause_seconds == 0
