from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailservice.core.ids import uuid7
from providers import quotas, warm_up
from providers.admin.figures import month_quota_of, quotas_of
from providers.models import Provider, ProviderUsage, Reservation
from providers.ports import Outcome, RecipientResult, SendResult
from providers.quotas import (
    Place,
    QuotaLeft,
    Settlement,
    SettlementBook,
    Windows,
    mails_of,
    windows,
)

NOW = datetime(2026, 11, 21, 12, 34, 56, 789, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEASE, OTHER_LEASE = uuid7(), uuid7()


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # parts are whole numbers


def test_windows_are_the_clock_hour_the_local_day_and_the_local_month() -> None:
    assert windows(NOW, "UTC") == Windows(
        utc(2026, 11, 21, 12),
        utc(2026, 11, 21, 13),
        utc(2026, 11, 21),
        utc(2026, 11, 22),
        utc(2026, 11, 1),
        utc(2026, 12, 1),
        date(2026, 11, 21),
    )


@pytest.mark.parametrize(
    ("zone", "now", "start", "end", "hours"),
    [
        # East and west of UTC, and off by a quarter.
        ("Asia/Tokyo", utc(2026, 1, 1, 14, 59), utc(2025, 12, 31, 15), utc(2026, 1, 1, 15), 24),
        ("Asia/Tokyo", utc(2026, 1, 1, 15), utc(2026, 1, 1, 15), utc(2026, 1, 2, 15), 24),
        ("America/New_York", utc(2026, 1, 1, 4, 59), utc(2025, 12, 31, 5), utc(2026, 1, 1, 5), 24),
        ("Asia/Kathmandu", utc(2026, 1, 1), utc(2025, 12, 31, 18, 15), utc(2026, 1, 1, 18, 15), 24),
        # Clocks go forward and back.
        ("Europe/Berlin", utc(2026, 3, 29, 12), utc(2026, 3, 28, 23), utc(2026, 3, 29, 22), 23),
        ("Europe/Berlin", utc(2026, 3, 28, 23), utc(2026, 3, 28, 23), utc(2026, 3, 29, 22), 23),
        (
            "Europe/Berlin",
            utc(2026, 10, 25, 0, 30),
            utc(2026, 10, 24, 22),
            utc(2026, 10, 25, 23),
            25,
        ),
        ("Europe/Berlin", utc(2026, 10, 25, 22), utc(2026, 10, 24, 22), utc(2026, 10, 25, 23), 25),
        # There is no midnight: the day begins at one.
        ("Africa/Cairo", utc(2026, 4, 24, 12), utc(2026, 4, 23, 22), utc(2026, 4, 24, 21), 23),
        # Midnight comes twice: the day begins with the first.
        ("America/Havana", utc(2026, 11, 1, 5, 30), utc(2026, 11, 1, 4), utc(2026, 11, 2, 5), 25),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(
    zone: str, now: datetime, start: datetime, end: datetime, hours: int
) -> None:
    frame = windows(now, zone)
    assert (frame.day_start, frame.day_end) == (start, end)
    assert frame.day_end - frame.day_start == timedelta(hours=hours)


def test_the_hour_is_utcs_whatever_zone_now_is_told_in() -> None:
    now = NOW.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert windows(now, "UTC") == windows(NOW, "UTC")


@pytest.mark.parametrize(
    ("zone", "now", "start", "end", "hours"),
    [
        ("UTC", utc(2024, 2, 29, 23), utc(2024, 2, 1), utc(2024, 3, 1), 29 * 24),
        ("UTC", utc(2026, 12, 31), utc(2026, 12, 1), utc(2027, 1, 1), 31 * 24),
        # It is the next month already, or still the last.
        ("Asia/Tokyo", utc(2026, 1, 31, 15), utc(2026, 1, 31, 15), utc(2026, 2, 28, 15), 28 * 24),
        ("America/New_York", utc(2026, 1, 1, 4), utc(2025, 12, 1, 5), utc(2026, 1, 1, 5), 31 * 24),
        # Clocks go forward and back within it.
        (
            "Europe/Berlin",
            utc(2026, 3, 5),
            utc(2026, 2, 28, 23),
            utc(2026, 3, 31, 22),
            31 * 24 - 1,
        ),
        (
            "Europe/Berlin",
            utc(2026, 10, 31, 22, 59),
            utc(2026, 9, 30, 22),
            utc(2026, 10, 31, 23),
            31 * 24 + 1,
        ),
        # Midnight comes twice on the first.
        ("America/Havana", utc(2026, 11, 1, 5, 30), utc(2026, 11, 1, 4), utc(2026, 12, 1, 5), 721),
    ],
)
def test_a_month_is_as_long_as_calendar_and_clocks_make_it(
    zone: str, now: datetime, start: datetime, end: datetime, hours: int
) -> None:
    frame = windows(now, zone)
    assert (frame.month_start, frame.month_end) == (start, end)
    assert frame.month_end - frame.month_start == timedelta(hours=hours)


ZONES = ("UTC", "Europe/Berlin", "America/Havana", "Africa/Cairo", "Australia/Lord_Howe")
moments = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is added


@given(now=moments, zone=st.sampled_from(ZONES))
def test_windows_hold_now_and_follow_each_other_without_gap(now: datetime, zone: str) -> None:
    frame = windows(now, zone)
    assert frame.hour_start <= now < frame.hour_end
    assert frame.day_start <= now < frame.day_end
    assert windows(frame.day_end, zone).day_start == frame.day_end
    assert windows(frame.day_end - timedelta(microseconds=1), zone).day_start == frame.day_start
    assert timedelta(hours=23) <= frame.day_end - frame.day_start <= timedelta(hours=25)
    assert frame.today == now.astimezone(ZoneInfo(zone)).date()


@given(now=moments, zone=st.sampled_from(ZONES))
def test_months_hold_their_days_and_follow_each_other_without_gap(now: datetime, zone: str) -> None:
    frame = windows(now, zone)
    assert frame.month_start <= frame.day_start < frame.day_end <= frame.month_end
    assert windows(frame.month_start, zone).today == frame.today.replace(day=1)
    assert windows(frame.month_end, zone).month_start == frame.month_end
    assert windows(frame.month_end - timedelta(microseconds=1), zone).month_end == frame.month_end


@given(day=st.dates(date(2015, 1, 1), date(2035, 1, 1)), zone=st.sampled_from(ZONES))
def test_every_hour_of_a_local_day_has_the_same_window(day: date, zone: str) -> None:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
    frame = windows(noon, zone)
    moment = frame.day_start
    while moment < frame.day_end:
        assert windows(moment, zone).day_start == frame.day_start
        moment += timedelta(minutes=30)


PLAN = {"starts_on": "2026-03-01", "daily": [50, 100, 0, 200]}


@pytest.mark.parametrize(
    ("day", "limit"),
    [
        (date(2026, 2, 28), None),
        (date(2026, 3, 1), 50),
        (date(2026, 3, 2), 100),
        (date(2026, 3, 3), 0),
        (date(2026, 3, 4), 200),
        (date(2026, 3, 5), None),
        (date(2027, 3, 1), None),
    ],
)
def test_a_warm_up_plan_limits_its_days_and_no_others(day: date, limit: int | None) -> None:
    assert warm_up.warm_up_limit(PLAN, day) == limit


def test_no_warm_up_plan_no_limit() -> None:
    assert warm_up.warm_up_limit(None, date(2026, 3, 1)) is None
    assert warm_up.warm_up_limit({"starts_on": "2026-03-01", "daily": []}, date(2026, 3, 1)) is None


@pytest.mark.parametrize(
    "plan",
    [
        None,
        [],
        {},
        {"starts_on": "2026-03-01"},
        {"starts_on": "2026-03-01", "daily": [1], "more": 1},
        {"starts_on": "2026-02-30", "daily": [1]},
        {"starts_on": "20260301", "daily": [1]},
        {"starts_on": 5, "daily": [1]},
        {"starts_on": "2026-03-01", "daily": []},
        {"starts_on": "2026-03-01", "daily": [1] * 367},
        {"starts_on": "2026-03-01", "daily": "50"},
        {"starts_on": "2026-03-01", "daily": [-1]},
        {"starts_on": "2026-03-01", "daily": [1.5]},
        {"starts_on": "2026-03-01", "daily": [True]},
        {"starts_on": "2026-03-01", "daily": [2**31]},
    ],
)
def test_a_warm_up_plan_that_cannot_be_read_is_refused(plan: object) -> None:
    with pytest.raises(ValueError, match=r"starts_on|daily"):
        warm_up.check_warm_up(plan)


def test_warm_up_plans_as_they_should_be() -> None:
    warm_up.check_warm_up(PLAN)
    warm_up.check_warm_up({"starts_on": "2026-02-28", "daily": [2**31 - 1] * 366})


def account(**fields: Any) -> Provider:
    defaults = {"name": "account", "kind": "simulator", "priority_reserve": 0}
    return Provider.objects.create(**defaults | fields)


def reserve(
    provider: Provider,
    wanted: int,
    *,
    lease_id: UUID = LEASE,
    now: datetime = NOW,
    urgent: int = 0,
) -> int:
    return quotas.reserve(
        provider_id=provider.pk,
        time_zone=provider.time_zone,
        lease_id=lease_id,
        wanted=wanted,
        now=now,
        urgent=urgent,
    )


def settle(
    provider: Provider,
    *,
    settled: int,
    sent: int,
    lease_id: UUID = LEASE,
    now: datetime = NOW,
) -> None:
    item = Settlement(provider.pk, provider.time_zone, settled, sent)
    quotas.settle(lease_id=lease_id, settlements=[item], now=now)


def figures(provider: Provider) -> tuple[int, int, int, int]:
    """Return hour, day and total count, and what is reserved."""
    usage = ProviderUsage.objects.get(provider=provider)
    return usage.hour_count, usage.day_count, usage.total_count, usage.reserved


def held(lease_id: UUID = LEASE) -> int:
    return sum(Reservation.objects.filter(lease_id=lease_id).values_list("count", flat=True))


def month_count(provider: Provider) -> int:
    return ProviderUsage.objects.get(provider=provider).month_count


@pytest.mark.django_db
def test_without_limits_all_is_granted() -> None:
    provider = account()
    assert reserve(provider, 100_000) == 100_000
    assert (figures(provider), held()) == ((0, 0, 0, 100_000), 100_000)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("hourly", "daily", "granted"), [(5, None, 5), (None, 7, 7), (5, 3, 3), (0, None, 0)]
)
def test_the_narrower_limit_binds(hourly: int | None, daily: int | None, granted: int) -> None:
    provider = account(hourly_limit=hourly, daily_limit=daily)
    assert reserve(provider, 10) == granted
    assert reserve(provider, 10) == 0
    assert (figures(provider), held()) == ((0, 0, 0, granted), granted)


@pytest.mark.django_db
def test_an_account_that_is_gone_grants_nothing() -> None:
    granted = quotas.reserve(
        provider_id=uuid7(), time_zone="UTC", lease_id=LEASE, wanted=1, now=NOW
    )
    assert (granted, Reservation.objects.count(), ProviderUsage.objects.count()) == (0, 0, 0)


@pytest.mark.django_db
def test_reservations_of_one_lease_add_up_and_others_stay_apart() -> None:
    provider = account(hourly_limit=10)
    assert [reserve(provider, 3), reserve(provider, 3)] == [3, 3]
    assert reserve(provider, 9, lease_id=OTHER_LEASE) == 4
    assert (held(), held(OTHER_LEASE), figures(provider)) == (6, 4, (0, 0, 0, 10))


@pytest.mark.django_db
def test_settling_books_what_was_sent_and_frees_what_was_not() -> None:
    provider = account(hourly_limit=10, daily_limit=10)
    reserve(provider, 10)
    settle(provider, settled=6, sent=4)
    assert (figures(provider), held()) == ((4, 4, 4, 4), 4)
    assert ProviderUsage.objects.get().last_sent_at == NOW
    assert reserve(provider, 10) == 2


@pytest.mark.django_db
def test_settling_nothing_sent_is_no_time_of_sending() -> None:
    provider = account(hourly_limit=10)
    reserve(provider, 2)
    settle(provider, settled=2, sent=0)
    assert figures(provider) == (0, 0, 0, 0)
    assert ProviderUsage.objects.get().last_sent_at is None


@pytest.mark.django_db
def test_an_account_without_limits_is_counted_from_its_first_mail() -> None:
    provider = account()
    settle(provider, settled=0, sent=3)
    assert figures(provider) == (3, 3, 3, 0)


@pytest.mark.django_db
def test_a_new_hour_and_a_new_day_begin_at_zero_without_any_reset() -> None:
    provider = account(hourly_limit=5, daily_limit=8)
    assert reserve(provider, 5) == 5
    settle(provider, settled=5, sent=5)
    assert reserve(provider, 5) == 0
    assert reserve(provider, 5, now=NOW + HOUR) == 3
    settle(provider, settled=3, sent=3, now=NOW + HOUR)
    assert figures(provider) == (3, 8, 8, 0)
    assert reserve(provider, 5, now=NOW + 2 * HOUR) == 0
    assert reserve(provider, 5, now=NOW + 12 * HOUR) == 5
    settle(provider, settled=5, sent=5, now=NOW + 12 * HOUR)
    assert figures(provider) == (5, 5, 13, 0)


@pytest.mark.django_db
def test_what_was_reserved_in_the_last_hour_counts_in_the_next() -> None:
    provider = account(hourly_limit=5)
    reserve(provider, 4)
    assert reserve(provider, 5, lease_id=OTHER_LEASE, now=NOW + HOUR) == 1
    settle(provider, settled=4, sent=4, now=NOW + HOUR)
    assert figures(provider) == (4, 4, 4, 1)


@pytest.mark.django_db
def test_the_day_is_the_accounts_own() -> None:
    provider = account(daily_limit=5, time_zone="Asia/Tokyo")
    before, after = utc(2026, 1, 1, 14, 59), utc(2026, 1, 1, 15)
    assert reserve(provider, 5, now=before) == 5
    settle(provider, settled=5, sent=5, now=before)
    assert reserve(provider, 5, now=before) == 0
    assert reserve(provider, 5, now=after) == 5


@pytest.mark.django_db
def test_a_changed_limit_counts_at_once() -> None:
    provider = account(hourly_limit=5)
    assert reserve(provider, 5) == 5
    Provider.objects.update(hourly_limit=7)
    assert reserve(provider, 5) == 2
    Provider.objects.update(hourly_limit=3)
    assert reserve(provider, 5) == 0


@pytest.mark.django_db
def test_what_a_dead_worker_reserved_is_booked_as_used() -> None:
    provider = account(hourly_limit=10)
    reserve(provider, 6)
    reserve(provider, 1, lease_id=OTHER_LEASE)
    quotas.abandon([LEASE])
    assert (figures(provider), held(), held(OTHER_LEASE)) == ((6, 6, 6, 1), 0, 1)
    quotas.abandon([LEASE])
    assert figures(provider) == (6, 6, 6, 1)


@pytest.mark.django_db
def test_a_worker_that_comes_back_from_the_dead_frees_nothing_twice() -> None:
    provider = account(hourly_limit=10)
    reserve(provider, 6)
    quotas.abandon([LEASE])
    settle(provider, settled=6, sent=6)
    assert figures(provider) == (12, 12, 12, 0)


@pytest.mark.django_db
def test_dead_workers_are_booked_together() -> None:
    provider, other = account(hourly_limit=10), account_named("other")
    reserve(provider, 2)
    reserve(provider, 3, lease_id=OTHER_LEASE)
    reserve(other, 4)
    quotas.abandon([LEASE, OTHER_LEASE])
    assert (figures(provider), figures(other)) == ((5, 5, 5, 0), (4, 4, 4, 0))
    assert not Reservation.objects.exists()


def account_named(name: str) -> Provider:
    return account(name=name)


@pytest.mark.django_db
def test_a_worker_that_ends_well_gives_back_what_it_holds() -> None:
    provider, other = account(hourly_limit=10), account_named("other")
    reserve(provider, 6)
    reserve(provider, 1, lease_id=OTHER_LEASE)
    reserve(other, 2)
    settle(provider, settled=4, sent=4)
    quotas.release(LEASE)
    assert (figures(provider), figures(other)) == ((4, 4, 4, 1), (0, 0, 0, 0))
    assert (held(), held(OTHER_LEASE)) == (0, 1)


@pytest.mark.django_db
def test_several_accounts_are_settled_at_once() -> None:
    accounts = [account_named(name) for name in "cab"]
    items = [Settlement(made.pk, "UTC", 0, count) for count, made in enumerate(accounts, 1)]
    quotas.settle(lease_id=LEASE, settlements=reversed(items), now=NOW)
    assert [figures(made)[2] for made in accounts] == [1, 2, 3]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("limits", "sent", "reserved", "left"),
    [
        ({}, 3, 1, QuotaLeft(None, None)),
        ({"hourly_limit": 10}, 3, 1, QuotaLeft(6, utc(2026, 11, 21, 13))),
        ({"hourly_limit": 10, "daily_limit": 8}, 3, 1, QuotaLeft(4, utc(2026, 11, 21, 13))),
        ({"hourly_limit": 4, "daily_limit": 8}, 3, 1, QuotaLeft(0, utc(2026, 11, 21, 13))),
        ({"hourly_limit": 4, "daily_limit": 4}, 3, 1, QuotaLeft(0, utc(2026, 11, 22))),
        ({"hourly_limit": 9, "daily_limit": 2}, 3, 0, QuotaLeft(0, utc(2026, 11, 22))),
    ],
)
def test_what_is_left_and_until_when(
    limits: dict[str, int], sent: int, reserved: int, left: QuotaLeft
) -> None:
    provider = account(**limits)
    settle(provider, settled=0, sent=sent)
    ProviderUsage.objects.update(reserved=reserved)
    usage = quotas.usage_of([provider])[provider.pk]
    assert quotas.left(provider, usage, NOW) == left


@pytest.mark.django_db
def test_an_unused_account_has_all_of_its_quota() -> None:
    provider = account(hourly_limit=5)
    assert quotas.usage_of([provider]) == {}
    assert quotas.left(provider, None, NOW) == QuotaLeft(5, utc(2026, 11, 21, 13))


@pytest.mark.django_db
def test_a_monthly_limit_holds_over_its_days_and_ends_with_the_month() -> None:
    provider = account(monthly_limit=8, daily_limit=5, time_zone="Asia/Tokyo")
    last_day_but_one = utc(2026, 1, 29, 15)
    assert reserve(provider, 9, now=last_day_but_one) == 5
    settle(provider, settled=5, sent=5, now=last_day_but_one)
    assert reserve(provider, 9, now=utc(2026, 1, 30, 15)) == 3
    settle(provider, settled=3, sent=3, now=utc(2026, 1, 31, 14, 59))
    assert (reserve(provider, 9, now=utc(2026, 1, 31, 14, 59)), month_count(provider)) == (0, 8)
    assert reserve(provider, 9, now=utc(2026, 1, 31, 15)) == 5
    settle(provider, settled=5, sent=5, now=utc(2026, 1, 31, 15))
    assert (month_count(provider), figures(provider)) == (5, (5, 5, 13, 0))


@pytest.mark.django_db
def test_what_is_sent_without_a_monthly_limit_counts_for_the_month_too() -> None:
    provider = account(hourly_limit=5)
    settle(provider, settled=0, sent=3)
    assert (month_count(provider), reserve(provider, 1, now=NOW + HOUR)) == (3, 1)
    assert month_count(provider) == 3
    quotas.abandon([LEASE])
    assert month_count(provider) == 4


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("percent", "limit", "others"),
    [(5, 100, 95), (5, 19, 19), (5, 20, 19), (5, 39, 38), (50, 9, 5), (0, 100, 100), (5, 0, 0)],
)
def test_a_slice_of_every_limit_is_kept_for_priority_1(
    percent: int, limit: int, others: int
) -> None:
    for field in ("hourly_limit", "daily_limit", "monthly_limit"):
        provider = account(name=field, priority_reserve=percent, **{field: limit})
        lease_id = uuid7()
        assert quotas.left(provider, None, NOW).kept_for_urgent == limit - others
        assert reserve(provider, 1000, lease_id=lease_id) == others
        assert reserve(provider, 1, lease_id=lease_id) == 0
        assert reserve(provider, 1000, lease_id=lease_id, urgent=1000) == limit - others
        assert reserve(provider, 1, lease_id=lease_id, urgent=1) == 0


@pytest.mark.django_db
def test_urgent_mails_of_a_group_are_granted_first() -> None:
    provider = account(hourly_limit=100, priority_reserve=10)
    assert reserve(provider, 100, urgent=2) == 90
    # Two of three may use the slice, the third may not.
    assert reserve(provider, 3, urgent=2) == 2
    assert reserve(provider, 20, urgent=20) == 8


@pytest.mark.django_db
def test_a_large_limit_keeps_its_slice_exactly() -> None:
    provider = account(monthly_limit=2_000_000_000, priority_reserve=50)
    assert reserve(provider, 2_000_000_000) == 1_000_000_000


@pytest.mark.django_db
@given(
    limits=st.tuples(*[st.none() | st.integers(0, 60)] * 3),
    warm_up_today=st.none() | st.integers(0, 60),
    percent=st.integers(0, 50),
    asked=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), max_size=8),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_no_limit_is_passed_and_left_tells_what_is_granted(
    limits: tuple[int | None, int | None, int | None],
    warm_up_today: int | None,
    percent: int,
    asked: list[tuple[int, int]],
) -> None:
    hourly, daily, monthly = limits
    plan = None if warm_up_today is None else {"starts_on": "2026-11-21", "daily": [warm_up_today]}
    lease_id = uuid7()
    provider = account(
        name=str(lease_id),
        hourly_limit=hourly,
        daily_limit=daily,
        monthly_limit=monthly,
        warm_up=plan,
        priority_reserve=percent,
    )
    known = [limit for limit in (*limits, warm_up_today) if limit is not None]
    total = 0
    for wanted, urgent in asked:
        usage = quotas.usage_of([provider]).get(provider.pk)
        left = quotas.left(provider, usage, NOW)
        granted = reserve(provider, wanted, lease_id=lease_id, urgent=min(wanted, urgent))
        total += granted
        if left.remaining is None:
            assert granted == wanted
            continue
        assert total <= min(known)
        first = min(urgent, wanted, left.remaining)
        free = max(0, left.remaining - left.kept_for_urgent - first)
        assert granted == first + min(wanted - min(urgent, wanted), free)


@pytest.mark.django_db
def test_a_warm_up_plan_binds_beside_the_daily_limit() -> None:
    plan = {"starts_on": "2026-11-20", "daily": [1, 4, 9]}
    provider = account(daily_limit=6, warm_up=plan)
    assert provider.has_limits
    yesterday, tomorrow = NOW - 24 * HOUR, NOW + 24 * HOUR
    assert quotas.left(provider, None, NOW - 48 * HOUR).remaining == 6
    for moment, granted in [(yesterday, 1), (NOW, 4), (tomorrow, 6), (tomorrow + 24 * HOUR, 6)]:
        assert quotas.left(provider, None, moment).remaining == granted
        assert reserve(provider, 100, now=moment) == granted
        settle(provider, settled=granted, sent=granted, now=moment)


@pytest.mark.django_db
def test_a_warm_up_plan_follows_the_accounts_own_days() -> None:
    plan = {"starts_on": "2026-01-02", "daily": [2, 3]}
    provider = account(warm_up=plan, time_zone="Asia/Tokyo")
    assert reserve(provider, 9, now=utc(2026, 1, 1, 15)) == 2
    quotas.release(LEASE)
    assert reserve(provider, 9, now=utc(2026, 1, 2, 15)) == 3
    quotas.release(LEASE)
    assert reserve(provider, 9, now=utc(2026, 1, 3, 15)) == 9


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sent", "left"),
    [
        (10, QuotaLeft(10, utc(2026, 11, 21, 13), 5)),
        # All but the slice of the hour is gone: other mail waits for the hour, not for the day.
        (15, QuotaLeft(5, utc(2026, 11, 21, 13), 5)),
        (18, QuotaLeft(2, utc(2026, 11, 21, 13), 2)),
        (20, QuotaLeft(0, utc(2026, 11, 21, 13), 0)),
        (30, QuotaLeft(0, utc(2026, 11, 22), 0)),
    ],
)
def test_left_tells_what_is_kept_for_priority_1(sent: int, left: QuotaLeft) -> None:
    provider = account(hourly_limit=20, daily_limit=30, priority_reserve=25)
    settle(provider, settled=0, sent=sent)
    assert quotas.left(provider, quotas.usage_of([provider])[provider.pk], NOW) == left


@pytest.mark.django_db
def test_the_console_shows_hour_day_with_its_plan_and_month() -> None:
    plan = {"starts_on": "2026-11-21", "daily": [8]}
    provider = account(hourly_limit=10, daily_limit=20, monthly_limit=4, warm_up=plan)
    settle(provider, settled=0, sent=4)
    provider = Provider.objects.select_related("usage").get()
    hour, day = quotas_of(provider, NOW)
    month = month_quota_of(provider, NOW)
    assert [(each.used, each.limit, each.level) for each in (hour, day, month)] == [
        (4, 10, ""),
        (4, 8, ""),
        (4, 4, "is-full"),
    ]
    assert month.resets_at == utc(2026, 12, 1)


REFUSED = RecipientResult("a@example.net", Outcome.REJECTED)
DEFERRED = RecipientResult("b@example.net", Outcome.NOT_ACCEPTED)
IN_DOUBT = RecipientResult("c@example.net", Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("result", "count"),
    [
        (SendResult(Outcome.ACCEPTED), 5),
        (SendResult(Outcome.ACCEPTED, recipients=(REFUSED, DEFERRED)), 3),
        # It may have been taken for this one.
        (SendResult(Outcome.ACCEPTED, recipients=(REFUSED, IN_DOUBT)), 4),
        (SendResult(Outcome.UNKNOWN), 5),
        (SendResult(Outcome.UNKNOWN, recipients=(REFUSED,)), 5),
        (SendResult(Outcome.NOT_ACCEPTED), 0),
        (SendResult(Outcome.REJECTED, recipients=(REFUSED, DEFERRED)), 0),
    ],
)
def test_what_was_taken_or_may_have_been_counts(result: SendResult, count: int) -> None:
    assert mails_of(result, 5) == count


def test_the_book_adds_up_per_account_and_begins_anew() -> None:
    limited, free = Provider(hourly_limit=9, time_zone="Asia/Tokyo"), Provider()
    book = SettlementBook()
    for mails, sent in [(3, 2), (4, 0)]:
        book.note(limited, mails=mails, sent=sent)
        book.note(free, mails=mails, sent=sent)
    assert book.take() == [
        Settlement(limited.pk, "Asia/Tokyo", 7, 2),
        # Nothing was reserved there.
        Settlement(free.pk, "UTC", 0, 2),
    ]
    assert book.take() == []


@pytest.mark.django_db
def test_settling_tells_the_places_in_the_month_and_the_prices() -> None:
    provider = account(time_zone="Asia/Tokyo", price_per_thousand=2, free_per_month=3)
    gone = uuid7()
    items = [Settlement(provider.pk, "Asia/Tokyo", 0, 4), Settlement(gone, "UTC", 0, 1)]
    now = utc(2026, 11, 21, 15)
    for before in (0, 4):
        places = quotas.settle(lease_id=LEASE, settlements=items, now=now)
        provider.refresh_from_db()
        assert places == {provider.pk: Place(before, date(2026, 11, 22), provider.pricing)}
