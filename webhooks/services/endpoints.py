"""Endpoints: made, changed, rotated, switched on and off, deleted."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from django.conf import settings
from django.db import transaction

from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from mailservice.core.http import InvalidUrlError, parse_url
from mailservice.core.networks import is_public
from mailservice.core.signing import SECRET_PREFIX
from mailservice.core.sql import advisory_key, database_now, lock_for_transaction
from webhooks.kinds import MEANINGS
from webhooks.models import DESCRIPTION_CHARS, Endpoint
from webhooks.queue.health import close_alarm, heed_endpoints

if TYPE_CHECKING:
    from uuid import UUID

#: Of one user.
MAX_ENDPOINTS = 50
#: After a rotation the old secret signs too for so long.
OVERLAP = timedelta(hours=24)
_SECRET_BYTES = 32


class EndpointChanges(TypedDict, total=False):
    """What may be set of an endpoint."""

    url: str
    description: str
    kinds: list[str]
    reaches_all: bool
    is_active: bool


@dataclass(frozen=True, slots=True)
class WithSecret:
    """An endpoint with the secret that is shown this once."""

    endpoint: Endpoint
    secret: str = field(repr=False)


def create_endpoint(*, owner_id: UUID, values: EndpointChanges) -> WithSecret:
    """Make an endpoint. Raises `InvalidInputError` naming every faulty field, `ConflictError`."""
    if not values.get("url"):
        raise InvalidInputError.for_field("url", "This field is required.", code="required")
    check_values(values)
    secret = _new_secret()
    with transaction.atomic():
        lock_for_transaction(advisory_key("webhooks", "owner", owner_id))
        if Endpoint.objects.filter(owner_id=owner_id).count() >= MAX_ENDPOINTS:
            raise ConflictError(f"A user has at most {MAX_ENDPOINTS} endpoints; delete one first.")
        endpoint = Endpoint(owner_id=owner_id, secret=secret)
        _set(endpoint, values)
        endpoint.save(force_insert=True)
        heed_endpoints()
    return WithSecret(endpoint, secret)


def update_endpoint(endpoint_id: UUID, values: EndpointChanges) -> Endpoint:
    """Change what is given; another URL or switching on begins with a clean slate.

    Raises `InvalidInputError`, `NotFoundError`.
    """
    check_values(values)
    with transaction.atomic():
        endpoint = _locked(endpoint_id)
        was_url, was_active = endpoint.url, endpoint.is_active
        _set(endpoint, values)
        if endpoint.url != was_url or (endpoint.is_active and not was_active):
            endpoint.failing_since = endpoint.last_failed_at = endpoint.paused_until = None
        endpoint.save()
        heed_endpoints()
        if endpoint.is_active and not was_active:
            close_alarm(endpoint.pk, "The endpoint was enabled.")
    return endpoint


def rotate_secret(endpoint_id: UUID) -> WithSecret:
    """Make a new secret; for 24 hours requests carry signatures of the new and the old one."""
    secret = _new_secret()
    with transaction.atomic():
        endpoint = _locked(endpoint_id)
        endpoint.previous_secret = endpoint.secret
        endpoint.previous_secret_expires_at = database_now() + OVERLAP
        endpoint.secret = secret
        endpoint.save()
    return WithSecret(endpoint, secret)


def delete_endpoint(endpoint_id: UUID) -> None:
    """Delete an endpoint; its deliveries are sent no more and go with time."""
    with transaction.atomic():
        if Endpoint.objects.filter(pk=endpoint_id).delete()[0]:
            heed_endpoints()
            close_alarm(endpoint_id, "The endpoint was deleted.")


def check_values(values: EndpointChanges) -> None:
    """Raise `InvalidInputError` with every fault of the values given."""
    faults: list[tuple[str, str, str]] = []
    if "url" in values:
        faults += [("url", "invalid", text) for text in _url_faults(values["url"])]
    if len(values.get("description", "")) > DESCRIPTION_CHARS:
        text = f"Use {DESCRIPTION_CHARS} characters at most."
        faults.append(("description", "too_long", text))
    for place, kind in enumerate(values.get("kinds", [])):
        if kind not in MEANINGS:
            text = f"There is no kind {kind[:64]!r}; see /webhooks/kinds."
            faults.append((f"kinds[{place}]", "unknown_kind", text))
    if faults:
        raise InvalidInputError.for_fields(faults[:100])


def _url_faults(url: str) -> list[str]:
    try:
        parsed = parse_url(url)
    except InvalidUrlError as error:
        return [error.message]
    # Names are looked up when something is sent; an address can be judged at once.
    is_address = ":" in parsed.host or parsed.host.replace(".", "").isdigit()
    if is_address and not settings.OUTGOING_HTTP_ALLOW_PRIVATE and not is_public(parsed.host):
        return ["That address lies in a private or reserved network, where requests must not go."]
    return []


def _set(endpoint: Endpoint, values: EndpointChanges) -> None:
    endpoint.url = values.get("url", endpoint.url)
    endpoint.description = values.get("description", endpoint.description)
    endpoint.reaches_all = values.get("reaches_all", endpoint.reaches_all)
    if "kinds" in values:
        endpoint.kinds = sorted(set(values["kinds"]))
    is_active = values.get("is_active", endpoint.is_active)
    if is_active and not endpoint.is_active:
        endpoint.disabled_at, endpoint.disabled_reason = None, ""
    elif not is_active and endpoint.is_active:
        endpoint.disabled_at, endpoint.disabled_reason = database_now(), "Switched off by hand."
    endpoint.is_active = is_active


def _locked(endpoint_id: UUID) -> Endpoint:
    rows = Endpoint.objects.select_for_update().filter(pk=endpoint_id)
    endpoint = rows.defer("previous_secret").first()
    if endpoint is None:
        raise NotFoundError("There is no such webhook endpoint.")
    return endpoint


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(os.urandom(_SECRET_BYTES)).decode()
