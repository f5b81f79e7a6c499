"""Mail servers asked about mailboxes, at a pace that nobody minds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from django.conf import settings

from mailservice.core.broker import BrokerError, redis_client
from verification.adapters.probe import Manners, probe_mailbox
from verification.validation import ProbeAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Conversations of one batch at the same time.
CONCURRENCY = 8
#: The longest conversation.
MAX_SECONDS = 10.0
_POLL_SECONDS = 0.1
_MINUTE_MS = 60_000


def probe_all(asked: Mapping[str, Sequence[str]], *, ends_at: float) -> dict[str, ProbeAnswer]:
    """Return what the mail hosts of each address (wire form → hosts) say, until `time.monotonic()`.

    Whose turn does not come in time is `unknown`. Without the store that counts turns nobody is
    asked at all.
    """

    def probe(item: tuple[str, Sequence[str]]) -> ProbeAnswer:
        email, hosts = item
        if not hosts or not _await_turn(operator_of(hosts[0]), ends_at):
            return ProbeAnswer.UNKNOWN
        manners = Manners(
            helo=settings.VALIDATION_PROBE_HELO,
            sender=settings.VALIDATION_PROBE_FROM,
            port=settings.VALIDATION_PROBE_PORT,
            seconds=min(MAX_SECONDS, max(0.0, ends_at - time.monotonic())),
            allows_private=settings.VALIDATION_PROBE_PRIVATE,
        )
        return probe_mailbox(email, hosts, resolvers=settings.DNS_RESOLVERS, manners=manners)

    if not asked:
        return {}
    with ThreadPoolExecutor(min(CONCURRENCY, len(asked)), "probe") as pool:
        return dict(zip(asked, pool.map(probe, asked.items()), strict=True))


def operator_of(host: str) -> str:
    """Return what stands for whoever runs a mail host: the last two labels of its name.

    Coarser than it could be (`co.uk` is one operator), which only makes us more patient.
    """
    return ".".join(host.rsplit(".", 2)[-2:])


def _await_turn(operator: str, ends_at: float) -> bool:
    """Wait for our turn with an operator; False if it does not come in time."""
    pause_ms = max(1, _MINUTE_MS // settings.VALIDATION_PROBE_RATE)
    while time.monotonic() < ends_at:
        try:
            if redis_client().set(f"probe:{operator}", b"1", nx=True, px=pause_ms):
                return True
        except (BrokerError, OSError):
            return False
        time.sleep(_POLL_SECONDS)
    return False
