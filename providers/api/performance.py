"""`/performance`: what accounts did with the mails they were offered, as sums and as series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django.utils import timezone
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError
from mailservice.core.rest import page_body, refuse_unknown
from providers import performance
from providers.api.accounts import PAGE_PARAMS, page_of, readable
from providers.figures import Tally, recent
from providers.performance import MAX_POINTS, SPANS, Step
from providers.routing import success_rate
from providers.routing.scores import failure_percent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rest_framework.request import Request

    from providers.models import Provider
    from providers.performance import Point

_USUAL_WINDOW = "24h"
#: Of all series in one answer.
MAX_POINTS_PER_ANSWER = 10_000
_PARAMS = PAGE_PARAMS | {"provider_id", "window", "step", "time_zone"}
_NOTHING_YET = Tally()


@dataclass(frozen=True, slots=True)
class _Question:
    """What stretch of time is asked for, and in what steps, if any."""

    window: str
    since: datetime
    until: datetime
    step: Step | None
    time_zone: str


class Performance(APIView):
    """How accounts do."""

    scopes = {"GET": Scope.PROVIDERS_READ}

    def get(self, request: Request) -> Response:
        """List own and shared accounts, newest first; with `step`, each has a `series`."""
        refuse_unknown(request.query_params, _PARAMS)
        question = _read(request.query_params, timezone.now())
        rows, next_cursor = page_of(request, readable(request))
        ids = [row.pk for row in rows]
        sums = performance.windows(ids, since=question.since)
        series = _series(ids, question)
        lately = recent(ids)
        results = [
            present(row, sums[row.pk], lately.get(row.pk, _NOTHING_YET), series.get(row.pk))
            for row in rows
        ]
        return Response(
            {
                "window": question.window,
                "since": question.since,
                "until": question.until,
                **page_body(results, next_cursor),
            }
        )


def _read(query: Mapping[str, str], now: datetime) -> _Question:
    window, step = query.get("window", _USUAL_WINDOW), query.get("step")
    time_zone = query.get("time_zone", "UTC")
    if window not in SPANS:
        raise _unknown("window", f"Use one of {', '.join(SPANS)}.")
    if step is not None and step not in list(Step):
        raise _unknown("step", f"Use one of {', '.join(Step)}.")
    if time_zone not in available_timezones():
        raise _unknown("time_zone", "Use a name such as Europe/Berlin or UTC.")
    return _Question(window, now - SPANS[window], now, Step(step) if step else None, time_zone)


def _unknown(field: str, message: str) -> InvalidInputError:
    return InvalidInputError.for_field(field, message, code="invalid_choice")


def _series(ids: Collection[UUID], question: _Question) -> dict[UUID, list[Point]]:
    """Return the series asked for, none without a step. Raises `InvalidInputError` for too many."""
    if question.step is None or not ids:
        return {}
    since, until, step, time_zone = (
        question.since,
        question.until,
        question.step,
        question.time_zone,
    )
    try:
        count = len(performance.starts_of(since, until, step, time_zone))
    except ValueError:
        message = f"At most {MAX_POINTS:,} points: choose a longer step or a shorter window."
        raise InvalidInputError.for_field("step", message, code="out_of_range") from None
    if count * len(ids) > MAX_POINTS_PER_ANSWER:
        most = MAX_POINTS_PER_ANSWER // count
        message = f"With this step at most {most} accounts: set limit={most} or name one."
        raise InvalidInputError.for_field("limit", message, code="out_of_range")
    return performance.series(ids, since=since, until=until, step=step, time_zone=time_zone)


def present(
    provider: Provider, tally: Tally, lately: Tally, series: Sequence[Point] | None
) -> dict[str, Any]:
    """Return an account's figures; `lately` are those that routing goes by."""
    shown = {
        "provider_id": provider.pk,
        "name": provider.name,
        "kind": provider.kind,
        "is_active": provider.is_active,
        "shared": provider.owner_id is None,
        **present_tally(tally),
        "reliability_score": _score(lately),
    }
    if series is not None:
        shown["series"] = [{"start": each.start, **present_tally(each.tally)} for each in series]
    return shown


def present_tally(tally: Tally) -> dict[str, Any]:
    """Return counts and what follows from them; null where too little is known to tell."""
    answered = tally.accepted + tally.rejected
    return {
        "accepted": tally.accepted,
        "deferred": tally.deferred,
        "rejected": tally.rejected,
        "unknown": tally.unknown,
        "faults": tally.faults,
        "refused": tally.refused,
        "accepted_mails": tally.accepted_mails,
        "success_rate": _rounded(tally.success_rate, 4),
        "rejection_rate": _rounded(tally.rejected / answered if answered else None, 4),
        "p50_ms": _rounded(tally.p50_ms, 1),
        "p95_ms": _rounded(tally.p95_ms, 1),
        "delivered": tally.delivered,
        "bounced": tally.bounced,
        "complained": tally.complained,
        "blocked": tally.blocked,
        "bounce_rate": _rounded(tally.bounce_rate, 4),
        "block_rate": _rounded(tally.block_rate, 4),
        "complaint_rate": _rounded(tally.complaint_rate, 5),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _score(lately: Tally) -> float:
    """Return the percentage by which “most reliable” compares accounts, in its steps."""
    return round(100 - failure_percent(success_rate(lately.kept, lately.tried)), 1)
