"""A newsletter in the queue, and a stand-in of Postmark that takes several mails with one call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.utils import timezone

from accounts.models import User
from delivery.intake import Limits, parse_batch
from delivery.services.accept import Accepted, Sender, queue_messages
from providers.models import Provider
from providers.services import create_provider
from tests.support.esp.accounts import account_at
from tests.support.esp.api import Api
from tests.support.esp.apis_p_to_s import postmark
from tests.support.esp.server import Answer, ApiServer, Request

BATCH_PATH = "/email/batch"


def address(number: int) -> str:
    """The recipient of a bulk mail."""
    return f"r{number}@example.net"


def queue_bulk(user: User, count: int, *, start: int = 0, **fields: Any) -> None:
    """Accept bulk mails to distinct recipients that share one content."""
    data = {
        "subject": "News",
        "text": "Hi {{ name }}",
        "email_type": "marketing",
        "recipients": [
            {"to": address(number), "context": {"name": f"No. {number}"}}
            for number in range(start, start + count)
        ],
    }
    batch = parse_batch(data | fields, now=timezone.now(), limits=Limits())
    accepted = queue_messages(
        messages=[item.message for item in batch.items if item.message is not None],
        sender=Sender(user.pk),
        is_shared_content=True,
    )
    assert all(isinstance(one, Accepted) for one in accepted)
    assert len(accepted) == count


class BatchApi:
    """Postmark's API with its batch call; mail to `bad` addresses is refused."""

    def __init__(self, *, bad: str = "") -> None:
        self.api: Api = postmark()
        self._bad = bad
        self._lock = threading.Lock()
        #: How many mails each call bore, in order.
        self.calls: list[int] = []

    def __call__(self, request: Request) -> Answer:
        """Answer as Postmark would."""
        if request.path != BATCH_PATH:
            with self._lock:
                self.calls.append(1)
                return self._single(request)
        mails = request.json
        with self._lock:
            self.calls.append(len(mails))
            answers = [
                self._single(replace(request, path="/email", body=json.dumps(mail).encode()))
                for mail in mails
            ]
        return Answer(200, [answer.body for answer in answers])

    def _single(self, request: Request) -> Answer:
        if self._bad and request.json["To"] == self._bad:
            return self.api.recipient(self._bad)
        return self.api(request)

    @property
    def recipients(self) -> list[str]:
        """Everybody whose mail was taken."""
        return [one for seen in self.api.mails for one in seen.recipients]


@contextmanager
def batching(**options: Any) -> Iterator[tuple[BatchApi, ApiServer]]:
    """Run the stand-in."""
    api = BatchApi(**options)
    with ApiServer(api) as server:
        yield api, server


def account(api: BatchApi, server: ApiServer, **fields: Any) -> Provider:
    """The account at the stand-in."""
    config = account_at(api.api, server.port)
    defaults = {"name": "Postmark", "from_email": "shop@example.com"}
    return create_provider(
        owner_id=None,
        kind="postmark",
        settings=config.settings,
        secrets=config.secrets,
        **defaults | fields,
    )
