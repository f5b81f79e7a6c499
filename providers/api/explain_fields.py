"""The question of `/routing/explain` and its answer."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mailservice.core.addresses import AddressError, domain_of, normalized, parse_address
from providers.api.reading import (
    Faults,
    are_texts,
    as_amount,
    as_id,
    is_flag,
    is_id,
    is_number,
    is_text,
    read_members,
)
from providers.pricing import MAX_PRICE
from providers.routing import MessageFacts, WhatIf

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from providers.api.reading import Table
    from providers.routing import Decision, Snapshot

MAX_RECIPIENTS = 1_000
_MAX_INTEGER = 2_147_483_647
_LOWEST_PRIORITY = 5
_FIELDS: Table = {
    "email_type": ("email_type", is_text),
    "tags": ("tags", are_texts),
    "size_bytes": ("size_bytes", is_number),
    "has_attachments": ("has_attachments", is_flag),
    "priority": ("priority", is_number),
    "provider_id": ("pinned_provider_id", is_id),
    "api_key_id": ("api_key_id", is_id),
}
_ELSEWHERE = frozenset({"from", "to", "what_if"})
_SUPPOSED = frozenset({"down", "price", "remaining"})
_BOUNDS = {"size_bytes": (0, _MAX_INTEGER), "priority": (1, _LOWEST_PRIORITY)}


def read_question(
    data: object, *, owner_id: UUID, api_key_id: UUID, known: frozenset[UUID]
) -> tuple[MessageFacts, WhatIf]:
    """Return facts and suppositions. Raises `InvalidInputError` with every fault.

    `known` are the accounts that the asker may know of; `api_key_id` counts if none is named.
    """
    faults = Faults()
    members = data.items() if isinstance(data, dict) else ()
    given: dict[str, Any] = {key: value for key, value in members if value is not None}
    found = read_members(given, _FIELDS, faults, ignored=_ELSEWHERE)
    for name, (least, most) in _BOUNDS.items():
        if name in found and not least <= found[name] <= most:
            faults.append((name, "out_of_range", f"Must be from {least} to {most:,}."))
    pinned = as_id(found.get("pinned_provider_id"))
    if pinned is not None and pinned not in known:
        faults.append(("provider_id", "not_found", "There is no such provider."))
    facts = MessageFacts(
        owner_id=owner_id,
        email_type=found.get("email_type", "transactional"),
        from_email=_read_from(given.get("from"), faults),
        pinned_provider_id=pinned,
        api_key_id=as_id(found.get("api_key_id")) or api_key_id,
        tags=frozenset(found.get("tags", ())),
        recipient_domains=_read_to(given.get("to"), faults),
        size_bytes=found.get("size_bytes", 0),
        has_attachments=found.get("has_attachments", False),
        priority=found.get("priority", MessageFacts(owner_id, "", "").priority),
        recipient_count=max(1, len(given["to"])) if isinstance(given.get("to"), list) else 1,
    )
    what_if = _read_what_if(given.get("what_if"), known, faults)
    faults.raise_if_any()
    return facts, what_if


def _read_from(value: object, faults: Faults) -> str:
    if value in (None, ""):
        return ""
    try:
        return parse_address(value).email
    except AddressError as error:
        faults.append(("from", error.code, error.message))
        return ""


def _read_to(value: object, faults: Faults) -> frozenset[str]:
    items = value if isinstance(value, list) else [value] if value else []
    if len(items) > MAX_RECIPIENTS:
        faults.append(("to", "too_many", f"At most {MAX_RECIPIENTS:,} recipients."))
        return frozenset()
    domains = set()
    for place, item in enumerate(items):
        path = f"to[{place}]" if isinstance(value, list) else "to"
        try:
            domains.add(domain_of(normalized(parse_address(item).email)))
        except AddressError as error:
            faults.append((path, error.code, error.message))
    return frozenset(domains)


def _read_what_if(value: object, known: frozenset[UUID], faults: Faults) -> WhatIf:
    if value is None:
        return WhatIf()
    read_members(value, {}, faults, path="what_if", ignored=_SUPPOSED)
    given = value if isinstance(value, dict) else {}
    down: dict[str, Any] = {}
    items = given.get("down") or []
    if isinstance(items, list):
        down = {f"[{place}]": item for place, item in enumerate(items)}
    else:
        faults.append(("what_if.down", "invalid_type", "This must be a list of ids."))
    ids = [_known_id(item, f"what_if.down{path}", known, faults) for path, item in down.items()]
    return replace(
        WhatIf(down=frozenset(found for found in ids if found)),
        price=_read_map(given.get("price"), "what_if.price", known, faults, _price),
        remaining=_read_map(given.get("remaining"), "what_if.remaining", known, faults, _count),
    )


def _read_map(
    value: object,
    path: str,
    known: frozenset[UUID],
    faults: Faults,
    read: Callable[[object], tuple[Any, str]],
) -> dict[UUID, Any]:
    """Return values by account; `read` returns a value and what is wrong with it."""
    if value is not None and not isinstance(value, dict):
        faults.append((path, "invalid_type", "This must be an object: id to value."))
    found: dict[UUID, Any] = {}
    for key, item in value.items() if isinstance(value, dict) else ():
        place = f"{path}.{key[:64]}"
        provider_id = _known_id(key, place, known, faults)
        amount, wrong = read(item)
        if wrong:
            faults.append((place, "invalid", wrong))
        elif provider_id is not None:
            found[provider_id] = amount
    return found


def _known_id(value: object, path: str, known: frozenset[UUID], faults: Faults) -> UUID | None:
    found = as_id(value)
    if found in known:
        return found
    faults.append((path, "not_found", "There is no such provider."))
    return None


def _price(value: object) -> tuple[Decimal, str]:
    price = as_amount(value)
    if price is not None and price.is_finite() and 0 <= price <= MAX_PRICE:
        return price, ""
    return Decimal(0), f"This must be a number from 0 to {MAX_PRICE:,}."


def _count(value: object) -> tuple[int | None, str]:
    if value is None:
        return None, ""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_INTEGER
    if is_count:
        return value, ""  # type: ignore[return-value]  # checked
    return None, "This must be a whole number, or null for no limit."


def present_decision(decision: Decision, snapshot: Snapshot) -> dict[str, Any]:
    """Return the answer; `snapshot` is the one that was asked."""
    chosen = snapshot.by_id.get(decision.provider_id) if decision.provider_id else None
    body = decision.as_json()
    return {
        "chosen": {"provider": chosen.provider_id, "name": chosen.name} if chosen else None,
        "explanation": decision.in_words(),
        "reason": body["reason"],
        "rule": body["rule"],
        "strategy": body["strategy"],
        "retry_at": decision.retry_at,
        "hopeless": decision.is_hopeless,
        "candidates": body["candidates"],
    }
