"""Working off mail that came back: read, held against our messages, applied, in batches.

A batch is one transaction in which its rows are locked: whoever is killed leaves them as they were,
and doing it twice changes nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from delivery.models import SuppressionReason
from delivery.services.news import News, apply_news
from delivery.states import EventKind
from inbound.bounces import Kind, Told, read
from inbound.models import ReturnedMail, ReturnedStatus
from inbound.selectors.returned import (
    Claim,
    addresses_of,
    claim_that_holds,
    claims_of,
    whom,
)
from inbound.services.batches import RowTable, apply_all_or_each, wait_after
from providers.bounces import BounceClass, classify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from inbound.bounces import Report, Returned
    from inbound.selectors.returned import Whom

logger = logging.getLogger(__name__)

#: Mails worked off in one transaction.
BATCH = 100
ACTOR = "returned mail"
#: A mail's own date counts if it lies between the message's acceptance and its arrival, or nearly.
_SLACK = timedelta(hours=1)
_MILLISECOND_BITS = 80

_MAILS = RowTable(
    "inbound_returnedmail",
    (
        ("kind", "text"),
        ("bounce_class", "text"),
        ("recipient", "text"),
        ("message_id", "uuid"),
    ),
)
_KINDS = {
    Told.DELAYED: EventKind.DELAYED,
    Told.DELIVERED: EventKind.DELIVERED,
    Told.COMPLAINED: EventKind.COMPLAINED,
    Told.ANSWERED: EventKind.AUTO_REPLIED,
    Told.CHALLENGED: EventKind.AUTO_REPLIED,
}
_CLASSES = {Told.ANSWERED: BounceClass.AUTO_REPLY, Told.CHALLENGED: BounceClass.CHALLENGE}
_UNTELLING = {
    Kind.OTHER: "It tells nothing of a mail's fate",
    Kind.FEEDBACK: "The report is no complaint",
    Kind.DSN: "It was only passed on",
}


@dataclass(slots=True)
class WorkedMails:
    """What one batch came to."""

    mails: int = 0
    applied: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Mail:
    """A returned mail in work."""

    row: ReturnedMail
    returned: Returned | None = None
    claims: list[Claim] = field(default_factory=list)
    claim: Claim | None = None
    news: list[News] = field(default_factory=list)
    #: News of a message in a worker's hands.
    waiting: int = 0
    #: Reports about nobody whom the message went to.
    strangers: int = 0
    fault: str = ""


def work_off_returned(*, mail_count: int = BATCH) -> WorkedMails:
    """Work off up to `mail_count` mails that are due; `mails` is 0 if there were none."""
    now = timezone.now()
    with transaction.atomic():
        rows = list(ReturnedMail.objects.due(now).select_for_update(skip_locked=True)[:mail_count])
        if not rows:
            return WorkedMails()
        work = [_read(row) for row in rows]
        _match(work)
        applied = _apply(work)
        _MAILS.write([_written(mail, now) for mail in work])
    return WorkedMails(len(work), applied, sum(1 for mail in work if mail.fault))


def _read(row: ReturnedMail) -> _Mail:
    mail = _Mail(row)
    try:
        mail.returned = read(bytes(row.body), row.envelope_to)
    except Exception as error:
        # The reader never raises; if it does, this mail alone must suffer.
        logger.exception("The returned mail %s cannot be read", row.pk)
        mail.fault = f"Cannot be read: {type(error).__name__}"
        return mail
    if any(_is_telling(report) for report in mail.returned.reports):
        mail.claims = claims_of(mail.returned)
    return mail


def _is_telling(report: Report) -> bool:
    return report.told not in (Told.PASSED_ON, Told.NO_COMPLAINT)


def _match(work: Sequence[_Mail]) -> None:
    """Make news of what belongs to a message."""
    held = addresses_of(claim.message_id for mail in work for claim in mail.claims)
    for mail in work:
        mail.claim = claim_that_holds(mail.claims, held)
        if mail.claim is None or mail.returned is None:
            continue
        addresses = held.get(mail.claim.message_id)
        for report in filter(_is_telling, mail.returned.reports):
            target = whom(report, mail.claim, addresses)
            if target is None:
                mail.strangers += 1
            else:
                mail.news.append(_news(mail, mail.claim.message_id, report, target))


def _news(mail: _Mail, message_id: UUID, report: Report, target: Whom) -> News:
    kind, verdict, suppress = _meaning(report, is_last=target.is_last)
    returned = mail.returned
    assert returned is not None  # noqa: S101 - for the type checker
    data = {
        **verdict,
        "code": report.enhanced or (str(report.code) if report.code else ""),
        "reply": report.text,
    }
    if not target.is_last and report.final:
        data["forwarded_to"] = report.final[0]
    return News(
        message_id=message_id,
        kind=kind,
        at=_happened_at(returned, message_id, mail.row.received_at),
        key=f"returned:{returned.identity}",
        recipient=target.address,
        actor=ACTOR,
        detail=report.text,
        data={name: value for name, value in data.items() if value},
        suppress=suppress,
    )


def _meaning(
    report: Report, *, is_last: bool
) -> tuple[EventKind, dict[str, str], SuppressionReason | None]:
    """Return what a report is in our words, its verdict, and why its recipient gets no more mail.

    The verdict is as `BounceVerdict.data` has it.
    """
    if report.told is not Told.FAILED:
        kind = _KINDS[report.told]
        complaint = SuppressionReason.COMPLAINT if kind is EventKind.COMPLAINED else None
        if report.told is Told.DELAYED:
            verdict = classify(report.code, report.enhanced, report.text, is_permanent=False)
            return kind, verdict.data, None
        own = _CLASSES.get(report.told)
        return kind, {"class": own.value} if own else {}, complaint
    verdict = classify(report.code, report.enhanced, report.text, is_permanent=report.is_permanent)
    # What it was forwarded to is dead, not the address that we write to.
    if verdict.is_hard and is_last:
        return EventKind.BOUNCED, verdict.data, SuppressionReason.HARD_BOUNCE
    return EventKind.SOFT_BOUNCED, verdict.data, None


def _happened_at(returned: Returned, message_id: UUID, received_at: datetime) -> datetime:
    """Return when a mail was written, by itself if that can be, else when its message was made.

    It must not depend on when the mail came: the same mail may come twice.
    """
    accepted_at = datetime.fromtimestamp((message_id.int >> _MILLISECOND_BITS) / 1000, UTC)
    at = returned.at
    if at is not None and accepted_at - _SLACK <= at <= received_at + _SLACK:
        return max(at, accepted_at)
    return accepted_at


def _apply(work: Sequence[_Mail]) -> int:
    """Apply the news of all mails; return how much was new."""

    def blame(mail: _Mail, why: str) -> None:
        mail.fault = why

    return apply_all_or_each(work, _tell, blame)


def _tell(work: Sequence[_Mail]) -> int:
    result = apply_news([one for mail in work for one in mail.news])
    waiting = Counter(id(one) for one in result.waiting)
    for mail in work:
        mail.waiting = sum(waiting[id(one)] for one in mail.news)
    return result.applied


def _written(mail: _Mail, now: datetime) -> dict[str, Any]:
    """Return what is noted on a mail."""
    status, error = _verdict(mail)
    first = mail.news[0] if mail.news else None
    return {
        "id": mail.row.pk,
        "status": status.value,
        "error": error,
        "due_at": now + wait_after(mail.row.attempts) if status is ReturnedStatus.NEW else now,
        "kind": mail.returned.kind.value if mail.returned else "",
        "bounce_class": str((first.data or {}).get("class", "")) if first else "",
        "recipient": first.recipient if first else _named(mail.returned),
        "message_id": mail.claim.message_id if mail.claim else None,
    }


def _named(returned: Returned | None) -> str:
    """Return whom a mail that is not ours is about, for people."""
    reports = returned.reports if returned else ()
    return next((address for report in reports for address in report.final), "")


def _verdict(mail: _Mail) -> tuple[ReturnedStatus, str]:
    """Return status and reason of a mail after work."""
    if mail.fault or mail.returned is None:
        return ReturnedStatus.FAILED, mail.fault
    if mail.waiting:
        return ReturnedStatus.NEW, "The message is in a worker's hands"
    if not any(_is_telling(report) for report in mail.returned.reports):
        return ReturnedStatus.IGNORED, _UNTELLING.get(mail.returned.kind, "It names nobody")
    if mail.claim is None:
        return ReturnedStatus.UNMATCHED, "It belongs to no mail that was sent here"
    if mail.strangers:
        count = mail.strangers + len(mail.news)
        return (
            ReturnedStatus.UNMATCHED,
            f"{mail.strangers} of {count} are about nobody whom this message went to",
        )
    return ReturnedStatus.DONE, ""
