"""Sending to a stand-in and looking at the verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from providers.ports import Outcome, OutgoingMail, Reason, Scope, SendResult
from tests.support.esp.accounts import adapter_at, mail_of, some_parts
from tests.support.esp.api import Api
from tests.support.esp.server import ApiServer

Stand = tuple[Api, ApiServer]


def send(
    stand: Stand, *recipients: str, account: dict[str, Any] | None = None, **parts: Any
) -> SendResult:
    """Send a mail with these parts from the stand-in's account, with a session of its own."""
    api, server = stand
    session = adapter_at(api, server, **(account or {})).open()
    try:
        return session.send(mail_of(some_parts(**parts), *recipients))
    finally:
        session.close()


def enlarged(mail: OutgoingMail, size: int) -> OutgoingMail:
    """Return the mail with so many octets of text."""
    assert mail.parts is not None
    return replace(mail, data=b"x" * size, parts=replace(mail.parts, text="x" * size))


def verdict(result: SendResult) -> tuple[Outcome, Reason, Scope]:
    """Return what counts of a result."""
    return result.outcome, result.reason, result.scope
