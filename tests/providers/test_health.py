from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailservice.core.ids import uuid7
from mailservice.core.sql import database_now
from providers import health
from providers.health import Opened
from providers.models import Provider, ProviderHealth
from providers.ports import Outcome, Reason, Reply, Scope, SendResult

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


@pytest.fixture
def account(db: None) -> Provider:
    return Provider.objects.create(name="account", kind="simulator")


@pytest.fixture
def news() -> Iterator[list[Opened]]:
    heard: list[Opened] = []

    def hear(opened: Opened, **_: Any) -> None:
        heard.append(opened)

    health.on_opened.connect(hear)
    yield heard
    health.on_opened.disconnect(hear)


def fault(
    reason: Reason = Reason.CONNECTION, *, code: int = 0, text: str = "", after: float | None = None
) -> SendResult:
    return SendResult(
        Outcome.NOT_ACCEPTED,
        reason,
        Scope.PROVIDER,
        Reply(code, text=text),
        retry_after_seconds=after,
    )


def row() -> ProviderHealth:
    return ProviderHealth.objects.get()


def wait(moment: datetime | None = None) -> Any:
    """About how many seconds until the account is tried again: the machine may have stalled."""
    retry_at = row().retry_at
    assert retry_at is not None
    seconds = (retry_at - (moment or database_now())).total_seconds()
    return pytest.approx(seconds, abs=2, rel=0.05)


def let_wait_pass() -> None:
    ProviderHealth.objects.update(retry_at=database_now() - SECOND)


def fail_probe(account: Provider, result: SendResult) -> None:
    let_wait_pass()
    assert health.take_probe(account.pk)
    health.fail_probe(account.pk, result)


@pytest.mark.parametrize(
    ("result", "is_fault"),
    [
        (fault(), True),
        (fault(Reason.THROTTLED, code=421), True),
        (fault(Reason.AUTHENTICATION, code=535), True),
        (fault(Reason.OTHER, code=503), True),
        # It lacks SMTPUTF8, which other mails do not need.
        (fault(Reason.CONTENT), False),
        (SendResult(Outcome.NOT_ACCEPTED, Reason.GREYLISTED), False),
        (SendResult(Outcome.REJECTED, Reason.BAD_RECIPIENT), False),
        (SendResult(Outcome.UNKNOWN, Reason.LOST_AFTER_DATA), False),
        (SendResult(Outcome.ACCEPTED), False),
    ],
)
def test_what_speaks_against_an_account(result: SendResult, *, is_fault: bool) -> None:
    assert health.is_fault(result) is is_fault


def test_the_first_fault_opens_the_breaker_for_five_seconds(
    account: Provider, news: list[Opened]
) -> None:
    assert health.not_closed() == {}
    assert health.open_breaker(account.pk, fault(code=421, text="too busy"))
    stored = row()
    assert (stored.state, stored.reason, stored.detail, stored.failures, wait()) == (
        "open",
        "connection",
        "421 too busy",
        1,
        5,
    )
    until = health.not_closed()[account.pk].until
    assert abs(until - timezone.now() - 5 * SECOND) < SECOND
    assert [(item.provider_id, item.detail, item.needs_a_human) for item in news] == [
        (account.pk, "421 too busy", False)
    ]


def test_what_was_on_the_wire_when_it_opened_does_not_prolong_it(
    account: Provider, news: list[Opened]
) -> None:
    health.open_breaker(account.pk, fault(text="first"))
    before = row()
    for _ in range(5):
        assert not health.open_breaker(account.pk, fault(text="later"))
    after = row()
    assert (after.retry_at, after.detail, after.failures) == (before.retry_at, "first", 1)
    assert len(news) == 1


@pytest.mark.parametrize(("asked", "seconds"), [(1, 5), (90, 90), (7_200, 3_600), (-5, 5)])
def test_the_account_may_ask_for_more_time_up_to_an_hour(
    account: Provider, asked: float, seconds: int
) -> None:
    health.open_breaker(account.pk, fault(Reason.THROTTLED, code=429, after=asked))
    assert wait() == seconds


def test_an_open_breaker_stays_open_for_as_long_as_is_asked_later(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    health.open_breaker(account.pk, fault(Reason.THROTTLED, after=60))
    assert wait() == 60
    health.open_breaker(account.pk, fault(Reason.THROTTLED, after=20))
    assert wait() == 60


def test_refused_credentials_open_it_for_long_at_once_and_raise_an_alarm(
    account: Provider, news: list[Opened], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="providers.health"):
        health.open_breaker(account.pk, fault(Reason.AUTHENTICATION, code=535, text="no"))
    assert (wait(), [item.needs_a_human for item in news]) == (300, [True])
    assert [(record.levelno, str(account.pk) in record.message) for record in caplog.records] == [
        (logging.ERROR, True)
    ]


def test_a_listener_that_fails_does_not_stop_the_drain(account: Provider) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("broken listener")

    health.on_opened.connect(fail)
    try:
        assert health.open_breaker(account.pk, fault())
    finally:
        health.on_opened.disconnect(fail)


def test_no_probe_before_the_wait_is_over_and_none_for_a_closed_one(account: Provider) -> None:
    assert not health.take_probe(account.pk)
    health.open_breaker(account.pk, fault())
    assert not health.take_probe(account.pk)
    health.close_breaker(account.pk)
    assert not health.take_probe(account.pk)


def test_one_probe_at_a_time(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    let_wait_pass()
    assert health.not_closed()[account.pk].until <= timezone.now()
    assert [health.take_probe(account.pk) for _ in range(3)] == [True, False, False]
    assert (row().state, wait()) == ("half_open", 120)
    # The others look again soon, for the probe may be back.
    until = health.not_closed()[account.pk].until
    assert SECOND < until - timezone.now() <= 2 * SECOND


def test_a_probe_that_is_never_heard_of_gives_way_to_another(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    let_wait_pass()
    assert health.take_probe(account.pk)
    let_wait_pass()
    assert [health.take_probe(account.pk) for _ in range(2)] == [True, False]


def test_failing_probes_double_the_wait_up_to_five_minutes(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    waits = []
    for _ in range(8):
        fail_probe(account, fault(text="still"))
        waits.append(wait())
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    assert (row().state, row().failures, row().detail) == ("open", 9, "still")


def test_a_failing_probe_may_ask_for_more_time(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    fail_probe(account, fault(Reason.THROTTLED, code=429, after=600))
    assert wait() == 600
    fail_probe(account, fault(Reason.AUTHENTICATION))
    assert wait() == 300


def test_a_failing_probe_keeps_its_wait_after_many_failures(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    ProviderHealth.objects.update(failures=2_000_000)
    fail_probe(account, fault())
    assert wait() == 300


def test_a_probes_success_closes_it_and_the_next_fault_begins_anew(
    account: Provider, news: list[Opened]
) -> None:
    health.open_breaker(account.pk, fault())
    fail_probe(account, fault())
    let_wait_pass()
    assert health.take_probe(account.pk)
    assert health.close_breaker(account.pk)
    assert not health.close_breaker(account.pk)
    assert (row().state, row().retry_at, row().failures) == ("closed", None, 0)
    assert health.not_closed() == {}
    health.open_breaker(account.pk, fault())
    assert (wait(), len(news)) == (5, 2)


def test_a_probe_that_came_to_nothing_is_anothers_at_once(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    let_wait_pass()
    assert health.take_probe(account.pk)
    health.return_probe(account.pk)
    assert (row().failures, health.take_probe(account.pk)) == (1, True)


def test_an_account_that_is_gone_has_no_breaker() -> None:
    assert not health.open_breaker(uuid7(), fault())
    assert not ProviderHealth.objects.exists()


def test_what_a_hostile_server_says_can_be_stored(account: Provider) -> None:
    health.open_breaker(account.pk, fault(text="nul \x00 and half \ud800" + "x" * 600))
    assert row().detail.startswith("nul  and half ?xxx")
    assert len(row().detail) == 500


def test_while_all_is_well_one_small_read_is_all(account: Provider) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert health.not_closed() == {}
    assert len(queries) == 1
    assert not ProviderHealth.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_racing_workers_open_once_and_send_one_probe() -> None:
    account = Provider.objects.create(name="account", kind="simulator")

    def race(move: str) -> bool:
        try:
            if move == "open":
                return health.open_breaker(account.pk, fault())
            return health.take_probe(account.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(race, ["open"] * 16)) == 1
        let_wait_pass()
        assert sum(pool.map(race, ["probe"] * 16)) == 1
