"""What a fault of the first of two accounts comes to, and how to check every part of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from delivery.models import Attempt, Lease, Message
from delivery.queue.sweep import sweep
from delivery.states import Lane
from mailservice.core.sql import database_now
from providers.models import Provider, ProviderHealth, ProviderMinute, ProviderUsage, Reservation
from providers.selectors import forget_snapshot
from tests.support.mail import drain

FIGURES = ("accepted", "deferred", "rejected", "unknown", "faults", "refused")
CONNECTION = ("open", "connection")
THROTTLED = ("open", "throttled")
AUTHENTICATION = ("open", "authentication")


@dataclass(frozen=True)
class Fate:
    """What follows from one fault of the first account."""

    #: What becomes of the message: where the second account takes it, "sent".
    status: str
    #: Which account has the mail in the end: "first", "second" or nobody.
    taken_by: str = ""
    #: State and reason of the first account's breaker; empty while it never opened.
    breaker: tuple[str, str] = ("", "")
    #: What counts as used of the first account's quota.
    used: int = 0
    #: The column of the first account's figures that counts it.
    figure: str = ""
    #: Whole mails that the first server has seen.
    seen: int = 0
    #: Part of the reply that is written down with the first attempt.
    says: str = ""
    #: Seconds for which the breaker opened; 0 leaves it unchecked.
    wait_seconds: int = 0


def moved(**changes: Any) -> Fate:
    """Return the fate of a mail that the second account takes."""
    values: dict[str, Any] = {"status": "sent", "taken_by": "second", "figure": "faults"}
    return Fate(**values | changes)


def in_doubt(**changes: Any) -> Fate:
    """Return the fate of a mail that the first account may have taken: parked, sent nowhere."""
    values: dict[str, Any] = {"status": "unknown", "used": 1, "figure": "unknown"}
    return Fate(**values | changes)


TAKEN = Fate("sent", taken_by="first", used=1, figure="accepted", seen=1)


@dataclass(frozen=True)
class Case:
    """A fault with a name, what the first server does to bring it about, and what follows."""

    name: str
    does: Any
    fate: Fate
    #: Changes to the first account.
    account: dict[str, Any] = field(default_factory=dict)
    #: Changes to the message.
    message: dict[str, Any] = field(default_factory=dict)


def drain_twice() -> None:
    """Drain, sweep and drain again: whatever could be sent a second time would be."""
    drain(Lane.BULK)
    sweep()
    drain(Lane.BULK)


def check_fate(message: Message, account: Provider, fate: Fate, seen: tuple[int, int]) -> None:
    """Assert what became of message, account, quota and figures; `seen` is mails per server."""
    message.refresh_from_db()
    assert message.status == fate.status, message.error
    assert seen == (fate.seen, int(fate.taken_by == "second"))
    assert breaker_of(account) == fate.breaker
    if fate.wait_seconds:
        retry_at = ProviderHealth.objects.get().retry_at
        assert retry_at is not None
        wait = (retry_at - database_now()).total_seconds()
        assert fate.wait_seconds - 15 < wait <= fate.wait_seconds
    usage = ProviderUsage.objects.get(provider=account)
    assert (usage.hour_count, usage.reserved) == (fate.used, 0)
    assert figures_of(account) == {fate.figure: 1}
    # Nothing is left in anybody's hands, and each try is written down once.
    assert not Reservation.objects.exists()
    assert not Lease.objects.exists()
    assert Attempt.objects.count() == 1 + int(fate.taken_by == "second")
    first = Attempt.objects.get(provider=account)
    assert fate.says in first.reply, first.reply


def breaker_of(account: Provider) -> tuple[str, str]:
    """Return state and reason of an account's breaker; empty while it never opened."""
    row = ProviderHealth.objects.filter(provider=account).first()
    return (row.state, row.reason) if row else ("", "")


def figures_of(account: Provider) -> dict[str, int]:
    """Return what became of an account's mails, without zeros."""
    row = ProviderMinute.objects.get(provider=account)
    return {name: getattr(row, name) for name in FIGURES if getattr(row, name)}


def copied(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields of an account whose dictionaries are the test's own."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in fields.items()}


def let_wait_pass() -> None:
    """Let the wait of every open breaker be over."""
    ProviderHealth.objects.update(retry_at=database_now() - timedelta(seconds=1))
    forget_snapshot()
