"""What a refusal while sending proves: dead addresses get no more mail, all others do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from delivery.models import Message, Suppression
from delivery.queue.claims import LeaseHolder, claim
from delivery.queue.journal import WireJournal, journal_folder
from delivery.queue.outcomes import Step, dead_addresses
from delivery.queue.record import Ended, LeaseLostError, Recorder, Tried
from delivery.queue.recovery import recover_dead
from delivery.services import change
from delivery.states import Lane, Status
from mailservice.core.ids import uuid7
from providers.ports import Outcome, Reason, RecipientResult, Reply, SendResult
from tests.support.mail import drain, queue, simulator, smtp_account
from tests.support.smtp_server import FaultyServer, Script

pytestmark = pytest.mark.django_db

NOBODY = Reply(550, "5.1.1", "no such user")


def send(user: User, script: Script, *, to: Any = "bob@example.net", **fields: Any) -> Message:
    with FaultyServer((script,)) as server:
        smtp_account(server.port, max_connections=1)
        message = queue(user, to=to, **fields)
        drain()
    message.refresh_from_db()
    return message


def suppressed() -> list[tuple[str, str, str, UUID | None]]:
    return [
        (each.address, each.reason, each.note, each.message_id)
        for each in Suppression.objects.order_by("address")
    ]


def test_an_unknown_mailbox_is_suppressed_with_the_reply_as_its_note(user: User) -> None:
    message = send(user, {"RCPT": "550 5.1.1 no such user"}, to="Bob@Example.net")
    assert message.status == "bounced"
    assert suppressed() == [
        ("bob@example.net", "hard_bounce", "550 5.1.1 no such user", message.pk)
    ]
    entry = Suppression.objects.get()
    assert (entry.email_type, entry.list_key) == ("", "")


def test_the_next_mail_to_it_is_not_sent(user: User) -> None:
    send(user, {"RCPT": "550 5.1.1 no such user"})
    again = queue(user)
    drain()
    again.refresh_from_db()
    assert again.status == "suppressed"


def test_of_several_recipients_only_the_dead_one_is_suppressed(user: User) -> None:
    script: Script = {
        "RCPT bad@example.net": "550 5.1.1 no such user",
        "RCPT full@example.net": "552 5.2.2 mailbox full",
    }
    message = send(user, script, to=["good@example.net", "bad@example.net", "full@example.net"])
    assert message.status == "sent"
    assert suppressed() == [
        ("bad@example.net", "hard_bounce", "550 5.1.1 no such user", message.pk)
    ]


def test_all_of_several_are_suppressed_if_each_is_dead(user: User) -> None:
    message = send(user, {"RCPT": "550 5.1.1 no such user"}, to=["a@example.net", "b@example.net"])
    assert message.status == "bounced"
    assert [row[0] for row in suppressed()] == ["a@example.net", "b@example.net"]


@pytest.mark.parametrize("first", ["550 5.1.1 no such user", "550 no such user"])
@pytest.mark.parametrize(
    ("second", "status"),
    [
        ("550 5.1.0 Sender address rejected: not here", "retry"),
        ("550 Your account has been suspended", "retry"),
        ("550 5.7.1 refused by policy", "bounced"),
    ],
)
def test_though_all_were_refused_each_is_judged_by_its_own_reply(
    user: User, first: str, second: str, status: str
) -> None:
    script: Script = {"RCPT a@example.net": first, "RCPT b@example.net": second}
    message = send(user, script, to=["b@example.net", "a@example.net"])
    assert message.status == status
    assert [row[0] for row in suppressed()] == ["a@example.net"]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ({"RCPT": "552 5.2.2 mailbox full"}, "bounced"),
        ({"RCPT": "550 5.7.1 blocked using zen.spamhaus.org"}, "retry"),
        ({"RCPT": "550 5.7.1 blocked by policy"}, "failed"),
        ({"RCPT": "550 5.1.1 <x> rejected: SPF check failed"}, "retry"),
        ({"RCPT": "550 Your account has been suspended"}, "retry"),
        ({"RCPT": "450 4.1.1 User unknown"}, "retry"),
        ({"MAIL": "550 5.1.1 User unknown"}, "retry"),
        ({"MAIL": "550 5.1.8 sender domain does not exist"}, "retry"),
        ({"END": "554 5.7.1 spam"}, "failed"),
        ({"END": "550 5.1.1 sender rejected"}, "retry"),
        ({"RCPT": "554 5.7.1 Relay access denied"}, "retry"),
        ({"RCPT": "550 Sorry"}, "bounced"),
    ],
)
def test_what_is_not_of_a_dead_address_suppresses_nobody(
    user: User, script: Script, status: str
) -> None:
    assert send(user, script).status == status
    assert suppressed() == []


def test_an_address_refused_after_the_data_is_suppressed_if_it_was_the_only_one(
    user: User,
) -> None:
    message = send(user, {"END": "550 5.1.1 User unknown"})
    assert message.status == "bounced"
    assert [row[0] for row in suppressed()] == ["bob@example.net"]
    Suppression.objects.all().delete()
    send(user, {"END": "550 5.1.1 User unknown"}, to=["a@example.net", "b@example.net"])
    assert suppressed() == []


def test_an_api_that_refuses_an_address_suppresses_it_too(user: User) -> None:
    rule = {"match": "*", "outcome": "rejected", "reason": "bad_recipient", "code": 422}
    simulator(rule | {"text": "the provider calls the address invalid"})
    message = queue(user)
    drain()
    assert suppressed() == [
        ("bob@example.net", "hard_bounce", "422 the provider calls the address invalid", message.pk)
    ]


def test_test_mode_suppresses_nobody(user: User) -> None:
    message = queue(user, is_test=True)
    lease = LeaseHolder(worker="w:1", lane=Lane.TRANSACTIONAL)
    claimed = claim(lease_id=lease.id, lane=Lane.TRANSACTIONAL, limit=1)[0]
    assert claimed.is_test
    result = SendResult(Outcome.REJECTED, Reason.BAD_RECIPIENT, reply=NOBODY)
    record(lease, claimed, result)
    message.refresh_from_db()
    assert message.status == "bounced"
    assert suppressed() == []


def test_an_own_unsubscribe_becomes_a_hard_bounce_and_what_people_entered_stays(
    user: User,
) -> None:
    Suppression.objects.create(address="bob@example.net", reason="manual", email_type="marketing")
    send(user, {"RCPT": "550 5.1.1 no such user"})
    assert sorted((row.email_type, row.reason) for row in Suppression.objects.all()) == [
        ("", "hard_bounce"),
        ("marketing", "manual"),
    ]


def test_a_message_retried_by_hand_is_not_sent_until_the_suppression_goes(user: User) -> None:
    message = send(user, {"RCPT": "550 5.1.1 no such user"})
    change.retry(ids=[message.pk], actor="ann@example.com")
    drain()
    message.refresh_from_db()
    assert message.status == "suppressed"


# --- recording ------------------------------------------------------------------------------------


def record(lease: LeaseHolder, claimed: Any, result: SendResult, **options: Any) -> None:
    tried = Tried(
        provider_id=None,
        decision_id=uuid7(),
        number=1,
        started_at=timezone.now(),
        duration_ms=1,
        result=result,
        mails=0,
    )
    ended = Ended(claimed, Step(Status.BOUNCED, error="x"), (tried,))
    Recorder(worker="w:1").record(
        lease_id=lease.id, ended=[ended], settlements=[], now=timezone.now(), **options
    )


def claimed_one(user: User) -> tuple[LeaseHolder, Any]:
    queue(user)
    lease = LeaseHolder(worker="w:1", lane=Lane.TRANSACTIONAL)
    return lease, claim(lease_id=lease.id, lane=Lane.TRANSACTIONAL, limit=1)[0]


def statements_of(user: User, result: SendResult) -> list[str]:
    lease, claimed = claimed_one(user)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        record(lease, claimed, result)
    return [each["sql"] for each in captured.captured_queries]


def test_only_a_dead_address_costs_a_statement(user: User) -> None:
    full = SendResult(Outcome.REJECTED, Reason.MAILBOX, reply=Reply(552, "5.2.2", "full"))
    accepted = SendResult(Outcome.ACCEPTED, reply=Reply(250))
    dead = SendResult(Outcome.REJECTED, Reason.BAD_RECIPIENT, reply=NOBODY)
    usual = statements_of(user, accepted)
    assert len(statements_of(user, full)) == len(usual)
    assert not any("delivery_suppression" in sql for sql in usual)
    assert len(statements_of(user, dead)) == len(usual) + 1


def test_what_was_recorded_by_somebody_else_suppresses_nobody(user: User) -> None:
    lease, claimed = claimed_one(user)
    other = LeaseHolder(worker="w:2", lane=Lane.TRANSACTIONAL)
    with pytest.raises(LeaseLostError):
        record(other, claimed, SendResult(Outcome.REJECTED, Reason.BAD_RECIPIENT, reply=NOBODY))
    assert suppressed() == []
    assert lease.id != other.id


def test_a_hostile_reply_can_be_stored(user: User) -> None:
    lease, claimed = claimed_one(user)
    text = "user unknown \x00\ud800 " + "x" * 3_000
    record(
        lease, claimed,
        SendResult(Outcome.REJECTED, Reason.BAD_RECIPIENT, reply=Reply(550, "5.1.1", text)),
    )  # fmt: skip
    assert suppressed()[0][2].startswith("550 5.1.1 user unknown �")
    assert len(suppressed()[0][2]) == 200


@pytest.mark.parametrize("words", ["no such user", "no such user " + "x" * 5_000])
def test_the_journal_of_a_dead_worker_suppresses_the_same(user: User, words: str) -> None:
    message = queue(user)
    provider = simulator()
    lease = LeaseHolder(worker="dead:1", lane=Lane.TRANSACTIONAL)
    claimed = claim(lease_id=lease.id, lane=Lane.TRANSACTIONAL, limit=1)[0]
    journal = WireJournal(journal_folder(), lease_id=lease.id, capacity=1)
    entry = journal.hold(
        message.pk, provider_id=provider.pk, decision_id=uuid7(), number=claimed.attempt,
        recipients=1,
    )  # fmt: skip
    entry.begin()
    entry.hand_over()
    entry.end(
        SendResult(Outcome.REJECTED, Reason.BAD_RECIPIENT, reply=Reply(550, "5.1.1", words)), 5
    )
    journal.pages.close()
    assert recover_dead() == 1
    assert recover_dead() == 0
    message.refresh_from_db()
    assert message.status == "bounced"
    assert [(row[0], row[1], row[3]) for row in suppressed()] == [
        ("bob@example.net", "hard_bounce", message.pk)
    ]


def test_an_attempt_that_the_next_account_overtook_proves_nothing(user: User) -> None:
    lease, claimed = claimed_one(user)
    moved = SendResult(
        Outcome.NOT_ACCEPTED,
        Reason.CONNECTION,
        recipients=(RecipientResult("bob@example.net", Outcome.NOT_ACCEPTED, Reason.CONNECTION),),
    )
    assert dead_addresses(claimed, moved) == []
    assert lease.id is not None


def test_recipients_served_before_are_not_blamed(user: User) -> None:
    _, claimed = claimed_one(user)
    claimed.recipients[:] = [
        {"k": "to", "a": "Served@example.net", "s": "sent"},
        {"k": "to", "a": "Dead@example.net"},
    ]
    result = SendResult(Outcome.REJECTED, Reason.BAD_RECIPIENT, reply=NOBODY)
    assert dead_addresses(claimed, result) == [("dead@example.net", "550 5.1.1 no such user")]
