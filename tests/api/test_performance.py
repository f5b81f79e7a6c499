"""What accounts did with their mails, over the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from providers import figures
from providers.figures import BUCKETS, Tally
from providers.models import Provider
from tests.support.api import Api

NOTHING = {
    "accepted": 0,
    "deferred": 0,
    "rejected": 0,
    "unknown": 0,
    "faults": 0,
    "refused": 0,
    "accepted_mails": 0,
    "success_rate": None,
    "rejection_rate": None,
    "p50_ms": None,
    "p95_ms": None,
    "delivered": 0,
    "bounced": 0,
    "complained": 0,
    "blocked": 0,
    "bounce_rate": None,
    "block_rate": None,
    "complaint_rate": None,
}


def account(owner: User | None, name: str = "account") -> Provider:
    return Provider.objects.create(owner=owner, name=name, kind="simulator")


def add(provider: Provider, ago: timedelta, accepted: int, **counts: int) -> None:
    latency = [0] * BUCKETS
    latency[4] = accepted
    now = timezone.now() - ago
    figures.add(
        provider.pk,
        Tally(accepted=accepted, latency=latency, **{"accepted_mails": accepted} | counts),
        now,
    )
    figures.forget_recent()


def read(api: Api, query: str = "") -> Any:
    response = api.get(f"/performance{query}")
    assert response.status_code == 200, response.content
    return response.json()


def test_sums_of_a_window_with_rates_percentiles_and_the_score(api: Api, user: User) -> None:
    provider = account(user)
    add(provider, timedelta(hours=2), 100, deferred=10, rejected=25, unknown=5, faults=10)
    add(provider, timedelta(hours=25), 1000)
    body = read(api)
    until = datetime.fromisoformat(body["until"])
    assert datetime.fromisoformat(body["since"]) == until - timedelta(hours=24)
    assert (body["window"], body["next"]) == ("24h", None)
    assert body["results"] == [
        {
            "provider_id": str(provider.pk),
            "name": "account",
            "kind": "simulator",
            "is_active": True,
            "shared": False,
            "accepted": 100,
            "deferred": 10,
            "rejected": 25,
            "unknown": 5,
            "faults": 10,
            "refused": 0,
            "accepted_mails": 100,
            "success_rate": 0.8,
            "rejection_rate": 0.2,
            "p50_ms": 12.0,
            "p95_ms": 15.6,
            "delivered": 0,
            "bounced": 0,
            "complained": 0,
            "blocked": 0,
            "bounce_rate": 0.0,
            "block_rate": 0.0,
            "complaint_rate": 0.0,
            "reliability_score": 95.0,
        }
    ]


def test_the_score_is_of_the_last_hour_whatever_the_window(api: Api, user: User) -> None:
    provider = account(user)
    add(provider, timedelta(minutes=5), 0, faults=200)
    for window in ("1h", "30d"):
        assert read(api, f"?window={window}")["results"][0]["reliability_score"] == 0.0
    assert read(api, "?window=1h")["results"][0]["success_rate"] == 0.0


@pytest.mark.parametrize(("window", "count"), [("1h", 1), ("24h", 2), ("7d", 4), ("30d", 8)])
def test_windows_reach_as_far_as_they_say(api: Api, user: User, window: str, count: int) -> None:
    provider = account(user)
    for hours, accepted in ((0.5, 1), (2, 1), (30, 2), (200, 4), (800, 8)):
        add(provider, timedelta(hours=hours), accepted)
    assert read(api, f"?window={window}")["results"][0]["accepted"] == count


def test_an_account_without_mail_has_nulls(api: Api, user: User) -> None:
    account(user)
    found = read(api)["results"][0]
    assert {name: found[name] for name in NOTHING} == NOTHING
    assert (found["reliability_score"], "series" in found) == (95.0, False)


@time_machine.travel(datetime(2026, 10, 25, 12, 34, 56, tzinfo=UTC), tick=False)
def test_a_series_has_a_point_for_every_step(api: Api, user: User) -> None:
    provider = account(user)
    add(provider, timedelta(minutes=30), 3, rejected=1)
    add(provider, timedelta(hours=3), 5)
    series = read(api, "?window=24h&step=hour")["results"][0]["series"]
    assert len(series) == 25
    assert series[0] == {"start": "2026-10-24T12:00:00+00:00", **NOTHING}
    assert [point["accepted"] for point in series if point["accepted"]] == [5, 3]
    assert series[-1]["start"] == "2026-10-25T12:00:00+00:00"
    assert series[-1]["rejection_rate"] == 0.25
    days = read(api, "?window=7d&step=day&time_zone=Europe/Berlin")["results"][0]["series"]
    berlin = ZoneInfo("Europe/Berlin")
    starts = [datetime.fromisoformat(point["start"]).astimezone(berlin) for point in days]
    assert [(start.day, start.hour) for start in starts] == [(day, 0) for day in range(18, 26)]
    assert days[-1]["accepted"] == 8
    assert len(read(api, "?window=1h&step=minute")["results"][0]["series"]) == 61


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("window=2h", "window", "invalid_choice"),
        ("step=week", "step", "invalid_choice"),
        ("time_zone=Mars/Base", "time_zone", "invalid_choice"),
        ("time_zone=../etc/passwd", "time_zone", "invalid_choice"),
        ("window=24h&step=minute", "step", "out_of_range"),
        ("provider_id=x", "provider_id", "not_found"),
        ("limit=0", "limit", "out_of_range"),
        ("page=2", "page", "unknown_field"),
    ],
)
def test_a_wrong_parameter_is_named(
    api: Api, user: User, query: str, field: str, code: str
) -> None:
    account(user)
    response = api.get(f"/performance?{query}")
    assert response.status_code == 400
    details = response.json()["details"]
    assert {path: found[0]["code"] for path, found in details.items()} == {field: code}


def test_many_accounts_with_long_series_are_asked_for_in_smaller_pages(
    api: Api, user: User
) -> None:
    for number in range(14):
        account(user, str(number))
    response = api.get("/performance?window=30d&step=hour")
    assert response.json()["details"]["limit"] == [
        {
            "code": "out_of_range",
            "message": "With this step at most 13 accounts: set limit=13 or name one.",
        }
    ]
    assert len(read(api, "?window=30d&step=hour&limit=13")["results"]) == 13


def test_only_readable_accounts_are_shown_and_one_can_be_named(
    api: Api, user: User, other_user: User
) -> None:
    mine, shared, foreign = account(user), account(None), account(other_user)
    add(foreign, timedelta(minutes=5), 5)
    found = [each["provider_id"] for each in read(api)["results"]]
    assert found == [str(shared.pk), str(mine.pk)]
    one = read(api, f"?provider_id={mine.pk}")["results"]
    assert [each["provider_id"] for each in one] == [str(mine.pk)]
    assert api.get(f"/performance?provider_id={foreign.pk}").status_code == 400


def test_a_page_takes_four_statements_however_many_accounts(api: Api, user: User) -> None:
    for number in range(5):
        add(account(user, str(number)), timedelta(minutes=5), 5)
    read(api)
    figures.forget_recent()
    with CaptureQueriesContext(connection) as captured:
        assert len(read(api, "?step=hour")["results"]) == 5
    assert len(captured) == 4
    assert not any("secrets" in query["sql"] for query in captured)


def come_back(provider: Provider, ago: timedelta, **counts: int) -> None:
    figures.add_returns({provider.pk: figures.Returns(**counts)}, timezone.now() - ago)


@pytest.mark.parametrize(
    ("window", "bounce_rate", "complaint_rate"),
    [("1h", None, None), ("24h", 0.025, 0.0), ("7d", 0.015, 0.005), ("30d", 0.0075, 0.0025)],
)
def test_what_came_back_is_told_of_the_mails_of_the_same_window(
    api: Api, user: User, window: str, bounce_rate: float | None, complaint_rate: float | None
) -> None:
    provider = account(user)
    for hours, accepted in ((0.5, 99), (2, 101), (30, 200), (200, 400)):
        add(provider, timedelta(hours=hours), accepted)
    come_back(provider, timedelta(minutes=10), delivered=80, bounced=4)
    come_back(provider, timedelta(hours=3), bounced=1)
    come_back(provider, timedelta(hours=30), bounced=1, complained=2)
    found = read(api, f"?window={window}")["results"][0]
    assert (found["bounce_rate"], found["complaint_rate"]) == (bounce_rate, complaint_rate)
    assert found["delivered"] == 80


def test_points_of_a_series_tell_what_came_back_in_them(api: Api, user: User) -> None:
    provider = account(user)
    add(provider, timedelta(minutes=5), 1000)
    come_back(provider, timedelta(minutes=5), delivered=900, bounced=20, complained=3)
    point = next(one for one in read(api, "?step=hour")["results"][0]["series"] if one["accepted"])
    counts = (point["delivered"], point["bounced"], point["complained"])
    assert counts == (900, 20, 3)
    assert (point["bounce_rate"], point["complaint_rate"]) == (0.02, 0.003)


@pytest.mark.parametrize(
    ("counts", "score"),
    [
        ({}, 99.9),
        # The list's fault, and the mail's.
        ({"bounced": 300, "complained": 50}, 99.9),
        ({"blocked": 150}, 99.0),
        ({"blocked": 1_500}, 90.0),
        # More of it than was sent meanwhile.
        ({"blocked": 50_000}, 0.0),
    ],
)
def test_what_came_back_because_of_the_account_lowers_its_score(
    api: Api, user: User, counts: dict[str, int], score: float
) -> None:
    provider = account(user)
    add(provider, timedelta(minutes=5), 20_000)
    come_back(provider, timedelta(minutes=4), **counts)
    found = read(api)["results"][0]
    assert (found["reliability_score"], found["success_rate"]) == (score, 1.0)
    assert found["blocked"] == counts.get("blocked", 0)


def test_more_may_come_back_than_was_sent_meanwhile(api: Api, user: User) -> None:
    provider = account(user)
    add(provider, timedelta(minutes=5), 100)
    come_back(provider, timedelta(minutes=5), bounced=150)
    assert read(api)["results"][0]["bounce_rate"] == 1.0
