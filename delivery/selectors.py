"""What people and programs read about messages: lists, one message with its history, files.

Lists read no bodies, count nothing and stay fast however many messages there are: what no index
answers (type, provider, subject) is looked for in the newest `SCAN_ROWS` candidates only, and a
caller may go on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from delivery.models import Attachment, Attempt, Content, Event, Message, Upload
from delivery.references import first_id_at
from delivery.states import Status
from delivery.unsubscribing import STAND_INS
from mailservice.core.sealed import masked
from mailservice.core.sql import PLAN_FOR_VALUES, set_local
from providers.models import RoutingDecision
from templates_app.engine import TemplateRenderProblem, TemplateSyntaxProblem, compile_source
from templates_app.rendering import FinishedMail, compile_mail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from delivery.querysets import MessageQuerySet

#: Candidates looked through for what no index answers, per page.
SCAN_ROWS = 20_000
#: Matches up to which a tag is found by its index.
RARE_ROWS = 2000
#: How long after its `created_at` a message gets its id at the most: accepting a batch takes time.
_SLACK = timedelta(minutes=10)

#: Columns of a message as lists show it; the context is read only where a subject needs it.
SUMMARY_FIELDS = (
    "id",
    "status",
    "recipients",
    "priority",
    "email_type_id",
    "tags",
    "metadata",
    "is_test",
    "attempt_count",
    "provider_id",
    "pinned_provider_id",
    "provider__name",
    "created_at",
    "updated_at",
    "due_at",
    "sent_at",
    "expires_at",
    "sequence_key",
    "error",
    "group_id",
    "content__subject",
    "content__is_template",
    "content__locale",
    "content__from_email",
    "content__from_name",
    "content__reply_to",
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which messages a list shows; None or empty does not restrict."""

    statuses: frozenset[str] = frozenset()
    #: In normal form.
    recipient: str = ""
    tag: str = ""
    group_id: UUID | None = None
    created_from: datetime | None = None
    #: Exclusive.
    created_to: datetime | None = None
    email_type: str = ""
    #: The account used, or the one pinned while none was.
    provider_id: UUID | None = None
    #: Part of the subject's source, in any case.
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some messages, newest first; `next_after` is None on the last page.

    A page may hold fewer messages than asked for, even none, and yet not be the last: then the next
    one looks further back.
    """

    rows: Sequence[Mapping[str, Any]]
    next_after: UUID | None


def message_page(
    visible: MessageQuerySet, criteria: Criteria, *, after: UUID | None, limit: int
) -> Page:
    """Return the messages that meet the criteria, among the visible ones older than `after`."""
    with transaction.atomic():
        set_local(PLAN_FOR_VALUES)
        return _page(visible, criteria, after=after, limit=limit)


def _page(visible: MessageQuerySet, criteria: Criteria, *, after: UUID | None, limit: int) -> Page:
    candidates = _indexed(visible, criteria).order_by("-pk")
    if after is not None:
        candidates = candidates.filter(pk__lt=after)
    scanned = _scanned(criteria)
    if criteria.tag:
        tagged = candidates.filter(tags__contains=[criteria.tag])
        ids = list(tagged.order_by().values_list("pk", flat=True)[: RARE_ROWS + 1])
        if len(ids) <= RARE_ROWS:
            candidates = candidates.filter(pk__in=ids)
        else:
            # So many that its index would not help: look for them newest first.
            scanned &= Q(tags__contains=[criteria.tag])
    found = candidates
    if scanned:
        window = candidates.values("pk")[:SCAN_ROWS]
        found = Message.objects.filter(scanned, pk__in=window).order_by("-pk")
    rows = list(found.values(*SUMMARY_FIELDS)[: limit + 1])
    next_after = rows[limit - 1]["id"] if len(rows) > limit else None
    if scanned and next_after is None:
        next_after = candidates.values_list("pk", flat=True)[SCAN_ROWS - 1 : SCAN_ROWS].first()
    return Page(_with_contexts(rows[:limit]), next_after)


def _indexed(messages: MessageQuerySet, criteria: Criteria) -> MessageQuerySet:
    """Apply what an index answers."""
    if criteria.statuses:
        messages = messages.filter(status__in=sorted(criteria.statuses))
    if criteria.statuses == {Status.SENDING}:
        # As the constraint has it; there is an index of leases.
        messages = messages.filter(lease_id__isnull=False)
    if criteria.recipient:
        messages = messages.for_recipient(criteria.recipient)
    if criteria.group_id is not None:
        messages = messages.filter(group_id=criteria.group_id)
    # Ids are made in time order, shortly after `created_at` is taken: the key bounds the range, the
    # column makes it exact.
    if criteria.created_from is not None:
        messages = messages.filter(
            pk__gte=first_id_at(criteria.created_from), created_at__gte=criteria.created_from
        )
    if criteria.created_to is not None:
        bound = first_id_at(criteria.created_to + _SLACK)
        messages = messages.filter(pk__lt=bound, created_at__lt=criteria.created_to)
    return messages


def _scanned(criteria: Criteria) -> Q:
    """Return the conditions that no index answers."""
    conditions = Q()
    if criteria.email_type:
        conditions &= Q(email_type_id=criteria.email_type)
    if criteria.provider_id is not None:
        conditions &= Q(provider_id=criteria.provider_id) | Q(
            provider_id__isnull=True, pinned_provider_id=criteria.provider_id
        )
    if criteria.subject:
        conditions &= Q(content__subject__icontains=criteria.subject)
    return conditions


def _with_contexts(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Add the contexts that the subjects need, in one query for all."""
    wanted = [row["id"] for row in rows if row["content__is_template"]]
    contexts = (
        dict(Message.objects.filter(pk__in=wanted).values_list("pk", "context")) if wanted else {}
    )
    for row in rows:
        row["context"] = contexts.get(row["id"])
    return rows


def message_summary(visible: MessageQuerySet, message_id: UUID) -> Mapping[str, Any] | None:
    """Return one message as lists show it, None if there is none among the visible ones."""
    rows = visible.filter(pk=message_id).values(*SUMMARY_FIELDS, "context")
    found: Mapping[str, Any] | None = rows.first()
    return found


@dataclass(frozen=True, slots=True)
class History:
    """What happened to a message, each list in time order."""

    attempts: Sequence[Attempt]
    events: Sequence[Event]
    #: Routing explanations by decision id.
    decisions: Mapping[UUID, Any]
    attachments: Sequence[Attachment]


def message_history(message_id: UUID) -> History:
    """Return attempts, events, explanations and files of a message."""
    attempts = list(
        Attempt.objects.filter(message_id=message_id)
        .select_related("provider")
        .only(
            "number", "outcome", "reason", "scope", "code", "enhanced_code", "reply", "remote_id",
            "recipients", "started_at", "duration_ms", "decision_id", "message_id", "cost_nanos",
            "provider_id", "provider__name",
        )
        .order_by("pk")
    )  # fmt: skip
    events = list(Event.objects.filter(message_id=message_id).order_by("pk"))
    decisions = decisions_of(attempts, events)
    attachments = list(
        Attachment.objects.filter(content__messages=message_id)
        .select_related("blob")
        .order_by("position")
    )
    return History(attempts, events, decisions, attachments)


def decisions_of(attempts: Iterable[Attempt], events: Iterable[Event]) -> Mapping[UUID, Any]:
    """Return the routing explanations that attempts and events refer to, by their ids."""
    told = [attempt.decision_id for attempt in attempts]
    told += [event.decision_id for event in events]
    ids = {each for each in told if each is not None}
    return dict(RoutingDecision.objects.filter(pk__in=ids).values_list("pk", "body"))


@dataclass(frozen=True, slots=True)
class GroupCost:
    """What the mails of a batch or campaign came to at their accounts, monthly fees left out."""

    attempts: int
    nanos: int


def cost_of_group(group_id: UUID) -> GroupCost:
    """Return what the messages of a group have cost so far; it reads every attempt of the group."""
    row = Attempt.objects.filter(message__group_id=group_id).aggregate(
        attempts=Count("pk"), nanos=Sum("cost_nanos")
    )
    return GroupCost(row["attempts"], row["nanos"] or 0)


def message_content(message_id: UUID) -> Content:
    """Return what a message says, bodies included."""
    return Content.objects.get(messages=message_id)


def subject_of(row: Mapping[str, Any]) -> str:
    """Return a message's subject as its recipients read it, or its source if it cannot be filled.

    `row` has `content__subject`, `content__is_template`, `content__locale`, `context` and
    `created_at`.
    """
    source: str = row["content__subject"]
    if not row["content__is_template"]:
        return source
    line = " ".join(source.splitlines())
    try:
        return (
            compile_source(line, html=False)
            .render(_shown_context(row), now=row["created_at"], locale=row["content__locale"])
            .strip(" ")
        )
    except (TemplateSyntaxProblem, TemplateRenderProblem):
        return source


def bodies_of(content: Content, row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the HTML and text as recipients read them; the sources if they cannot be filled.

    `row` has the message's `context` and `created_at`.
    """
    mail = FinishedMail(
        content.subject,
        content.html,
        content.text,
        is_template=content.is_template,
        locale=content.locale,
        inlines_css=content.inlines_css,
    )
    try:
        return compile_mail(mail).render_bodies(_shown_context(row), now=row["created_at"])
    except (TemplateSyntaxProblem, TemplateRenderProblem):
        return content.html, content.text


def _shown_context(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a context to show: sealed values masked, personal links by their stand-ins."""
    return {**STAND_INS, **(masked(row["context"]) or {})}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where the bytes of a file are, and how it is called."""

    stored_as: str
    filename: str
    content_type: str


def stored_file(file_id: UUID) -> StoredFile | None:
    """Return the upload, or the attachment of a message, with this id."""
    columns = ("blob__stored_as", "filename", "content_type")
    uploads = Upload.objects.filter(pk=file_id, expires_at__gt=timezone.now())
    row = uploads.values_list(*columns).first()
    row = row or Attachment.objects.filter(pk=file_id).values_list(*columns).first()
    return StoredFile(*row) if row else None
