"""Rows of the ledger for tests."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from accounts.models import User
from providers.models import CostDay, Provider


def book(
    provider: Provider,
    owner: User,
    day: date,
    mails: int,
    *,
    nanos: int | None = None,
    **fields: Any,
) -> CostDay:
    """Write a row as the ledger would, of mail that costs a cent each unless told otherwise."""
    values = {"email_type": "transactional", "messages": mails} | fields
    cost = mails * 10_000_000 if nanos is None else nanos
    return CostDay.objects.create(
        provider=provider, owner=owner, day=day, mails=mails, nanos=cost, **values
    )


def book_days(
    provider: Provider, owner: User, until: date, days: int, mails: int, **fields: Any
) -> None:
    """Write as many mails for each of the days that end with `until`."""
    for back in range(days):
        book(provider, owner, until - timedelta(days=back), mails, **fields)
