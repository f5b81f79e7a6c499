"""The page of costs, and the one of the cheapest split."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from accounts.admin.console import ConsoleAdmin, Link
from providers.admin.cost_figures import cost_figures
from providers.admin.split_form import answer_of, split_form
from providers.amounts import exact_text
from providers.costs import Dimension, fees, totals, with_fees
from providers.models import CostDay
from providers.months import last_day, month_of, parse_month

if TYPE_CHECKING:
    from datetime import date

    from django.http import HttpRequest

#: With these a spreadsheet takes a cell for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
#: Rows of one file.
_MAX_ROWS = 10_000
_EXPORTS = frozenset(
    {Dimension.PROVIDER, Dimension.EMAIL_TYPE, Dimension.API_KEY, Dimension.OWNER, Dimension.DAY}
)


@admin.register(CostDay)
class CostAdmin(ConsoleAdmin[CostDay]):
    """What mail costs: a month at a look, instead of a list of ledger rows."""

    def get_urls(self) -> list[URLPattern]:
        """Add the page of the cheapest split, and the export."""
        view = self.admin_site.admin_view
        return [
            path("split/", view(self.split_view), name=f"{self.url_prefix}_split"),
            path("export/", view(self.export_view), name=f"{self.url_prefix}_export"),
            *super().get_urls(),
        ]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Rows write themselves."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Rows stay as they are."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Rows stay."""
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a month: what it cost, who cost it, and what comes next."""
        del extra_context
        self._require_view(request)
        today = timezone.localdate()
        month = _month(request, today)
        links = [Link("Cheapest split", self.url("split"), "call_split")]
        if request.user.has_perm("providers.view_budget"):
            links.append(Link("Budgets", reverse("admin:providers_budget_changelist"), "savings"))
        return self.page(
            request,
            "console/costs.html",
            title="Costs",
            console_links=links,
            export_url=self.url("export"),
            split_url=self.url("split"),
            **cost_figures(month, today),
        )

    def split_view(self, request: HttpRequest) -> HttpResponse:
        """Tell the cheapest way to share a month's mail; nothing is changed."""
        self._require_view(request)
        today = timezone.localdate()
        form = split_form(request, today)
        plan, fault = answer_of(form, today)
        return self.page(
            request,
            "console/cost_split.html",
            title="Cheapest split",
            form=form,
            plan=plan,
            fault=fault,
            back=self.url("changelist"),
            media=self.media + form.media,
        )

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """Return one table of a month as CSV."""
        self._require_view(request)
        month = _month(request, timezone.localdate())
        try:
            by = Dimension(request.GET.get("by", ""))
        except ValueError:
            by = Dimension.PROVIDER
        if by not in _EXPORTS:
            by = Dimension.PROVIDER
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        name = f"costs-{month:%Y-%m}-by-{by.value.replace('_', '-')}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "no-store, private"
        # Spreadsheets take a file for UTF-8 only with this mark.
        response.write("\ufeff")
        table = csv.writer(response)
        table.writerow([by.value, "name", "messages", "mails", "cost", "fees", "total"])
        rows = totals(since=month, until=last_day(month), by=by, limit=_MAX_ROWS)
        for row in with_fees(rows, fees([month]), by):
            amounts = (row.nanos, row.fee_nanos, row.total_nanos)
            table.writerow(
                [
                    _safe(row.key),
                    _safe(row.label),
                    row.messages,
                    row.mails,
                    *map(exact_text, amounts),
                ]
            )
        return response

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _month(request: HttpRequest, today: date) -> date:
    """Return the month asked for, the running one for anything unreadable."""
    try:
        return parse_month(request.GET.get("month", ""))
    except ValueError:
        return month_of(today)


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
