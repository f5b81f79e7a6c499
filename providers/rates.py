"""How many mails per second an account takes, or a domain from it, over all workers together.

A token bucket in the broker (GCRA: one number per bucket says when the bucket is full again), on
the broker's clock. While the broker is away each process paces itself by the same rate: slower
than not at all, and no faster than so many times the rate as there are processes.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mailservice.core.broker import BrokerError, redis_client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

logger = logging.getLogger(__name__)

#: A bucket holds what a quarter of a second brings, at least one mail.
_BURST_SECONDS = 0.25
_MICROSECONDS = 1_000_000
#: After the broker failed to answer it is asked again after so long.
_AWAY_SECONDS = 5.0
#: A process that paces itself forgets full buckets beyond so many.
_MAX_BUCKETS = 10_000

# Times are whole microseconds since 1970, which a Lua number holds exactly. What is not granted
# costs nothing. Differences first: sums with the time would lose the fractions of a step.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local step, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local debt = math.max(0, tonumber(redis.call('GET', KEYS[1]) or '0') - now)
local granted = math.max(0, math.min(wanted, math.floor((burst - debt) / step)))
if granted > 0 then
    debt = debt + granted * step
    redis.call('SET', KEYS[1], string.format('%.0f', now + debt),
               'PX', string.format('%.0f', debt / 1000 + 1000))
end
return {granted, string.format('%.0f', math.max(0, debt + step - burst))}
"""


@dataclass(frozen=True, slots=True)
class Tokens:
    """How many mails may be sent now, and after how long one more may."""

    granted: int
    wait_seconds: float


def take(
    key: UUID | str, *, rate: float, wanted: int, burst_seconds: float = _BURST_SECONDS
) -> Tokens:
    """Take up to `wanted` mails' turns where `rate` mails per second go. Never raises.

    A full bucket holds what `burst_seconds` bring, at least one mail.
    """
    step = _MICROSECONDS / rate
    burst = max(step, burst_seconds * _MICROSECONDS)
    if _fallback.is_away():
        return _fallback.take(key, step=step, burst=burst, wanted=wanted)
    try:
        granted, wait = _script()(keys=[f"rate:{key}"], args=[step, burst, wanted])
    except BrokerError as error:
        _fallback.note_away(error)
        return _fallback.take(key, step=step, burst=burst, wanted=wanted)
    _fallback.note_back()
    return Tokens(int(granted), int(wait) / _MICROSECONDS)


@lru_cache(maxsize=1)
def _script() -> Callable[..., Sequence[bytes | int]]:
    return redis_client().register_script(_SCRIPT)


class LocalBuckets:
    """The same buckets for this process alone; `clock` tells seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[UUID | str, float] = {}
        self._lock = threading.Lock()
        self._away_until = 0.0
        self._is_away = False

    def take(self, key: UUID | str, *, step: float, burst: float, wanted: int) -> Tokens:
        """Take up to `wanted` turns; `step` and `burst` are microseconds."""
        with self._lock:
            now = self._clock() * _MICROSECONDS
            debt = max(0.0, self._full_at.get(key, 0.0) - now)
            granted = max(0, min(wanted, int((burst - debt) / step)))
            debt += granted * step
            if key not in self._full_at and len(self._full_at) >= _MAX_BUCKETS:
                self._full_at = {each: at for each, at in self._full_at.items() if at > now}
            self._full_at[key] = now + debt
        return Tokens(granted, max(0.0, debt + step - burst) / _MICROSECONDS)

    def is_away(self) -> bool:
        """Tell whether the broker is not to be asked for now."""
        return self._clock() < self._away_until

    def note_away(self, error: Exception) -> None:
        """Leave the broker alone for a while; say so once."""
        self._away_until = self._clock() + _AWAY_SECONDS
        if not self._is_away:
            self._is_away = True
            logger.warning("Rates are kept by each process for itself: %s", error)

    def note_back(self) -> None:
        """Note that the broker answers."""
        if self._is_away:
            self._is_away = False
            logger.info("Rates are shared by all workers again")


_fallback = LocalBuckets()
