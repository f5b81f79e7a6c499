"""What news means for recipients and message: the same end in any order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.fates import Fate, Told, fate_after
from delivery.states import NEWS, TRANSITIONS, EventKind, Status

ADDRESSES = ("a@example.com", "b@example.com", "c@example.com")
SENT_ALREADY = [Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED]


def recipients(*addresses: str) -> list[dict[str, Any]]:
    return [{"k": "to", "a": address} for address in addresses]


def fold(status: Status, entries: list[dict[str, Any]], told: list[Told]) -> Fate:
    """Tell one after another."""
    fate = Fate(status, entries)
    for one in told:
        fate = fate_after(fate.status, fate.recipients, [one]) or fate
    return fate


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (Status.SENT, EventKind.DELIVERED, Status.DELIVERED),
        (Status.SENT, EventKind.BOUNCED, Status.BOUNCED),
        (Status.SENT, EventKind.SOFT_BOUNCED, Status.BOUNCED),
        (Status.SENT, EventKind.COMPLAINED, Status.COMPLAINED),
        (Status.DELIVERED, EventKind.BOUNCED, Status.BOUNCED),
        (Status.BOUNCED, EventKind.DELIVERED, None),
        (Status.COMPLAINED, EventKind.BOUNCED, None),
        (Status.SENT, EventKind.OPENED, None),
        (Status.SENT, EventKind.DELAYED, None),
        (Status.UNKNOWN, EventKind.DELAYED, Status.SENT),
        (Status.UNKNOWN, EventKind.OPENED, Status.SENT),
        (Status.UNKNOWN, EventKind.DELIVERED, Status.DELIVERED),
        (Status.FAILED, EventKind.DELIVERED, None),
        (Status.CANCELLED, EventKind.DELIVERED, None),
    ],
)
def test_news_of_the_only_recipient_moves_the_message(
    status: Status, kind: EventKind, expected: Status | None
) -> None:
    fate = fate_after(status, recipients("Bob@Example.com"), [Told(kind, "bob@example.com", "why")])
    if expected is None:
        assert fate is None
    else:
        is_bad = expected in (Status.BOUNCED, Status.COMPLAINED)
        entries = recipients("Bob@Example.com")
        assert fate == Fate(expected, entries, "why" if is_bad else "")


def test_a_recipient_differs_until_the_message_has_its_state() -> None:
    a, b, _ = ADDRESSES
    first = fate_after(Status.SENT, recipients(a, b), [Told(EventKind.BOUNCED, a, "no such user")])
    assert first is not None
    assert first.status is Status.SENT
    assert first.recipients == [
        {"k": "to", "a": a, "s": "bounced", "r": "no such user"},
        {"k": "to", "a": b},
    ]
    second = fate_after(first.status, first.recipients, [Told(EventKind.DELIVERED, b)])
    assert second is not None
    assert second.status is Status.DELIVERED
    assert [entry.get("s") for entry in second.recipients] == ["bounced", None]


def test_mail_that_still_waits_is_not_sent_to_whom_has_it() -> None:
    a, b, _ = ADDRESSES
    fate = fate_after(Status.RETRY, recipients(a, b), [Told(EventKind.DELIVERED, a)])
    assert fate is not None
    assert fate.status is Status.RETRY
    assert [entry.get("s") for entry in fate.recipients] == ["delivered", None]


def test_who_was_suppressed_got_nothing_whatever_is_told() -> None:
    a, b, _ = ADDRESSES
    entries = [{"k": "to", "a": a, "s": "suppressed"}, {"k": "to", "a": b}]
    fate = fate_after(Status.SENT, entries, [Told(EventKind.DELIVERED)])
    assert fate is not None
    assert fate.status is Status.DELIVERED
    assert [entry.get("s") for entry in fate.recipients] == ["suppressed", None]


told = st.builds(
    Told, st.sampled_from(sorted(NEWS)), st.sampled_from(("", *ADDRESSES)), st.just("")
)


@given(
    news=st.lists(told, max_size=4),
    count=st.integers(1, 3),
    status=st.sampled_from([*SENT_ALREADY, Status.UNKNOWN]),
)
def test_the_end_is_the_same_in_any_order_at_once_or_twice(
    news: list[Told], count: int, status: Status
) -> None:
    entries = recipients(*ADDRESSES[:count])
    ends = {str(fold(status, entries, list(order))) for order in permutations(news)}
    ends.add(str(fold(status, entries, news + news)))
    ends.add(str(fate_after(status, entries, news) or Fate(status, entries)))
    assert len(ends) == 1


@given(
    news=st.lists(told, max_size=4),
    count=st.integers(1, 3),
    status=st.sampled_from(list(Status)),
)
def test_only_legal_moves(news: list[Told], count: int, status: Status) -> None:
    fate = fate_after(status, recipients(*ADDRESSES[:count]), news)
    if fate is not None and fate.status is not status:
        assert fate.status in TRANSITIONS[status]


def in_part(*states: str) -> list[dict[str, Any]]:
    return [
        entry | ({"s": state} if state else {})
        for entry, state in zip(recipients(*ADDRESSES), states, strict=True)
    ]


def test_where_some_are_in_doubt_news_of_the_others_settles_nothing() -> None:
    entries = in_part("sent", "", "")
    told = [Told(EventKind.DELIVERED, ADDRESSES[0])]
    fate = fate_after(Status.UNKNOWN, entries, told)
    assert fate == Fate(Status.UNKNOWN, in_part("delivered", "", ""))


@pytest.mark.parametrize("kind", [EventKind.DELIVERED, EventKind.OPENED, EventKind.BOUNCED])
def test_news_of_nobody_by_name_settles_nothing_either(kind: EventKind) -> None:
    fate = fate_after(Status.UNKNOWN, in_part("sent", "", "bounced"), [Told(kind)])
    after = fate.recipients if fate else in_part("sent", "", "bounced")
    assert [entry.get("s") for entry in after][1] is None
    assert fate is None or fate.status is Status.UNKNOWN


def test_news_of_one_in_doubt_shows_that_they_were_sent_to() -> None:
    entries = in_part("sent", "", "")
    fate = fate_after(Status.UNKNOWN, entries, [Told(EventKind.DELIVERED, ADDRESSES[1])])
    assert fate == Fate(Status.SENT, in_part("", "delivered", ""))
