"""Two users whose things must stay apart, each with a client of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import User
from accounts.services import create_api_key
from tests.support.api import Api

if TYPE_CHECKING:
    from pathlib import Path

    from accounts.services import NewApiKey


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    settings.STATIC_ROOT = str(tmp_path)  # one that exists, or the static files warn
    settings.PUBLIC_URL = "https://mail.example.com"


@pytest.fixture
def api(api_key: NewApiKey) -> Api:
    return Api(api_key.secret)


@pytest.fixture
def other_user(db: None) -> User:
    return User.objects.create_user("eve@example.com")


@pytest.fixture
def other(other_user: User) -> Api:
    return Api(create_api_key(user=other_user, name="other").secret)
