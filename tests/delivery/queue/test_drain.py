from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from delivery.models import Attempt, EmailType, Event, Lease, Message, Suppression
from delivery.queue.claims import LeaseHolder, claim
from delivery.queue.outcomes import Step
from delivery.queue.record import Ended, LeaseLostError, Recorder
from delivery.queue.sweep import sweep
from delivery.services import change
from delivery.states import Lane, Status
from providers import quotas
from providers.inbox import InboxAdapter
from providers.models import InboxMail, Provider, ProviderUsage, Reservation, RoutingDecision
from providers.ports import OutgoingMail
from providers.selectors import account_config
from tests.support.mail import drain, make_due, queue, simulator, smtp_account, unwritable
from tests.support.smtp_server import Drop, FaultyServer, Script, Stall

pytestmark = pytest.mark.django_db


def serving(*scripts: Script) -> FaultyServer:
    return FaultyServer(scripts or ({},))


def status_of(message: Message) -> str:
    message.refresh_from_db()
    return message.status


def test_a_queued_message_reaches_the_server_and_is_sent(user: User) -> None:
    with serving() as server:
        provider = smtp_account(server.port)
        message = queue(
            user, to=["bob@example.net", "Eve <eve@example.net>"], bcc="dan@example.net"
        )
        report = drain()
    mail = server.mails[0]
    message.refresh_from_db()
    attempt = Attempt.objects.get()
    assert (report.claimed, report.sent, len(server.mails)) == (1, 1, 1)
    assert mail.sender.startswith("FROM:<shop@example.com>")
    assert mail.recipients == ["bob@example.net", "eve@example.net", "dan@example.net"]
    assert b"dan@" not in mail.data
    assert f"Message-ID: <{message.pk.hex}@example.com>".encode() in mail.data
    assert (message.status, message.provider_id, message.attempt_count) == ("sent", provider.pk, 1)
    assert message.sent_at is not None
    assert (attempt.outcome, attempt.number, attempt.code) == ("accepted", 1, 250)
    decision = RoutingDecision.objects.get(pk=attempt.decision_id or "")
    assert decision.body["provider"] == str(provider.pk)
    assert not Lease.objects.exists()


def test_a_temporary_refusal_waits_and_the_next_attempt_has_the_same_message_id(user: User) -> None:
    with serving({"END": ["451 4.3.0 try later"]}) as server:
        smtp_account(server.port)
        message = queue(user)
        drain()
        message.refresh_from_db()
        assert message.status == "retry"
        assert message.due_at > timezone.now() + timedelta(seconds=30)
        assert "451" in message.error
        make_due(message.pk)
        sweep()
        drain()
    assert status_of(message) == "sent"
    assert message.attempt_count == 2
    assert [attempt.outcome for attempt in message.attempts.all()] == ["not_accepted", "accepted"]
    assert f"<{message.pk.hex}@example.com>".encode() in server.mails[0].data


def test_greylisting_waits_at_least_a_quarter_of_an_hour(user: User) -> None:
    with serving({"RCPT": ["451 4.7.1 Greylisted, come back later"]}) as server:
        smtp_account(server.port)
        message = queue(user)
        drain()
    message.refresh_from_db()
    assert message.status == "retry"
    assert message.due_at >= timezone.now() + timedelta(minutes=14, seconds=50)


def test_an_unknown_mailbox_bounces_and_is_not_tried_elsewhere(user: User) -> None:
    with serving({"RCPT": "550 5.1.1 no such user"}) as first, serving() as second:
        smtp_account(first.port, position=1)
        smtp_account(second.port, position=2)
        message = queue(user)
        drain()
    assert status_of(message) == "bounced"
    assert "5.1.1" in message.error
    assert second.mails == []


def test_a_refused_content_fails(user: User) -> None:
    with serving({"END": "554 5.7.1 spam"}) as server:
        smtp_account(server.port)
        message = queue(user)
        drain()
    assert status_of(message) == "failed"


def test_an_unreachable_account_hands_over_to_the_next(user: User) -> None:
    with serving() as server:
        smtp_account(1, position=1, name="closed")
        second = smtp_account(server.port, position=2)
        message = queue(user)
        drain()
    message.refresh_from_db()
    outcomes = [(a.number, a.outcome, a.reason) for a in message.attempts.all()]
    assert outcomes == [(1, "not_accepted", "connection"), (2, "accepted", "")]
    assert (message.status, message.provider_id, len(server.mails)) == ("sent", second.pk, 1)


def test_one_silent_account_does_not_cost_each_message_a_time_out(user: User) -> None:
    with serving({"CONNECT": Stall()}) as silent, serving() as second:
        settings = {"timeout_seconds": 1}
        first = smtp_account(silent.port, position=1, max_connections=1, settings=settings)
        smtp_account(second.port, position=2)
        for _ in range(12):
            queue(user)
        drain()
    assert len(second.mails) == 12
    # The first finds out, and perhaps one that its thread had begun by then.
    assert Attempt.objects.filter(provider=first).count() <= 2


def test_silence_after_the_data_is_unknown_and_never_tried_elsewhere(user: User) -> None:
    with serving({"END": Drop()}) as first, serving() as second:
        smtp_account(first.port, position=1)
        smtp_account(second.port, position=2)
        message = queue(user, email_type="marketing")
        drain(Lane.BULK)
        sweep()
        drain(Lane.BULK)
    assert status_of(message) == "unknown"
    assert second.mails == []


def test_silence_is_sent_again_after_a_while_where_the_type_says_so(user: User) -> None:
    with serving({"END": [Drop()]}, {}) as server:
        smtp_account(server.port)
        message = queue(user, email_type="transactional")
        drain()
        assert status_of(message) == "unknown"
        sweep()
        assert status_of(message) == "unknown"
        make_due(message.pk)
        sweep()
        drain()
    assert status_of(message) == "sent"
    assert [event.kind for event in message.events.all()] == ["resolved"]


def test_recipients_have_fates_of_their_own(user: User) -> None:
    script: Script = {
        "RCPT bad@example.net": "550 5.1.1 no such user",
        "RCPT busy@example.net": ["450 4.2.1 busy"],
    }
    with serving(script) as server:
        smtp_account(server.port, max_connections=1)
        message = queue(user, to=["good@example.net", "bad@example.net", "busy@example.net"])
        drain()
        message.refresh_from_db()
        assert message.status == "retry"
        fates = {entry["a"]: entry.get("s") for entry in message.recipients}
        assert fates == {
            "good@example.net": "sent",
            "bad@example.net": "bounced",
            "busy@example.net": None,
        }
        make_due(message.pk)
        sweep()
        drain()
    message.refresh_from_db()
    assert message.status == "sent"
    assert {e["a"]: e.get("s") for e in message.recipients} == {
        "good@example.net": "sent",
        "bad@example.net": "bounced",
        "busy@example.net": "sent",
    }
    assert [mail.recipients for mail in server.mails] == [
        ["good@example.net"],
        ["busy@example.net"],
    ]


def test_suppressed_addresses_get_nothing(user: User) -> None:
    Suppression.objects.create(address="gone@example.net")
    Suppression.objects.create(address="no-ads@example.net", email_type="marketing")
    with serving() as server:
        smtp_account(server.port)
        nobody = queue(user, to="Gone@Example.net")
        some = queue(user, to=["gone@example.net", "no-ads@example.net"])
        drain()
    assert status_of(nobody) == "suppressed"
    assert status_of(some) == "sent"
    assert [mail.recipients for mail in server.mails] == [["no-ads@example.net"]]
    assert b"gone@" not in server.mails[0].data
    assert not nobody.attempts.exists()


def test_a_suppression_entered_after_acceptance_counts(user: User) -> None:
    with serving() as server:
        smtp_account(server.port)
        message = queue(user)
        Suppression.objects.create(address="bob@example.net")
        drain()
    assert (status_of(message), server.mails) == ("suppressed", [])


def test_an_expired_message_is_not_sent(user: User) -> None:
    with serving() as server:
        smtp_account(server.port)
        message = queue(user, expires_at=(timezone.now() + timedelta(hours=1)).isoformat())
        Message.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        drain()
    assert (status_of(message), server.mails) == ("expired", [])


def test_a_scheduled_message_waits_for_its_time(user: User) -> None:
    with serving() as server:
        smtp_account(server.port)
        message = queue(user, send_at=(timezone.now() + timedelta(hours=1)).isoformat())
        sweep()
        drain()
        assert (status_of(message), server.mails) == ("scheduled", [])
        make_due(message.pk)
        sweep()
        drain()
    assert status_of(message) == "sent"


def test_test_mode_does_everything_but_send(user: User) -> None:
    with serving() as server:
        provider = smtp_account(server.port, hourly_limit=5)
        message = queue(user, is_test=True)
        drain()
    message.refresh_from_db()
    assert (message.status, server.mails, server.lines) == ("sent", [], [])
    assert message.attempts.get().reply.startswith("Test mode")
    assert message.provider_id == provider.pk
    assert not ProviderUsage.objects.filter(total_count__gt=0).exists()


def test_the_inbox_keeps_a_mail_once(user: User) -> None:
    provider = Provider.objects.create(name="inbox", kind="inbox", from_email="a@example.com")

    message = queue(user, subject="Grüße", to="Jürgen <j@example.net>")
    adapter = InboxAdapter(account_config(provider))
    mail = OutgoingMail(
        message.pk,
        "a@example.com",
        ("j@example.net",),
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: a@example.com\r\n\r\nhi",
    )
    assert adapter.deliver(mail).reply.text == "Kept in the local inbox."
    assert adapter.deliver(mail).reply.text == "Was in the local inbox already."
    kept = InboxMail.objects.get()
    assert (kept.subject, kept.sender, kept.recipients) == (
        "Grüße",
        "a@example.com",
        ["j@example.net"],
    )


def test_an_hourly_limit_holds_and_the_rest_waits_for_the_next_hour(user: User) -> None:
    with serving() as server:
        provider = smtp_account(server.port, hourly_limit=3)
        messages = [queue(user) for _ in range(5)]
        drain()
    assert len(server.mails) == 3
    usage = ProviderUsage.objects.get(provider=provider)
    assert (usage.hour_count, usage.reserved, Reservation.objects.count()) == (3, 0, 0)
    waiting = Message.objects.filter(status="retry")
    assert waiting.count() == 2
    hour_end = usage.hour_start + timedelta(hours=1)
    assert {message.due_at for message in waiting} == {hour_end}
    assert {message.attempt_count for message in waiting} == {0}
    assert len(messages) == 5


def test_an_exhausted_quota_spills_to_the_next_account(user: User) -> None:
    with serving() as first, serving() as second:
        smtp_account(first.port, hourly_limit=2, position=1)
        smtp_account(second.port, position=2)
        for _ in range(5):
            queue(user)
        drain()
    assert (len(first.mails), len(second.mails)) == (2, 3)
    assert set(Message.objects.values_list("status", flat=True)) == {"sent"}


def test_without_any_account_mail_waits(user: User) -> None:
    message = queue(user, from_email="a@example.com")
    drain()
    message.refresh_from_db()
    assert (message.status, message.attempt_count) == ("retry", 0)
    assert message.error == "Waiting: no account may take this mail."


def test_somebody_elses_account_is_not_used(user: User) -> None:
    other = User.objects.create_user("other@example.com")
    with serving() as server:
        smtp_account(server.port, owner=other)
        message = queue(user, from_email="a@example.com")
        drain()
    assert (status_of(message), server.mails) == ("retry", [])


def test_higher_priorities_go_first(user: User) -> None:
    with serving() as server:
        smtp_account(server.port, max_connections=1)
        for priority in (5, 3, 1, 4, 2):
            queue(user, priority=priority, subject=f"P{priority}")
        drain()
    order = [mail.data.split(b"Subject: ")[1][:2] for mail in server.mails]
    assert order == [b"P1", b"P2", b"P3", b"P4", b"P5"]


def test_a_low_priority_that_waited_is_served_beside_a_full_chunk_of_high_ones(user: User) -> None:

    old = queue(user, priority=5)
    Message.objects.update(due_at=timezone.now() - timedelta(minutes=5))
    for _ in range(6):
        queue(user, priority=1)
    lease = LeaseHolder(worker="test", lane=Lane.TRANSACTIONAL)
    claimed = claim(lease_id=lease.id, lane=Lane.TRANSACTIONAL, limit=4)
    assert [item.priority for item in claimed].count(1) == 4
    assert old.pk in {item.id for item in claimed}


def test_a_bulk_drain_serves_transactional_mail_first(user: User) -> None:
    with serving() as server:
        smtp_account(server.port, max_connections=1)
        for _ in range(3):
            queue(user, email_type="marketing", subject="News", priority=1)
        queue(user, subject="Reset", priority=5)
        drain(Lane.BULK)
    subjects = [mail.data.split(b"Subject: ")[1].split(b"\r\n")[0] for mail in server.mails]
    assert subjects == [b"Reset", b"News", b"News", b"News"]


def test_a_sequence_goes_strictly_in_order_through_a_retry(user: User) -> None:
    with serving({"END": ["451 4.3.0 later"]}) as server:
        smtp_account(server.port, max_connections=1)
        ordered = [queue(user, sequence_key="order-1", subject=f"S{n}") for n in range(3)]
        free = queue(user, subject="S9")
        drain()
        make_due(*Message.objects.filter(status="retry").values_list("pk", flat=True))
        sweep()
        drain()
        drain()
    in_order = [
        subject
        for mail in server.mails
        if (subject := mail.data.split(b"Subject: ")[1][:2]) != b"S9"
    ]
    assert list(dict.fromkeys(in_order)) == [b"S0", b"S1", b"S2"]
    assert {status_of(message) for message in [*ordered, free]} == {"sent"}


def test_a_later_message_waits_while_the_head_of_its_sequence_waits(user: User) -> None:
    with serving({"END": ["451 4.3.0 later"]}) as server:
        smtp_account(server.port)
        head, tail = (queue(user, sequence_key="k") for _ in range(2))
        drain()
        drain()
    assert (status_of(head), status_of(tail), tail.awaits_turn) == ("retry", "queued", True)
    assert len(server.mails) == 1
    change.cancel(ids=[head.pk], actor="test")
    tail.refresh_from_db()
    assert not tail.awaits_turn


def test_a_template_problem_fails_one_message_and_no_other(user: User) -> None:
    with serving() as server:
        smtp_account(server.port)
        bad = unwritable(user)
        good = queue(user)
        drain()
    assert (status_of(bad), status_of(good)) == ("failed", "sent")
    assert not bad.attempts.exists()
    assert Event.objects.get(message=bad).kind == "failed"


def test_a_message_whose_workers_keep_vanishing_is_given_up(user: User) -> None:
    EmailType.objects.filter(pk="transactional").update(max_attempts=3)
    with serving() as server:
        smtp_account(server.port)
        message = queue(user)
        Message.objects.update(attempt_count=3)
        drain()
    assert (status_of(message), server.mails) == ("failed", [])


def test_mail_of_a_vanished_worker_is_queued_again(user: User) -> None:

    simulator()
    message = queue(user)
    lease = LeaseHolder(worker="dead", lane=Lane.TRANSACTIONAL)
    assert len(claim(lease_id=lease.id, lane=Lane.TRANSACTIONAL, limit=5)) == 1
    provider = Provider.objects.get()
    quotas.reserve(
        provider_id=provider.pk, time_zone="UTC", lease_id=lease.id, wanted=1, now=timezone.now()
    )
    assert sweep()["reclaimed"] == 0
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert sweep()["reclaimed"] == 1
    assert status_of(message) == "queued"
    assert [event.kind for event in message.events.all()] == ["lease_expired"]
    usage = ProviderUsage.objects.get()
    assert (usage.reserved, usage.hour_count, Lease.objects.count()) == (0, 1, 0)
    drain()
    assert status_of(message) == "sent"
    assert message.attempt_count == 2


def test_a_lost_lease_records_nothing_over_the_new_owner(user: User) -> None:

    message = queue(user)
    old = LeaseHolder(worker="old", lane=Lane.TRANSACTIONAL)
    (claimed,) = claim(lease_id=old.id, lane=Lane.TRANSACTIONAL, limit=1)
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    sweep()
    new = LeaseHolder(worker="new", lane=Lane.TRANSACTIONAL)
    claim(lease_id=new.id, lane=Lane.TRANSACTIONAL, limit=1)
    with pytest.raises(LeaseLostError):
        Recorder(worker="old").record(
            lease_id=old.id,
            ended=[Ended(claimed, Step(Status.FAILED, "late news"))],
            settlements=[],
            now=timezone.now(),
        )
    message.refresh_from_db()
    assert (message.status, message.lease_id) == ("sending", new.id)
    assert not old.renew_if_due() or old.is_live


@pytest.mark.parametrize(
    ("waits", "least", "most"), [((None, None), 45, 75), ((600, 900), 450, 750)]
)
def test_an_account_says_how_long_what_it_put_off_waits(
    user: User, waits: tuple[int | None, int | None], least: int, most: int
) -> None:
    first, longest = waits
    simulator(
        {"match": "*", "outcome": "not_accepted", "code": 451},
        retry_first_seconds=first,
        retry_max_seconds=longest,
    )
    message = queue(user)
    drain()
    message.refresh_from_db()
    assert message.status == "retry"
    assert least <= (message.due_at - timezone.now()).total_seconds() + 5 <= most + 5
