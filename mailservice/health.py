"""Probes for load balancers and orchestrators."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from mailservice.core.broker import BrokerError, redis_client


@require_safe
def livez(_request: HttpRequest) -> JsonResponse:
    """Answer 200 while the process serves requests."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if mail can be accepted, else 503.

    Acceptance needs the database; without the broker mail is accepted and waits for the sweep, so a
    missing broker is reported, not fatal.
    """
    checks = {"database": _database(), "broker": _broker()}
    is_ready = checks["database"] == "ok"
    return JsonResponse(
        {"status": "ok" if is_ready else "unavailable", "checks": checks},
        status=200 if is_ready else 503,
    )


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unreachable"
    return "ok"


def _broker() -> str:
    try:
        redis_client().ping()
    except (BrokerError, OSError):
        return "unreachable"
    return "ok"
