"""When a delivery is tried again: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass

#: Waits after each failed attempt but the last.
WAIT_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000)
MAX_ATTEMPTS = len(WAIT_SECONDS) + 1
#: Waits vary by so much, so that what failed together does not come back together.
JITTER = 0.1
#: A receiver cannot ask for a longer wait.
MAX_RETRY_AFTER_SECONDS = 36_000.0
#: The answers whose Retry-After counts.
MAY_ASK_TO_WAIT = frozenset({429, 503})
#: The receiver is gone for good (RFC 9110 §15.5.11).
GONE = 410


@dataclass(frozen=True, slots=True)
class Next:
    """What follows a failed attempt."""

    is_over: bool
    wait_seconds: float = 0.0
    #: The whole endpoint gets nothing for so long.
    pause_seconds: float = 0.0


def after_failure(
    *, attempts: int, code: int, retry_after_seconds: float | None, chance: float
) -> Next:
    """Decide after attempt number `attempts`; `code` 0 is no answer, `chance` from 0 to 1."""
    asked = 0.0
    if code in MAY_ASK_TO_WAIT and retry_after_seconds is not None:
        asked = min(max(0.0, retry_after_seconds), MAX_RETRY_AFTER_SECONDS)
    if code == GONE or attempts >= MAX_ATTEMPTS:
        return Next(is_over=True, pause_seconds=asked)
    wait = WAIT_SECONDS[attempts - 1] * (1 - JITTER + 2 * JITTER * chance)
    return Next(is_over=False, wait_seconds=max(wait, asked), pause_seconds=asked)
