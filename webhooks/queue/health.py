"""How endpoints are: failing since when, paused, or switched off for good reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Case, F, When
from django.db.models.functions import Coalesce, Greatest

from alerts.models import Severity
from alerts.services import close_alert, open_alert
from delivery.announcements import KINDS, listen_to
from mailservice.core.http import OutgoingHttpError, parse_url
from mailservice.core.presentation import console_path
from mailservice.core.sql import advisory_key, lock_for_transaction
from webhooks.kinds import ANNOUNCED
from webhooks.models import REASON_CHARS, Endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

#: An endpoint that fails for so long without a success is switched off.
PATIENCE = timedelta(days=5)
#: After so long without a failure a new one says nothing of the time between: nothing was told
#: then. Tries of one delivery lie at most half as far apart.
SILENCE = timedelta(days=1)
ALERT_KIND = "webhook.disabled"
_LISTENERS = advisory_key("webhooks", "listeners")


@dataclass(slots=True)
class Verdicts:
    """What the requests to one endpoint told of it."""

    has_success: bool = False
    has_failure: bool = False
    error: str = ""
    pause_seconds: float = 0.0
    is_gone: bool = False

    def add_failure(
        self, error: str, *, pause_seconds: float, is_gone: bool, is_trial: bool = False
    ) -> None:
        """Note a failed request; that of a trial is no sign that mail is not told."""
        self.has_failure |= not is_trial
        self.error = error
        self.pause_seconds = max(self.pause_seconds, pause_seconds)
        self.is_gone |= is_gone


def note_health(verdicts: Mapping[UUID, Verdicts], now: datetime) -> None:
    """Write down what was learnt of endpoints, within the caller's transaction."""
    for endpoint_id, verdict in sorted(verdicts.items()):
        endpoints = Endpoint.objects.filter(pk=endpoint_id)
        if verdict.pause_seconds:
            until = now + timedelta(seconds=verdict.pause_seconds)
            endpoints.update(paused_until=Greatest(Coalesce(F("paused_until"), until), until))
        if verdict.has_success:
            endpoints.filter(failing_since__isnull=False).update(failing_since=None)
        elif verdict.has_failure:
            _note_failure(endpoint_id, now)
            _give_up(endpoint_id, verdict, now)
        if verdict.is_gone:
            disable(endpoint_id, "The receiver answered 410: it is gone.", now=now)


def _note_failure(endpoint_id: UUID, now: datetime) -> None:
    """Go on with the row of failures, or begin one; in one statement, for others do so too."""
    goes_on = When(
        failing_since__isnull=False, last_failed_at__gt=now - SILENCE, then=F("failing_since")
    )
    Endpoint.objects.filter(pk=endpoint_id).update(
        failing_since=Case(goes_on, default=now),
        # Who waited for the row comes with an earlier time.
        last_failed_at=Greatest(Coalesce(F("last_failed_at"), now), now),
    )


def _give_up(endpoint_id: UUID, verdict: Verdicts, now: datetime) -> None:
    long = Endpoint.objects.filter(pk=endpoint_id, failing_since__lte=now - PATIENCE)
    if long.exists():
        reason = f"Nothing was taken for {PATIENCE.days} days. {verdict.error}"
        disable(endpoint_id, reason, now=now)


def disable(endpoint_id: UUID, reason: str, *, now: datetime) -> bool:
    """Switch an endpoint off and raise the alarm; False if it was off."""
    reason = reason.strip()[:REASON_CHARS]
    changed = Endpoint.objects.filter(pk=endpoint_id, is_active=True).update(
        is_active=False, disabled_at=now, disabled_reason=reason
    )
    if not changed:
        return False
    heed_endpoints()
    endpoint = Endpoint.objects.defer("secret", "previous_secret").get(pk=endpoint_id)
    open_alert(
        kind=ALERT_KIND,
        subject=str(endpoint_id),
        severity=Severity.WARNING,
        title=f"Webhook endpoint switched off: {host_of(endpoint.url)}",
        detail=f"{reason}\nWhat happens from now on is not told to it. Once it answers again, "
        "enable it; deliveries that failed can be replayed.",
        link=console_path("webhooks_endpoint_change", endpoint_id),
    )
    return True


def close_alarm(endpoint_id: UUID, detail: str) -> None:
    """End the alarm of an endpoint, if there is one."""
    close_alert(kind=ALERT_KIND, subject=str(endpoint_id), detail=detail)


def heed_endpoints() -> None:
    """Have just that announced which an active endpoint wants; within a transaction."""
    lock_for_transaction(_LISTENERS)
    wanted: set[str] = set()
    for kinds in Endpoint.objects.filter(is_active=True).values_list("kinds", flat=True):
        wanted |= set(kinds or KINDS)
    listen_to(sorted(wanted & ANNOUNCED))


def host_of(url: str) -> str:
    """Return where a URL leads, without its path, which may be a secret."""
    try:
        return parse_url(url).netloc
    except OutgoingHttpError:
        return "?"
