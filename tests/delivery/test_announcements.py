"""Announcements: everything that happens, once, to who listens, in the same transaction."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from delivery.announcements import KINDS, listen_to, take_announcements
from delivery.models import Announcement, Message
from delivery.services.news import News, apply_news
from delivery.states import NEWS, TRANSITIONS, EventKind, Status
from mailservice.core.ids import uuid7
from tests.support.mail import drain, force_status, queue, simulator

pytestmark = pytest.mark.django_db


def taken() -> list[tuple[str, str]]:
    with transaction.atomic():
        return [(one.kind, str(one.message_id)) for one in take_announcements(100)]


def test_nobody_listens_and_nothing_is_written(user: User) -> None:
    simulator()
    queue(user)
    drain()
    assert not Announcement.objects.exists()


def test_what_happens_is_announced_to_who_listens(user: User) -> None:
    listen_to(["email.sent", "email.delivered"])
    simulator()
    message = queue(user)
    drain()
    told = News(message.pk, EventKind.DELIVERED, timezone.now(), "1")
    opened = News(message.pk, EventKind.OPENED, timezone.now(), "2")
    apply_news([told, opened, told])
    assert taken() == [("email.sent", str(message.pk)), ("email.delivered", str(message.pk))]
    assert taken() == []


def test_who_stops_listening_hears_no_more(user: User) -> None:
    listen_to(["email.sent", "email.opened"])
    listen_to(["email.opened"])
    simulator()
    queue(user)
    drain()
    assert taken() == []


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"email\.gone"):
        listen_to(["email.gone"])


def test_what_is_taken_is_back_when_the_taker_fails(user: User) -> None:
    listen_to(["email.cancelled"])
    message = queue(user)
    Message.objects.filter(pk=message.pk).update(status="cancelled")
    with transaction.atomic():
        assert len(take_announcements(10)) == 1
        transaction.set_rollback(True)
    assert taken() == [("email.cancelled", str(message.pk))]


def test_each_move_is_announced_as_the_list_of_kinds_has_it(user: User) -> None:
    listen_to(KINDS)
    message = queue(user)
    told_of = {kind.value for kind in NEWS}
    for start, target in product(Status, Status):
        if target not in TRANSITIONS[start]:
            continue
        force_status(message, start, lease_id=uuid7() if start is Status.SENDING else None)
        Announcement.objects.all().delete()
        lease = uuid7() if target is Status.SENDING else None
        Message.objects.filter(pk=message.pk).update(status=target, lease_id=lease)
        kind = f"email.{target}"
        # The events of news tell of the others, recipient by recipient.
        is_told = target.value not in told_of or start is Status.SENDING
        assert taken() == ([(kind, str(message.pk))] if kind in KINDS and is_told else [])


def test_all_news_is_announced(user: User) -> None:
    listen_to(KINDS)
    simulator()
    message = queue(user)
    drain()
    Announcement.objects.all().delete()
    at = timezone.now() - timedelta(minutes=1)
    apply_news([News(message.pk, kind, at, "k") for kind in sorted(NEWS)])
    assert {kind for kind, _ in taken()} == {f"email.{kind}" for kind in NEWS}
