"""Whether an account takes mail now: one word for a badge, the reason, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import TextChoices
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from providers.health import NEEDS_A_HUMAN
from providers.models import BreakerState, Provider
from providers.ports import Reason
from providers.quotas import left

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from providers.models import ProviderHealth, ProviderUsage


class AccountState(TextChoices):
    """What stands in the badge."""

    ACTIVE = "active", "Active"
    #: What is left of its quotas is kept for priority 1.
    URGENT_ONLY = "urgent", "Priority 1 only"
    USED_UP = "quota", "Quota used up"
    PROBED = "half_open", "Being tried"
    DOWN = "open", "Breaker open"
    #: The breaker is open, and waiting will not mend it.
    REFUSED = "refused", "Login refused"
    OFF = "off", "Switched off"


_TONES: Mapping[AccountState, str] = {
    AccountState.ACTIVE: "success",
    AccountState.URGENT_ONLY: "warning",
    AccountState.USED_UP: "warning",
    AccountState.PROBED: "warning",
    AccountState.DOWN: "danger",
    AccountState.REFUSED: "danger",
    AccountState.OFF: "default",
}
_FAULTS: Mapping[str, str] = {
    Reason.AUTHENTICATION: "The credentials were refused.",
    Reason.SETUP: "Its settings or credentials cannot be used as they are.",
    Reason.CONNECTION: "No usable connection: host, port, security or the network is wrong.",
    Reason.THROTTLED: "The server asks us to slow down.",
    Reason.LOST_AFTER_DATA: "The connection was lost.",
}


def fault_in_words(reason: str) -> str:
    """Return what a `Reason` means for an account."""
    return _FAULTS.get(reason, "The account refused us.")


@dataclass(frozen=True, slots=True)
class State:
    """Whether an account takes mail."""

    kind: AccountState
    #: A sentence or two.
    reason: str
    #: When that may change by itself; it may have passed.
    until: datetime | None = None

    @property
    def label(self) -> str:
        """Return the badge's text."""
        return str(self.kind.label)

    @property
    def tone(self) -> str:
        """Return the badge's colour."""
        return _TONES[self.kind]


def state_of(provider: Provider, now: datetime) -> State:
    """Return the account's state; reads its `usage` and `health`."""
    if not provider.is_active:
        return State(AccountState.OFF, "It takes no mail until it is switched on.")
    health: ProviderHealth | None = getattr(provider, "health", None)
    if health is not None and health.state != BreakerState.CLOSED:
        return _of_breaker(health, now)
    return _of_quotas(provider, now)


def _of_breaker(health: ProviderHealth, now: datetime) -> State:
    fault = fault_in_words(health.reason)
    if health.state == BreakerState.HALF_OPEN:
        trial = "One mail is on its way to see whether it works again."
        return State(AccountState.PROBED, f"{fault} {trial}", health.retry_at)
    is_refused = health.reason in NEEDS_A_HUMAN
    kind = AccountState.REFUSED if is_refused else AccountState.DOWN
    is_due = health.retry_at is not None and health.retry_at <= now
    trial = (
        "The wait is over: the next mail for it is a trial."
        if is_due
        else "After the wait one mail goes as a trial."
    )
    advice = " Waiting will not mend that: check the credentials." if is_refused else ""
    return State(kind, f"{fault}{advice} {trial}", health.retry_at)


def _of_quotas(provider: Provider, now: datetime) -> State:
    usage: ProviderUsage | None = getattr(provider, "usage", None)
    quota = left(provider, usage, now)
    if quota.remaining is None or quota.remaining > quota.kept_for_urgent:
        return State(AccountState.ACTIVE, "It takes mail.")
    if quota.remaining:
        reason = f"The last {quota.remaining:,} mails of a quota are kept for priority 1."
        return State(AccountState.URGENT_ONLY, reason, quota.resets_at)
    reason = "Mail goes through other accounts or waits until the quota begins anew."
    return State(AccountState.USED_UP, reason, quota.resets_at)


class StateFilter(DropdownFilter):
    """Accounts in one state."""

    title = "state"
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return the states."""
        return AccountState.choices

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Provider]) -> QuerySet[Provider]:
        """Return the accounts in the state.

        Quotas begin anew at each account's own midnight, so the answer is worked out here: accounts
        are hundreds at most.
        """
        value = self.value()
        if value not in AccountState.values:
            return queryset
        now = timezone.now()
        accounts = Provider.objects.select_related("usage", "health").defer("settings", "secrets")
        found = [each.pk for each in accounts if state_of(each, now).kind == value]
        return queryset.filter(pk__in=found)
