"""Endpoints and deliveries as the API shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from webhooks.models import Attempt, Delivery, Endpoint
    from webhooks.queue.claims import Result


def present_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    """Return an endpoint, never its secret."""
    return {
        "id": endpoint.pk,
        "url": endpoint.url,
        "description": endpoint.description,
        "kinds": endpoint.kinds,
        "reaches_all": endpoint.reaches_all,
        "active": endpoint.is_active,
        "disabled_at": endpoint.disabled_at,
        "disabled_reason": endpoint.disabled_reason or None,
        "failing_since": endpoint.failing_since,
        "paused_until": endpoint.paused_until,
        "previous_secret_expires_at": endpoint.previous_secret_expires_at,
        "created_at": endpoint.created_at,
    }


def present_delivery(delivery: Delivery, attempts: list[Attempt]) -> dict[str, Any]:
    """Return a delivery with what was sent and every try."""
    occurrence = delivery.occurrence
    return {
        "id": delivery.pk,
        "webhook_id": occurrence.pk,
        "type": occurrence.kind,
        "email_id": occurrence.message_id,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "due_at": delivery.due_at if delivery.status == "pending" else None,
        "last_code": delivery.last_code or None,
        "last_error": delivery.last_error or None,
        "created_at": occurrence.created_at,
        "payload": occurrence.payload,
        "log": [
            {
                "at": each.at,
                "duration_ms": each.duration_ms,
                "code": each.code or None,
                "response": each.response,
                "error": each.error or None,
            }
            for each in attempts
        ],
    }


def present_result(delivery_id: UUID, result: Result) -> dict[str, Any]:
    """Return how a request just made went."""
    return {
        "delivery_id": delivery_id,
        "webhook_id": result.claimed.occurrence_id,
        "ok": result.is_ok,
        "code": result.code or None,
        "duration_ms": result.duration_ms,
        "response": result.response,
        "error": result.error or None,
    }
