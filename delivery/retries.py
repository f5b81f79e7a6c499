"""When to try again, and when to give up: pure decisions over plain data (PRODUCT C5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from providers.ports import Reason

#: Greylisting servers want a sender to come back after a quarter of an hour, not before.
GREYLIST_MINIMUM = timedelta(minutes=15)
#: A provider's wish to be left alone is honoured up to here.
RETRY_AFTER_MAXIMUM = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient an email type is."""

    first: timedelta
    maximum: timedelta
    give_up_after: timedelta
    max_attempts: int
    #: A mail of which nobody knows whether it arrived: rather twice than never.
    resends_unknown: bool = False

    def at(self, first_seconds: int | None, max_seconds: int | None) -> RetryPolicy:
        """Return the policy with an account's own waits; None leaves the email type's."""
        if first_seconds is None and max_seconds is None:
            return self
        first = self.first if first_seconds is None else timedelta(seconds=first_seconds)
        maximum = self.maximum if max_seconds is None else timedelta(seconds=max_seconds)
        return replace(self, first=first, maximum=max(first, maximum))


def next_attempt_at(  # noqa: PLR0913 - the facts are few, but all different
    *,
    now: datetime,
    created_at: datetime,
    expires_at: datetime | None,
    attempts: int,
    reason: Reason,
    retry_after_seconds: float | None,
    policy: RetryPolicy,
    jitter: float,
) -> datetime | None:
    """Return when to try again after `attempts` attempts, or None to give up.

    The wait doubles with each attempt up to the policy's maximum and is spread by `jitter` (0 … 1,
    from a random source) over three quarters to five quarters of itself. A wish of the provider and
    greylisting lengthen it, never shorten. None if attempts or patience are used up, or if the
    message would expire before.
    """
    if attempts >= policy.max_attempts:
        return None
    # Seconds, since a timedelta overflows where a patient policy doubles often.
    doubled = policy.first.total_seconds() * 2.0 ** min(max(attempts - 1, 0), 30)
    wait = timedelta(seconds=min(policy.maximum.total_seconds(), doubled)) * (0.75 + jitter / 2)
    if reason is Reason.GREYLISTED:
        wait = max(wait, GREYLIST_MINIMUM * (1 + jitter / 4))
    if retry_after_seconds is not None:
        # Cut before it becomes a timedelta: a server may ask for 10^300 seconds.
        wish = min(max(0.0, retry_after_seconds), RETRY_AFTER_MAXIMUM.total_seconds())
        wait = max(wait, timedelta(seconds=wish))
    moment = now + wait
    if moment > created_at + policy.give_up_after:
        return None
    if expires_at is not None and moment >= expires_at:
        return None
    return moment
