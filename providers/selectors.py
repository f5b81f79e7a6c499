"""What the choice among accounts looks at."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from providers.alignment import alignments
from providers.figures import Tally, recent
from providers.health import not_closed
from providers.models import Provider, RoutingRule
from providers.ports import AccountConfig
from providers.quotas import left, recipient_limits, usage_of, windows
from providers.routing import (
    NEUTRAL_P50_MS,
    NEUTRAL_P95_MS,
    NO_ALIGNMENT,
    Balance,
    Conditions,
    ProviderState,
    Rule,
    Snapshot,
    Strategy,
    Target,
    success_rate,
)
from providers.throttles import NO_THROTTLES, throttles_of

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from providers.models import ProviderUsage

#: How old a snapshot may be; quotas are exact all the same, since sending needs a reservation.
SNAPSHOT_SECONDS = 1.0
_NOTHING_YET = Tally()


def take_snapshot(now: datetime) -> Snapshot:
    """Return all accounts with what is left of their quotas, and the active rules."""
    # Credentials and settings can be large and are nobody's business here.
    providers = list(Provider.objects.defer("settings", "secrets"))
    usage = usage_of(providers)
    breakers = not_closed()
    tallies = recent({provider.pk for provider in providers})
    throttles = throttles_of([provider.pk for provider in providers])
    is_asked = any(provider.requires_alignment for provider in providers)
    aligned = alignments() if is_asked else {}
    states = []
    for provider in providers:
        quota = left(provider, usage.get(provider.pk), now)
        breaker = breakers.get(provider.pk)
        tally = tallies.get(provider.pk, _NOTHING_YET)
        throttle = throttles.get(provider.pk, NO_THROTTLES)
        states.append(
            ProviderState(
                provider_id=provider.pk,
                name=provider.name,
                owner_id=provider.owner_id,
                is_active=provider.is_active,
                from_email=provider.from_email,
                position=provider.position,
                remaining=quota.remaining,
                resets_at=quota.resets_at,
                kept_for_urgent=quota.kept_for_urgent,
                recipient_limits=recipient_limits(provider),
                from_domains=frozenset(provider.from_domains),
                aligned=aligned.get(provider.kind, NO_ALIGNMENT)
                if provider.requires_alignment
                else None,
                max_message_bytes=provider.max_message_bytes,
                takes_attachments=provider.takes_attachments,
                price=_price(provider, usage.get(provider.pk), now),
                breaker_until=breaker.until if breaker else None,
                success_rate=success_rate(tally.kept, tally.tried),
                latency_p50_ms=_known(tally.p50_ms, NEUTRAL_P50_MS),
                latency_p95_ms=_known(tally.p95_ms, NEUTRAL_P95_MS),
                throttled=throttle.closed,
                paces=throttle.paces,
            )
        )
    return Snapshot(now, states, _active_rules())


def _price(provider: Provider, usage: ProviderUsage | None, now: datetime) -> Decimal:
    """Return what a thousand mails cost at the place that the month's count has reached."""
    count = 0
    if usage is not None and (provider.free_per_month or provider.price_tiers):
        count = usage.month_count_at(windows(now, provider.time_zone).month_start)
    return provider.pricing.next_price(count)


def _known(milliseconds: float | None, neutral: float) -> float:
    return neutral if milliseconds is None else milliseconds


def _active_rules() -> list[Rule]:
    rules = RoutingRule.objects.filter(is_active=True).order_by("position", "id")
    return [rule_of(rule) for rule in rules.prefetch_related("targets")]


def rule_of(rule: RoutingRule) -> Rule:
    """Return a rule as the choice sees it."""
    return Rule(
        rule_id=rule.pk,
        name=rule.name,
        owner_id=rule.owner_id,
        position=rule.position,
        strategy=Strategy(rule.strategy),
        targets=tuple(Target(each.provider_id, each.weight) for each in rule.targets.all()),
        conditions=Conditions(
            email_types=frozenset(rule.email_types),
            sender_domains=frozenset(rule.sender_domains),
            recipient_domains=frozenset(rule.recipient_domains),
            tags=frozenset(rule.tags),
            api_key_ids=frozenset(rule.api_key_ids),
        ),
        is_exclusive=rule.is_exclusive,
        balance=Balance(rule.cost_weight, rule.reliability_weight, rule.latency_weight),
    )


_lock = threading.Lock()
_held: tuple[float, Snapshot] | None = None


def recent_snapshot() -> Snapshot:
    """Return a snapshot at most `SNAPSHOT_SECONDS` old, shared by the threads of the process."""
    global _held  # noqa: PLW0603 - a cache of the whole process
    held = _held
    if held is not None and held[0] > time.monotonic():
        return held[1]
    snapshot = take_snapshot(timezone.now())
    with _lock:
        _held = (time.monotonic() + SNAPSHOT_SECONDS, snapshot)
    return snapshot


def forget_snapshot() -> None:
    """Make the next `recent_snapshot` look at the database."""
    global _held  # noqa: PLW0603 - a cache of the whole process
    with _lock:
        _held = None


def account_config(provider: Provider) -> AccountConfig:
    """Return what an adapter may know of an account, credentials included.

    Raises `DecryptionError` if no key of ours reads them.
    """
    return AccountConfig(
        provider_id=provider.pk,
        name=provider.name,
        kind=provider.kind,
        settings=provider.settings,
        secrets=provider.secrets or {},
        max_messages_per_connection=provider.max_messages_per_connection,
        is_confined=is_confined(provider),
    )


def is_confined(provider: Provider) -> bool:
    """Tell whether an account may connect to addresses on the internet only: see `networks`.

    Else anybody who may add an account could find out what runs in our network.
    """
    return provider.owner_id is not None and not settings.OUTGOING_HTTP_ALLOW_PRIVATE


def accounts_by_id(ids: set[UUID]) -> dict[UUID, Provider]:
    """Return accounts by their ids, their credentials to be read (and decrypted) when used.

    One account whose credentials no key reads must not take the others with it.
    """
    return Provider.objects.defer("secrets").in_bulk(ids)
