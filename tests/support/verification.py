"""Verifications for tests, and the mails they cause."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

from django.db.models import F

from delivery.models import Message
from tests.support.mail import drain, smtp_account
from tests.support.smtp_server import FaultyServer
from verification.models import Verification
from verification.services.tokens import Requester, VerificationRequest, start_verification

_LINK = re.compile(r"/verify/([A-Za-z0-9_-]{43})")
QUEUE = "delivery.backend.QueueBackend"


def start(user: Any, address: str = "bob@example.net", **fields: Any) -> Verification:
    is_test = fields.pop("is_test", False)
    return start_verification(
        request=VerificationRequest(email=address, **fields),
        requester=Requester(user.pk, is_test=is_test),
    ).verification


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """An account whose mail a test can read."""
    with FaultyServer() as server:
        smtp_account(server.port)
        yield Mailbox(server)


class Mailbox:
    """What arrives at a mail server."""

    def __init__(self, server: FaultyServer) -> None:
        self._server = server

    @property
    def count(self) -> int:
        return len(self._server.mails)

    def newest(self) -> EmailMessage:
        """Send what is queued and return the newest mail."""
        drain()
        assert self._server.mails, list(Message.objects.values_list("status", "error"))
        parsed = email.message_from_bytes(self._server.mails[-1].data, policy=default)
        assert isinstance(parsed, EmailMessage)
        return parsed


def body(mail: EmailMessage, kind: str = "plain") -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def token_of(mail: EmailMessage) -> str:
    found = _LINK.search(body(mail))
    assert found is not None, body(mail)
    return found[1]


def let_pass(verification: Verification, **time: float) -> None:
    """Move a verification into the past."""
    by = timedelta(**time)
    verification.refresh_from_db()
    Verification.objects.filter(pk=verification.pk).update(
        created_at=F("created_at") - by,
        expires_at=F("expires_at") - by,
        mailed_at=[at - by for at in verification.mailed_at],
        last_mail_at=F("last_mail_at") - by,
    )
    verification.refresh_from_db()
