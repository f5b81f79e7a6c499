"""The sink misbehaves as it is told, and our client understands it."""

from __future__ import annotations

import pytest

from bench.sink import Fault, Sink, SinkOptions
from providers.ports import ConnectError, Outcome, Scope
from tests.support.smtp import a_mail, an_adapter


def sink_with(fault: str) -> Sink:
    return Sink(SinkOptions(faults=(Fault.parse(fault),)))


@pytest.mark.parametrize(
    ("fault", "outcome", "scope", "taken"),
    [
        ("mail:1:drop", Outcome.NOT_ACCEPTED, Scope.PROVIDER, 0),
        ("mail:1:421 4.3.2 Closing", Outcome.NOT_ACCEPTED, Scope.PROVIDER, 0),
        ("rcpt:1:450 4.2.0 Later", Outcome.NOT_ACCEPTED, Scope.MESSAGE, 0),
        ("rcpt:1:550 5.1.1 Nobody", Outcome.REJECTED, Scope.MESSAGE, 0),
        ("data:1:drop", Outcome.NOT_ACCEPTED, Scope.PROVIDER, 0),
        ("body:1:drop", Outcome.UNKNOWN, Scope.MESSAGE, 0),
        ("end:1:451 4.3.0 Later", Outcome.NOT_ACCEPTED, Scope.MESSAGE, 0),
        ("end:1:554 5.6.0 No", Outcome.REJECTED, Scope.MESSAGE, 0),
        ("taken:1:drop", Outcome.UNKNOWN, Scope.MESSAGE, 1),
    ],
)
def test_each_fault_strikes_at_its_stage(
    fault: str, outcome: Outcome, scope: Scope, taken: int
) -> None:
    with sink_with(fault) as sink:
        session = an_adapter(sink.port).open()
        result = session.send(a_mail())
        session.close()
    assert (result.outcome, result.scope, sink.received) == (outcome, scope, taken)


def test_silence_ends_by_the_clients_patience() -> None:
    with sink_with("taken:1:hang") as sink:
        session = an_adapter(sink.port, timeout_seconds=0.2, final_timeout_seconds=0.2).open()
        result = session.send(a_mail())
        session.close()
    assert (result.outcome, sink.received) == (Outcome.UNKNOWN, 1)


@pytest.mark.parametrize("action", ["drop", "421 4.3.2 Not now"])
def test_a_refused_greeting_is_no_connection(action: str) -> None:
    with sink_with(f"greet:1:{action}") as sink, pytest.raises(ConnectError):
        an_adapter(sink.port).open()


def test_every_nth_time_only() -> None:
    with sink_with("end:3:451 4.3.0 Later") as sink:
        session = an_adapter(sink.port).open()
        outcomes = [session.send(a_mail()).outcome for _ in range(6)]
        session.close()
    assert outcomes == [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.NOT_ACCEPTED] * 2
    assert sink.received == 4


@pytest.mark.parametrize("text", ["end", "end:0:drop", "end:1:", "lunch:1:drop", "end:x:drop"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Fault.parse(text)
