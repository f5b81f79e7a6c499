"""The webhook addresses of accounts: made, renewed, given a key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from inbound.adapters.posts import KeyFormatError, check_key
from inbound.models import EventSource
from mailservice.core.errors import InvalidInputError, NotFoundError
from providers.adapters.esp.webhooks import HOOKS
from providers.models import Provider

if TYPE_CHECKING:
    from uuid import UUID

_TOKEN_BYTES = 32
_MAX_TOPIC_CHARS = 300


def hook_url(source: EventSource) -> str:
    """Return the address to enter at the provider; it holds the secret."""
    return f"{settings.PUBLIC_URL}/hooks/{source.provider_id}/{source.token}"


def is_token_of(source: EventSource | None, token: str) -> bool:
    """Tell whether a token is the source's, in the same time whatever is wrong with it."""
    kept = source.token_hash if source else "0" * 64
    return hmac.compare_digest(_hash(token), kept) and source is not None


def source_of(*, provider_id: UUID) -> EventSource:
    """Return the account's address, made now if it has none; the same for all who ask at once.

    Raises `NotFoundError`, and `InvalidInputError` for a kind that posts no events.
    """
    provider = Provider.objects.filter(pk=provider_id).first()
    if provider is None:
        raise NotFoundError("There is no such provider.")
    if provider.kind not in HOOKS:
        raise InvalidInputError.for_field(
            "provider", f"{provider.get_kind_display()} does not post events.", code="unsupported"
        )
    token = _new_token()
    source, _ = EventSource.objects.select_related("provider").get_or_create(
        provider=provider, defaults={"token": token, "token_hash": _hash(token)}
    )
    return source


def renew_token(*, source_id: UUID) -> EventSource:
    """Give the address a new secret; the old one is refused at once. Raises `NotFoundError`."""
    token = _new_token()
    with transaction.atomic():
        source = _locked(source_id)
        source.token, source.token_hash = token, _hash(token)
        source.save(update_fields=["token", "token_hash", "updated_at"])
    return source


def set_trust(
    *, source_id: UUID, key: str | None = None, topic_arn: str | None = None
) -> EventSource:
    """Set with what posts are signed, and which SNS topic is believed; None leaves it as it is.

    An empty key means that the address vouches alone, an empty topic that the next one to subscribe
    is it. Raises `InvalidInputError` and `NotFoundError`.
    """
    with transaction.atomic():
        source = _locked(source_id)
        kind = source.provider.kind
        if key is not None:
            clean = _checked_key(kind, key)
            source.secrets = {"key": clean} if clean else None
        if topic_arn is not None:
            source.topic_arn = _checked_topic(kind, topic_arn)
        source.save(update_fields=["secrets", "topic_arn", "updated_at"])
    return source


def key_of(source: EventSource) -> str:
    """Return with what the account's posts are signed; empty if that is not known."""
    hook = HOOKS[source.provider.kind]
    own = (source.secrets or {}).get("key")
    return str(own or (source.provider.secrets or {}).get(hook.account_secret) or "")


def _locked(source_id: UUID) -> EventSource:
    rows = EventSource.objects.select_related("provider").select_for_update(of=("self",))
    source = rows.filter(pk=source_id).first()
    if source is None:
        raise NotFoundError("There is no such address.")
    return source


def _checked_key(kind: str, key: str) -> str:
    field = HOOKS[kind].key
    # As keys stand in files, with their first and last line.
    clean = _inner(key) if "BEGIN" in key else "".join(key.split())
    if not clean:
        return ""
    if field is None:
        raise InvalidInputError.for_field("key", "This provider signs with no key of its own.")
    problem = field.problem_with(clean)
    if problem:
        raise InvalidInputError.for_field("key", problem)
    try:
        check_key(kind, clean)
    except KeyFormatError as error:
        raise InvalidInputError.for_field("key", str(error)) from error
    return clean


def _inner(pem: str) -> str:
    return "".join(line.strip() for line in pem.splitlines() if not line.startswith("-----"))


def _checked_topic(kind: str, topic_arn: str) -> str:
    topic_arn = topic_arn.strip()
    if topic_arn and kind != "amazon_ses":
        raise InvalidInputError.for_field("topic_arn", "Only Amazon SES posts through topics.")
    if topic_arn and (not topic_arn.startswith("arn:") or len(topic_arn) > _MAX_TOPIC_CHARS):
        raise InvalidInputError.for_field(
            "topic_arn", "Must be the ARN of a topic, such as arn:aws:sns:eu-west-1:123456789012:x."
        )
    return topic_arn


def _new_token() -> str:
    return base64.urlsafe_b64encode(os.urandom(_TOKEN_BYTES)).rstrip(b"=").decode()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
