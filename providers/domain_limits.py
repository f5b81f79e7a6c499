"""Writes to limits of recipient domains, and ending a slow-down by hand.

Faults name the field: a column of the limit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict, Unpack

from django.db import transaction
from django.db.models import Q

from mailservice.core.addresses import AddressError
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.sql import advisory_key, lock_for_transaction
from providers.account_faults import MAX_RATE, MIN_RATE, Fault
from providers.models import DomainLimit, DomainSlowdown, Provider
from providers.routing import parse_domain_pattern
from providers.selectors import forget_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

#: Every snapshot reads them all.
MAX_LIMITS = 1_000
_BAD_PATTERN = "Use a domain such as example.com, or *.example.com for all below it."


class LimitChanges(TypedDict, total=False):
    """What can be changed of a limit."""

    provider_id: UUID | None
    pattern: str
    rate_per_second: float
    is_active: bool


def create_limit(
    *,
    pattern: str,
    rate_per_second: float,
    provider_id: UUID | None = None,
    is_active: bool = True,
) -> DomainLimit:
    """Create a limit; without an account it is for every account, each by itself.

    Raises `InvalidInputError` with every fault.
    """
    limit = DomainLimit(
        provider_id=provider_id,
        pattern=pattern,
        rate_per_second=rate_per_second,
        is_active=is_active,
    )
    with transaction.atomic():
        return _save(limit)


def update_limit(limit_id: UUID, **changes: Unpack[LimitChanges]) -> DomainLimit:
    """Change a limit; whatever is not named stays.

    Raises `NotFoundError` and `InvalidInputError` with every fault.
    """
    with transaction.atomic():
        limit = DomainLimit.objects.select_for_update().filter(pk=limit_id).first()
        if limit is None:
            raise NotFoundError("There is no such domain limit.")
        for field, value in changes.items():
            setattr(limit, field, value)
        return _save(limit)


def delete_limit(limit_id: UUID) -> None:
    """Delete a limit. Raises `NotFoundError`."""
    with transaction.atomic():
        count, _ = DomainLimit.objects.filter(pk=limit_id).delete()
        if not count:
            raise NotFoundError("There is no such domain limit.")
        transaction.on_commit(forget_snapshot)


def end_slowdowns(ids: Iterable[int]) -> int:
    """Let mail pass to these domains as if they had never complained; return how many."""
    with transaction.atomic():
        count, _ = DomainSlowdown.objects.filter(pk__in=list(ids)).delete()
        transaction.on_commit(forget_snapshot)
    return count


def _save(limit: DomainLimit) -> DomainLimit:
    # Two for the same mail must not come beside each other, nor pass the number of them.
    lock_for_transaction(advisory_key("domain limits", None))
    # Nobody deletes the account meanwhile.
    if limit.provider_id:
        list(Provider.objects.select_for_update(no_key=True).filter(pk=limit.provider_id))
    faults = limit_faults(limit)
    if faults:
        raise InvalidInputError.for_fields(faults)
    limit.save()
    transaction.on_commit(forget_snapshot)
    return limit


def limit_faults(limit: DomainLimit) -> list[Fault]:
    """Return what is wrong with a limit about to be saved; its pattern becomes canonical."""
    faults: list[Fault] = []
    if not (math.isfinite(limit.rate_per_second) and MIN_RATE <= limit.rate_per_second <= MAX_RATE):
        message = f"Must be from {MIN_RATE} to {MAX_RATE:,}."
        faults.append(("rate_per_second", "out_of_range", message))
    if limit.provider_id and not Provider.objects.filter(pk=limit.provider_id).exists():
        faults.append(("provider_id", "not_found", "There is no such provider."))
    try:
        limit.pattern = parse_domain_pattern(limit.pattern)
    except AddressError:
        return [*faults, ("pattern", "invalid_domain", _BAD_PATTERN)]
    return faults + _number_faults(limit)


def _number_faults(limit: DomainLimit) -> list[Fault]:
    others = DomainLimit.objects.exclude(pk=limit.pk)
    same = others.filter(pattern=limit.pattern)
    whose = Q(provider__isnull=True) if limit.provider_id is None else Q(provider=limit.provider_id)
    if same.filter(whose).exists():
        return [("pattern", "exists", "There is a limit for this domain and account.")]
    if others.count() >= MAX_LIMITS:
        return [("pattern", "too_many", f"There are at most {MAX_LIMITS:,} limits.")]
    return []
