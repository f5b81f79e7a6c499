"""Charts of one account's figures, as the theme's Chart.js takes them: JSON in attributes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.utils.formats import date_format

from providers.performance import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from providers.performance import Point

_NANO = 1e-9
#: Readable on white and on black; those of the outcomes are also told apart without colour, by
#: their order in the stack and in the legend.
_BLUE, _AMBER, _RED, _VIOLET, _GREY = "#3b82f6", "#f59e0b", "#ef4444", "#8b5cf6", "#94a3b8"
_PINK = "#ec4899"
#: Of series that have no colour of their own.
_SERIES = (_BLUE, "#14b8a6", _AMBER, _VIOLET, _PINK, "#84cc16", _GREY)
_TEXT, _LINE = "#94a3b8", "rgba(148, 163, 184, 0.25)"


@dataclass(frozen=True, slots=True)
class Span:
    """How far back the charts of a page look, and in which steps."""

    key: str
    title: str
    step: Step
    #: From now back into the first step shown.
    reach: timedelta
    #: Of the ledger.
    days: int
    #: How a step's beginning reads (Django's date format).
    pattern: str


SPANS: Mapping[str, Span] = {
    span.key: span
    for span in (
        Span("24h", "24 hours", Step.HOUR, timedelta(hours=23), 7, "H:i"),
        Span("7d", "7 days", Step.HOUR, timedelta(hours=7 * 24 - 1), 7, "D j M, H:i"),
        Span("30d", "30 days", Step.DAY, timedelta(days=29), 30, "j M"),
    )
}


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing; `data` and `options` are JSON."""

    type: str
    data: str
    options: str
    #: For those who cannot see it.
    description: str


#: Bottom of the stack first.
_OUTCOMES: Sequence[tuple[str, str, Callable[[Point], int]]] = (
    ("Accepted", _BLUE, lambda point: point.tally.accepted),
    ("Recipient refused", _VIOLET, lambda point: point.tally.rejected),
    ("Mail refused", _PINK, lambda point: point.tally.refused),
    ("Put off", _AMBER, lambda point: point.tally.deferred),
    ("Account failed", _RED, lambda point: point.tally.faults),
    ("Unknown", _GREY, lambda point: point.tally.unknown),
)


def outcome_chart(points: Sequence[Point], span: Span, time_zone: str) -> Chart | None:
    """Return what became of the mails, stacked over time; None if there were none."""
    datasets = []
    sums = []
    for title, colour, count in _OUTCOMES:
        counts = [count(point) for point in points]
        if total := sum(counts):
            datasets.append(_bars(title, colour, counts))
            sums.append(f"{title.lower()} {total:,}")
    if not datasets:
        return None
    return _chart("bar", _labels(points, span, time_zone), datasets, ", ".join(sums))


def latency_chart(points: Sequence[Point], span: Span, time_zone: str) -> Chart | None:
    """Return median and 95th percentile (ms) over time; None if no mail was accepted."""
    medians = [_rounded(point.tally.p50_ms) for point in points]
    slow = [_rounded(point.tally.p95_ms) for point in points]
    known = [value for value in slow if value is not None]
    if not known:
        return None
    datasets = [_line("Median", _BLUE, medians), _line("95 % within", _AMBER, slow)]
    return _chart(
        "line",
        _labels(points, span, time_zone),
        datasets,
        f"95 % of the mails within {min(known):,} to {max(known):,} ms",
    )


def cost_chart(costs: Sequence[tuple[date, int]], currency: str) -> Chart | None:
    """Return the cost of each day, given in billionths; None if nothing was spent."""
    if not any(nanos for _, nanos in costs):
        return None
    amounts = [round(nanos * _NANO, 6) for _, nanos in costs]
    labels = [date_format(day, "j M") for day, _ in costs]
    description = f"{sum(amounts):,.2f} {currency} in {len(costs)} days"
    return _chart("bar", labels, [_bars(currency, _BLUE, amounts)], description)


def stacked_chart(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], description: str
) -> Chart:
    """Return named series stacked over the labels, the first at the bottom."""
    datasets = [
        _bars(title, _SERIES[place % len(_SERIES)], values)
        for place, (title, values) in enumerate(series)
    ]
    return _chart("bar", labels, datasets, description)


def _labels(points: Sequence[Point], span: Span, time_zone: str) -> list[str]:
    zone = ZoneInfo(time_zone)
    return [date_format(point.start.astimezone(zone), span.pattern) for point in points]


def _rounded(milliseconds: float | None) -> float | None:
    if milliseconds is None:
        return None
    return round(milliseconds, 1 if milliseconds < 10 else None)  # noqa: PLR2004 - two digits


def _bars(title: str, colour: str, values: Sequence[float]) -> dict[str, Any]:
    return {"label": title, "data": values, "backgroundColor": colour, "maxBarThickness": 28}


def _line(title: str, colour: str, values: Sequence[float | None]) -> dict[str, Any]:
    return {
        "label": title,
        "data": values,
        "borderColor": colour,
        "backgroundColor": colour,
        "borderWidth": 2,
        # A point without neighbours has no line.
        "pointRadius": 1.5,
    }


def _chart(
    kind: str, labels: Sequence[str], datasets: list[dict[str, Any]], description: str
) -> Chart:
    is_stacked = kind == "bar"
    options = {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "interaction": {"mode": "index", "intersect": False},
        "plugins": {
            "legend": {
                "display": len(datasets) > 1,
                "align": "end",
                "labels": {
                    "color": _TEXT,
                    "boxWidth": 8,
                    "boxHeight": 8,
                    "usePointStyle": True,
                    "pointStyle": "circle",
                },
            }
        },
        "scales": {
            "x": {
                "stacked": is_stacked,
                "grid": {"display": False},
                "border": {"color": _LINE},
                "ticks": {
                    "color": _TEXT,
                    "maxRotation": 0,
                    "autoSkip": True,
                    "autoSkipPadding": 18,
                },
            },
            "y": {
                "stacked": is_stacked,
                "beginAtZero": True,
                "grid": {"color": _LINE},
                "border": {"display": False},
                "ticks": {"color": _TEXT, "maxTicksLimit": 6},
            },
        },
    }
    data = {"labels": list(labels), "datasets": datasets}
    return Chart(kind, json.dumps(data), json.dumps(options), description)
