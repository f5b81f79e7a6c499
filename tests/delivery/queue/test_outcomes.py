from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.queue.claims import Claimed
from delivery.queue.outcomes import RESOLVED, Step, after_attempt, unresolved
from delivery.retries import RetryPolicy
from delivery.states import TRANSITIONS, Status
from providers.ports import Outcome, Reason, RecipientResult, Reply, SendResult

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
POLICY = RetryPolicy(timedelta(minutes=1), timedelta(hours=4), timedelta(days=2), max_attempts=5)
A, B, C = "a@b.example", "B@b.example", "c@b.example"


def to(address: str, state: str = "", why: str = "") -> dict[str, Any]:
    """Return one recipient as the row keeps it."""
    entry = {"k": "to", "a": address, "s": state, "r": why}
    return {key: value for key, value in entry.items() if value}


def claimed(*recipients: dict[str, Any], **fields: Any) -> Claimed:
    plain = list(recipients) or [to(A)]
    defaults: dict[str, Any] = {
        "id": UUID(int=1),
        "content_id": UUID(int=2),
        "owner_id": UUID(int=3),
        "email_type": "transactional",
        "lane": 1,
        "priority": 3,
        "is_test": False,
        "recipients": plain,
        "addresses": [entry["a"].lower() for entry in plain],
        "context": None,
        "headers": None,
        "pinned_provider_id": None,
        "sequence_key": "",
        "expires_at": None,
        "created_at": NOW,
        "attempt": 1,
        "error": "",
    }
    return Claimed(**defaults | fields)


def result(
    outcome: Outcome, *recipients: RecipientResult, reason: Reason = Reason.OTHER, **fields: Any
) -> SendResult:
    reply = Reply(451, "4.3.0", "later") if outcome is not Outcome.ACCEPTED else Reply(250)
    return SendResult(outcome, reason=reason, reply=reply, recipients=recipients, **fields)


def verdict(address: str, outcome: Outcome, reason: Reason = Reason.OTHER) -> RecipientResult:
    return RecipientResult(address, outcome, reason, Reply(550, "5.1.1", "no such user"))


def after(message: Claimed, sent: SendResult) -> Step:
    return after_attempt(message, sent, policy=POLICY, now=NOW, jitter=0.5)


ACCEPTED = result(Outcome.ACCEPTED)
REFUSED = result(Outcome.NOT_ACCEPTED)
UNKNOWN_MAILBOX = f"{B}: 550 5.1.1 no such user"


@pytest.mark.parametrize(
    ("sent", "step"),
    [
        (ACCEPTED, Step(Status.SENT)),
        (REFUSED, Step(Status.RETRY, "451 4.3.0 later", SOON)),
        (result(Outcome.UNKNOWN), Step(Status.UNKNOWN, "451 4.3.0 later")),
        (
            result(Outcome.REJECTED, reason=Reason.BAD_RECIPIENT),
            Step(Status.BOUNCED, "451 4.3.0 later"),
        ),
        (result(Outcome.REJECTED, reason=Reason.MAILBOX), Step(Status.BOUNCED, "451 4.3.0 later")),
        (result(Outcome.REJECTED, reason=Reason.CONTENT), Step(Status.FAILED, "451 4.3.0 later")),
        (result(Outcome.REJECTED), Step(Status.FAILED, "451 4.3.0 later")),
    ],
)
def test_one_verdict_for_all(sent: SendResult, step: Step) -> None:
    assert after(claimed(), sent) == step
    assert after(claimed(to(A), to(B)), sent) == step


def test_the_error_falls_back_from_reply_to_reason() -> None:
    silent = replace(REFUSED, reply=Reply(), reason=Reason.CONNECTION)
    assert after(claimed(), silent).error == "connection"
    assert after(claimed(), replace(silent, reason=Reason.NONE)).error == "no answer"


def test_a_providers_wish_moves_the_next_attempt() -> None:
    step = after(claimed(), result(Outcome.NOT_ACCEPTED, retry_after_seconds=600))
    assert step.due_at == NOW + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("fields", "attempts"),
    [
        ({"attempt": 5}, 5),
        ({"created_at": NOW - timedelta(days=2)}, 1),
        ({"expires_at": SOON}, 1),
    ],
)
def test_a_message_out_of_patience_fails(fields: dict[str, Any], attempts: int) -> None:
    step = after(claimed(**fields), REFUSED)
    assert step == Step(Status.FAILED, f"Given up after {attempts} attempts: 451 4.3.0 later")


def test_a_refused_recipient_beside_an_accepted_one_is_marked_alone() -> None:
    sent = result(Outcome.ACCEPTED, verdict(B, Outcome.REJECTED, Reason.BAD_RECIPIENT))
    assert after(claimed(to(A), to(B)), sent) == Step(
        Status.SENT,
        UNKNOWN_MAILBOX,
        recipients=[to(A, "sent"), to(B, "bounced", UNKNOWN_MAILBOX)],
    )


def test_addresses_are_matched_in_normal_form() -> None:
    sent = result(Outcome.ACCEPTED, verdict("B@B.Example", Outcome.REJECTED, Reason.MAILBOX))
    step = after(claimed(to(A), to("B@b.example")), sent)
    assert [entry.get("s") for entry in step.recipients or []] == ["sent", "bounced"]


def test_a_deferred_recipient_keeps_the_message_waiting_and_the_served_one_served() -> None:
    sent = result(Outcome.ACCEPTED, verdict(B, Outcome.NOT_ACCEPTED))
    step = after(claimed(to(A), to(B)), sent)
    assert step == Step(Status.RETRY, UNKNOWN_MAILBOX, SOON, recipients=[to(A, "sent"), to(B)])
    assert [entry["a"] for entry in unresolved(step.recipients or [])] == [B]


def test_the_second_attempt_serves_the_rest_and_keeps_what_was_settled() -> None:
    message = claimed(to(A, "sent"), to(B), to(C, "bounced", "gone"), attempt=2)
    assert after(message, ACCEPTED) == Step(
        Status.SENT, recipients=[to(A, "sent"), to(B, "sent"), to(C, "bounced", "gone")]
    )


def test_a_last_deferral_fails_that_recipient_only() -> None:
    message = claimed(to(A), to(B), attempt=5)
    step = after(message, result(Outcome.ACCEPTED, verdict(B, Outcome.NOT_ACCEPTED)))
    assert step.status is Status.SENT
    assert step.recipients == [to(A, "sent"), to(B, "failed", UNKNOWN_MAILBOX)]


@pytest.mark.parametrize(
    ("outcome", "reason", "state"),
    [
        (Outcome.REJECTED, Reason.BAD_RECIPIENT, "bounced"),
        (Outcome.REJECTED, Reason.CONTENT, "failed"),
    ],
)
def test_an_end_for_the_rest_does_not_undo_what_was_served(
    outcome: Outcome, reason: Reason, state: str
) -> None:
    step = after(claimed(to(A, "delivered"), to(B), attempt=2), result(outcome, reason=reason))
    assert step == Step(
        Status.SENT,
        "451 4.3.0 later",
        recipients=[to(A, "delivered"), to(B, state, "451 4.3.0 later")],
    )


def test_everybody_refused_one_by_one_is_a_bounce() -> None:
    sent = result(
        Outcome.REJECTED,
        verdict(A, Outcome.REJECTED, Reason.CONTENT),
        verdict(B, Outcome.REJECTED, Reason.BAD_RECIPIENT),
    )
    step = after(claimed(to(A), to(B)), sent)
    assert step.status is Status.BOUNCED
    assert [entry["s"] for entry in step.recipients or []] == ["failed", "bounced"]


def test_doubt_about_some_is_doubt_about_the_message() -> None:
    sent = result(Outcome.UNKNOWN, verdict(B, Outcome.REJECTED, Reason.BAD_RECIPIENT))
    assert after(claimed(to(A), to(B)), sent) == Step(
        Status.UNKNOWN, "451 4.3.0 later", recipients=[to(A), to(B, "bounced", UNKNOWN_MAILBOX)]
    )


@pytest.mark.parametrize("is_resent", [True, False])
def test_who_is_known_to_have_it_is_not_in_doubt_with_the_others(*, is_resent: bool) -> None:
    sent = result(Outcome.ACCEPTED, verdict(B, Outcome.UNKNOWN), verdict(C, Outcome.NOT_ACCEPTED))
    policy = replace(POLICY, resends_unknown=is_resent)
    step = after_attempt(claimed(to(A), to(B), to(C)), sent, policy=policy, now=NOW, jitter=0.5)
    assert (step.status, step.error) == (Status.UNKNOWN, UNKNOWN_MAILBOX)
    assert step.due_at == (NOW + timedelta(minutes=15) if is_resent else None)
    assert step.recipients == [to(A, "sent"), to(B), to(C)]


def test_names_and_kinds_of_recipients_are_kept() -> None:
    entry = {"k": "bcc", "a": A, "n": "Ann"}
    step = after(claimed(entry, to(B)), result(Outcome.ACCEPTED, verdict(B, Outcome.REJECTED)))
    assert (step.recipients or [])[0] == {"k": "bcc", "a": A, "n": "Ann", "s": "sent"}


def test_a_long_reply_fits_its_column() -> None:
    sent = replace(REFUSED, reply=Reply(451, "4.3.0", "x" * 600))
    assert len(after(claimed(), sent).error) == 500


states = st.sampled_from(["", *sorted(RESOLVED)])
verdicts = st.builds(
    verdict, st.sampled_from([A, B, C]), st.sampled_from(Outcome), st.sampled_from(Reason)
)


@given(
    recipient_states=st.tuples(states, states, states),
    outcome=st.sampled_from(Outcome),
    reason=st.sampled_from(Reason),
    found=st.lists(verdicts, max_size=3, unique_by=lambda each: each.address),
    attempt=st.integers(1, 6),
    wish=st.none() | st.floats(0, 10_000),
)
def test_every_outcome_is_a_legal_move_that_loses_nobody(
    recipient_states: Sequence[str],
    outcome: Outcome,
    reason: Reason,
    found: list[RecipientResult],
    attempt: int,
    wish: float | None,
) -> None:
    before = [
        to(address, state) for address, state in zip([A, B, C], recipient_states, strict=True)
    ]
    message = claimed(*before, attempt=attempt)
    sent = result(outcome, *found, reason=reason, retry_after_seconds=wish)
    step = after(message, sent)
    assert step.status in TRANSITIONS[Status.SENDING]
    assert (step.due_at is not None) is (step.status is Status.RETRY)
    assert message.recipients == before
    if step.recipients is None:
        return
    assert [entry["a"] for entry in step.recipients] == [A, B, C]
    for old, new in zip(before, step.recipients, strict=True):
        assert old.get("s") not in RESOLVED or new == old
    if step.status not in (Status.RETRY, Status.UNKNOWN):
        assert unresolved(step.recipients) == []
