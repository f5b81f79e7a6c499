"""Endpoints, and a receiver that keeps what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from django.db.models import F

from accounts.models import User
from tests.support.esp.server import Answer, ApiServer
from webhooks.models import Delivery, Endpoint
from webhooks.queue.send import deliver_due
from webhooks.services.endpoints import EndpointChanges, WithSecret, create_endpoint

Make = Callable[..., WithSecret]


@pytest.fixture
def hook(settings: Any) -> Iterator[ApiServer]:
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
    with ApiServer(lambda _request: Answer(200, b"taken")) as server:
        yield server


@pytest.fixture
def make(user: User, hook: ApiServer) -> Make:
    """Return what makes an endpoint at the receiver."""

    def make(**values: Any) -> WithSecret:
        owner = values.pop("owner", user)
        server = values.pop("server", hook)
        url = f"http://127.0.0.1:{server.port}/hook"
        changes = cast("EndpointChanges", {"url": url, **values})
        return create_endpoint(owner_id=owner.pk, values=changes)

    return make


def work(**options: Any) -> int:
    """Spread and send all that is due."""
    return deliver_due(seconds=20, **options)


def let_pass(**wait: float) -> None:
    """Make everything so much older."""
    gone = timedelta(**wait)
    Delivery.objects.update(due_at=F("due_at") - gone)
    Endpoint.objects.update(
        failing_since=F("failing_since") - gone,
        last_failed_at=F("last_failed_at") - gone,
        paused_until=F("paused_until") - gone,
        previous_secret_expires_at=F("previous_secret_expires_at") - gone,
    )


def the_delivery() -> Delivery:
    return Delivery.objects.get()
