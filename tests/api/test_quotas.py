"""What accounts may still send."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import uuid4

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from providers.models import Provider, ProviderUsage
from providers.quotas import Windows, windows
from tests.support.api import Api

ZONE = "Europe/Berlin"


def account(owner: User | None, name: str = "account", **fields: Any) -> Provider:
    return Provider.objects.create(
        owner=owner, name=name, kind="simulator", **{"time_zone": ZONE} | fields
    )


def use(provider: Provider, hour: int, day: int, month: int, reserved: int = 0) -> Windows:
    frame = windows(timezone.now(), provider.time_zone)
    ProviderUsage.objects.create(
        provider=provider,
        hour_start=frame.hour_start,
        hour_count=hour,
        day_start=frame.day_start,
        day_count=day,
        month_start=frame.month_start,
        month_count=month,
        reserved=reserved,
    )
    return frame


def test_all_that_bounds_an_account_is_shown(api: Api, user: User) -> None:
    today = windows(timezone.now(), ZONE).today
    plan = {"starts_on": (today - timedelta(days=1)).isoformat(), "daily": [50, 100, 200]}
    provider = account(
        user,
        hourly_limit=60,
        monthly_limit=3000,
        priority_reserve=10,
        rate_per_second=2.5,
        warm_up=plan,
    )
    frame = use(provider, hour=20, day=95, month=1000, reserved=4)
    assert api.get("/quotas").json() == {
        "results": [
            {
                "provider_id": str(provider.pk),
                "name": "account",
                "kind": "simulator",
                "is_active": True,
                "shared": False,
                "time_zone": ZONE,
                "remaining": 1,
                "kept_for_urgent": 1,
                "resets_at": frame.day_end.isoformat(),
                "windows": {
                    "hour": {
                        "used": 20,
                        "reserved": 4,
                        "limit": 60,
                        "remaining": 36,
                        "kept_for_urgent": 6,
                        "resets_at": frame.hour_end.isoformat(),
                    },
                    "day": {
                        "used": 95,
                        "reserved": 4,
                        "limit": 100,
                        "remaining": 1,
                        "kept_for_urgent": 1,
                        "resets_at": frame.day_end.isoformat(),
                    },
                    "month": {
                        "used": 1000,
                        "reserved": 4,
                        "limit": 3000,
                        "remaining": 1996,
                        "kept_for_urgent": 300,
                        "resets_at": frame.month_end.isoformat(),
                    },
                },
                "priority_reserve": 10,
                "rate_per_second": 2.5,
                "warm_up": {
                    "starts_on": (today - timedelta(days=1)).isoformat(),
                    "ends_on": (today + timedelta(days=1)).isoformat(),
                    "today": today.isoformat(),
                    "day": 2,
                    "limit": 100,
                },
            }
        ],
        "next": None,
    }


def test_an_account_without_limits_or_mail_has_empty_windows(api: Api, user: User) -> None:
    account(user)
    found = api.get("/quotas").json()["results"][0]
    assert (found["remaining"], found["resets_at"], found["warm_up"]) == (None, None, None)
    assert [found["windows"][name]["limit"] for name in ("hour", "day", "month")] == [None] * 3
    assert found["windows"]["day"]["used"] == 0


def test_more_used_than_a_lowered_limit_leaves_nothing_not_less(api: Api, user: User) -> None:
    use(account(user, hourly_limit=10), hour=30, day=30, month=30)
    hour = api.get("/quotas").json()["results"][0]["windows"]["hour"]
    assert (hour["used"], hour["remaining"], hour["kept_for_urgent"]) == (30, 0, 0)


def test_counts_of_past_windows_are_gone_without_a_reset(api: Api, user: User) -> None:
    provider = account(user, daily_limit=10)
    past = timezone.now() - timedelta(days=70)
    ProviderUsage.objects.create(
        provider=provider,
        hour_start=past,
        hour_count=9,
        day_start=past,
        day_count=9,
        month_start=past,
        month_count=9,
    )
    shown = api.get("/quotas").json()["results"][0]["windows"]
    assert [shown[name]["used"] for name in ("hour", "day", "month")] == [0, 0, 0]


def test_a_warm_up_plan_that_is_over_or_to_come_limits_nothing(api: Api, user: User) -> None:
    account(user, "over", warm_up={"starts_on": "2020-01-31", "daily": [1, 2]})
    account(user, "to come", warm_up={"starts_on": date.max.isoformat(), "daily": [1, 2]})
    to_come, over = (each["warm_up"] for each in api.get("/quotas").json()["results"])
    assert (over["ends_on"], over["day"], over["limit"]) == ("2020-02-01", None, None)
    assert (to_come["ends_on"], to_come["day"], to_come["limit"]) == ("9999-12-31", None, None)


def test_only_readable_accounts_are_shown_and_one_can_be_named(
    api: Api, user: User, other_user: User
) -> None:
    mine, shared, foreign = account(user), account(None), account(other_user)
    found = [each["provider_id"] for each in api.get("/quotas").json()["results"]]
    assert found == [str(shared.pk), str(mine.pk)]
    one = api.get(f"/quotas?provider_id={mine.pk}").json()["results"]
    assert [each["provider_id"] for each in one] == [str(mine.pk)]
    for unknown in (foreign.pk, uuid4(), "x", ""):
        response = api.get(f"/quotas?provider_id={unknown}")
        assert response.status_code == 400
        assert response.json()["details"]["provider_id"][0]["code"] == "not_found"
    assert list(api.get("/quotas?provider=x").json()["details"]) == ["provider"]


def test_a_list_comes_in_pages_each_with_one_statement(api: Api, user: User) -> None:
    ids = [str(account(user, str(number), hourly_limit=5).pk) for number in range(3)]
    first = api.get("/quotas?limit=2").json()
    with CaptureQueriesContext(connection) as captured:
        second = api.get(f"/quotas?limit=2&cursor={first['next']}").json()
    assert len(captured) == 1
    assert "secrets" not in captured[0]["sql"]
    shown = [each["provider_id"] for each in first["results"] + second["results"]]
    assert shown == ids[::-1]
