"""Writes to provider accounts: the same for admin, API and commands.

Faults name the field: a column of the account, `settings.host` or `secrets.password`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from zoneinfo import available_timezones

from django.db import connection, transaction
from django.utils import timezone

from mailservice.core.addresses import AddressError, check_name, domain_of, parse_email
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.sql import advisory_key, lock_for_transaction
from providers.adapters import UnknownKindError, kinds, validate_settings
from providers.errors import ProviderInUseError
from providers.health import close_breaker
from providers.models import (
    MAX_PRIORITY_RESERVE,
    Budget,
    CostDay,
    DomainLimit,
    DomainSlowdown,
    InboxMail,
    Provider,
    ProviderHealth,
    ProviderKind,
    ProviderMinute,
    ProviderUsage,
    Reservation,
    RoutingTarget,
)
from providers.pricing import MAX_MAILS, MAX_PRICE, read_tiers, written_tiers
from providers.return_paths import parse_return_path
from providers.routing import is_among, parse_domain_pattern
from providers.selectors import forget_snapshot
from providers.warm_up import check_warm_up
from providers.zones import move_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

Fault = tuple[str, str, str]

#: Mails per second.
MIN_RATE, MAX_RATE = 0.001, 100_000
#: Settings that name where credentials are sent.
_PLACES = ("host", "api_url")

#: Asked before an account is deleted: each returns a sentence on what needs it, or None. Apps above
#: this one append theirs when they are ready.
in_use_checks: list[Callable[[UUID], str | None]] = []

MAX_NAME_CHARS = 100
#: Domains that one account or condition may list.
MAX_DOMAINS = 200
MAX_FEE = Decimal(10_000_000)
MAX_RETRY_SECONDS = 7 * 86_400
#: Kinds that send nothing to the world, so that nobody looks their domains up.
KINDS_WITHOUT_DNS = frozenset({ProviderKind.INBOX, ProviderKind.SIMULATOR})
#: Kinds whose envelopes we write.
KINDS_WITH_RETURN_PATH = frozenset({ProviderKind.SMTP, ProviderKind.INBOX})
#: What the columns hold.
_MAX_SMALL, _MAX_INTEGER = 32_767, 2_147_483_647


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


def faults_of(provider: Provider, secrets: Mapping[str, str]) -> list[Fault]:
    """Return everything wrong with an account about to be saved, as (field, code, message)."""
    faults = [
        *_name_faults(provider),
        *_sender_faults(provider),
        *_return_path_faults(provider),
        *_alignment_faults(provider),
        *_number_faults(provider),
        *_owner_faults(provider),
        *_warm_up_faults(provider),
        *_tier_faults(provider),
    ]
    if provider.time_zone not in available_timezones():
        faults.append(("time_zone", "invalid", "Use a name such as Europe/Berlin or UTC."))
    try:
        found = validate_settings(provider.kind, provider.settings, secrets)
    except UnknownKindError:
        known = ", ".join(kinds())
        return [*faults, ("kind", "invalid_choice", f"Unknown kind; known are {known}.")]
    for field, code, message in found:
        path = field if field.startswith("secrets.") else f"settings.{field}"
        faults.append((path, code, message))
    return faults


def moved_secret_faults(
    provider: Provider, settings: Mapping[str, Any], given: Mapping[str, str | None]
) -> list[Fault]:
    """Return a fault for each kept credential that would be sent to another host than before.

    Who cannot read a credential must not get it by pointing the account at a server of their own.
    """
    if all(settings.get(name) == provider.settings.get(name) for name in _PLACES):
        return []
    message = "Give it again: the account is to log in at another host."
    missing = sorted((provider.secrets or {}).keys() - given.keys())
    return [(f"secrets.{name}", "required", message) for name in missing]


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
        # It may well be mended now: the next mail shows.
        close_breaker(provider.pk)
        transaction.on_commit(forget_snapshot)
    return provider


def _name_faults(provider: Provider) -> list[Fault]:
    if not provider.name:
        return [("name", "required", "Give the account a name.")]
    if len(provider.name) > MAX_NAME_CHARS:
        return [("name", "too_long", f"A name has at most {MAX_NAME_CHARS} characters.")]
    if "\x00" in provider.name:
        return [("name", "invalid", "Not allowed: the NUL character.")]
    same = Provider.objects.filter(owner_id=provider.owner_id, name=provider.name)
    if same.exclude(pk=provider.pk).exists():
        return [("name", "exists", "Another account of this owner has this name.")]
    return []


def _sender_faults(provider: Provider) -> list[Fault]:
    faults: list[Fault] = []
    own = ""
    if provider.from_email:
        try:
            own = domain_of(parse_email(provider.from_email))
        except AddressError as error:
            faults.append(("from_email", error.code, error.message))
    try:
        check_name(provider.from_name)
    except AddressError as error:
        faults.append(("from_name", error.code, error.message))
    if len(provider.from_name) > 2 * MAX_NAME_CHARS:
        faults.append(("from_name", "too_long", "A name has at most 200 characters."))
    domains, domain_faults = read_domains(provider.from_domains, "from_domains")
    faults += domain_faults
    if own and domains and not faults and not is_among(own, frozenset(domains)):
        faults.append(("from_email", "not_allowed", "Its domain is not among the From domains."))
    return faults


def _return_path_faults(provider: Provider) -> list[Fault]:
    if not provider.return_path.strip():
        return []
    if provider.kind not in KINDS_WITH_RETURN_PATH:
        message = "Only SMTP accounts have one: what others return, they tell by their webhooks."
        return [("return_path", "not_allowed", message)]
    try:
        parse_return_path(provider.return_path)
    except AddressError as error:
        return [("return_path", error.code, error.message)]
    return []


def _alignment_faults(provider: Provider) -> list[Fault]:
    if provider.requires_alignment and provider.kind in KINDS_WITHOUT_DNS:
        message = "Its mail stays here: no domain is aligned at an account of this kind."
        return [("requires_alignment", "not_allowed", message)]
    return []


def read_domains(values: Sequence[str], field: str) -> tuple[list[str], list[Fault]]:
    """Return domain patterns in wire form, each once, and the faults in those given."""
    found: dict[str, None] = {}
    faults: list[Fault] = []
    if len(values) > MAX_DOMAINS:
        return [], [(field, "too_many", f"At most {MAX_DOMAINS} domains.")]
    for place, value in enumerate(values):
        try:
            found[parse_domain_pattern(value)] = None
        except AddressError:
            message = "Use a domain such as example.com, or *.example.com for all below it."
            faults.append((f"{field}[{place}]", "invalid_domain", message))
    return list(found), faults


def _owner_faults(provider: Provider) -> list[Fault]:
    """Refuse to give somebody an account that rules for other people's mail name."""
    if provider.owner_id is None:
        return []
    uses = RoutingTarget.objects.filter(provider_id=provider.pk)
    target = uses.exclude(rule__owner_id=provider.owner_id).select_related("rule").first()
    if target is None:
        return []
    return [("owner", "in_use", f"The routing rule “{target.rule.name}” names this account.")]


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


def _warm_up_faults(provider: Provider) -> list[Fault]:
    if provider.warm_up is None:
        return []
    try:
        check_warm_up(provider.warm_up)
    except ValueError as error:
        return [("warm_up", "invalid", str(error))]
    return []


def _tier_faults(provider: Provider) -> list[Fault]:
    try:
        tiers = read_tiers(provider.price_tiers)
    except ValueError as error:
        return [("price_tiers", "invalid", str(error))]
    if tiers and tiers[0].above <= provider.free_per_month:
        message = "The first tier must begin above the free mails."
        return [("price_tiers", "invalid", message)]
    return []


def _number_faults(provider: Provider) -> list[Fault]:
    bounds = (
        ("hourly_limit", provider.hourly_limit, 1, _MAX_INTEGER),
        ("daily_limit", provider.daily_limit, 1, _MAX_INTEGER),
        ("monthly_limit", provider.monthly_limit, 1, _MAX_INTEGER),
        ("priority_reserve", provider.priority_reserve, 0, MAX_PRIORITY_RESERVE),
        ("rate_per_second", provider.rate_per_second, MIN_RATE, MAX_RATE),
        ("position", provider.position, 0, _MAX_SMALL),
        ("max_connections", provider.max_connections, 1, _MAX_SMALL),
        ("max_messages_per_connection", provider.max_messages_per_connection, 0, _MAX_INTEGER),
        ("max_message_bytes", provider.max_message_bytes, 1, _MAX_INTEGER),
        ("price_per_thousand", provider.price_per_thousand, 0, MAX_PRICE),
        ("free_per_month", provider.free_per_month, 0, MAX_MAILS),
        ("monthly_fee", provider.monthly_fee, 0, MAX_FEE),
        ("retry_first_seconds", provider.retry_first_seconds, 1, MAX_RETRY_SECONDS),
        ("retry_max_seconds", provider.retry_max_seconds, 1, MAX_RETRY_SECONDS),
    )
    return [
        (field, "out_of_range", f"Must be from {least} to {most:,}.")
        for field, value, least, most in bounds
        if value is not None and not least <= value <= most
    ]
