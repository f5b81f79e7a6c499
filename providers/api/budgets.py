"""`/budgets`: what may be spent in a month; for keys that reach everybody's mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.scopes import Scope
from mailservice.core.errors import NotFoundError
from mailservice.core.rest import page_body, refuse_unknown
from providers.amounts import exact_text
from providers.api.costs import present_estimate, require_everybody
from providers.api.reading import (
    Faults,
    as_amount,
    is_amount,
    is_flag,
    is_id,
    is_number,
    is_text,
    read_members,
)
from providers.budgets import (
    create_budget,
    delete_budget,
    standings,
    update_budget,
    warn_percents,
)
from providers.models import Budget
from providers.months import month_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rest_framework.request import Request

    from providers.api.reading import Table
    from providers.budgets import BudgetChanges, Standing


def _are_numbers(value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list):
        yield "", "This must be a list."
        return
    for place, item in enumerate(value):
        for _, message in is_number(item):
            yield f"[{place}]", message


_FIELDS: Table = {
    "name": ("name", is_text),
    "amount": ("amount", is_amount(2)),
    "provider_id": ("provider_id", is_id),
    "api_key_id": ("api_key_id", is_id),
    "email_type": ("email_type", is_text),
    "warn_percents": ("warn_percents", _are_numbers),
    "active": ("is_active", is_flag),
}
#: Shown, not set: accepted and ignored, so that what was read can be sent back.
_READ_ONLY = frozenset({"id", "message", "currency", "running", "created_at", "updated_at"})
_DEFAULTS = {"email_type": "", "warn_percents": [], "is_active": True}
_REQUIRED = ("name", "amount")


class Budgets(APIView):
    """List the budgets, or create one."""

    scopes = {"GET": Scope.PROVIDERS_READ, "POST": Scope.PROVIDERS_WRITE}

    def get(self, request: Request) -> Response:
        """List all budgets by name, with what is spent of each in the running month."""
        require_everybody(request)
        refuse_unknown(request.query_params, frozenset())
        return Response(page_body(_present(list(Budget.objects.all())), None))

    def post(self, request: Request) -> Response:
        """Create a budget."""
        require_everybody(request)
        budget = create_budget(**_read(request.data, is_complete=True))
        body = {"message": "The budget is created.", **_present([budget])[0]}
        return Response(body, status=201)


class BudgetView(APIView):
    """One budget."""

    scopes = {
        "GET": Scope.PROVIDERS_READ,
        "PATCH": Scope.PROVIDERS_WRITE,
        "DELETE": Scope.PROVIDERS_WRITE,
    }

    def get(self, request: Request, budget_id: str) -> Response:
        """Read a budget."""
        return Response(_present([_find(request, budget_id)])[0])

    def patch(self, request: Request, budget_id: str) -> Response:
        """Change the fields given; null sets the default."""
        budget = _find(request, budget_id)
        updated = update_budget(budget.pk, **_read(request.data, is_complete=False))
        return Response({"message": "The budget is updated.", **_present([updated])[0]})

    def delete(self, request: Request, budget_id: str) -> Response:
        """Delete a budget."""
        delete_budget(_find(request, budget_id).pk)
        return Response(status=204)


def _find(request: Request, budget_id: str) -> Budget:
    """Return a budget. Raises `NotFoundError`, `PermissionDenied`."""
    require_everybody(request)
    try:
        budget = Budget.objects.filter(pk=UUID(budget_id)).first()
    except ValueError:
        budget = None
    if budget is None:
        raise NotFoundError("There is no such budget.")
    return budget


def _read(data: object, *, is_complete: bool) -> BudgetChanges:
    """Return the changes a request asks for. Raises `InvalidInputError` with every fault."""
    faults = Faults()
    found = read_members(data, _FIELDS, faults, ignored=_READ_ONLY)
    given = data if isinstance(data, dict) else {}
    for name in _REQUIRED:
        if given.get(name) is None and (is_complete or name in given):
            faults.append((name, "required", "This field is required."))
    faults.raise_if_any()
    values: dict[str, Any] = {
        name: _DEFAULTS.get(name) if value is None else value for name, value in found.items()
    }
    for name in ("provider_id", "api_key_id"):
        if values.get(name) is not None:
            values[name] = UUID(values[name])
    if "amount" in values:
        values["amount"] = as_amount(values["amount"])
    changes: BudgetChanges = values  # type: ignore[assignment]  # the table names its keys
    return changes


def _present(budgets: Sequence[Budget]) -> list[dict[str, Any]]:
    today = timezone.localdate()
    found = standings(budgets, month=month_of(today), today=today)
    return [_present_one(standing) for standing in found]


def _present_one(standing: Standing) -> dict[str, Any]:
    budget = standing.budget
    return {
        "id": budget.pk,
        "name": budget.name,
        "amount": exact_text(standing.amount_nanos),
        "currency": settings.CURRENCY,
        "provider_id": budget.provider_id,
        "api_key_id": budget.api_key_id,
        "email_type": budget.email_type,
        "warn_percents": warn_percents(budget),
        "active": budget.is_active,
        "running": {
            "month": f"{standing.month:%Y-%m}",
            "spent": exact_text(standing.spent_nanos),
            "fees": exact_text(standing.fee_nanos),
            "left": exact_text(standing.left_nanos),
            "percent": standing.percent,
            "exceeded": standing.is_exceeded,
            "projection": present_estimate(standing.projection, is_money=True),
        },
        "created_at": budget.created_at,
        "updated_at": budget.updated_at,
    }
