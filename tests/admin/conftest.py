"""People who log in to the console, and mail in every state to look at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import User
from delivery.intake import Limits, parse_message
from delivery.models import Attempt, Message
from delivery.services.accept import Sender, queue_message
from delivery.states import TRANSITIONS, Status
from mailservice.core.ids import uuid7
from providers.models import Provider
from providers.services import create_provider

Post = Callable[..., UUID]


@pytest.fixture
def superuser(db: None) -> User:
    return User.objects.create_superuser("root@example.com", "a long password")


@pytest.fixture
def root(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser)
    return client


@pytest.fixture
def staff_with(db: None) -> Callable[..., Client]:
    """Return a client of a staff member with exactly the permissions named `app.codename`."""

    def log_in(*permissions: str) -> Client:
        user = User.objects.create_user(f"staff{uuid7().hex}@example.com", is_staff=True)
        for name in permissions:
            app, _, codename = name.partition(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=app, codename=codename)
            )
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def inbox(db: None) -> Provider:
    return create_provider(
        owner_id=None,
        name="Inbox",
        kind="inbox",
        settings={},
        secrets={},
        from_email="shop@example.com",
    )


@pytest.fixture
def smtp(db: None) -> Provider:
    return create_provider(
        owner_id=None,
        name="Relay",
        kind="smtp",
        settings={"host": "127.0.0.1", "port": 9, "username": "mailer"},
        secrets={"password": "hunter2-secret"},
    )


@pytest.fixture
def post(user: User) -> Post:
    """Return a function that accepts one message, in any status."""

    def accept(*, status: str = "", **fields: Any) -> UUID:
        data = {"to": ["bob@example.com"], "subject": "Hello", "html": "<p>Hi</p>", **fields}
        data.setdefault("from", "shop@example.com")
        message = parse_message(data, now=timezone.now(), limits=Limits())
        message_id = queue_message(message=message, sender=Sender(user.pk)).message_id
        if status:
            move(message_id, Status(status))
        return message_id

    return accept


def move(message_id: UUID, target: Status) -> None:
    """Bring a message to a status on a way that exists: the database refuses any other."""
    message = Message.objects.get(pk=message_id)
    ways: list[list[Status]] = [[Status(message.status)]]
    while ways[0][-1] is not target:
        way = ways.pop(0)
        ways += [[*way, step] for step in sorted(TRANSITIONS[way[-1]]) if step not in way]
    for step in ways[0][1:]:
        lease_id = uuid7() if step is Status.SENDING else None
        Message.objects.filter(pk=message_id).update(status=step, lease_id=lease_id)


def add_attempt(message_id: UUID, provider: Provider, **fields: Any) -> Attempt:
    """Write one attempt as the recorder would."""
    values = {
        "number": 1,
        "started_at": timezone.now() + timedelta(milliseconds=1),
        "duration_ms": 12,
        "outcome": "accepted",
        "scope": "message",
        **fields,
    }
    return Attempt.objects.create(message_id=message_id, provider=provider, **values)
