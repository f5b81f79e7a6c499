"""Sending: a bounded set of threads that only speak HTTP, and one that speaks to the database.

However slow receivers are, they hold only their own: an endpoint has a few requests open at most,
slow and failing ones fewer, and all of these together at most half of the threads.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from mailservice.core.http import OutgoingHttpError, Response, post_json
from mailservice.core.secrets import DecryptionError, decrypt
from mailservice.core.signing import signed_headers
from providers.adapters.esp.answers import retry_after_in
from webhooks.models import ERROR_CHARS, EXCERPT_BYTES
from webhooks.queue.claims import Claimed, Result, claim, record
from webhooks.queue.spread import spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

THREADS = 32
TROUBLED_THREADS = THREADS // 2
TIMEOUT_SECONDS = 10.0
#: An answer that takes longer makes its endpoint a slow one for the next requests.
SLOW_SECONDS = 1.0
#: How often results are written and new work is looked for while requests are open.
_BEAT_SECONDS = 0.1


class Sender:
    """One run of sending, for a bounded time."""

    def __init__(self, *, allow_private: bool, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._allow_private = allow_private
        self._timeout_seconds = timeout_seconds
        self._open: dict[Future[Result], tuple[Claimed, float]] = {}
        self._slow: set[UUID] = set()
        self._troubled: set[UUID] = set()

    def run(self, *, seconds: float, go_on: Callable[[], bool], on_end: Callable[[], None]) -> int:
        """Spread and send while there is work and time; return how many requests were made.

        `go_on` is asked every tenth of a second; `on_end` is called when nothing more is taken,
        before the last answers are waited for.
        """
        end = time.monotonic() + seconds
        count = 0
        with ThreadPoolExecutor(THREADS, thread_name_prefix="webhooks") as pool:
            while time.monotonic() < end and go_on():
                told = spread()
                claimed = self._claim()
                for one in claimed:
                    self._submit(pool, one)
                count += len(claimed)
                self._collect()
                if not (told or claimed or self._open):
                    break
            on_end()
            while self._open:
                self._collect()
        return count

    def _claim(self) -> list[Claimed]:
        """Take work: healthy endpoints first, the others within their share."""
        self._note_slow()
        busy = Counter(each.endpoint_id for each, _ in self._open.values())
        free = THREADS - len(self._open)
        healthy = claim(free, busy=busy, slow=self._slow, is_troubled=False)
        open_troubled = sum(
            count for endpoint, count in busy.items() if endpoint in self._troubled | self._slow
        )
        share = min(free - len(healthy), TROUBLED_THREADS - open_troubled)
        troubled = claim(share, busy=busy, slow=self._slow, is_troubled=True)
        self._troubled |= {each.endpoint_id for each in troubled}
        return [*healthy, *troubled]

    def _note_slow(self) -> None:
        long_ago = time.monotonic() - SLOW_SECONDS
        self._slow |= {each.endpoint_id for each, began in self._open.values() if began < long_ago}

    def _submit(self, pool: ThreadPoolExecutor, claimed: Claimed) -> None:
        future = pool.submit(
            post, claimed, allow_private=self._allow_private, timeout_seconds=self._timeout_seconds
        )
        self._open[future] = (claimed, time.monotonic())

    def _collect(self) -> None:
        """Wait a little for answers and write down what came."""
        if not self._open:
            return
        done, _ = wait(self._open, timeout=_BEAT_SECONDS, return_when=FIRST_COMPLETED)
        results = []
        for future in done:
            claimed, _ = self._open.pop(future)
            result = future.result()
            results.append(result)
            self._troubled.discard(claimed.endpoint_id)
            if result.duration_ms < SLOW_SECONDS * 1000:
                self._slow.discard(claimed.endpoint_id)
        record(results)


def deliver_due(
    *,
    seconds: float,
    go_on: Callable[[], bool] = lambda: True,
    on_end: Callable[[], None] = lambda: None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> int:
    """Tell endpoints what is due; return how many requests were made. See `Sender.run`."""
    sender = Sender(
        allow_private=settings.OUTGOING_HTTP_ALLOW_PRIVATE, timeout_seconds=timeout_seconds
    )
    return sender.run(seconds=seconds, go_on=go_on, on_end=on_end)


def post(
    claimed: Claimed,
    *,
    allow_private: bool,
    timeout_seconds: float = TIMEOUT_SECONDS,
    is_final: bool = False,
) -> Result:
    """Make one request, without the database; whatever happens is a result."""
    at, began = timezone.now(), time.monotonic()
    told: dict[str, Any]
    try:
        body = claimed.payload.encode()
        answer = post_json(
            claimed.url,
            body,
            headers=headers_of(claimed, body, timestamp_seconds=int(at.timestamp())),
            timeout_seconds=timeout_seconds,
            allow_private=allow_private,
        )
        told = _told(answer)
    except (OutgoingHttpError, DecryptionError) as error:
        told = {"error": _one_line(str(error))}
    duration_ms = int((time.monotonic() - began) * 1000)
    return Result(claimed=claimed, at=at, duration_ms=duration_ms, is_final=is_final, **told)


def headers_of(claimed: Claimed, body: bytes, *, timestamp_seconds: int) -> dict[str, str]:
    """Return the signed headers; after a rotation both secrets sign, the new one first.

    Raises `DecryptionError`.
    """
    tokens = [claimed.secret]
    until = claimed.previous_secret_expires_at
    if claimed.previous_secret and until and until.timestamp() > timestamp_seconds:
        tokens.append(claimed.previous_secret)
    signed = [
        signed_headers(
            secret=decrypt(token),
            message_id=str(claimed.occurrence_id),
            timestamp_seconds=timestamp_seconds,
            body=body,
        )
        for token in tokens
    ]
    return signed[0] | {"webhook-signature": " ".join(one["webhook-signature"] for one in signed)}


def _told(answer: Response) -> dict[str, Any]:
    error = "" if answer.is_ok else f"The answer was HTTP {answer.status}."
    return {
        "code": answer.status,
        "response": answer.body[:EXCERPT_BYTES].decode("utf-8", "replace").replace("\x00", ""),
        "error": error,
        "retry_after_seconds": retry_after_in(answer.headers),
    }


def _one_line(text: str) -> str:
    return " ".join(text.replace("\x00", "").split())[:ERROR_CHARS]
