"""What the delivery views read from requests: input, ids and who is asking."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings

from delivery.blobs import store_blob
from delivery.intake import Limits, from_multipart
from delivery.services.accept import Sender
from mailservice.core.errors import NotFoundError
from mailservice.core.rest import RequestTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from rest_framework.request import Request

    from accounts.models import ApiKey
    from delivery.intake import MessageInput


@lru_cache(maxsize=1)
def limits() -> Limits:
    """Return the configured bounds of one request."""
    return Limits(
        max_recipients=settings.MAX_RECIPIENTS,
        max_batch=settings.MAX_BATCH,
        max_message_bytes=settings.MAX_MESSAGE_BYTES,
        max_attachment_bytes=settings.MAX_ATTACHMENT_BYTES,
    )


def is_multipart(request: Request) -> bool:
    """Tell whether the body is multipart/form-data."""
    return (request.content_type or "").startswith("multipart/")


def json_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request; an empty body is an empty object."""
    data = request.data
    return data if isinstance(data, dict) else {}


def message_data(request: Request) -> dict[str, object]:
    """Return the object that describes a message, from JSON or multipart."""
    if not is_multipart(request):
        return json_body(request)
    require_size(request)
    return from_multipart(request.POST, request.FILES, limits=limits())


def require_size(request: Request) -> None:
    """Raise `RequestTooLargeError` before files are read: Django's own bound leaves them out."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise RequestTooLargeError("The request body is too large.")


def store_files(messages: Iterable[MessageInput], *, now: datetime) -> None:
    """Store inline attachments before the transaction that refers to them.

    Were they first stored inside, a rollback would leave their bytes behind without a row.
    """
    seen: set[int] = set()
    for message in messages:
        for attachment in message.attachments:
            if attachment.content is not None and id(attachment) not in seen:
                seen.add(id(attachment))
                store_blob(attachment.content, now=now)


def sender_of(api_key: ApiKey) -> Sender:
    """Return on whose behalf a key sends."""
    return Sender(user_id=api_key.user_id, api_key_id=api_key.pk, is_test=api_key.is_test)


def actor_of(api_key: ApiKey) -> str:
    """Return how a key is named in events."""
    return f"key:{api_key.prefix}"


def uuid_or_none(text: object) -> UUID | None:
    """Return the id, None for what is none."""
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def require_uuid(text: str, what: str) -> UUID:
    """Return the id in a path. Raises `NotFoundError`: a malformed one reads as an unknown one."""
    found = uuid_or_none(text)
    if found is None:
        raise NotFoundError(f"There is no such {what}.")
    return found
