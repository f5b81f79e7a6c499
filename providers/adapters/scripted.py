"""Faults that the simulator knows by name: what a real account would make of each.

SMTP replies go through the table that real replies go through; for HTTP a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.adapters.outcomes import Verdict
from providers.adapters.smtp.classify import Stage, classify, without_verdict
from providers.ports import Outcome, Reason, Reply, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ScriptedFault:
    """One way in which a send can go wrong."""

    #: What happens, in words.
    text: str
    verdict: Verdict
    #: False if it strikes before the provider can have the mail.
    is_handed_over: bool = False


def _said(stage: Stage, code: int, enhanced: str, text: str) -> ScriptedFault:
    """Return what a reply at some stage of an SMTP conversation comes to."""
    verdict = classify(stage, Reply(code, enhanced, text))
    where = {Stage.CONNECT: "the greeting", Stage.AUTH: "the login", Stage.DATA: "the data"}
    words = f"{code} {enhanced} to {where.get(stage, stage.upper())}"
    return ScriptedFault(words, verdict, is_handed_over=stage is Stage.DATA)


def _lost(text: str, *, is_handed_over: bool = False) -> ScriptedFault:
    verdict = without_verdict(text, is_handed_over=is_handed_over)
    return ScriptedFault(text, verdict, is_handed_over=is_handed_over)


def _answered(
    status: int, text: str, outcome: Outcome, reason: Reason, scope: Scope = Scope.PROVIDER
) -> ScriptedFault:
    """Return what an HTTP answer comes to."""
    verdict = Verdict(outcome, reason, scope, Reply(status, text=text))
    return ScriptedFault(f"HTTP {status}: {text}", verdict, is_handed_over=True)


SCRIPTED: Mapping[str, ScriptedFault] = {
    "connect_refused": _lost("cannot connect: connection refused"),
    "connect_timeout": _lost("no connection in time"),
    "connect_421": _said(Stage.CONNECT, 421, "4.7.0", "Too many connections, slow down"),
    "connect_554": _said(Stage.CONNECT, 554, "5.3.2", "No service here"),
    "tls_failed": _lost("TLS failed: certificate not trusted: self-signed certificate"),
    "auth_refused": _said(Stage.AUTH, 535, "5.7.8", "Authentication credentials invalid"),
    "auth_deferred": _said(Stage.AUTH, 454, "4.7.0", "Temporary authentication failure"),
    "mail_421": _said(Stage.MAIL, 421, "4.7.0", "Slow down"),
    "mail_deferred": _said(Stage.MAIL, 451, "4.3.0", "Local error in processing"),
    "mail_refused": _said(Stage.MAIL, 550, "5.7.1", "Sender refused"),
    "rcpt_421": _said(Stage.RCPT, 421, "4.7.0", "Slow down"),
    "rcpt_deferred": _said(Stage.RCPT, 450, "4.2.1", "Mailbox busy"),
    "rcpt_greylisted": _said(Stage.RCPT, 450, "4.7.1", "Greylisted, come back later"),
    "rcpt_refused": _said(Stage.RCPT, 550, "5.1.1", "No such user"),
    "data_421": _said(Stage.DATA, 421, "4.3.0", "Service not ready"),
    "data_deferred": _said(Stage.DATA, 451, "4.3.0", "Local error in processing"),
    "data_refused": _said(Stage.DATA, 554, "5.7.1", "Looks like spam"),
    "drop_before_dot": _lost("connection lost before the final dot left us"),
    "drop_after_dot": _lost("connection lost after the final dot", is_handed_over=True),
    "silence_after_dot": _lost("no reply to the data in time", is_handed_over=True),
    "http_401": _answered(401, "Unauthorized", Outcome.NOT_ACCEPTED, Reason.AUTHENTICATION),
    "http_403": _answered(403, "Forbidden", Outcome.NOT_ACCEPTED, Reason.AUTHENTICATION),
    "http_413": _answered(
        413, "Content Too Large", Outcome.REJECTED, Reason.CONTENT, Scope.MESSAGE
    ),
    "http_422": _answered(
        422, "Unprocessable Content", Outcome.REJECTED, Reason.CONTENT, Scope.MESSAGE
    ),
    "http_429": _answered(429, "Too Many Requests", Outcome.NOT_ACCEPTED, Reason.THROTTLED),
    "http_500": _answered(500, "Internal Server Error", Outcome.NOT_ACCEPTED, Reason.CONNECTION),
    "http_502": _answered(
        502, "Bad Gateway", Outcome.UNKNOWN, Reason.LOST_AFTER_DATA, Scope.MESSAGE
    ),
    "http_503": _answered(503, "Service Unavailable", Outcome.NOT_ACCEPTED, Reason.CONNECTION),
    "http_connect_timeout": _lost("no connection in time, nothing was asked"),
    "http_timeout": _lost("no answer in time, the body was sent", is_handed_over=True),
}
