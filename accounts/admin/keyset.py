"""Lists over tables of any size: pages by key, nothing counted, time bounded.

Ids are UUIDv7, so their order is the order of time, and a page is one short walk along the primary
key however far back it lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.contrib import messages
from django.db import OperationalError, transaction
from django.db.models import Model, QuerySet
from psycopg.errors import QueryCanceled
from unfold.views import ChangeList

from accounts.admin.console import ConsoleAdmin
from mailservice.core.sql import PLAN_FOR_VALUES, set_local

if TYPE_CHECKING:
    from django.http import HttpRequest

ModelT = TypeVar("ModelT", bound=Model)

BEFORE_VAR, AFTER_VAR = "before", "after"
#: A list that takes longer is given up, with the advice to narrow it down.
MAX_SECONDS = 5


class KeysetChangeList(ChangeList):
    """A list, newest first, whose pages are addressed by the id they begin after."""

    older_url = ""
    newer_url = ""
    first_url = ""

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the parameters that filter: not those that name the page."""
        found = super().get_filters_params(params)
        return {key: value for key, value in found.items() if key not in {BEFORE_VAR, AFTER_VAR}}

    def get_ordering(self, _request: HttpRequest, _queryset: QuerySet[Any]) -> list[str]:
        """Return the one order there is."""
        return ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        """Read one page and look one row further."""
        before = _uuid(request.GET.get(BEFORE_VAR))
        after = _uuid(request.GET.get(AFTER_VAR))
        size = self.list_per_page
        try:
            with transaction.atomic():
                set_local(PLAN_FOR_VALUES | {"statement_timeout": f"{MAX_SECONDS}s"})
                if after is not None:
                    rows = list(self.queryset.filter(pk__gt=after).order_by("pk")[: size + 1])
                else:
                    older = self.queryset.filter(pk__lt=before) if before else self.queryset
                    rows = list(older[: size + 1])
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled):
                raise
            messages.warning(
                request,
                "That search took too long and was stopped. Narrow it down: a shorter time, "
                "a status or a recipient.",
            )
            rows = []
        has_more = len(rows) > size
        rows = rows[:size]
        if after is not None:
            rows.reverse()
        self._set_pages(rows, before, after, has_more=has_more)

    def _set_pages(
        self, rows: list[Any], before: UUID | None, after: UUID | None, *, has_more: bool
    ) -> None:
        has_older = after is not None or has_more
        has_newer = before is not None if after is None else has_more
        remove = [BEFORE_VAR, AFTER_VAR]
        if rows and has_older:
            self.older_url = self.get_query_string({BEFORE_VAR: rows[-1].pk}, remove)
        if rows and has_newer:
            self.newer_url = self.get_query_string({AFTER_VAR: rows[0].pk}, remove)
        if before is not None or after is not None:
            self.first_url = self.get_query_string(remove=remove)
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = True
        self.multi_page = False
        self.paginator = self.model_admin.get_paginator(None, rows, max(1, len(rows)))


class KeysetAdmin(ConsoleAdmin[ModelT]):
    """Pages of a model whose table may be large."""

    sortable_by = ()
    is_keyset = True

    def get_changelist(self, _request: HttpRequest, **_kwargs: Any) -> type[ChangeList]:
        """Return the list that needs no count."""
        return KeysetChangeList


def _uuid(value: str | None) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        return None
