"""The fields of a provider account in the API, and how they lie in `Provider`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mailservice.core.secrets import DecryptionError, decrypt
from providers.api.kinds import SCHEMAS, names_of
from providers.api.reading import (
    Faults,
    are_objects,
    are_texts,
    as_amount,
    is_amount,
    is_flag,
    is_number,
    is_object,
    is_quantity,
    is_text,
    no_such,
    read_members,
)
from providers.api.state_fields import present_state
from providers.models import Provider
from providers.routing import price_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.db.models import Field

    from providers.api.kinds import Schema
    from providers.api.reading import Table
    from providers.services import ProviderChanges

_COLUMNS: Table = {
    "name": ("name", is_text),
    "from_email": ("from_email", is_text),
    "from_name": ("from_name", is_text),
    "return_path": ("return_path", is_text),
    "is_active": ("is_active", is_flag),
    "position": ("position", is_number),
    "hourly_limit": ("hourly_limit", is_number),
    "daily_limit": ("daily_limit", is_number),
    "monthly_limit": ("monthly_limit", is_number),
    "time_zone": ("time_zone", is_text),
    "priority_reserve": ("priority_reserve", is_number),
    "rate_per_second": ("rate_per_second", is_quantity),
    "warm_up": ("warm_up", is_object),
    "max_connections": ("max_connections", is_number),
    "max_messages_per_connection": ("max_messages_per_connection", is_number),
    "from_domains": ("from_domains", are_texts),
    "requires_alignment": ("requires_alignment", is_flag),
    "max_message_bytes": ("max_message_bytes", is_number),
    "takes_attachments": ("takes_attachments", is_flag),
    "price_per_thousand": ("price_per_thousand", is_amount(6)),
    "free_per_month": ("free_per_month", is_number),
    "price_tiers": ("price_tiers", are_objects),
    "monthly_fee": ("monthly_fee", is_amount(2)),
    "retry_first_seconds": ("retry_first_seconds", is_number),
    "retry_max_seconds": ("retry_max_seconds", is_number),
}
_AMOUNTS = frozenset({"price_per_thousand", "monthly_fee"})
#: Members that are read by rules of their own.
_PARTS = frozenset({"kind", "settings", "secrets"})
#: Shown, not set: accepted and ignored, so that what was read can be sent back.
_READ_ONLY = frozenset({"id", "message", "shared", "state", "created_at", "updated_at"})
_REQUIRED = ("kind", "name")


def read_new(data: object) -> dict[str, Any]:
    """Return the arguments of `create_provider`, all but the owner.

    Raises `InvalidInputError` with all faults.
    """
    faults = Faults()
    given = data if isinstance(data, dict) else {}
    faults += [
        (name, "required", "This field is required.") for name in _REQUIRED if not given.get(name)
    ]
    kind = given.get("kind")
    schema = SCHEMAS.get(kind) if isinstance(kind, str) else None
    if kind and schema is None:
        faults.append(("kind", "invalid_choice", no_such("kind", SCHEMAS.keys())))
    _require_settings(given.get("settings"), schema, faults)
    fields = _completed(_read(data, schema, faults))
    secrets = {name: value for name, value in fields.get("secrets", {}).items() if value}
    return {**fields, "kind": kind, "secrets": secrets}


def read_replacement(data: object, provider: Provider) -> ProviderChanges:
    """Return what replaces an account: what is not given takes its default, but secrets stay.

    Raises `InvalidInputError` with all faults.
    """
    faults = Faults()
    given = data if isinstance(data, dict) else {}
    if not given.get("name"):
        faults.append(("name", "required", "This field is required."))
    _require_settings(given.get("settings"), SCHEMAS.get(provider.kind), faults)
    return _completed(_read_for(data, provider, faults))


def read_changes(data: object, provider: Provider) -> ProviderChanges:
    """Return what changes an account: fields, single settings and secrets; null sets the default.

    Raises `InvalidInputError` with all faults.
    """
    faults = Faults()
    given = data if isinstance(data, dict) else {}
    if "name" in given and not given["name"]:
        faults.append(("name", "required", "This field is required."))
    settings = given.get("settings")
    if isinstance(settings, dict):
        merged = {**provider.settings, **settings}
        _require_settings(merged, SCHEMAS.get(provider.kind), faults)
    changes = _read_for(data, provider, faults)
    if "settings" in changes:
        changes["settings_patch"] = changes.pop("settings")
    return changes


def _require_settings(settings: object, schema: Schema | None, faults: Faults) -> None:
    """Note what a kind cannot do without, before anything is made of its absence."""
    if schema is None or not isinstance(settings, dict | None):
        return
    given = settings or {}
    for one in schema["settings"]:
        if one["required"] and given.get(one["name"]) is None:
            faults.append((f"settings.{one['name']}", "required", f"{one['label']} is required."))


def _read_for(data: object, provider: Provider, faults: Faults) -> ProviderChanges:
    if isinstance(data, dict) and data.get("kind", provider.kind) != provider.kind:
        faults.append(("kind", "read_only", "The kind of an account cannot be changed."))
    return _read(data, SCHEMAS.get(provider.kind), faults)


def _read(data: object, schema: Schema | None, faults: Faults) -> ProviderChanges:
    """Return the fields given; without a schema (an unknown kind) only types are looked at."""
    given = data if isinstance(data, dict) else {}
    found = read_members(data, _COLUMNS, faults, ignored=_READ_ONLY | _PARTS)
    for part in ("settings", "secrets"):
        if given.get(part) is not None:
            found[part] = _read_part(part, given[part], schema, faults)
    faults.raise_if_any()
    defaults = {name: _default(name) for name, value in found.items() if value is None}
    amounts = {name: as_amount(found[name]) for name in _AMOUNTS if found.get(name) is not None}
    changes: ProviderChanges = {**found, **defaults, **amounts}  # type: ignore[typeddict-item]  # the table names its keys
    return changes


def _read_part(part: str, value: object, schema: Schema | None, faults: Faults) -> dict[str, Any]:
    """Return settings or secrets whose names exist; a secret as it was shown is left out."""
    if not isinstance(value, dict):
        faults.append((part, "invalid_type", "This must be an object."))
        return {}
    word = {"settings": "setting", "secrets": "secret"}[part]
    known = names_of(schema, part) if schema else value.keys()
    found: dict[str, Any] = {}
    for name, item in value.items():
        if name not in known:
            faults.append((f"{part}.{name[:64]}", "unknown_field", no_such(word, known)))
        elif part == "settings":
            found[name] = item
        elif not _is_shown(item):
            problems = [] if item is None else list(is_text(item))
            faults += [(f"secrets.{name}", "invalid_type", text) for _, text in problems]
            found[name] = item or None
    return found


def _is_shown(item: object) -> bool:
    return isinstance(item, dict) and item.keys() == {"is_set"}


def _completed(given: ProviderChanges) -> ProviderChanges:
    settings = {key: value for key, value in given.get("settings", {}).items() if value is not None}
    defaults = {name: _default(name) for name in _COLUMNS if name != "name"}
    changes: ProviderChanges = {**defaults, **given, "settings": settings}  # type: ignore[typeddict-item]  # columns are its keys
    return changes


def _default(column: str) -> Any:
    field: Field[Any, Any] = Provider._meta.get_field(column)  # type: ignore[assignment]  # a column, no relation
    return field.get_default()


def present(provider: Provider, now: datetime) -> dict[str, Any]:
    """Return an account as the API shows it; of its secrets only which are set.

    It comes `with_sealed_secrets`, with usage and health.
    """
    shown = {name: getattr(provider, name) for name in _COLUMNS}
    return {
        "id": provider.pk,
        "kind": provider.kind,
        **shown,
        **{name: price_text(Decimal(shown[name])) for name in _AMOUNTS},
        "settings": provider.settings,
        "secrets": _present_secrets(provider),
        "shared": provider.owner_id is None,
        "state": present_state(provider, now),
        "created_at": provider.created_at,
        "updated_at": provider.updated_at,
    }


def _present_secrets(provider: Provider) -> dict[str, dict[str, bool | None]]:
    """Return which secrets are set; None where no configured key can read them."""
    sealed: str | None = getattr(provider, "sealed_secrets", None)
    schema = SCHEMAS.get(provider.kind)
    known = sorted(names_of(schema, "secrets")) if schema else []
    try:
        kept: Mapping[str, str] = {} if sealed is None else decrypt(sealed)
    except DecryptionError:
        return {name: {"is_set": None} for name in known}
    return {name: {"is_set": bool(kept.get(name))} for name in known}
