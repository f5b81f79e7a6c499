"""Questions about alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Case, IntegerField, Value, When

from alerts.models import Alert, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def open_alerts(limit: int = 20) -> list[Alert]:
    """Return what is not over, the gravest first, of these the newest."""
    rank = Case(When(severity=Severity.CRITICAL, then=Value(0)), default=Value(1))
    rank.output_field = IntegerField()
    return list(Alert.objects.open().order_by(rank, "-opened_at")[:limit])


def open_severities(kinds: Iterable[str]) -> Mapping[tuple[str, str], str]:
    """Return the severity of every open alert of these kinds, by (kind, subject)."""
    rows = Alert.objects.open().of_kinds(kinds).values_list("kind", "subject", "severity")
    return {(kind, subject): severity for kind, subject, severity in rows}
