"""Customers of the service: they post mail, and keep at it until they have an answer."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

#: The service is busy, restarting, or at work on this very request: ask again.
AGAIN = frozenset({409, 429, 500, 502, 503, 504})
#: Shares of the kinds of request.
SINGLE, SEQUENCE, BATCH = 0.55, 0.2, 0.25
BATCH_SIZES = (5, 30)
SEQUENCES_PER_CUSTOMER = 3


@dataclass
class Books:
    """What all customers together have in writing."""

    #: Accepted message → its recipient.
    accepted: dict[UUID, str] = field(default_factory=dict)
    #: Sequence key → ids in the order of acceptance.
    sequences: dict[str, list[UUID]] = field(default_factory=dict)
    requests: int = 0
    #: Requests repeated for want of an answer.
    repeats: int = 0
    #: Repeats that found the work already done.
    replays: int = 0
    refusals: list[str] = field(default_factory=list)


class Customer(threading.Thread):
    """Posts one request after the other; each with an Idempotency-Key until it is answered 202."""

    def __init__(self, number: int, *, port: int, secret: str, rng: random.Random) -> None:
        super().__init__(name=f"customer-{number}", daemon=True)
        self.books = Books()
        self.leaving = threading.Event()
        self._number = number
        self._port = port
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self._rng = rng
        self._connection: http.client.HTTPConnection | None = None
        self._count = 0
        #: Mails per second.
        self.pace = 50.0
        #: Until then unanswered requests are repeated.
        self.give_up_at = float("inf")

    def run(self) -> None:
        try:
            while not self.leaving.is_set():
                began = time.monotonic()
                mails = self._order()
                self.leaving.wait(max(0.0, mails / self.pace - (time.monotonic() - began)))
        except Exception:  # noqa: BLE001 - the thread's end must reach the test
            self.books.refusals.append(traceback.format_exc())
        finally:
            if self._connection is not None:
                self._connection.close()

    def _order(self) -> int:
        kind = self._rng.choices(["single", "sequence", "batch"], [SINGLE, SEQUENCE, BATCH])[0]
        if kind == "batch":
            return self._batch()
        mail: dict[str, Any] = {"to": self._recipient(), "subject": "Hello", "text": "Hi there"}
        key = ""
        if kind == "sequence":
            key = f"{self._number}-{self._rng.randrange(SEQUENCES_PER_CUSTOMER)}"
            mail["sequence_key"] = key
        answer = self._post("/api/v1/emails", mail)
        if answer is not None:
            message_id = UUID(answer["email_id"])
            self.books.accepted[message_id] = mail["to"]
            if key:
                self.books.sequences.setdefault(key, []).append(message_id)
        return 1

    def _batch(self) -> int:
        recipients = [self._recipient() for _ in range(self._rng.randint(*BATCH_SIZES))]
        order = {
            "subject": "News for {{ name }}",
            "text": "Hello {{ name }}",
            "email_type": "marketing",
            "recipients": [{"to": to, "context": {"name": to}} for to in recipients],
        }
        answer = self._post("/api/v1/emails/batch", order)
        if answer is not None:
            for to, result in zip(recipients, answer["results"], strict=True):
                self.books.accepted[UUID(result["email_id"])] = to
        return len(recipients)

    def _recipient(self) -> str:
        self._count += 1
        return f"c{self._number}-{self._count}@example.net"

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to a request made until there is one; None if it was refused."""
        self.books.requests += 1
        key = f"{self._number}-{self.books.requests}"
        text = json.dumps({"from": "shop@example.com"} | body)
        while True:
            status, answer, is_replay = self._try(path, text, key)
            if status == 202:
                self.books.replays += is_replay
                return dict(json.loads(answer))
            if status and status not in AGAIN:
                self.books.refusals.append(f"{status} {answer[:500]!r} to {text[:200]}")
                return None
            if time.monotonic() > self.give_up_at:
                raise TimeoutError(f"No answer to {key}: last {status} {answer[:500]!r}")
            self.books.repeats += 1
            time.sleep(self._rng.uniform(0.02, 0.2))

    def _try(self, path: str, text: str, key: str) -> tuple[int, bytes, bool]:
        """Return status, body, and whether it came from store; status 0 for no answer."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            headers = self._headers | {"Idempotency-Key": key}
            self._connection.request("POST", path, text, headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return 0, str(error).encode(), False
        return response.status, body, response.getheader("Idempotency-Replayed") == "true"


class Customers:
    """Several customers at once."""

    def __init__(
        self, *, port: int, secret: str, seed: int, count: int = 3, first: int = 0
    ) -> None:
        self.everybody = [
            Customer(n, port=port, secret=secret, rng=random.Random(seed * 100 + n))
            for n in range(first, first + count)
        ]

    def start(self) -> None:
        for customer in self.everybody:
            customer.start()

    def set_pace(self, mails_per_second: float) -> None:
        for customer in self.everybody:
            customer.pace = mails_per_second / len(self.everybody)

    @property
    def accepted_count(self) -> int:
        return sum(len(customer.books.accepted) for customer in self.everybody)

    def finish(self, *, seconds: float = 60) -> Books:
        """Let every customer get the answer it waits for; return the books.

        Raises `AssertionError` with what was refused or never answered.
        """
        for customer in self.everybody:
            customer.give_up_at = time.monotonic() + seconds
            customer.leaving.set()
        total = Books()
        for customer in self.everybody:
            customer.join(seconds + 20)
            books = customer.books
            total.accepted |= books.accepted
            total.sequences |= books.sequences
            total.requests += books.requests
            total.repeats += books.repeats
            total.replays += books.replays
            total.refusals += books.refusals
        assert not total.refusals, "\n".join(total.refusals[:10])
        assert not any(customer.is_alive() for customer in self.everybody)
        return total
