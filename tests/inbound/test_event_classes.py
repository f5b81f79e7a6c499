"""Why a mail came back, as providers' events tell it: the same table as for replies and DSNs."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from delivery.models import SuppressionReason
from delivery.states import EventKind
from inbound.adapters.normal import Heard, heard

NOW = datetime(2026, 11, 21, tzinfo=UTC)
HARD = {
    "brevo": {"event": "hard_bounce"},
    "mailgun": {"event-data": {"event": "failed", "severity": "permanent"}},
    "mandrill": {"event": "hard_bounce"},
    "postmark": {"Type": "HardBounce"},
    "sendgrid": {"event": "bounce", "type": "bounce"},
    "sparkpost": {"msys": {"message_event": {"bounce_class": "10"}}},
}


def hear(
    reply: str | None,
    *,
    kind: str = "brevo",
    raw: Any = None,
    what: str = "bounced",
    reason: str = "",
) -> Heard:
    event = SimpleNamespace(
        event_type=what, esp_event=raw or {}, mta_response=reply, reject_reason=reason or None,
        message_id="1", metadata={}, timestamp=NOW, event_id="e1", recipient="bob@example.net",
        description="", click_url=None, user_agent=None,
    )  # fmt: skip
    found = heard(event, kind=kind, received_at=NOW)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", sorted(HARD))
@pytest.mark.parametrize(
    ("reply", "bounce_class", "is_hard"),
    [
        ("550 5.1.1 User unknown", "address", True),
        ("smtp;550 5.4.1 Recipient address rejected: Access denied", "address", True),
        ("552 5.2.2 mailbox full", "mailbox_full", False),
        ("550 5.7.1 blocked using zen.spamhaus.org", "reputation", False),
        ("550 5.7.26 unauthenticated, see DMARC policy", "authentication", False),
        ("554 5.7.1 spam message rejected", "content", False),
        ("552 5.3.4 Message too large", "size", False),
        ("451 4.7.1 Greylisted", "transient", False),
        ("", "address", True),
        ("550 5.0.0 failed", "address", True),
    ],
)
def test_the_reply_outweighs_what_the_provider_calls_hard(
    kind: str, reply: str, bounce_class: str, *, is_hard: bool
) -> None:
    found = hear(reply, kind=kind, raw=HARD[kind])
    assert (found.data or {})["class"] == bounce_class
    expected = (
        (EventKind.BOUNCED, SuppressionReason.HARD_BOUNCE)
        if is_hard
        else (EventKind.SOFT_BOUNCED, None)
    )
    assert (found.kind, found.suppress) == expected


def test_what_the_provider_does_not_call_final_suppresses_nobody() -> None:
    found = hear("550 5.1.1 User unknown", raw={"event": "soft_bounce"})
    assert (found.kind, found.suppress) == (EventKind.SOFT_BOUNCED, None)
    assert found.data == {"class": "address", "side": "recipient", "code": "5.1.1"}


@pytest.mark.parametrize(
    ("reason", "bounce_class", "is_hard"),
    [
        ("invalid", "address", True),
        ("blocked", "policy", False),
        ("spam", "content", False),
        ("unsubscribed", "policy", False),
        ("timed_out", "transient", False),
        ("other", "unknown", False),
        ("", "unknown", False),
    ],
)
def test_without_a_reply_the_providers_reason_counts(
    reason: str, bounce_class: str, *, is_hard: bool
) -> None:
    found = hear(None, raw={"event": "blocked"}, reason=reason)
    assert (found.data or {})["class"] == bounce_class
    assert (found.kind is EventKind.BOUNCED) is is_hard


@pytest.mark.parametrize(
    ("reply", "bounce_class"),
    [("451 4.7.1 Greylisted", "transient"), ("452 4.2.2 full", "mailbox_full"), ("", "transient")],
)
def test_a_mail_that_waits_says_why(reply: str, bounce_class: str) -> None:
    found = hear(reply, raw={"event": "deferred"}, what="deferred")
    assert (found.kind, found.suppress) == (EventKind.DELAYED, None)
    assert (found.data or {})["class"] == bounce_class


@pytest.mark.parametrize("what", ["delivered", "opened", "complained", "unsubscribed"])
def test_other_events_have_no_class(what: str) -> None:
    assert "class" not in (hear("250 2.0.0 ok", what=what).data or {})


def test_a_provider_without_a_word_of_its_own_leaves_it_to_the_reply() -> None:
    hard = hear("550 5.1.1 User unknown", kind="postal", raw={"payload": {}})
    soft = hear("", kind="postal", raw={"payload": {}})
    assert (hard.kind, soft.kind) == (EventKind.BOUNCED, EventKind.SOFT_BOUNCED)


@pytest.mark.parametrize("raw", [None, "x", 5, [], {"event-data": {}}, {"event": None}])
def test_a_raw_event_of_any_shape_is_no_proof(raw: Any) -> None:
    for kind in HARD:
        assert hear("who knows", kind=kind, raw=raw).kind is EventKind.SOFT_BOUNCED
