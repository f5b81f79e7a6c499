"""`/emails`: send, list, read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from delivery.api import presenters
from delivery.api.filters import read_criteria, read_page
from delivery.api.requests import (
    json_body,
    limits,
    message_data,
    require_uuid,
    sender_of,
    store_files,
)
from delivery.intake import parse_batch, parse_message
from delivery.models import Message
from delivery.selectors import message_content, message_history, message_page, message_summary
from delivery.services.accept import queue_message, queue_messages
from delivery.services.accept_once import queue_message_once
from delivery.services.deliverable import undeliverable
from delivery.services.idempotency import Answer
from delivery.states import Status
from mailservice.core.errors import DomainError, InvalidInputError, NotFoundError
from mailservice.core.ids import uuid7
from mailservice.core.rest import (
    OrjsonParser,
    dump_json,
    encode_cursor,
    error_body,
    page_body,
    refuse_unknown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from rest_framework.request import Request

    from delivery.intake import BatchInput, MessageInput
    from delivery.selectors import Criteria
    from delivery.services.accept import Accepted
    from delivery.services.idempotency import Claim

READ_AND_SEND = {"GET": Scope.EMAILS_READ, "POST": Scope.EMAILS_SEND}


class Emails(APIView):
    """Send a message, or list messages."""

    scopes = READ_AND_SEND
    parser_classes = [OrjsonParser, MultiPartParser]

    def get(self, request: Request) -> Response:
        """List the key's messages, newest first."""
        return _list(request, read_criteria(request.query_params))

    def prepare(self, request: Request) -> MessageInput:
        """Read the message, and store its files."""
        now = timezone.now()
        message = parse_message(message_data(request), now=now, limits=limits())
        if message.validate:
            (error,) = undeliverable([message])
            if error is not None:
                raise error
        store_files([message], now=now)
        return message

    def post(self, request: Request, *, prepared: MessageInput) -> Response:
        """Accept a message."""
        accepted = queue_message(message=prepared, sender=sender_of(key_of(request)))
        return Response(_accepted(accepted), status=202)

    def post_once(self, request: Request, claim: Claim, *, prepared: MessageInput) -> Answer | None:
        """Accept a message under an idempotency key with one statement, where that is enough."""
        return queue_message_once(
            message=prepared,
            sender=sender_of(key_of(request)),
            claim=claim,
            present=lambda accepted: Answer(202, dump_json(_accepted(accepted))),
        )


def _accepted(accepted: Accepted) -> dict[str, Any]:
    row = presenters.accepted_row(accepted)
    return {"message": _sentence(accepted), **presenters.summary(row)}


def _sentence(accepted: Accepted) -> str:
    if accepted.status is Status.SCHEDULED:
        return f"The email is scheduled for {accepted.row['due_at'].isoformat()}."
    if accepted.row["is_test"]:
        return "The email is queued as a test: nothing will leave."
    return "The email is queued for delivery."


class EmailBatch(APIView):
    """Send many messages with one request."""

    scopes = {"POST": Scope.EMAILS_SEND}

    def prepare(self, request: Request) -> BatchInput:
        """Read the batch, and store its files."""
        now = timezone.now()
        batch = _without_undeliverable(parse_batch(json_body(request), now=now, limits=limits()))
        store_files((item.message for item in batch.items if item.message is not None), now=now)
        return batch

    def post(self, request: Request, *, prepared: BatchInput) -> Response:
        """Accept what can be accepted; each item has its own result, in order."""
        batch_id = uuid7()
        given = [item for item in prepared.items if item.message is not None]
        outcomes = queue_messages(
            messages=[item.message for item in given if item.message is not None],
            sender=sender_of(key_of(request)),
            group_id=batch_id,
            is_shared_content=prepared.is_shared_content,
        )
        by_index = {item.index: outcome for item, outcome in zip(given, outcomes, strict=True)}
        results = [
            _result(item.index, item.error or by_index[item.index]) for item in prepared.items
        ]
        rejected = sum("error" in result for result in results)
        return Response(
            {
                "message": f"{len(results) - rejected} of {len(results)} emails are accepted.",
                "batch_id": batch_id,
                "accepted": len(results) - rejected,
                "rejected": rejected,
                "results": results,
            },
            status=202,
        )


def _without_undeliverable(batch: BatchInput) -> BatchInput:
    """Return the batch with errors in place of the messages that asked for a look and failed it."""
    errors = undeliverable([item.message for item in batch.items])
    if not any(errors):
        return batch
    items = (
        item if error is None else replace(item, message=None, error=error)
        for item, error in zip(batch.items, errors, strict=True)
    )
    return replace(batch, items=tuple(items))


def _result(index: int, outcome: Accepted | DomainError) -> dict[str, Any]:
    if isinstance(outcome, DomainError):
        error = error_body(outcome.code, outcome.message, outcome.details)
        return {"index": index, "error": error}
    return {"index": index, "email_id": outcome.message_id, "status": outcome.status.value}


class EmailsByStatus(APIView):
    """List messages in one status."""

    scopes = READ_AND_SEND

    def get(self, request: Request, status: str) -> Response:
        """List the key's messages of this status, newest first."""
        criteria = read_criteria(request.query_params, fixed=frozenset({"status"}))
        if status not in Status.values:
            raise InvalidInputError.for_field(
                "status", f"Known are {', '.join(Status.values)}.", code="invalid_choice"
            )
        return _list(request, replace(criteria, statuses=frozenset({status})))


class Email(APIView):
    """Read one message."""

    scopes = READ_AND_SEND

    def get(self, request: Request, message_id: str) -> Response:
        """Return a message with its history; its bodies too for `?include=content`."""
        refuse_unknown(request.query_params, {"include"})
        include = {part for part in request.query_params.get("include", "").split(",") if part}
        if include - {"content"}:
            raise InvalidInputError.for_field("include", 'Known is "content".')
        row = find(request, message_id)
        body = presenters.detail(row, message_history(row["id"]))
        if include:
            body["content"] = presenters.bodies(message_content(row["id"]), row)
        return Response(body)


def find(request: Request, message_id: str) -> Mapping[str, Any]:
    """Return the message's row. Raises `NotFoundError`, also for somebody else's message."""
    wanted: UUID = require_uuid(message_id, "email")
    row = message_summary(Message.objects.visible_to(key_of(request)), wanted)
    if row is None:
        raise NotFoundError("There is no such email.")
    return row


def _list(request: Request, criteria: Criteria) -> Response:
    after, limit = read_page(request.query_params)
    page = message_page(
        Message.objects.visible_to(key_of(request)), criteria, after=after, limit=limit
    )
    cursor = encode_cursor(page.next_after) if page.next_after is not None else None
    return Response(page_body([presenters.summary(row) for row in page.rows], cursor))
