"""What most tests need: a user, a key, and processes that remember nothing of the last test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import User
from accounts.services import NewApiKey, create_api_key, forget_checked_keys
from delivery.email_types import forget_email_types
from mailservice.core.broker import redis_client
from providers.connections import forget_connections
from providers.figures import forget_recent
from providers.selectors import forget_snapshot
from verification.mail_routes import forget_mail_routes
from verification.selectors.validation import forget_domain_lists


@pytest.fixture(autouse=True)
def _forget_the_last_test() -> Iterator[None]:
    forget_checked_keys()
    forget_email_types()
    forget_snapshot()
    forget_recent()
    forget_connections()
    forget_domain_lists()
    forget_mail_routes()
    redis_client().flushdb()
    yield
    redis_client().close()


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ann@example.com")


@pytest.fixture
def api_key(user: User) -> NewApiKey:
    return create_api_key(user=user, name="shop")


@pytest.fixture
def private_networks(settings: Any) -> None:
    """Let accounts of users go to servers on this machine."""
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
