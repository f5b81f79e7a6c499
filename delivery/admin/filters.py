"""Filters of the message list: each is one condition on one column."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from accounts.admin.console import ids_of
from delivery.email_types import email_types
from delivery.references import first_id_at
from delivery.states import UNFINISHED, Lane, Status
from providers.models import Provider

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from delivery.models import Message

#: Value of the status filter for everything that is not over.
OPEN = "open"

_SPANS = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}


class CreatedFilter(DropdownFilter):
    """When it was accepted; ids are in time order, so this is a range of the primary key."""

    title = "time"
    parameter_name = "when"

    def lookups(self, _request: HttpRequest, _admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return the spans."""
        return [
            ("today", "Today"),
            *((key, label) for key, (label, _) in _SPANS.items()),
            ("older", "Older than 30 days"),
        ]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Return what lies in the span."""
        value = self.value()
        now = timezone.now()
        if value == "today":
            midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
            return queryset.filter(pk__gte=first_id_at(midnight))
        if value == "older":
            return queryset.filter(pk__lt=first_id_at(now - _SPANS["30d"][1]))
        if value in _SPANS:
            return queryset.filter(pk__gte=first_id_at(now - _SPANS[value][1]))
        return queryset


class StatusFilter(DropdownFilter):
    """Where it is."""

    title = "status"
    parameter_name = "status"

    def lookups(self, _request: HttpRequest, _admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return the states, and all unfinished ones together."""
        return [(OPEN, "Not finished"), *Status.choices]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Return what is in the state."""
        value = self.value()
        # What is on its way holds a lease: found by the leases' index, the rest by that of states.
        sending = Q(status=Status.SENDING, lease_id__isnull=False)
        if value == OPEN:
            waiting = Q(status__in=sorted(UNFINISHED - {Status.SENDING}))
            return queryset.filter(waiting | sending)
        if value == Status.SENDING:
            return queryset.filter(sending)
        return queryset.filter(status=value) if value in Status.values else queryset


class TypeFilter(DropdownFilter):
    """Of which type."""

    title = "type"
    parameter_name = "type"

    def lookups(self, _request: HttpRequest, _admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return the email types."""
        return [(name, name) for name in sorted(email_types())]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Return what is of the type."""
        return queryset.filter(email_type_id=self.value()) if self.value() else queryset


class LaneFilter(DropdownFilter):
    """In which lane."""

    title = "lane"
    parameter_name = "lane"

    def lookups(self, _request: HttpRequest, _admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return the lanes."""
        return [(str(lane.value), lane.label.capitalize()) for lane in Lane]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Return what is in the lane."""
        known = {str(lane.value) for lane in Lane}
        return queryset.filter(lane=int(self.value())) if self.value() in known else queryset


class PriorityFilter(DropdownFilter):
    """With which priority."""

    title = "priority"
    parameter_name = "priority"

    def lookups(self, _request: HttpRequest, _admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return 1 to 5."""
        return [("1", "1 (highest)"), ("2", "2"), ("3", "3"), ("4", "4"), ("5", "5 (lowest)")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Return what has the priority."""
        value = self.value()
        return queryset.filter(priority=int(value)) if value in set("12345") else queryset


class ProviderFilter(DropdownFilter):
    """Through which account it last went."""

    title = "provider"
    parameter_name = "provider"

    def lookups(self, _request: HttpRequest, _admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return the accounts."""
        return [(str(pk), name) for pk, name in Provider.objects.values_list("pk", "name")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Return what went through the account."""
        ids = ids_of([self.value() or ""])
        return queryset.filter(provider_id__in=ids) if ids else queryset


class TestFilter(DropdownFilter):
    """Sent in earnest or with a test key."""

    title = "test mail"
    parameter_name = "test"

    def lookups(self, _request: HttpRequest, _admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return both."""
        return [("0", "Real mail"), ("1", "Test mail")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Return one kind."""
        value = self.value()
        return queryset.filter(is_test=value == "1") if value in {"0", "1"} else queryset
