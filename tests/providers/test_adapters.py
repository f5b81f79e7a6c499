"""The registry of adapters, and how the verdicts on recipients make one result."""

from __future__ import annotations

from uuid import uuid4

import pytest

from providers.adapters import (
    UnknownKindError,
    adapter_for,
    check_connection,
    kinds,
    register,
    validate_settings,
)
from providers.adapters.outcomes import Verdict, combine
from providers.adapters.simulator import SimulatorAdapter
from providers.ports import AccountConfig, Outcome, Reason, RecipientResult, Reply, Scope

ACCEPTED = Verdict(Outcome.ACCEPTED, reply=Reply(250, text="ok"))
UNKNOWN = Verdict(Outcome.UNKNOWN, Reason.LOST_AFTER_DATA)
ELSEWHERE = Verdict(Outcome.NOT_ACCEPTED, Reason.THROTTLED, Scope.PROVIDER)
LATER = Verdict(Outcome.NOT_ACCEPTED, Reason.GREYLISTED, retry_after_seconds=60)
REJECTED = Verdict(Outcome.REJECTED, Reason.BAD_RECIPIENT)


def account(kind: str) -> AccountConfig:
    return AccountConfig(uuid4(), "x", kind, {"host": "h"} if kind == "smtp" else {})


def test_built_in_kinds_are_known() -> None:
    assert {"smtp", "simulator"} <= set(kinds())
    assert adapter_for(account("smtp")) is not None


def test_unknown_kind_is_refused_everywhere() -> None:
    for ask in (adapter_for, check_connection):
        with pytest.raises(UnknownKindError, match="carrier pigeon"):
            ask(account("carrier pigeon"))
    with pytest.raises(UnknownKindError):
        validate_settings("carrier pigeon", {}, {})


def test_kind_registered_elsewhere_is_used() -> None:
    register("test-registered", SimulatorAdapter)
    assert validate_settings("test-registered", {"any": 1}, {}) == []
    assert isinstance(adapter_for(account("test-registered")), SimulatorAdapter)
    assert check_connection(account("test-registered")) == "Connected."


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ACCEPTED, UNKNOWN),
        (UNKNOWN, ELSEWHERE),
        (ELSEWHERE, LATER),
        (LATER, REJECTED),
        (ACCEPTED, REJECTED),
    ],
)
def test_leading_verdict_speaks_for_the_mail(first: Verdict, second: Verdict) -> None:
    for pairs in ([("a", first), ("b", second)], [("b", second), ("a", first)]):
        result = combine(pairs)
        assert (result.outcome, result.reason, result.scope, result.reply) == (
            first.outcome,
            first.reason,
            first.scope,
            first.reply,
        )
        assert result.retry_after_seconds == first.retry_after_seconds


def test_accepted_names_only_those_it_was_not_for() -> None:
    result = combine([("a", ACCEPTED), ("b", REJECTED)], remote_id="q1", dialogue="x")
    assert result.recipients == (RecipientResult("b", Outcome.REJECTED, Reason.BAD_RECIPIENT),)
    assert (result.remote_id, result.dialogue) == ("q1", "x")


def test_not_accepted_names_everybody_or_nobody() -> None:
    assert [r.address for r in combine([("a", LATER), ("b", REJECTED)]).recipients] == ["a", "b"]
    assert combine([("a", LATER), ("b", LATER)]).recipients == ()
