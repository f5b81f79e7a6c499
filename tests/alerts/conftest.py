"""Channels, and an HTTP stand-in that is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import F

from accounts.models import User
from alerts.channel_services import save_channel
from alerts.models import Alert, Channel, Notification
from tests.support.esp.server import Answer, ApiServer

SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def hook(settings) -> Iterator[ApiServer]:
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
    with ApiServer(lambda _request: Answer(200, b"ok")) as server:
        yield server


@pytest.fixture
def webhook(db: None, hook: ApiServer) -> Channel:
    channel = Channel(name="machine", kind="webhook")
    url = f"http://127.0.0.1:{hook.port}/hooks/s3cr3t?key=1"
    return save_channel(channel, secrets={"url": url, "signing_secret": SIGNING_SECRET})


@pytest.fixture
def mail_channel(db: None, settings) -> Channel:
    settings.EMAIL_BACKEND = "delivery.backend.QueueBackend"  # the test runner puts its own there
    User.objects.create_superuser("root@example.com", "a long password")
    return save_channel(
        Channel(name="on call", kind="mail", addresses=["ops@example.com"]), secrets={}
    )


def let_pass(wait: timedelta) -> None:
    """Make everything so much older."""
    Alert.objects.update(
        opened_at=F("opened_at") - wait,
        last_at=F("last_at") - wait,
        closed_at=F("closed_at") - wait,
    )
    Notification.objects.update(
        asked_at=F("asked_at") - wait, due_at=F("due_at") - wait, told_at=F("told_at") - wait
    )


def told(server: ApiServer) -> list[str]:
    """Return what the stand-in was told, in order."""
    return [f"{each.json['type']} {title_of(each.json)}" for each in server.requests]


def title_of(body) -> str:
    data = body["data"]
    return str(data["title"] if "title" in data else data["count"])
