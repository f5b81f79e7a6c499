"""A provider that delivers nowhere and fails on request: for drills, tests and load runs.

Settings::

    {
        "latency_ms": 0,
        "fail_connect": false,
        "rules": [
            {
                "match": "*@bounce.example",   # fnmatch on the recipient, case-insensitive
                "outcome": "rejected",         # accepted, not_accepted, rejected, unknown
                "reason": "bad_recipient",     # a Reason; default "other", accepted: none
                "scope": "message",            # or "provider", for not_accepted
                "code": 550, "text": "5.1.1 No such user",
                "retry_after_seconds": 60,
                "times": 2,                    # the first tries only, per message and recipient
                "latency_ms": 500              # so much slower
            },
            {"match": "*", "fault": "drop_after_dot"}
        ]
    }

The first rule that matches a recipient counts; without one it is accepted. Tries are counted per
process. A rule names an `outcome`, or a `fault` of `scripted.SCRIPTED` and is then what a real
account would make of that; code, text and wait may still be given.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from providers.adapters.faults import Fault, SettingsError
from providers.adapters.outcomes import Verdict, combine
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

if TYPE_CHECKING:
    from uuid import UUID

_MAX_LATENCY_MS = 600_000
_MAX_RULES = 1_000
_MAX_RETRY_AFTER_SECONDS = 86_400
_MAX_TIMES = 1_000_000
_MIN_CODE, _MAX_CODE = 200, 599
_DEFAULT_CODES = {
    Outcome.ACCEPTED: 250,
    Outcome.NOT_ACCEPTED: 451,
    Outcome.REJECTED: 550,
    Outcome.UNKNOWN: 0,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to recipients that match a pattern."""

    pattern: str
    verdict: Verdict
    #: Only so many tries of one message to one recipient; None for all.
    times: int | None = None
    latency_seconds: float = 0.0
    #: False if the fault strikes before the provider can have the mail.
    is_handed_over: bool = True

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Rule:
        """Return the rule that valid settings describe."""
        fault = SCRIPTED.get(given.get("fault", ""))
        return cls(
            pattern=given["match"].lower(),
            verdict=cls._verdict(given) if fault is None else cls._changed(fault.verdict, given),
            times=given.get("times"),
            latency_seconds=given.get("latency_ms", 0) / 1000,
            is_handed_over=fault is None or fault.is_handed_over,
        )

    @staticmethod
    def _changed(verdict: Verdict, given: Mapping[str, Any]) -> Verdict:
        reply = replace(
            verdict.reply,
            code=given.get("code", verdict.reply.code),
            text=given.get("text", verdict.reply.text),
        )
        wait = given.get("retry_after_seconds", verdict.retry_after_seconds)
        return replace(verdict, reply=reply, retry_after_seconds=wait)

    @staticmethod
    def _verdict(given: Mapping[str, Any]) -> Verdict:
        outcome = Outcome(given["outcome"])
        is_accepted = outcome is Outcome.ACCEPTED
        reply = Reply(
            given.get("code", _DEFAULT_CODES[outcome]),
            text=given.get("text", f"simulated: {outcome}"),
        )
        return Verdict(
            outcome,
            Reason(given.get("reason", Reason.NONE if is_accepted else Reason.OTHER)),
            Scope(given.get("scope", Scope.MESSAGE)),
            reply,
            given.get("retry_after_seconds"),
        )


_ACCEPTED = Rule("*", Verdict(Outcome.ACCEPTED, reply=Reply(250, "2.0.0", "simulated: accepted")))
#: After these, nobody knows where a connection stands.
_ENDS = frozenset({Reason.CONNECTION, Reason.LOST_AFTER_DATA})


class _Tries:
    """Counts tries per key, the oldest keys forgotten beyond a limit. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: OrderedDict[tuple[UUID, UUID, str], int] = OrderedDict()
        self._lock = threading.Lock()

    def next(self, key: tuple[UUID, UUID, str]) -> int:
        """Return which try this is, from 1."""
        with self._lock:
            count = self._counts.pop(key, 0) + 1
            self._counts[key] = count
            if len(self._counts) > self._limit:
                self._counts.popitem(last=False)
            return count


#: Shared by all adapters: one message's tries come from adapters built anew.
_TRIES = _Tries(limit=100_000)


class SimulatorAdapter:
    """One simulated account. Raises `SettingsError` if its settings are wrong."""

    def __init__(self, config: AccountConfig) -> None:
        faults = validate_settings(config.settings, config.secrets)
        if faults:
            raise SettingsError(faults)
        self._config = config
        self._rules = tuple(Rule.parse(rule) for rule in config.settings.get("rules") or ())

    def open(self) -> SimulatorSession:
        """Return a session, or raise `ConnectError` if the settings ask for it."""
        if self._config.settings.get("fail_connect"):
            reply = Reply(text="simulated: connection refused")
            raise ConnectError(
                SendResult(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER, reply)
            )
        return SimulatorSession(self._config, self._rules)


class SimulatorSession:
    """A connection to nowhere, with the same life as a real one."""

    def __init__(self, config: AccountConfig, rules: tuple[Rule, ...]) -> None:
        self._config = config
        self._rules = rules
        self._latency_seconds = (config.settings.get("latency_ms") or 0) / 1000
        self._sent_count = 0
        self._is_open = True

    @property
    def is_usable(self) -> bool:
        """False once closed or past the cap."""
        cap = self._config.max_messages_per_connection
        return self._is_open and (not cap or self._sent_count < cap)

    def send(self, mail: OutgoingMail) -> SendResult:
        """Wait as long as configured and answer as the rules say."""
        found = [(address, self._rule_for(mail, address)) for address in mail.recipients]
        wait = self._latency_seconds + max((rule.latency_seconds for _, rule in found), default=0)
        if wait:
            time.sleep(wait)
        if any(rule.is_handed_over for _, rule in found):
            mail.hand_over()
        self._sent_count += 1
        verdicts = [(address, rule.verdict) for address, rule in found]
        result = combine(verdicts, remote_id=f"sim-{mail.message_id}")
        if result.outcome is Outcome.ACCEPTED:
            return result
        if result.reason in _ENDS:
            self._is_open = False
        return combine(verdicts, dialogue=_dialogue(verdicts))

    def close(self) -> None:
        """End the session."""
        self._is_open = False

    def _rule_for(self, mail: OutgoingMail, address: str) -> Rule:
        lowered = address.lower()
        rule = next((r for r in self._rules if fnmatchcase(lowered, r.pattern)), None)
        if rule is None or not self._applies(rule, mail.message_id, lowered):
            return _ACCEPTED
        return rule

    def _applies(self, rule: Rule, message_id: UUID, address: str) -> bool:
        if rule.times is None:
            return True
        return _TRIES.next((self._config.provider_id, message_id, address)) <= rule.times


def _dialogue(verdicts: list[tuple[str, Verdict]]) -> str:
    lines = [f"{address}: {v.reply.code} {v.reply.text}" for address, v in verdicts]
    return "\n".join(["-- simulator", *lines])


def validate_settings(settings: Mapping[str, Any], secrets: Mapping[str, str]) -> list[Fault]:
    """Return what is wrong with a simulator, as (field, code, message); empty if nothing is."""
    faults: list[Fault] = []
    checks: dict[str, _Check] = {
        "latency_ms": _number(0, _MAX_LATENCY_MS),
        "fail_connect": _flag,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    rules = given.pop("rules", [])
    faults.extend(_faults_in(given, checks, prefix=""))
    if not isinstance(rules, list) or len(rules) > _MAX_RULES:
        faults.append(("rules", "invalid", f"Must be a list of at most {_MAX_RULES} rules."))
    else:
        for index, rule in enumerate(rules):
            faults.extend(_faults_in_rule(rule, f"rules[{index}]"))
    faults.extend((f"secrets.{name}", "unknown", "There is no such secret.") for name in secrets)
    return faults


def _faults_in_rule(rule: object, where: str) -> list[Fault]:
    if not isinstance(rule, Mapping):
        return [(where, "invalid", "Must be an object.")]
    faults = _faults_in(rule, _RULE_CHECKS, prefix=f"{where}.")
    if "match" not in rule:
        faults.append((f"{where}.match", "required", "Must be given."))
    if "fault" in rule:
        message = "A fault says it already: leave this out."
        said = [name for name in ("outcome", "reason", "scope") if name in rule]
        faults.extend((f"{where}.{name}", "conflict", message) for name in said)
    elif "outcome" not in rule:
        faults.append((f"{where}.outcome", "required", "Must be given, or a fault."))
    return faults


_Check = Callable[[object], str | None]


def _faults_in(given: Mapping[str, Any], checks: Mapping[str, _Check], prefix: str) -> list[Fault]:
    faults: list[Fault] = []
    for name, value in given.items():
        check = checks.get(name)
        if check is None:
            faults.append((f"{prefix}{name}", "unknown", "There is no such setting."))
        elif message := check(value):
            faults.append((f"{prefix}{name}", "invalid", message))
    return faults


def _number(low: int, high: int) -> _Check:
    def check(value: object) -> str | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and low <= float(str(value)) <= high:
            return None
        return f"Must be a number from {low} to {high}."

    return check


def _whole(low: int, high: int) -> _Check:
    def check(value: object) -> str | None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if is_whole and low <= int(str(value)) <= high:
            return None
        return f"Must be a whole number from {low} to {high}."

    return check


def _choice(*allowed: str) -> _Check:
    def check(value: object) -> str | None:
        return None if value in allowed else f"Must be one of: {', '.join(allowed)}."

    return check


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "Must be true or false."


def _text(value: object) -> str | None:
    is_fit = isinstance(value, str) and bool(value) and value.isprintable()
    return None if is_fit else "Must be one line of text."


_RULE_CHECKS: dict[str, _Check] = {
    "match": _text,
    "outcome": _choice(*Outcome),
    "reason": _choice(*Reason),
    "scope": _choice(*Scope),
    "code": _whole(_MIN_CODE, _MAX_CODE),
    "text": _text,
    "retry_after_seconds": _number(0, _MAX_RETRY_AFTER_SECONDS),
    "times": _whole(1, _MAX_TIMES),
    "fault": _choice(*SCRIPTED),
    "latency_ms": _number(0, _MAX_LATENCY_MS),
}
