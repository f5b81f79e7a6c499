from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from delivery.models import EmailType
from delivery.retries import GREYLIST_MINIMUM, RETRY_AFTER_MAXIMUM, RetryPolicy, next_attempt_at
from providers.ports import Reason

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = RetryPolicy(
    first=MINUTE, maximum=timedelta(hours=4), give_up_after=timedelta(days=2), max_attempts=30
)
#: Half of the random range: the wait itself.
MIDDLE = 0.5


def decide(policy: RetryPolicy = POLICY, **facts: Any) -> datetime | None:
    defaults: dict[str, Any] = {
        "now": NOW,
        "created_at": NOW,
        "expires_at": None,
        "attempts": 1,
        "reason": Reason.OTHER,
        "retry_after_seconds": None,
        "jitter": MIDDLE,
    }
    return next_attempt_at(policy=policy, **defaults | facts)


def wait(policy: RetryPolicy = POLICY, **facts: Any) -> timedelta:
    moment = decide(policy, **facts)
    assert moment is not None
    return moment - NOW


@pytest.mark.parametrize(
    ("attempts", "minutes"),
    [(0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (8, 128), (9, 240), (10, 240), (29, 240)],
)
def test_the_wait_doubles_up_to_the_maximum(attempts: int, minutes: int) -> None:
    assert wait(attempts=attempts) == minutes * MINUTE


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 45), (0.5, 60), (1.0, 75)])
def test_jitter_spreads_from_three_to_five_quarters(jitter: float, seconds: int) -> None:
    assert wait(jitter=jitter) == timedelta(seconds=seconds)


def test_greylisting_waits_a_quarter_of_an_hour_at_least() -> None:
    assert wait(reason=Reason.GREYLISTED, jitter=0.0) == timedelta(minutes=15)
    assert wait(reason=Reason.GREYLISTED, jitter=1.0) == timedelta(minutes=18, seconds=45)
    assert wait(reason=Reason.GREYLISTED, attempts=6) == timedelta(minutes=32)


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        (0, 60),
        (-5, 60),
        (59, 60),
        (90.5, 90.5),
        (3600, 3600),
        (3601, 3600),
        (10**9, 3600),
        (float("inf"), 3600),
    ],
)
def test_the_providers_wish_lengthens_the_wait_up_to_an_hour(wish: float, seconds: float) -> None:
    assert wait(retry_after_seconds=wish) == timedelta(seconds=seconds)


def test_a_wish_does_not_shorten_greylisting() -> None:
    assert wait(reason=Reason.GREYLISTED, retry_after_seconds=60, jitter=0.0) == GREYLIST_MINIMUM


@pytest.mark.parametrize(("attempts", "goes_on"), [(29, True), (30, False), (31, False)])
def test_attempts_are_used_up(attempts: int, goes_on: bool) -> None:  # noqa: FBT001 - a table
    assert (decide(attempts=attempts) is not None) is goes_on


def test_patience_is_counted_from_acceptance() -> None:
    oldest = NOW + MINUTE - POLICY.give_up_after
    assert decide(created_at=oldest) == NOW + MINUTE
    assert decide(created_at=oldest - timedelta(microseconds=1)) is None


def test_a_message_that_would_expire_before_is_given_up() -> None:
    assert decide(expires_at=NOW + MINUTE) is None
    assert decide(expires_at=NOW + MINUTE + timedelta(microseconds=1)) == NOW + MINUTE


def test_the_most_patient_policy_that_can_be_entered_overflows_nothing() -> None:
    largest = timedelta(seconds=2**31 - 1)
    policy = RetryPolicy(largest, largest, 2 * largest, max_attempts=32767)
    assert wait(policy, attempts=32766) == largest


policies = st.builds(
    RetryPolicy,
    first=st.integers(0, 2**31 - 1).map(lambda seconds: timedelta(seconds=seconds)),
    maximum=st.integers(0, 2**31 - 1).map(lambda seconds: timedelta(seconds=seconds)),
    give_up_after=st.integers(0, 2**31 - 1).map(lambda seconds: timedelta(seconds=seconds)),
    max_attempts=st.integers(1, 32767),
)


@given(
    policy=policies,
    attempts=st.integers(0, 32767),
    age=st.timedeltas(timedelta(0), timedelta(days=3)),
    left=st.none() | st.timedeltas(timedelta(0), timedelta(days=3)),
    reason=st.sampled_from(Reason),
    wish=st.none() | st.floats(allow_nan=False),
    jitter=st.floats(0, 1),
)
def test_every_decision_keeps_the_bounds(  # noqa: PLR0913 - all facts
    *,
    policy: RetryPolicy,
    attempts: int,
    age: timedelta,
    left: timedelta | None,
    reason: Reason,
    wish: float | None,
    jitter: float,
) -> None:
    created_at, expires_at = NOW - age, None if left is None else NOW + left
    moment = decide(
        policy,
        attempts=attempts,
        created_at=created_at,
        expires_at=expires_at,
        reason=reason,
        retry_after_seconds=wish,
        jitter=jitter,
    )
    if moment is None:
        return
    assert attempts < policy.max_attempts
    assert moment <= created_at + policy.give_up_after
    assert expires_at is None or moment < expires_at
    longest = max(policy.maximum * 1.25, GREYLIST_MINIMUM * 1.25, RETRY_AFTER_MAXIMUM)
    shortest = min(policy.first, policy.maximum) * 0.75
    assert shortest <= moment - NOW <= longest


@given(attempts=st.integers(1, 28), jitter=st.floats(0, 1))
def test_more_attempts_never_wait_less(attempts: int, jitter: float) -> None:
    assert wait(attempts=attempts, jitter=jitter) <= wait(attempts=attempts + 1, jitter=jitter)


def test_an_account_may_say_other_waits_than_the_type() -> None:
    quick = POLICY.at(10, 40)
    assert [wait(quick, attempts=attempts).total_seconds() for attempts in (1, 2, 3, 9)] == [
        10,
        20,
        40,
        40,
    ]
    assert (quick.give_up_after, quick.max_attempts) == (POLICY.give_up_after, 30)


def test_what_an_account_leaves_open_stays_the_types() -> None:
    assert POLICY.at(None, None) is POLICY
    assert POLICY.at(None, 600).first == MINUTE
    # A first wait above the longest one lengthens that.
    assert POLICY.at(20_000, None).maximum == timedelta(seconds=20_000)


def test_a_longest_wait_below_the_first_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        EmailType(name="slow", retry_first_seconds=600, retry_max_seconds=60).clean()
    assert caught.value.message_dict == {
        "retry_max_seconds": ["At least as long as the first wait."]
    }
    EmailType(name="even", retry_first_seconds=60, retry_max_seconds=60).clean()
