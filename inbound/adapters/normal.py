"""From a provider's event to our words: a pure decision."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from delivery.models import SuppressionReason
from delivery.states import EventKind
from inbound.adapters.readers import Reader, reader_in
from mailservice.core.addresses import normalized
from providers.adapters.esp.messages import METADATA_KEY
from providers.adapters.esp.webhooks import HOOKS
from providers.bounces import BounceClass, BounceVerdict, Side, status_in

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN = {
    "delivered": EventKind.DELIVERED,
    "deferred": EventKind.DELAYED,
    "complained": EventKind.COMPLAINED,
    "opened": EventKind.OPENED,
    "clicked": EventKind.CLICKED,
    "unsubscribed": EventKind.UNSUBSCRIBED,
    "autoresponded": EventKind.AUTO_REPLIED,
}
#: What readers do.
_READINGS = frozenset({EventKind.OPENED, EventKind.CLICKED})
_REFUSALS = frozenset({"bounced", "rejected", "failed"})
_TRANSIENT = BounceVerdict(BounceClass.TRANSIENT, is_hard=False)
_BY_REASON = {
    "invalid": BounceVerdict(BounceClass.ADDRESS, is_hard=True, side=Side.RECIPIENT),
    "timed_out": _TRANSIENT,
    # Of whom, the provider does not say: of the recipient as well as of us.
    "blocked": BounceVerdict(BounceClass.POLICY, is_hard=False),
    "unsubscribed": BounceVerdict(BounceClass.POLICY, is_hard=False, side=Side.RECIPIENT),
    "spam": BounceVerdict(BounceClass.CONTENT, is_hard=False, side=Side.SENDER),
}
# An id as our Message-IDs and metadata have it.
_OUR_ID = re.compile(r"<?([0-9a-f]{32})@[^<>\s]+>?\Z")
_HEX = re.compile(r"[0-9a-f]{32}\Z")
# PostgreSQL stores no NUL, and UTF-8 no half of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LINES = re.compile(r"\s+")
_OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
#: Clocks differ; what lies further ahead is not the time of an event.
_AHEAD = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Heard:
    """One event about one mail, in our words."""

    kind: EventKind
    at: datetime
    key: str
    #: In normal form; empty if the provider does not say whose.
    recipient: str
    detail: str
    data: Mapping[str, Any] | None
    suppress: SuppressionReason | None
    #: Our id, if the event carries it.
    message_id: UUID | None
    #: The provider's id of the mail; empty if metadata has ours.
    remote_id: str
    #: Who opened or clicked; None for all else.
    reader: Reader | None = None


def heard(event: Any, *, kind: str, received_at: datetime) -> Heard | None:
    """Return what an event of anymail says, or None if it says nothing of a mail's fate."""
    verdict = _verdict(event, kind)
    meaning, suppress = _meaning(event, verdict)
    if meaning is None:
        return None
    remote_id = _text(event.message_id, 200)
    ours = _metadata_id(event.metadata)
    reader = reader_in(event, kind=kind) if meaning in _READINGS else None
    return Heard(
        kind=meaning,
        at=_moment(event.timestamp, received_at),
        key=_key(event, kind),
        recipient="" if _is_guess(event, kind) else _address(event.recipient),
        detail=_detail(event),
        data=_data(event, verdict, reader),
        suppress=suppress,
        message_id=ours or _header_id(remote_id),
        remote_id="" if ours else remote_id,
        reader=reader,
    )


def _verdict(event: Any, kind: str) -> BounceVerdict | None:
    """Return why a mail came back or waits; None if the event tells of neither."""
    what = str(event.event_type)
    if what not in _REFUSALS | {"deferred"}:
        return None
    verdict = HOOKS[kind].verdict(event.esp_event, _reply(event))
    if verdict.bounce_class is not BounceClass.UNKNOWN:
        return verdict
    # Without a reply that tells, anymail's reading of the provider's own words does.
    return _TRANSIENT if what == "deferred" else _BY_REASON.get(str(event.reject_reason), verdict)


def _reply(event: Any) -> str:
    return _text(event.mta_response, 2000)


def _meaning(
    event: Any, verdict: BounceVerdict | None
) -> tuple[EventKind | None, SuppressionReason | None]:
    what = str(event.event_type)
    if what == "complained":
        return EventKind.COMPLAINED, SuppressionReason.COMPLAINT
    if what not in _REFUSALS:
        return _PLAIN.get(what), None
    if verdict is not None and verdict.is_hard:
        return EventKind.BOUNCED, SuppressionReason.HARD_BOUNCE
    return EventKind.SOFT_BOUNCED, None


def _is_guess(event: Any, kind: str) -> bool:
    """Tell whether the recipient named need not be whom the event is about."""
    if HOOKS[kind].guesses_recipient:
        return True
    if kind != "amazon_ses" or str(event.event_type) not in {"opened", "clicked"}:
        return False
    mail = event.esp_event.get("mail") if isinstance(event.esp_event, dict) else None
    return len((mail or {}).get("destination") or ()) > 1


def _moment(stamp: Any, received_at: datetime) -> datetime:
    """Return when it happened; what no clock can have shown is when it came."""
    if not isinstance(stamp, datetime) or stamp.tzinfo is None:
        return received_at
    return stamp if _OLDEST <= stamp <= received_at + _AHEAD else received_at


def _key(event: Any, kind: str) -> str:
    """Return what is the same however often the provider posts the event."""
    given = event.event_id
    if kind == "mailgun" and isinstance(event.esp_event, dict):
        # anymail has the token of the signature, which a repeated post has anew.
        given = (event.esp_event.get("event-data") or {}).get("id") or given
    if given:
        return _text(given, 200)
    raw = event.esp_event
    content = dict(raw) if hasattr(raw, "keys") else str(raw)
    # Not orjson, which refuses half a surrogate pair.
    packed = json.dumps(content, default=str, sort_keys=True)
    return hashlib.blake2b(packed.encode(), digest_size=16).hexdigest()


def _metadata_id(metadata: Any) -> UUID | None:
    given = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    return UUID(given) if isinstance(given, str) and _HEX.match(given) else None


def _header_id(remote_id: str) -> UUID | None:
    """Return our id of the message if this looks like our own Message-ID."""
    found = _OUR_ID.match(remote_id)
    return UUID(found[1]) if found else None


def _address(recipient: Any) -> str:
    text = _text(recipient, 320)
    return normalized(text) if "@" in text else ""


def _detail(event: Any) -> str:
    return _text(event.mta_response, 500) or _text(event.description, 500)


def _data(
    event: Any, verdict: BounceVerdict | None, reader: Reader | None
) -> dict[str, Any] | None:
    found = {
        **(verdict.data if verdict else {}),
        "code": status_in(_reply(event)),
        "reason": _text(event.reject_reason, 40),
        "url": _text(event.click_url, 2000),
        "user_agent": _text(reader.user_agent if reader else event.user_agent, 500),
    }
    return {name: value for name, value in found.items() if value} or None


def _text(value: Any, limit: int) -> str:
    """Return anything as one line that can be stored."""
    if value is None:
        return ""
    return _LINES.sub(" ", _UNSTORABLE.sub("", str(value))).strip()[:limit]
