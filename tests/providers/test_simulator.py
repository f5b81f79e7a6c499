"""The simulator: scripted faults, exactly as scripted."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from providers.adapters import SettingsError, adapter_for, validate_settings
from providers.adapters.esp import KINDS
from providers.adapters.esp.answers import Answer
from providers.adapters.esp.classify import verdict_on
from providers.adapters.scripted import SCRIPTED
from providers.ports import (
    AccountConfig,
    ConnectError,
    Outcome,
    OutgoingMail,
    Reason,
    Reply,
    Scope,
    SendResult,
)


def account(cap: int = 0, **settings: Any) -> AccountConfig:
    return AccountConfig(uuid4(), "drill", "simulator", settings, max_messages_per_connection=cap)


def mail(*recipients: str, message_id: UUID | None = None) -> OutgoingMail:
    return OutgoingMail(message_id or uuid4(), "a@a.example", recipients, b"\r\nx\r\n")


def send(config: AccountConfig, *recipients: str, message_id: UUID | None = None) -> SendResult:
    return adapter_for(config).open().send(mail(*recipients, message_id=message_id))


def test_without_rules_everything_is_accepted() -> None:
    message_id = uuid4()
    assert send(account(), "b@b.example", message_id=message_id) == SendResult(
        Outcome.ACCEPTED,
        reply=Reply(250, "2.0.0", "simulated: accepted"),
        remote_id=f"sim-{message_id}",
    )


def test_first_matching_rule_decides_whatever_the_case() -> None:
    rules = [
        {"match": "*@Bounce.example", "outcome": "rejected", "reason": "bad_recipient"},
        {"match": "*", "outcome": "unknown", "reason": "lost_after_data"},
    ]
    rejected = send(account(rules=rules), "B@bounce.EXAMPLE")
    unknown = send(account(rules=rules), "b@b.example")
    assert (rejected.outcome, rejected.reason) == (Outcome.REJECTED, Reason.BAD_RECIPIENT)
    assert rejected.dialogue == "-- simulator\nB@bounce.EXAMPLE: 550 simulated: rejected"
    assert (unknown.outcome, unknown.reason) == (Outcome.UNKNOWN, Reason.LOST_AFTER_DATA)
    assert rejected.remote_id == unknown.remote_id == ""


def test_rule_gives_every_part_of_the_verdict() -> None:
    rule = {
        "match": "*",
        "outcome": "not_accepted",
        "reason": "throttled",
        "scope": "provider",
        "code": 421,
        "text": "slow down",
        "retry_after_seconds": 90,
    }
    result = send(account(rules=[rule]), "b@b.example")
    assert (result.outcome, result.reason, result.scope) == (
        Outcome.NOT_ACCEPTED,
        Reason.THROTTLED,
        Scope.PROVIDER,
    )
    assert (result.reply, result.retry_after_seconds) == (Reply(421, "", "slow down"), 90)


def test_recipients_are_judged_one_by_one() -> None:
    rules = [{"match": "*@bounce.example", "outcome": "rejected"}]
    result = send(account(rules=rules), "ok@b.example", "x@bounce.example")
    assert result.outcome is Outcome.ACCEPTED
    assert [(r.address, r.outcome) for r in result.recipients] == [
        ("x@bounce.example", Outcome.REJECTED)
    ]


def test_first_tries_fail_and_later_ones_pass_per_message_and_recipient() -> None:
    config = account(rules=[{"match": "*", "outcome": "not_accepted", "times": 2}])
    one, other = uuid4(), uuid4()
    outcomes = [send(config, "b@b.example", message_id=one).outcome for _ in range(4)]
    assert outcomes == [Outcome.NOT_ACCEPTED] * 2 + [Outcome.ACCEPTED] * 2
    assert send(config, "b@b.example", message_id=other).outcome is Outcome.NOT_ACCEPTED
    assert send(config, "c@b.example", message_id=one).outcome is Outcome.NOT_ACCEPTED


def test_tries_are_counted_right_by_many_threads() -> None:
    config = account(rules=[{"match": "*", "outcome": "not_accepted", "times": 50}])
    message_id = uuid4()
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(send, config, "b@b", message_id=message_id) for _ in range(100)]
        outcomes = [future.result().outcome for future in futures]
    assert outcomes.count(Outcome.NOT_ACCEPTED) == 50


def test_a_fault_by_name_is_what_a_real_account_would_make_of_it() -> None:
    rule = {"match": "*", "fault": "rcpt_greylisted"}
    result = send(account(rules=[rule]), "b@b.example")
    assert (result.outcome, result.reason, result.scope) == (
        Outcome.NOT_ACCEPTED,
        Reason.GREYLISTED,
        Scope.MESSAGE,
    )
    assert result.reply == Reply(450, "4.7.1", "Greylisted, come back later")


def test_code_text_and_wait_of_a_fault_can_be_changed() -> None:
    rule = {"match": "*", "fault": "http_429", "text": "later", "retry_after_seconds": 90}
    result = send(account(rules=[rule]), "b@b.example")
    assert (result.reply, result.retry_after_seconds) == (Reply(429, "", "later"), 90)
    assert result.reason is Reason.THROTTLED


@pytest.mark.parametrize("name", [name for name in SCRIPTED if name.startswith("http_4")])
@pytest.mark.parametrize("kind", ["postmark", "sendgrid"])
def test_http_faults_come_to_what_real_answers_do(kind: str, name: str) -> None:
    verdict = SCRIPTED[name].verdict
    answer = Answer(verdict.reply.code, text=verdict.reply.text)
    assert verdict_on(answer, KINDS[kind]) == verdict


@pytest.mark.parametrize("name", ["http_500", "http_502", "http_503"])
def test_servers_faults_come_to_what_real_answers_do(name: str) -> None:
    verdict = SCRIPTED[name].verdict
    answer = Answer(verdict.reply.code, text=verdict.reply.text)
    assert verdict_on(answer, KINDS["postmark"]) == verdict


@pytest.mark.parametrize("name", SCRIPTED)
def test_a_mail_is_handed_over_only_where_the_fault_comes_later(name: str) -> None:
    handed: list[bool] = []
    session = adapter_for(account(rules=[{"match": "*", "fault": name}])).open()
    session.send(replace(mail("b@b.example"), hand_over=lambda: handed.append(True)))
    is_before = name.startswith(("connect", "tls", "auth", "mail", "rcpt", "drop_before"))
    assert bool(handed) is not (is_before or name == "http_connect_timeout")


def test_a_lost_connection_is_not_used_again() -> None:
    session = adapter_for(account(rules=[{"match": "*", "fault": "drop_after_dot"}])).open()
    session.send(mail("b@b.example"))
    assert not session.is_usable


def test_a_rule_makes_its_mail_slow_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    config = account(rules=[{"match": "slow@*", "outcome": "accepted", "latency_ms": 50}])
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    send(config, "b@b.example")
    assert waits == []
    assert send(config, "slow@b.example").outcome is Outcome.ACCEPTED
    assert waits == [0.05]


def test_connection_fails_if_told_so() -> None:
    with pytest.raises(ConnectError) as caught:
        adapter_for(account(fail_connect=True)).open()
    assert (caught.value.result.scope, caught.value.result.reason) == (
        Scope.PROVIDER,
        Reason.CONNECTION,
    )


def test_latency_is_waited_out() -> None:
    started = time.monotonic()
    send(account(latency_ms=20), "b@b.example")
    assert time.monotonic() - started >= 0.02


def test_session_ends_at_its_cap_and_when_closed() -> None:
    session = adapter_for(account(cap=1)).open()
    usable = [session.is_usable]
    session.send(mail("b@b.example"))
    usable.append(session.is_usable)
    assert usable == [True, False]
    closed = adapter_for(account()).open()
    closed.close()
    assert not closed.is_usable


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"latency_ms": -1}, [("latency_ms", "invalid")]),
        ({"latency_ms": "1"}, [("latency_ms", "invalid")]),
        ({"fail_connect": 1}, [("fail_connect", "invalid")]),
        ({"color": 1}, [("color", "unknown")]),
        ({"rules": {}}, [("rules", "invalid")]),
        ({"rules": ["x"]}, [("rules[0]", "invalid")]),
        ({"rules": [{}]}, [("rules[0].match", "required"), ("rules[0].outcome", "required")]),
        ({"rules": [{"match": "*", "outcome": "maybe"}]}, [("rules[0].outcome", "invalid")]),
        ({"rules": [{"match": "*", "outcome": []}]}, [("rules[0].outcome", "invalid")]),
        ({"rules": [{"match": "*", "fault": "flood"}]}, [("rules[0].fault", "invalid")]),
        ({"rules": [{"match": "*", "fault": []}]}, [("rules[0].fault", "invalid")]),
        (
            {"rules": [{"match": "*", "fault": "http_500", "outcome": "rejected"}]},
            [("rules[0].outcome", "conflict")],
        ),
        (
            {"rules": [{"match": "*", "outcome": "rejected", "code": 42, "times": 0, "if": 1}]},
            [
                ("rules[0].code", "invalid"),
                ("rules[0].times", "invalid"),
                ("rules[0].if", "unknown"),
            ],
        ),
    ],
)
def test_faults_name_field_and_code(
    settings: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    faults = validate_settings("simulator", settings, {})
    assert [(field, code) for field, code, _ in faults] == expected
    with pytest.raises(SettingsError):
        adapter_for(account(**settings))


def test_secrets_are_none_of_its_business() -> None:
    faults = validate_settings("simulator", {}, {"password": "hunter2"})
    assert [(field, code) for field, code, _ in faults] == [("secrets.password", "unknown")]
    assert "hunter2" not in repr(faults)
