from __future__ import annotations

import logging
import time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.broker import redis_client
from mailservice.core.ids import uuid7
from providers import rates
from providers.rates import LocalBuckets, Tokens

SECOND = 1_000_000


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def reach_broker_at(settings: Any, url: str) -> None:
    settings.REDIS_URL = url
    redis_client.cache_clear()
    rates._script.cache_clear()


def take_for(seconds: float, account: UUID, rate: float) -> int:
    """Take whatever is granted for a while; return how much it was."""
    total, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        tokens = rates.take(account, rate=rate, wanted=100)
        total += tokens.granted
        time.sleep(min(max(tokens.wait_seconds, 0.001), max(0.0, end - time.monotonic())))
    return total


@pytest.mark.parametrize(("rate", "burst"), [(1, 1), (0.2, 1), (7, 1), (20, 5), (1000, 250)])
def test_a_full_bucket_holds_a_quarter_of_a_second_and_at_least_one(
    rate: float, burst: int
) -> None:
    account = uuid7()
    first = rates.take(account, rate=rate, wanted=10_000)
    assert first.granted == burst
    assert 0 < first.wait_seconds <= 1 / rate + 1e-6


def test_what_is_not_granted_costs_nothing_and_what_is_left_stays() -> None:
    account = uuid7()
    assert rates.take(account, rate=20, wanted=3) == Tokens(3, 0)
    assert rates.take(account, rate=20, wanted=0).granted == 0
    assert rates.take(account, rate=20, wanted=9).granted == 2
    waits = [rates.take(account, rate=20, wanted=9).wait_seconds for _ in range(3)]
    assert 0.05 >= waits[0] > waits[1] > waits[2]


def test_accounts_have_buckets_of_their_own() -> None:
    assert [rates.take(uuid7(), rate=1, wanted=5).granted for _ in range(3)] == [1, 1, 1]


def test_over_time_it_is_the_rate() -> None:
    def excess() -> float:
        # Of a full bucket of 25 and what the time brings.
        started = time.monotonic()
        taken = take_for(0.6, uuid7(), 100)
        return taken - 25 - 100 * (time.monotonic() - started)

    found = [excess() for _ in range(3)]
    assert max(found) <= 1
    # While the machine stalls, what time brings to a full bucket is lost.
    assert max(found) >= -6


def test_an_idle_bucket_is_forgotten_by_the_broker() -> None:
    account = uuid7()
    rates.take(account, rate=2, wanted=1)
    assert 0 < redis_client().pttl(f"rate:{account}") <= 1_500


def test_one_slow_turn_is_waited_for_exactly() -> None:
    account = uuid7()
    rates.take(account, rate=10, wanted=2)
    wait = rates.take(account, rate=10, wanted=1).wait_seconds
    time.sleep(wait)
    assert rates.take(account, rate=10, wanted=5).granted == 1


@given(
    rate=st.floats(0.01, 5_000),
    asked=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 50)), max_size=40),
)
def test_a_local_bucket_never_grants_more_than_rate_and_burst(
    rate: float, asked: list[tuple[float, int]]
) -> None:
    clock = Clock()
    buckets, account, total = LocalBuckets(clock), uuid7(), 0
    step = SECOND / rate
    burst = max(step, SECOND / 4)
    start = clock.now
    for pause, wanted in asked:
        clock.now += pause
        tokens = buckets.take(account, step=step, burst=burst, wanted=wanted)
        assert 0 <= tokens.granted <= wanted
        total += tokens.granted
        assert total <= (clock.now - start) * rate + burst / step + 1e-3


def test_a_local_bucket_keeps_its_word_about_the_wait() -> None:
    clock = Clock()
    buckets, account = LocalBuckets(clock), uuid7()
    assert buckets.take(account, step=SECOND, burst=SECOND, wanted=5) == Tokens(1, 1.0)
    clock.now += 0.999
    assert buckets.take(account, step=SECOND, burst=SECOND, wanted=5).granted == 0
    clock.now += 0.002
    assert buckets.take(account, step=SECOND, burst=SECOND, wanted=5).granted == 1


def test_without_a_broker_the_process_paces_itself_and_says_so_once(
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    monkeypatch.setattr(rates, "_fallback", LocalBuckets(clock))
    account, url = uuid7(), settings.REDIS_URL
    with caplog.at_level(logging.INFO, logger="providers.rates"):
        reach_broker_at(settings, "redis://127.0.0.1:1/0")
        assert rates.take(account, rate=4, wanted=9) == Tokens(1, 0.25)
        clock.now += 0.25
        assert rates.take(account, rate=4, wanted=9).granted == 1
        # It is asked again after a while, and still away.
        clock.now += 10
        assert rates.take(account, rate=4, wanted=9).granted == 1
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        reach_broker_at(settings, url)
        clock.now += 10
        assert rates.take(account, rate=4, wanted=9).granted == 1
    assert redis_client().exists(f"rate:{account}")
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]


def test_full_local_buckets_are_forgotten_when_there_are_many() -> None:
    clock = Clock()
    buckets = LocalBuckets(clock)
    for number in range(rates._MAX_BUCKETS):
        buckets.take(str(number), step=SECOND, burst=SECOND, wanted=1)
    clock.now += 1
    assert buckets.take("one more", step=SECOND, burst=SECOND, wanted=1).granted == 1
    assert list(buckets._full_at) == ["one more"]
