"""Writes to provider accounts: the same for admin, API and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from django.db import connection, transaction
from django.utils import timezone

from alerts.services import close_alert
from mailservice.core.addresses import parse_email
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.sql import advisory_key, lock_for_transaction
from providers.account_faults import faults_of, moved_secret_faults, read_domains
from providers.errors import ProviderInUseError
from providers.health import close_breaker
from providers.models import (
    Budget,
    CostDay,
    DomainLimit,
    DomainSlowdown,
    InboxMail,
    Provider,
    ProviderHealth,
    ProviderMinute,
    ProviderUsage,
    Reservation,
    RoutingTarget,
)
from providers.pricing import read_tiers, written_tiers
from providers.return_paths import parse_return_path
from providers.selectors import forget_snapshot
from providers.watch import DOWN, REFUSED
from providers.zones import move_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal
    from uuid import UUID

#: Asked before an account is deleted: each returns a sentence on what needs it, or None. Apps above
#: this one append theirs when they are ready.
in_use_checks: list[Callable[[UUID], str | None]] = []


class ProviderFields(TypedDict, total=False):
    """Columns of an account that may be left out; the model's defaults apply."""

    from_email: str
    from_name: str
    #: See `return_paths.parse_return_path`.
    return_path: str
    is_active: bool
    position: int
    hourly_limit: int | None
    daily_limit: int | None
    time_zone: str
    max_connections: int
    max_messages_per_connection: int
    from_domains: Sequence[str]
    requires_alignment: bool
    max_message_bytes: int | None
    takes_attachments: bool
    price_per_thousand: Decimal
    free_per_month: int
    #: See `pricing.read_tiers`.
    price_tiers: Sequence[Mapping[str, Any]]
    monthly_fee: Decimal
    retry_first_seconds: int | None
    retry_max_seconds: int | None
    monthly_limit: int | None
    #: Percent of every limit.
    priority_reserve: int
    rate_per_second: float | None
    #: See `warm_up.warm_up_limit`.
    warm_up: Mapping[str, Any] | None


class ProviderChanges(ProviderFields, total=False):
    """What can be changed of an account; its kind cannot."""

    owner_id: UUID | None
    name: str
    #: Replaces all settings.
    settings: Mapping[str, Any]
    #: Changes single settings: a value replaces, None removes, an absent one stays.
    settings_patch: Mapping[str, Any]
    #: Merged into what is kept: a value replaces, None removes, an absent one stays.
    secrets: Mapping[str, str | None]


def create_provider(
    *,
    owner_id: UUID | None,
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, str],
    **fields: Unpack[ProviderFields],
) -> Provider:
    """Create an account; without an owner it is everybody's.

    Raises `InvalidInputError` with every fault.
    """
    provider = Provider(owner_id=owner_id, name=name.strip(), kind=kind, settings=dict(settings))
    for field, value in fields.items():
        setattr(provider, field, value)
    return _save(provider, dict(secrets))


def update_provider(provider_id: UUID, **changes: Unpack[ProviderChanges]) -> Provider:
    """Change an account; whatever is not named stays, credentials included.

    Raises `NotFoundError` and `InvalidInputError` with every fault.
    """
    with transaction.atomic():
        # Its key stays, so nobody waits who only refers to it.
        locked = Provider.objects.select_for_update(no_key=True)
        provider = locked.filter(pk=provider_id).first()
        if provider is None:
            raise NotFoundError("There is no such provider.")
        time_zone = provider.time_zone
        was = _means(provider)
        given = changes.pop("secrets", {})
        merged = {**(provider.secrets or {}), **given}
        settings = changes.pop("settings", None)
        if (patch := changes.pop("settings_patch", None)) is not None:
            merged_settings = {**provider.settings, **patch}
            settings = {key: value for key, value in merged_settings.items() if value is not None}
        if settings is not None:
            if faults := moved_secret_faults(provider, settings, given):
                raise InvalidInputError.for_fields(faults)
            provider.settings = dict(settings)
        for field, value in changes.items():
            setattr(provider, field, value)
        provider.name = provider.name.strip()
        _save(provider, {key: value for key, value in merged.items() if value is not None})
        if provider.time_zone != time_zone:
            move_windows(
                provider.pk, before=time_zone, after=provider.time_zone, now=timezone.now()
            )
        if _means(provider) != was:
            _give_another_chance(provider)
    return provider


def delete_provider(provider_id: UUID) -> None:
    """Delete an account that nothing refers to, with its inbox.

    Raises `NotFoundError` and `ProviderInUseError`.
    """
    with transaction.atomic():
        provider = Provider.objects.select_for_update().filter(pk=provider_id).first()
        if provider is None:
            raise NotFoundError("There is no such provider.")
        for check in (_use_by_rules, _use_by_budgets, *in_use_checks, _use_by_ledger):
            if use := check(provider_id):
                raise ProviderInUseError(f"{provider.name} cannot be deleted: {use}")
        for model in (
            InboxMail,
            Reservation,
            ProviderUsage,
            ProviderHealth,
            ProviderMinute,
            DomainLimit,
            DomainSlowdown,
        ):
            model.objects.filter(provider_id=provider_id).delete()
        # Not `delete()`: that reads every table that may refer to it from end to end.
        Provider.objects.filter(pk=provider_id)._raw_delete(connection.alias)  # noqa: SLF001 - its own checks were made above
        transaction.on_commit(forget_snapshot)


def _save(provider: Provider, secrets: dict[str, str]) -> Provider:
    with transaction.atomic():
        # Two accounts of one owner must not get one name beside each other.
        lock_for_transaction(advisory_key("provider names", provider.owner_id))
        provider.from_email = provider.from_email.strip()
        faults = faults_of(provider, secrets)
        if faults:
            raise InvalidInputError.for_fields(faults)
        if provider.from_email:
            provider.from_email = parse_email(provider.from_email)
        provider.return_path = parse_return_path(provider.return_path)
        provider.from_domains, _ = read_domains(provider.from_domains, "from_domains")
        provider.price_tiers = written_tiers(read_tiers(provider.price_tiers))
        provider.secrets = secrets or None
        provider.save()
        transaction.on_commit(forget_snapshot)
    return provider


def _means(provider: Provider) -> tuple[object, ...]:
    """Return all that a connection to the account depends on."""
    return dict(provider.settings), dict(provider.secrets or {}), provider.is_active


def _give_another_chance(provider: Provider) -> None:
    """Close the breaker of an account that may well be mended now: the next mail shows."""
    if not close_breaker(provider.pk) or not provider.is_active:
        return
    for kind in (DOWN, REFUSED):
        told = "Its settings were changed; the next mail shows whether it takes mail."
        close_alert(kind=kind, subject=str(provider.pk), detail=told)


def _use_by_budgets(provider_id: UUID) -> str | None:
    budget = Budget.objects.filter(provider_id=provider_id).first()
    return f"the budget “{budget.name}” is for it." if budget else None


def _use_by_rules(provider_id: UUID) -> str | None:
    target = RoutingTarget.objects.filter(provider_id=provider_id).select_related("rule").first()
    return f"the routing rule “{target.rule.name}” names it." if target else None


def _use_by_ledger(provider_id: UUID) -> str | None:
    # The history of its mail may be gone by now, what it cost stays.
    has_costs = CostDay.objects.filter(provider_id=provider_id).exists()
    return "it has carried mail, as the costs tell. Switch it off instead." if has_costs else None
