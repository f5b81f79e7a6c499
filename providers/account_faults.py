"""What is wrong with an account about to be saved: the same for admin, API and commands.

Faults name the field: a column of the account, `settings.host` or `secrets.password`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from mailservice.core.addresses import AddressError, check_name, domain_of, parse_email
from mailservice.core.networks import is_named_private
from providers.adapters import UnknownKindError, kinds, validate_settings
from providers.adapters.esp.ses import NO_OWN_ENDPOINT
from providers.models import MAX_PRIORITY_RESERVE, Provider, ProviderKind, RoutingTarget
from providers.pricing import MAX_MAILS, MAX_PRICE, read_tiers
from providers.return_paths import parse_return_path
from providers.routing import is_among, parse_domain_pattern
from providers.selectors import is_confined
from providers.warm_up import check_warm_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Fault = tuple[str, str, str]

#: Mails per second.
MIN_RATE, MAX_RATE = 0.001, 100_000
#: Settings that name where credentials are sent.
_PLACES = ("host", "api_url")
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
    return faults + _place_faults(provider)


def _place_faults(provider: Provider) -> list[Fault]:
    """Return a fault for each place in a private network that somebody's own account names.

    What names lead to shows when it connects.
    """
    if not is_confined(provider):
        return []
    if provider.kind == ProviderKind.AMAZON_SES and provider.settings.get("api_url"):
        return [("settings.api_url", "not_allowed", NO_OWN_ENDPOINT)]
    message = "Accounts of users go to public addresses (OUTGOING_HTTP_ALLOW_PRIVATE allows any)."
    return [
        (f"settings.{name}", "private_address", message)
        for name in _PLACES
        if is_named_private(_host_in(str(provider.settings.get(name) or "")))
    ]


def _host_in(place: str) -> str:
    """Return the host of a URL or of a host's name; empty if there is none."""
    try:
        return urlsplit(place).hostname or "" if "://" in place else place
    except ValueError:
        return ""


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
    faults = [
        (field, "out_of_range", f"Must be from {least} to {most:,}.")
        for field, value, least, most in bounds
        if value is not None and not least <= value <= most
    ]
    first, longest = provider.retry_first_seconds, provider.retry_max_seconds
    if not faults and first is not None and longest is not None and longest < first:
        message = "The longest wait must not be shorter than the first."
        faults.append(("retry_max_seconds", "conflict", message))
    return faults
