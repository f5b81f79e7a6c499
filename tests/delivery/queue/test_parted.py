"""Recipients who do not share the fate of the others are told of one by one, and once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from delivery.announcements import KINDS, listen_to, take_announcements
from delivery.email_types import forget_email_types
from delivery.models import Blob, EmailType, Event, Message, Suppression
from delivery.queue.claims import LeaseHolder, claim
from delivery.queue.journal import WireJournal, journal_folder
from delivery.queue.outcomes import Step
from delivery.queue.record import Ended, LeaseLostError, Recorder, Tried
from delivery.queue.recovery import recover_dead
from delivery.queue.sweep import sweep
from delivery.services.news import News, apply_news
from delivery.states import EventKind, Lane, Status
from mailservice.core.ids import uuid7
from providers.ports import Outcome, Reason, RecipientResult, Reply, SendResult
from tests.support.mail import drain, make_due, queue, simulator, smtp_account
from tests.support.smtp_server import Action, FaultyServer, Script

pytestmark = pytest.mark.django_db

GOOD, BAD, SLOW = "good@example.net", "bad@example.net", "slow@example.net"
REFUSED: dict[str, Action] = {f"RCPT {BAD}": "550 5.1.1 no such user"}
DEAD = {"class": "address", "side": "recipient", "code": "5.1.1"}
LATER = {"class": "transient", "side": "sender", "code": "4.2.0"}


@pytest.fixture(autouse=True)
def _listener(db: None) -> None:
    listen_to(KINDS)


def told() -> list[tuple[str, str]]:
    """Return what is announced since the last call: kinds, each with the recipient it is about."""
    with transaction.atomic():
        taken = take_announcements(100)
    events = Event.objects.in_bulk([one.event_id for one in taken if one.event_id])
    return [(one.kind, events[one.event_id].recipient if one.event_id else "") for one in taken]


def parted(message: Message) -> list[tuple[str, str, str, Any]]:
    rows = Event.objects.filter(message=message).exclude(recipient="").order_by("recipient")
    return [(row.kind, row.recipient, row.detail, row.data) for row in rows]


def send(user: User, script: Script, *to: str, rounds: int = 1) -> Message:
    with FaultyServer((script,)) as server:
        smtp_account(server.port, max_connections=1)
        message = queue(user, to=list(to))
        for _ in range(rounds):
            make_due(message.pk)
            sweep()
            drain()
    message.refresh_from_db()
    return message


def states(message: Message) -> list[str | None]:
    return [entry.get("s") for entry in message.recipients]


def attempts_at_most(count: int) -> None:
    EmailType.objects.filter(pk="transactional").update(max_attempts=count)
    forget_email_types()


def test_a_refused_recipient_beside_an_accepted_one_is_told(user: User) -> None:
    refused: Script = {"RCPT Bad@example.net": "550 5.1.1 no such user"}
    message = send(user, refused, GOOD, "Bad@Example.net")
    assert message.status == "sent"
    assert parted(message) == [("bounced", BAD, "550 5.1.1 no such user", DEAD)]
    assert told() == [("email.sent", ""), ("email.bounced", BAD)]


def test_one_that_is_refused_for_another_reason_fails(user: User) -> None:
    script: Script = {f"RCPT {BAD}": "554 5.6.0 Message content rejected"}
    message = send(user, script, GOOD, BAD)
    assert [(row[0], row[3]) for row in parted(message)] == [
        ("failed", {"class": "content", "side": "sender", "code": "5.6.0"})
    ]
    assert told() == [("email.sent", ""), ("email.failed", BAD)]


def test_a_suppressed_recipient_among_several_is_told(user: User) -> None:
    Suppression.objects.create(address=BAD, reason="manual")
    message = send(user, {}, GOOD, BAD)
    assert (message.status, states(message)) == ("sent", ["sent", "suppressed"])
    assert parted(message) == [("suppressed", BAD, "It is on a suppression list.", None)]
    assert told() == [("email.sent", ""), ("email.suppressed", BAD)]


def test_one_given_up_after_deferrals_is_told(user: User) -> None:
    attempts_at_most(2)
    message = send(user, {f"RCPT {SLOW}": ["450 4.2.0 Mailbox busy"] * 9}, GOOD, SLOW, rounds=2)
    assert (message.status, states(message)) == ("sent", ["sent", "failed"])
    detail = "Given up after 2 attempts: 450 4.2.0 Mailbox busy"
    assert parted(message) == [("failed", SLOW, detail, LATER)]
    assert told() == [("email.sent", ""), ("email.failed", SLOW)]


def test_a_refusal_is_told_at_once_though_others_wait(user: User) -> None:
    script: Script = {**REFUSED, f"RCPT {SLOW}": ["450 4.2.0 Mailbox busy"]}
    message = send(user, script, GOOD, BAD, SLOW)
    assert message.status == "retry"
    assert told() == [("email.bounced", BAD)]
    with FaultyServer() as server:
        smtp_account(server.port, name="second")
        make_due(message.pk)
        sweep()
        drain()
    message.refresh_from_db()
    assert message.status == "sent"
    assert told() == [("email.sent", "")]
    assert len(parted(message)) == 1


def test_the_last_to_be_refused_is_told_of_alone(user: User) -> None:
    script: Script = {
        **REFUSED,
        f"RCPT {SLOW}": ["450 4.2.0 Mailbox busy", "550 5.1.1 no such user"],
    }
    message = send(user, script, BAD, SLOW, rounds=2)
    assert (message.status, states(message)) == ("bounced", ["bounced", "bounced"])
    assert [row[:2] for row in parted(message)] == [("bounced", BAD), ("bounced", SLOW)]
    assert told() == [("email.bounced", BAD), ("email.bounced", SLOW)]


def test_refused_for_different_reasons_each_is_told_of(user: User) -> None:
    message = send(user, {**REFUSED, f"RCPT {SLOW}": "552 5.2.2 mailbox full"}, BAD, SLOW)
    assert message.status == "bounced"
    assert [(row[1], row[3]["class"]) for row in parted(message)] == [
        (BAD, "address"),
        (SLOW, "mailbox_full"),
    ]
    assert told() == [("email.bounced", BAD), ("email.bounced", SLOW)]


def test_one_end_for_all_is_told_of_the_message(user: User) -> None:
    message = send(user, {"RCPT": ["550 5.1.1 no such user"] * 2}, BAD, SLOW)
    assert (message.status, states(message)) == ("bounced", [None, None])
    assert parted(message) == []
    assert told() == [("email.bounced", "")]
    again = queue(user, to=[BAD, SLOW])
    drain()
    again.refresh_from_db()
    assert (again.status, states(again)) == ("suppressed", [None, None])
    assert told() == [("email.suppressed", "")]


def test_a_mail_that_cannot_be_made_fails_for_those_it_would_have_gone_to(
    user: User, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    Suppression.objects.create(address=BAD, reason="manual")
    smtp_account(1)
    attachments = [{"filename": "b.txt", "content": "Z29uZQ==", "content_type": "text/plain"}]
    message = queue(user, to=[GOOD, BAD], attachments=attachments)
    (tmp_path / Blob.objects.get().stored_as).unlink()
    drain()
    message.refresh_from_db()
    assert (message.status, states(message)) == ("failed", ["failed", "suppressed"])
    assert [row[:3] for row in parted(message)] == [
        ("suppressed", BAD, "It is on a suppression list."),
        ("failed", GOOD, "An attachment's file is gone."),
    ]
    assert sorted(told()) == [("email.failed", GOOD), ("email.suppressed", BAD)]


def test_who_was_suppressed_stays_so_when_the_outcome_is_unknown(user: User) -> None:
    Suppression.objects.create(address=BAD, reason="manual")
    simulator({"match": "*", "fault": "drop_after_dot"})
    message = queue(user, to=[GOOD, BAD])
    drain()
    message.refresh_from_db()
    assert (message.status, states(message)) == ("unknown", [None, "suppressed"])
    assert told() == [("email.unknown", ""), ("email.suppressed", BAD)]


# --- once -----------------------------------------------------------------------------------------

MIXED = SendResult(
    Outcome.ACCEPTED,
    reply=Reply(250, "2.0.0", "queued"),
    recipients=(
        RecipientResult(
            BAD, Outcome.REJECTED, Reason.BAD_RECIPIENT, Reply(550, "5.1.1", "no such user")
        ),
    ),
)


def test_recording_twice_tells_once(user: User) -> None:
    message = queue(user, to=[GOOD, BAD])
    lease = LeaseHolder(worker="w:1", lane=Lane.TRANSACTIONAL)
    [claimed] = claim(lease_id=lease.id, lane=Lane.TRANSACTIONAL, limit=1)
    tried = Tried(
        provider_id=None,
        decision_id=uuid7(),
        number=1,
        started_at=timezone.now(),
        duration_ms=1,
        result=MIXED,
        mails=1,
    )
    marked = [claimed.recipients[0] | {"s": "sent"}, claimed.recipients[1] | {"s": "bounced"}]
    ended = [Ended(claimed, Step(Status.SENT, recipients=marked), (tried,))]
    recorder = Recorder(worker="w:1")
    for is_repeat in (False, True):
        recorder.record(
            lease_id=lease.id,
            ended=ended,
            settlements=[],
            now=timezone.now(),
            is_repeat=is_repeat,
        )
    with pytest.raises(LeaseLostError):
        recorder.record(lease_id=lease.id, ended=ended, settlements=[], now=timezone.now())
    assert [row[:2] for row in parted(message)] == [("bounced", BAD)]


@pytest.mark.parametrize("result", [MIXED, SendResult(Outcome.ACCEPTED, reply=Reply(250))])
def test_a_worker_that_died_had_told_nobody_and_its_journal_does(
    user: User, result: SendResult
) -> None:
    third = "third@example.net"
    Suppression.objects.create(address=third, reason="manual")
    provider = simulator()
    message = queue(user, to=[GOOD, BAD, third])
    lease = LeaseHolder(worker="dead:1", lane=Lane.TRANSACTIONAL)
    [claimed] = claim(lease_id=lease.id, lane=Lane.TRANSACTIONAL, limit=1)
    journal = WireJournal(journal_folder(), lease_id=lease.id, capacity=1)
    entry = journal.hold(
        message.pk, provider_id=provider.pk, decision_id=uuid7(), number=claimed.attempt,
        recipients=2,
    )  # fmt: skip
    entry.begin()
    entry.hand_over()
    entry.end(result, 5)
    journal.pages.close()
    recover_dead()
    message.refresh_from_db()
    refused = result is MIXED
    assert states(message) == ["sent", "bounced" if refused else "sent", "suppressed"]
    expected = [("bounced", BAD)] * refused + [("suppressed", third)]
    assert [row[:2] for row in parted(message)] == expected


def bounce(message: Message, recipient: str, key: str) -> News:
    return News(
        message.pk, EventKind.BOUNCED, timezone.now(), key, recipient, actor="provider:Relay"
    )


@pytest.mark.parametrize("others", [[GOOD], []])
def test_a_provider_that_tells_of_the_same_refusal_later_is_not_repeated(
    user: User, others: list[str]
) -> None:
    message = send(user, REFUSED, *others, BAD)
    told()
    applied = apply_news([bounce(message, BAD, "1")])
    assert (applied.applied, applied.repeated) == (0, 1)
    assert told() == []
    assert states(message) == [entry.get("s") for entry in Message.objects.get().recipients]


def test_a_return_of_what_was_sent_again_after_a_refusal_is_told(user: User) -> None:
    message = send(user, REFUSED, GOOD, BAD)
    Suppression.objects.all().delete()
    # As a retry by hand of a message that failed for all would have left it.
    Message.objects.update(recipients=[{"k": "to", "a": GOOD}, {"k": "to", "a": BAD}])
    told()
    assert apply_news([bounce(message, BAD, "1")]).applied == 1
    assert told() == [("email.bounced", BAD)]


def test_a_return_of_a_mail_that_was_taken_is_told(user: User) -> None:
    message = send(user, REFUSED, GOOD, BAD)
    told()
    assert apply_news([bounce(message, GOOD, "1")]).applied == 1
    assert told() == [("email.bounced", GOOD)]
