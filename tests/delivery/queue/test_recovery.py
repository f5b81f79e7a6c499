from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from delivery.models import EmailType, Event, Lease, Message
from delivery.queue.claims import Claimed, LeaseHolder, claim
from delivery.queue.drain import drain_lane
from delivery.queue.journal import Entry, WireJournal, journal_folder
from delivery.queue.outcomes import Step
from delivery.queue.record import Ended, LeaseLostError, Recorder
from delivery.queue.recovery import recover_dead
from delivery.queue.sweep import sweep
from delivery.states import Lane, Status
from mailservice.core.ids import uuid7
from providers import quotas
from providers.models import Provider, ProviderUsage
from providers.ports import Outcome, Reason, RecipientResult, Reply, Scope, SendResult
from tests.support.mail import drain, make_due, queue, simulator

pytestmark = pytest.mark.django_db

ACCEPTED = SendResult(Outcome.ACCEPTED, reply=Reply(250, "2.0.0", "queued"), remote_id="r1")


@contextmanager
def dying_worker(provider: Provider, lane: Lane = Lane.TRANSACTIONAL) -> Iterator[dict[Any, Entry]]:
    """Claim all there is, yield the entries, and die without having recorded anything."""
    lease = LeaseHolder(worker="dead:1", lane=lane)
    messages = claim(lease_id=lease.id, lane=lane, limit=20)
    quotas.reserve(
        provider_id=provider.pk,
        time_zone=provider.time_zone,
        lease_id=lease.id,
        wanted=sum(len(message.addresses) for message in messages),
        now=timezone.now(),
    )
    journal = WireJournal(journal_folder(), lease_id=lease.id, capacity=20)
    yield {
        message.id: journal.hold(
            message.id,
            provider_id=provider.pk,
            decision_id=uuid7(),
            number=message.attempt,
            recipients=len(message.addresses),
        )
        for message in messages
    }
    journal.pages.close()


def usage() -> tuple[int, int]:
    row = ProviderUsage.objects.get()
    return row.total_count, row.reserved


def test_a_verdict_that_was_not_written_yet_is_recorded_and_nothing_is_sent_again(
    user: User,
) -> None:
    provider = simulator(hourly_limit=100)
    message = queue(user)
    with dying_worker(provider) as entries:
        entries[message.pk].begin()
        entries[message.pk].hand_over()
        entries[message.pk].end(ACCEPTED, 12)
    assert recover_dead() == 1
    message.refresh_from_db()
    attempt = message.attempts.get()
    assert (message.status, message.attempt_count, message.provider_id) == ("sent", 1, provider.pk)
    assert (attempt.outcome, attempt.remote_id, attempt.duration_ms, attempt.worker) == (
        "accepted",
        "r1",
        12,
        "dead:1",
    )
    assert usage() == (1, 0)
    assert not Lease.objects.exists()
    assert drain().claimed == 0


@pytest.mark.parametrize(("kind", "waits"), [("transactional", True), ("marketing", False)])
def test_what_was_being_handed_over_is_unknown_and_the_type_decides(
    user: User, kind: str, *, waits: bool
) -> None:
    lane = Lane(EmailType.objects.get(pk=kind).lane)
    provider = simulator(hourly_limit=100)
    message = queue(user, email_type=kind)
    with dying_worker(provider, lane) as entries:
        entries[message.pk].begin()
        entries[message.pk].hand_over()
    assert recover_dead() == 1
    message.refresh_from_db()
    assert (message.status, message.attempts.get().outcome) == ("unknown", "unknown")
    assert usage() == (1, 0)
    if waits:
        assert message.due_at > timezone.now() + timedelta(minutes=14)
    make_due(message.pk)
    sweep()
    message.refresh_from_db()
    assert message.status == ("queued" if waits else "unknown")


def test_what_was_certainly_not_sent_is_sent_at_once_and_costs_no_quota(user: User) -> None:
    provider = simulator(hourly_limit=100)
    waiting, begun = queue(user), queue(user)
    with dying_worker(provider) as entries:
        entries[begun.pk].begin()
    assert recover_dead() == 2
    assert usage() == (0, 0)
    waiting.refresh_from_db()
    begun.refresh_from_db()
    # What a worker was at when it died counts as tried: it may be what kills workers.
    assert [(m.status, m.attempt_count) for m in (waiting, begun)] == [("queued", 0), ("queued", 1)]
    assert drain().sent == 2
    assert usage() == (2, 0)


def test_a_mail_that_kills_its_workers_is_given_up(user: User) -> None:
    EmailType.objects.update(max_attempts=3)
    provider = simulator()
    message = queue(user)
    for _ in range(3):
        with dying_worker(provider) as entries:
            entries[message.pk].begin()
        recover_dead()
    assert drain().sent == 0
    message.refresh_from_db()
    assert (message.status, message.error) == ("failed", "Given up: its workers kept vanishing.")


def test_recipients_that_were_served_are_not_served_again(user: User) -> None:
    provider = simulator(hourly_limit=100)
    message = queue(user, to=["a@example.net", "b@example.net"])
    deferred = RecipientResult("b@example.net", Outcome.NOT_ACCEPTED, reply=Reply(450))
    with dying_worker(provider) as entries:
        entries[message.pk].begin()
        entries[message.pk].hand_over()
        entries[message.pk].end(SendResult(Outcome.ACCEPTED, recipients=(deferred,)), 1)
    recover_dead()
    message.refresh_from_db()
    assert message.status == "retry"
    assert [entry.get("s", "") for entry in message.recipients] == ["sent", ""]
    assert usage() == (1, 0)


def test_an_account_that_refused_us_costs_no_wait(user: User) -> None:
    provider = simulator()
    message = queue(user)
    refusal = SendResult(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER)
    with dying_worker(provider) as entries:
        entries[message.pk].begin()
        entries[message.pk].end(refusal, 1)
    recover_dead()
    sweep()
    assert drain().sent == 1


def end_leases() -> None:
    Lease.objects.update(expires_at=timezone.now() - timedelta(minutes=1))


def test_where_the_journal_is_gone_all_is_sent_again_and_counts_as_used(user: User) -> None:
    provider = simulator(hourly_limit=100)
    message = queue(user)
    with dying_worker(provider) as entries:
        entries[message.pk].begin()
        entries[message.pk].hand_over()
        next(journal_folder().glob("*.wire")).unlink()
        assert sweep()["reclaimed"] == 0
        end_leases()
        assert sweep()["reclaimed"] == 1
    assert recover_dead() == 0
    message.refresh_from_db()
    assert (message.status, usage()) == ("queued", (1, 0))


def test_a_stopped_process_is_settled_when_its_lease_is_over(user: User) -> None:
    provider = simulator(hourly_limit=100)
    sent, waiting = queue(user), queue(user)
    with dying_worker(provider) as entries:
        entries[sent.pk].begin()
        entries[sent.pk].hand_over()
        entries[sent.pk].end(ACCEPTED, 1)
        assert recover_dead() == 0
        end_leases()
        assert sweep()["reclaimed"] == 2
    assert recover_dead() == 0
    assert list(journal_folder().glob("*")) == []
    sent.refresh_from_db()
    waiting.refresh_from_db()
    assert (sent.status, waiting.status, usage()) == ("sent", "queued", (1, 0))


def test_results_of_a_lost_lease_count_for_nothing(user: User) -> None:
    provider = simulator(hourly_limit=100)
    queue(user)
    lease = LeaseHolder(worker="late:1", lane=Lane.TRANSACTIONAL)
    message = claim(lease_id=lease.id, lane=Lane.TRANSACTIONAL, limit=1)[0]
    end_leases()
    sweep()
    book = quotas.SettlementBook()
    book.note(provider, mails=1, sent=1)
    with pytest.raises(LeaseLostError):
        Recorder(worker="late:1").record(
            lease_id=lease.id,
            ended=[Ended(message, Step(Status.SENT))],
            settlements=book.take(),
            now=lease.now(),
        )
    assert not ProviderUsage.objects.exists()
    assert Message.objects.get().status == "queued"


def test_a_claim_whose_answer_got_lost_is_given_back(user: User) -> None:
    simulator()
    lost, kept = queue(user), queue(user, email_type="marketing")
    claimed: list[Claimed] = []

    def lose_an_answer() -> bool:
        """Asked by the drain at every turn: claims once in its name, and tells it nothing."""
        if not claimed:
            held = Lease.objects.get().pk
            claimed.extend(claim(lease_id=held, lane=Lane.TRANSACTIONAL, limit=1))
        return False

    report = drain_lane(lane=Lane.BULK, worker="test", seconds=20, is_stopping=lose_an_answer)
    assert (report.sent, [message.id for message in claimed]) == (1, [lost.pk])
    lost.refresh_from_db()
    kept.refresh_from_db()
    assert (lost.status, lost.attempt_count, kept.status) == ("queued", 0, "sent")
    assert not Event.objects.exists()


def test_recovering_twice_changes_nothing(user: User) -> None:
    provider = simulator(hourly_limit=100)
    message = queue(user)
    with dying_worker(provider) as entries:
        entries[message.pk].begin()
        entries[message.pk].hand_over()
    kept = next(journal_folder().glob("*.wire"))
    copy = kept.read_bytes()
    assert recover_dead() == 1
    kept.write_bytes(copy)
    assert recover_dead() == 0
    message.refresh_from_db()
    assert (message.status, usage()) == ("unknown", (1, 0))
    assert list(journal_folder().glob("*")) == []


def test_the_turn_of_a_sequence_moves_on(user: User) -> None:
    provider = simulator()
    first, second = queue(user, sequence_key="k"), queue(user, sequence_key="k")
    with dying_worker(provider) as entries:
        entries[first.pk].begin()
        entries[first.pk].hand_over()
        entries[first.pk].end(ACCEPTED, 1)
    recover_dead()
    second.refresh_from_db()
    assert not second.awaits_turn
    assert drain().sent == 1


def test_test_mode_uses_no_quota(user: User) -> None:
    provider = simulator(hourly_limit=100)
    message = queue(user, is_test=True)
    with dying_worker(provider) as entries:
        entries[message.pk].begin()
        entries[message.pk].end(ACCEPTED, 1)
    recover_dead()
    message.refresh_from_db()
    assert (message.status, usage()) == ("sent", (0, 0))


def test_the_timeline_says_what_happened(user: User) -> None:
    provider = simulator()
    message = queue(user)
    with dying_worker(provider) as entries:
        entries[message.pk].begin()
    recover_dead()
    event = Event.objects.get(message=message)
    assert (event.kind, event.detail) == ("lease_expired", "Its worker died before it was sent.")
    assert Message.objects.get(pk=message.pk).error == "Its worker died before it was sent."
