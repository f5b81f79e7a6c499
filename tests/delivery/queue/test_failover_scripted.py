"""Every fault that the simulator knows by name: what becomes of message, account and quota."""

from __future__ import annotations

import pytest

from accounts.models import User
from delivery.models import Attempt
from providers.adapters.scripted import SCRIPTED
from tests.support.failover import (
    AUTHENTICATION,
    CONNECTION,
    THROTTLED,
    Fate,
    check_fate,
    drain_twice,
    in_doubt,
    moved,
)
from tests.support.mail import queue, simulator

pytestmark = pytest.mark.django_db

REFUSED = Fate("failed", figure="refused")
BOUNCED = Fate("bounced", figure="rejected")
DEFERRED = Fate("retry", figure="deferred")
FATES = {
    "connect_refused": moved(breaker=CONNECTION),
    "connect_timeout": moved(breaker=CONNECTION),
    "connect_421": moved(breaker=THROTTLED),
    "connect_554": moved(breaker=CONNECTION),
    "tls_failed": moved(breaker=CONNECTION, says="certificate not trusted"),
    "auth_refused": moved(breaker=AUTHENTICATION),
    "auth_deferred": moved(breaker=CONNECTION),
    "mail_421": moved(breaker=THROTTLED),
    # It speaks of the sender, so of the account.
    "mail_deferred": moved(breaker=("open", "other")),
    # Another may send for this sender.
    "mail_refused": moved(figure="refused"),
    "rcpt_421": moved(breaker=THROTTLED),
    "rcpt_deferred": DEFERRED,
    "rcpt_greylisted": DEFERRED,
    "rcpt_refused": BOUNCED,
    "data_421": moved(breaker=THROTTLED),
    "data_deferred": DEFERRED,
    "data_refused": REFUSED,
    "drop_before_dot": moved(breaker=CONNECTION),
    "drop_after_dot": in_doubt(),
    "silence_after_dot": in_doubt(),
    "http_401": moved(breaker=AUTHENTICATION),
    "http_403": moved(breaker=AUTHENTICATION),
    "http_413": REFUSED,
    "http_422": REFUSED,
    "http_429": moved(breaker=THROTTLED, wait_seconds=5),
    "http_500": moved(breaker=CONNECTION),
    "http_502": in_doubt(),
    "http_503": moved(breaker=CONNECTION),
    "http_connect_timeout": moved(breaker=CONNECTION),
    "http_timeout": in_doubt(),
}


def test_every_fault_has_a_fate() -> None:
    assert FATES.keys() == SCRIPTED.keys()


@pytest.mark.parametrize("name", FATES)
def test_what_a_scripted_fault_means(user: User, name: str) -> None:
    account = simulator({"match": "*", "fault": name}, position=1, hourly_limit=10)
    second = simulator(position=2, name="second")
    message = queue(user, email_type="marketing")
    drain_twice()
    taken = Attempt.objects.filter(provider=second, outcome="accepted").count()
    check_fate(message, account, FATES[name], (0, taken))
