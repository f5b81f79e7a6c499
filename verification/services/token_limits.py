"""How many verification mails there may be: so that nobody is bombed with them through us."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from mailservice.core.broker import BrokerError, redis_client
from verification.errors import TooManyRequestsError
from verification.models import Verification

if TYPE_CHECKING:
    from uuid import UUID

#: Limits count what happened within so long.
WINDOW = timedelta(hours=1)
#: All owners together may mail an address so many times as often as one of them.
OWNERS_SHARE = 3


def check_address_limit(address: str, owner_id: UUID, now: datetime, *, is_test: bool) -> None:
    """Raise `TooManyRequestsError` if the address has had its share of mails; under its lock."""
    since = now - WINDOW
    rows = Verification.objects.filter(
        address=address, last_mail_at__gt=since, is_test=is_test
    ).values_list("owner_id", "mailed_at")
    mails = [(owner, at) for owner, times in rows for at in times if at > since]
    limit = settings.VERIFICATIONS_PER_ADDRESS
    for times, allowed in (
        (sorted(at for owner, at in mails if owner == owner_id), limit),
        (sorted(at for _, at in mails), limit * OWNERS_SHARE),
    ):
        if len(times) >= allowed:
            wait = times[-allowed] + WINDOW - now
            raise TooManyRequestsError(
                "This address has been sent as many verification mails as an hour allows.",
                retry_after_seconds=wait.total_seconds(),
            )


def count_for_key(api_key_id: UUID | None) -> None:
    """Raise `TooManyRequestsError` if a key starts more than an hour allows.

    Counted in Valkey by the clock's hours. If that is away, the limit per address still holds.
    """
    if api_key_id is None:
        return
    window = int(WINDOW.total_seconds())
    now = time.time()
    name = f"verifications:{api_key_id}:{int(now // window)}"
    try:
        with redis_client().pipeline(transaction=True) as pipe:
            pipe.incr(name)
            pipe.expire(name, window)
            count = int(pipe.execute()[0])
    except BrokerError:
        return
    if count > settings.VERIFICATIONS_PER_KEY:
        raise TooManyRequestsError(
            "This API key has started as many verifications as an hour allows.",
            retry_after_seconds=window - now % window,
        )
