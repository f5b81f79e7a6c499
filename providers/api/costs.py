"""`/costs`: what mail has cost, what it will cost, and the cheapest way to share it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from mailservice.core.errors import ConflictError, InvalidInputError
from mailservice.core.rest import refuse_unknown
from providers.amounts import exact_text
from providers.api.reading import as_id
from providers.api.split_fields import present_plan, read_question
from providers.costs import MAX_DAYS, Dimension, Only, Total, fees, sums, totals, with_fees
from providers.models import Provider
from providers.months import month_of, months_between, next_month, parse_month
from providers.outlook import outlook
from providers.planning import plan_split
from providers.split import NoSplitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from providers.forecast import Estimate
    from providers.outlook import Outlook

_ONLY = frozenset({"provider_id", "email_type", "api_key_id"})
_MAX_TYPE_CHARS = 40


class NoSplitFoundError(ConflictError):
    """The mail cannot be shared out among the accounts."""

    code = "no_split"


@dataclass(frozen=True, slots=True)
class _Period:
    since: date
    until: date


class Costs(APIView):
    """What mail has cost."""

    scopes = {"GET": Scope.EMAILS_READ}

    def get(self, request: Request) -> Response:
        """Add up the ledger of some days by account, type, key, month, day or owner."""
        refuse_unknown(request.query_params, _ONLY | {"by", "since", "until", "month"})
        period = _period(request.query_params)
        by = _dimension(request.query_params)
        only = _only(request)
        owed = fees(
            [each for each in months_between(period.since, period.until) if each <= _today()],
            only=only,
        )
        rows = totals(since=period.since, until=period.until, by=by, only=only)
        whole = sums(since=period.since, until=period.until, only=only)
        return Response(
            {
                "by": by.value,
                "since": period.since,
                "until": period.until,
                "currency": settings.CURRENCY,
                "results": [_row(row) for row in with_fees(rows, owed, by)],
                "total": {
                    "messages": whole.messages,
                    "mails": whole.mails,
                    "cost": exact_text(whole.nanos),
                    "fees": exact_text(owed.total),
                    "total": exact_text(whole.nanos + owed.total),
                },
            }
        )


class CostForecast(APIView):
    """What a month will cost."""

    scopes = {"GET": Scope.EMAILS_READ}

    def get(self, request: Request) -> Response:
        """Tell what the running or a coming month will bring, the next one if none is named."""
        refuse_unknown(request.query_params, _ONLY | {"month"})
        today = _today()
        month = _month(request.query_params) or next_month(today)
        _refuse_past(month, today)
        return Response(_present_outlook(outlook(month, today=today, only=_only(request))))


class CostSplit(APIView):
    """The cheapest way to share a month's mail among the company's accounts."""

    scopes = {"POST": Scope.PROVIDERS_READ}

    def post(self, request: Request) -> Response:
        """Answer a question; nothing is changed."""
        require_everybody(request)
        today = _today()
        known = Provider.objects.values_list("pk", flat=True)
        question = read_question(request.data, known=frozenset(known), default=next_month(today))
        _refuse_past(question.month, today)
        try:
            plan = plan_split(question, today=today)
        except NoSplitError as error:
            raise NoSplitFoundError(str(error)) from None
        return Response(present_plan(plan))


def require_everybody(request: Request) -> None:
    """Raise `PermissionDenied` unless the key reaches everybody's mail."""
    if not key_of(request).has_scope(Scope.EMAILS_ALL):
        raise PermissionDenied(f"This API key lacks the scope {Scope.EMAILS_ALL.value}.")


def present_estimate(estimate: Estimate | None, *, is_money: bool) -> dict[str, Any] | None:
    """Return an estimate as the API shows it."""
    if estimate is None:
        return None
    parts = {"expected": estimate.expected, "low": estimate.low, "high": estimate.high}
    return {name: exact_text(value) if is_money else value for name, value in parts.items()}


def _present_outlook(found: Outlook) -> dict[str, Any]:
    return {
        "month": f"{found.month:%Y-%m}",
        "currency": settings.CURRENCY,
        "enough_data": found.mail_estimate is not None,
        "message": found.why_not,
        "so_far": {
            "mails": found.mails,
            "cost": exact_text(found.nanos),
            "fees": exact_text(found.fee_nanos),
            "total": exact_text(found.spent_nanos),
        },
        "mails": present_estimate(found.mail_estimate, is_money=False),
        "total": present_estimate(found.nano_estimate, is_money=True),
        "accounts": [
            {
                "provider_id": each.provider_id,
                "name": each.name,
                "mails": each.total_mails,
                "cost": exact_text(each.nanos + each.nanos_to_come),
                "fees": exact_text(each.fee_nanos),
                "total": exact_text(each.total_nanos),
            }
            for each in found.accounts
        ]
        if found.mail_estimate is not None
        else [],
    }


def _row(row: Total) -> dict[str, Any]:
    return {
        "key": row.key,
        "label": row.label,
        "messages": row.messages,
        "mails": row.mails,
        "cost": exact_text(row.nanos),
        "fees": exact_text(row.fee_nanos),
        "total": exact_text(row.total_nanos),
        "cost_per_thousand": exact_text(row.nanos * 1_000 // row.mails) if row.mails else None,
    }


def _today() -> date:
    return timezone.localdate()


def _only(request: Request) -> Only:
    """Return which mail the key may see of what is asked for. Raises `InvalidInputError`."""
    query = request.query_params
    key = key_of(request)
    email_type = query.get("email_type") or None
    if email_type is not None and (len(email_type) > _MAX_TYPE_CHARS or "\x00" in email_type):
        raise InvalidInputError.for_field("email_type", "This is no name of an email type.")
    ids = {}
    for name in ("provider_id", "api_key_id"):
        ids[name] = as_id(query[name]) if query.get(name) else None
        if query.get(name) and ids[name] is None:
            raise InvalidInputError.for_field(name, "This must be an id.")
    return Only(
        provider_id=ids["provider_id"],
        api_key_id=ids["api_key_id"],
        email_type=email_type,
        owner_id=None if key.has_scope(Scope.EMAILS_ALL) else key.user_id,
    )


def _dimension(query: Mapping[str, str]) -> Dimension:
    try:
        return Dimension(query.get("by") or Dimension.PROVIDER)
    except ValueError:
        known = ", ".join(Dimension)
        raise InvalidInputError.for_field(
            "by", f"Use one of: {known}.", code="invalid_choice"
        ) from None


def _period(query: Mapping[str, str]) -> _Period:
    """Return the days asked for: those of the running month so far if none are named."""
    today = _today()
    month = _month(query)
    if month is not None:
        if query.get("since") or query.get("until"):
            raise InvalidInputError.for_field("month", "Give a month, or since and until.")
        return _Period(month, next_month(month) - timedelta(days=1))
    until = _day(query, "until") or today
    since = _day(query, "since") or month_of(until)
    if since > until:
        raise InvalidInputError.for_field("since", "This must not be after “until”.")
    if (until - since).days >= MAX_DAYS:
        raise InvalidInputError.for_field(
            "since", f"At most {MAX_DAYS:,} days in one report.", code="out_of_range"
        )
    return _Period(since, until)


def _day(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name)
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        parse_month(f"{day:%Y-%m}")
    except ValueError:
        raise InvalidInputError.for_field(name, "Give a day such as 2026-03-14.") from None
    return day


def _month(query: Mapping[str, str]) -> date | None:
    text = query.get("month")
    if not text:
        return None
    try:
        return parse_month(text)
    except ValueError as error:
        raise InvalidInputError.for_field("month", str(error)) from None


def _refuse_past(month: date, today: date) -> None:
    if month < month_of(today):
        raise InvalidInputError.for_field("month", "This month is over.")
