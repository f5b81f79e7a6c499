"""What a provider's page draws and says, without a database."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.admin.charts import SPANS, cost_chart, latency_chart, outcome_chart
from providers.admin.figures import Quota, quota_bar
from providers.admin.provider_page import milliseconds, percent, rate_tone, warm_up_in_words
from providers.figures import Tally
from providers.performance import Point

START = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("today", "words"),
    [
        (date(2026, 2, 28), "Warm-up of 3 days begins on 1 March 2026."),
        (date(2026, 3, 1), "Warm-up day 1 of 3: at most 50 mails today."),
        (date(2026, 3, 3), "Warm-up day 3 of 3: at most 2,000 mails today."),
        (date(2026, 3, 4), ""),
    ],
)
def test_a_warm_up_plan_in_words(today: date, words: str) -> None:
    plan = {"starts_on": "2026-03-01", "daily": [50, 100, 2000]}
    assert warm_up_in_words(plan, today) == words
    assert warm_up_in_words(None, today) == ""


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_only_no_failure_at_all_reads_100_percent(failed: int, accepted: int) -> None:
    share = accepted / (accepted + failed)
    assert (percent(share) == "100 %") is (share == 1)
    assert percent(None) == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("value", "words"), [(0.4, "0 ms"), (12.6, "13 ms"), (1000, "1.0 s"), (61234, "61.2 s")]
)
def test_durations_are_short(value: float, words: str) -> None:
    assert milliseconds(value) == words


@pytest.mark.parametrize(
    ("share", "tone"), [(None, ""), (1, "is-good"), (0.9, "is-warning"), (0.5, "is-bad")]
)
def test_rates_have_colours(share: float | None, tone: str) -> None:
    assert rate_tone(share) == tone


counts = st.integers(0, 2_000_000_000)


@given(counts, counts, st.integers(1, 2_000_000_000), st.integers(0, 50))
def test_the_parts_of_a_bar_fit_into_it(sent: int, reserved: int, limit: int, kept: int) -> None:
    quota = Quota(sent + reserved, limit, START, reserved, limit * kept // 100)
    parts = (quota.sent_percent, quota.reserved_percent, quota.kept_percent)
    assert all(0 <= part <= 100 for part in parts)
    assert sum(parts) <= 100
    assert quota.sent == sent
    assert f"{quota.percent}%" in quota_bar(quota)


def test_points_are_labelled_on_the_account_s_clock() -> None:
    points = [Point(START + timedelta(hours=hour), Tally(accepted=1)) for hour in range(2)]
    chart = outcome_chart(points, SPANS["24h"], "Asia/Kolkata")
    assert chart is not None
    assert json.loads(chart.data)["labels"] == ["04:00", "05:00"]


def test_there_is_no_chart_of_nothing() -> None:
    points = [Point(START, Tally(rejected=0))]
    assert outcome_chart(points, SPANS["24h"], "UTC") is None
    assert latency_chart([Point(START, Tally(rejected=4))], SPANS["24h"], "UTC") is None
    assert cost_chart([(START.date(), 0)], "EUR") is None


def test_hours_without_mail_leave_a_gap_in_the_latency() -> None:
    busy = Tally(accepted=1, latency=[0, 0, 1, *[0] * 16])
    points = [Point(START, busy), Point(START + timedelta(hours=1), Tally())]
    chart = latency_chart(points, SPANS["24h"], "UTC")
    assert chart is not None
    assert [each["data"] for each in json.loads(chart.data)["datasets"]] == [[3, None], [3.9, None]]
