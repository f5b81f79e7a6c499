"""Rows of providers as they come about in operation, for the tests of the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone

from providers.models import Provider, ProviderHealth, ProviderUsage
from providers.quotas import windows

LIST = "/admin/providers/provider/"


def page(provider: Provider, name: str = "change") -> str:
    return reverse(f"admin:providers_provider_{name}", args=[provider.pk])


def fault(provider: Provider, state: str, **fields: Any) -> None:
    values = {
        "reason": "connection",
        "detail": "Connection refused",
        "since": timezone.now(),
        "retry_at": timezone.now() + timedelta(minutes=5),
        "failures": 3,
        **fields,
    }
    ProviderHealth.objects.create(provider=provider, state=state, **values)


def use(provider: Provider, count: int, *, reserved: int = 0) -> None:
    now = windows(timezone.now(), provider.time_zone)
    ProviderUsage.objects.create(
        provider=provider,
        hour_start=now.hour_start,
        hour_count=count,
        day_start=now.day_start,
        day_count=count,
        month_start=now.month_start,
        month_count=count,
        reserved=reserved,
        last_sent_at=timezone.now(),
    )


def read(provider: Provider) -> Provider:
    return Provider.objects.select_related("usage", "health").get(pk=provider.pk)
