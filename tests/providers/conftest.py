"""Stand-ins of HTTP providers, one each per module."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from providers.ports import Session
from tests.support.esp.accounts import APIS, adapter_at, running
from tests.support.esp.sending import Stand


@pytest.fixture(scope="module", params=sorted(APIS))
def running_stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    with running(request.param) as (api, server):
        yield api, server


@pytest.fixture
def stand(running_stand: Stand) -> Stand:
    api, server = running_stand
    for kept in (api.mails, api.ids, server.requests, server.actions):
        kept.clear()
    return running_stand


@pytest.fixture(scope="module")
def reopening(running_stand: Stand) -> Iterator[Callable[[], Session]]:
    """Return what gives a usable session, the one before as long as it is."""
    adapter = adapter_at(*running_stand)
    sessions = [adapter.open()]

    def usable() -> Session:
        if not sessions[-1].is_usable:
            sessions.append(adapter.open())
        return sessions[-1]

    yield usable
    for session in sessions:
        session.close()
