"""An account whose time zone is changed has used what it had used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connections, transaction
from django.utils import timezone

from mailservice.core.ids import uuid7
from providers import figures, quotas
from providers.figures import Tally
from providers.models import Provider, ProviderUsage
from providers.quotas import Settlement
from providers.services import update_provider

pytestmark = pytest.mark.django_db

LEASE = uuid7()
NOON = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
#: In Tokyo it is December.
LATE = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
TOKYO, NEW_YORK = "Asia/Tokyo", "America/New_York"


def account(**fields: Any) -> Provider:
    return Provider.objects.create(name="account", kind="simulator", **fields)


def reserve(provider: Provider, wanted: int, now: datetime, zone: str | None = None) -> int:
    return quotas.reserve(
        provider_id=provider.pk, time_zone=zone or provider.time_zone, lease_id=LEASE,
        wanted=wanted, now=now,
    )  # fmt: skip


def send(provider: Provider, count: int, now: datetime) -> None:
    assert reserve(provider, count, now) == count
    settled = Settlement(provider.pk, provider.time_zone, count, count)
    tally = Tally(accepted=1, accepted_mails=count)
    quotas.settle(lease_id=LEASE, settlements=[settled], now=now, tallies={provider.pk: tally})


def change(provider: Provider, zone: str, now: datetime) -> None:
    with time_machine.travel(now, tick=False):
        update_provider(provider.pk, time_zone=zone)
    provider.refresh_from_db()


def left(provider: Provider, now: datetime) -> int | None:
    usage = ProviderUsage.objects.get(pk=provider.pk)
    return quotas.left(provider, usage, now).remaining


@pytest.mark.parametrize("limit", ["hourly_limit", "daily_limit", "monthly_limit"])
@pytest.mark.parametrize("zone", [TOKYO, NEW_YORK, "Pacific/Kiritimati", "Asia/Kathmandu"])
def test_a_limit_that_is_used_up_stays_so_in_another_time_zone(limit: str, zone: str) -> None:
    provider = account(**{limit: 5})
    send(provider, 5, NOON)
    change(provider, zone, NOON)
    assert left(provider, NOON) == 0
    assert reserve(provider, 1, NOON) == 0


def test_windows_of_the_new_zone_begin_anew_when_they_do_there() -> None:
    provider = account(daily_limit=5)
    send(provider, 5, NOON)
    change(provider, TOKYO, NOON)
    assert reserve(provider, 1, datetime(2026, 11, 21, 14, 59, tzinfo=UTC)) == 0
    assert reserve(provider, 1, datetime(2026, 11, 21, 15, 0, tzinfo=UTC)) == 1


def test_the_free_mails_of_a_month_are_not_given_twice() -> None:
    provider = account(free_per_month=5, price_per_thousand=2)
    send(provider, 5, NOON)
    change(provider, TOKYO, NOON)
    settled = Settlement(provider.pk, TOKYO, 0, 1)
    place = quotas.settle(lease_id=LEASE, settlements=[settled], now=NOON)[provider.pk]
    assert place.before == 5


def test_where_the_next_month_has_begun_counts_what_was_sent_in_it() -> None:
    provider = account(monthly_limit=10)
    send(provider, 7, NOON)
    send(provider, 2, LATE)
    change(provider, TOKYO, LATE)
    assert left(provider, LATE) == 8


def test_where_the_last_month_is_not_over_counts_what_was_sent_in_it() -> None:
    provider = account(monthly_limit=10, time_zone=TOKYO)
    send(provider, 7, NOON)
    send(provider, 2, LATE)
    assert left(provider, LATE) == 8
    change(provider, NEW_YORK, LATE)
    assert left(provider, LATE) == 1


def test_what_is_reserved_stays_reserved() -> None:
    provider = account(monthly_limit=5)
    assert reserve(provider, 4, NOON) == 4
    change(provider, TOKYO, NOON)
    assert left(provider, NOON) == 1
    assert reserve(provider, 5, NOON) == 1


@pytest.mark.parametrize("zone", [TOKYO, NEW_YORK])
def test_a_worker_that_still_goes_by_the_old_zone_resets_nothing(zone: str) -> None:
    provider = account(monthly_limit=5, daily_limit=5)
    send(provider, 4, NOON)
    change(provider, zone, NOON)
    before = ProviderUsage.objects.values("day_start", "month_start").get()
    assert reserve(provider, 5, NOON, "UTC") == 1
    settled = Settlement(provider.pk, "UTC", 1, 1)
    quotas.settle(lease_id=LEASE, settlements=[settled], now=NOON)
    assert ProviderUsage.objects.values("day_start", "month_start").get() == before
    assert (left(provider, NOON), reserve(provider, 1, NOON)) == (0, 0)


def test_the_first_mail_of_an_account_counts_in_its_present_zone() -> None:
    provider = account(monthly_limit=5, time_zone=TOKYO)
    assert reserve(provider, 5, NOON, "UTC") == 0
    assert not ProviderUsage.objects.exists()
    assert reserve(provider, 5, NOON) == 5
    assert ProviderUsage.objects.get().time_zone == TOKYO


@pytest.mark.django_db(transaction=True)
def test_no_change_of_zone_lets_racing_workers_overshoot() -> None:
    provider = account(monthly_limit=40, daily_limit=40)
    zones = ["UTC", TOKYO, NEW_YORK, "Pacific/Kiritimati"]
    granted: list[int] = []

    def work(number: int) -> None:
        try:
            if number % 4 == 0:
                update_provider(provider.pk, time_zone=zones[number // 4 % 4])
                return
            # Some have read the account a while ago.
            zone, lease = zones[number % 4], uuid7()
            now = timezone.now()
            got = quotas.reserve(
                provider_id=provider.pk, time_zone=zone, lease_id=lease, wanted=3, now=now
            )
            with transaction.atomic():
                settled = Settlement(provider.pk, zone, got, got)
                tallies = {provider.pk: Tally(accepted=got, accepted_mails=got)}
                quotas.settle(lease_id=lease, settlements=[settled], now=now, tallies=tallies)
            granted.append(got)
        finally:
            connections.close_all()

    with time_machine.travel(NOON), ThreadPoolExecutor(8) as pool:
        # Only who knows the account's zone makes its usage row.
        send(provider, 1, timezone.now())
        list(pool.map(work, range(96)))
    assert 0 < sum(granted) <= 39
    assert ProviderUsage.objects.get().reserved == 0


def test_an_account_that_never_sent_has_nothing_to_move() -> None:
    provider = account(monthly_limit=5)
    change(provider, TOKYO, NOON)
    assert not ProviderUsage.objects.exists()
    figures.forget_recent()
    send(provider, 5, NOON + timedelta(days=30))
