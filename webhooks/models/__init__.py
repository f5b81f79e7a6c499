"""Endpoints, what is delivered to them, and how that went."""

from webhooks.models.deliveries import (
    ERROR_CHARS,
    EXCERPT_BYTES,
    Attempt,
    Delivery,
    DeliveryState,
    Occurrence,
)
from webhooks.models.endpoints import (
    DESCRIPTION_CHARS,
    REASON_CHARS,
    URL_CHARS,
    Endpoint,
    EndpointQuerySet,
)

__all__ = [
    "DESCRIPTION_CHARS",
    "ERROR_CHARS",
    "EXCERPT_BYTES",
    "REASON_CHARS",
    "URL_CHARS",
    "Attempt",
    "Delivery",
    "DeliveryState",
    "Endpoint",
    "EndpointQuerySet",
    "Occurrence",
]
