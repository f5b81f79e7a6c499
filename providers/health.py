"""Circuit breakers of accounts, shared by all workers through one row each.

A fault of an account opens its breaker: mail goes elsewhere or waits. When the wait is over, one
mail is let through to see (a probe); whichever worker moves the row first has it. Its success
closes the breaker, its failure opens it for twice as long.

Every move is one statement guarded by the state it may leave, on the database's clock, so workers
whose clocks differ do not differ here. While an account is well nothing is written.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import connection
from django.dispatch import Signal
from django.utils import timezone

from providers.models import BreakerState
from providers.ports import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from providers.ports import SendResult

logger = logging.getLogger(__name__)

#: How long an account is left alone after its first fault, doubling with each in a row.
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=5)
#: The longest that an account may ask us to wait itself.
LONGEST_WISH = timedelta(hours=1)
#: A probe that is not heard of for so long is lost with its worker, and another may go.
PROBE_WAIT = timedelta(minutes=2)
#: While one worker's probe is on its way, the others look again after so long.
PROBE_LOOK = timedelta(seconds=2)

#: What waiting does not mend.
NEEDS_A_HUMAN = frozenset({Reason.AUTHENTICATION, Reason.SETUP})

#: Sent with `opened` (an `Opened`) when a breaker opens that was closed, by the worker that did it.
on_opened = Signal()


@dataclass(frozen=True, slots=True)
class Opened:
    """A breaker that has just opened."""

    provider_id: UUID
    reason: Reason
    #: What the account said.
    detail: str
    retry_at: datetime

    @property
    def needs_a_human(self) -> bool:
        """True if waiting will not mend it: our credentials are refused or cannot be read."""
        return self.reason in NEEDS_A_HUMAN


@dataclass(frozen=True, slots=True)
class Breaker:
    """A breaker that is not closed, as read at one moment."""

    #: Aware, on this process's clock; once it has passed, a probe may be asked for.
    until: datetime
    reason: str


# Only a closed breaker opens: what was on the wire when it opened does not open it once more.
_OPEN = """
INSERT INTO providers_providerhealth AS h
       (provider_id, state, reason, detail, since, retry_at, failures)
SELECT id, 'open', %(reason)s, %(detail)s, clock_timestamp(),
       clock_timestamp() + make_interval(secs => %(wait)s), 1
  FROM providers_provider WHERE id = %(provider)s
ON CONFLICT (provider_id) DO UPDATE
   SET state = 'open', reason = EXCLUDED.reason, detail = EXCLUDED.detail,
       since = EXCLUDED.since, retry_at = EXCLUDED.retry_at, failures = 1
 WHERE h.state = 'closed'
RETURNING retry_at
"""

_PROLONG = """
UPDATE providers_providerhealth
   SET retry_at = clock_timestamp() + make_interval(secs => %(wait)s)
 WHERE provider_id = %(provider)s AND state = 'open'
   AND retry_at < clock_timestamp() + make_interval(secs => %(wait)s)
"""

_TAKE_PROBE = """
UPDATE providers_providerhealth
   SET state = 'half_open', retry_at = clock_timestamp() + make_interval(secs => %(wait)s)
 WHERE provider_id = %(provider)s AND state <> 'closed' AND retry_at <= clock_timestamp()
"""

_FAIL_PROBE = """
UPDATE providers_providerhealth
   SET state = 'open', reason = %(reason)s, detail = %(detail)s, failures = failures + 1,
       retry_at = clock_timestamp()
           + make_interval(secs => GREATEST(%(wish)s,
                 LEAST(%(first)s * power(2, LEAST(failures, 20)), %(longest)s)))
 WHERE provider_id = %(provider)s AND state = 'half_open'
"""

_RETURN_PROBE = """
UPDATE providers_providerhealth SET state = 'open', retry_at = clock_timestamp()
 WHERE provider_id = %(provider)s AND state = 'half_open'
"""

_CLOSE = """
UPDATE providers_providerhealth
   SET state = 'closed', since = clock_timestamp(), retry_at = NULL, failures = 0
 WHERE provider_id = %(provider)s AND state <> 'closed'
"""

# How long is left, so that it can be told on the reader's clock.
_NOT_CLOSED = """
SELECT provider_id, state, reason, retry_at - clock_timestamp()
  FROM providers_providerhealth WHERE state <> 'closed'
"""


def is_fault(result: SendResult) -> bool:
    """Tell whether a result speaks against the account, so that its other mails should wait.

    Not if it merely lacks what this one mail needs (such as SMTPUTF8).
    """
    return result.is_account_fault and result.reason is not Reason.CONTENT


def not_closed() -> Mapping[UUID, Breaker]:
    """Return the breakers that are not closed, by account."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_NOT_CLOSED)
        return {
            provider_id: Breaker(now + _look_after(state, wait), reason)
            for provider_id, state, reason, wait in cursor.fetchall()
        }


def _look_after(state: str, wait: timedelta) -> timedelta:
    return min(wait, PROBE_LOOK) if state == BreakerState.HALF_OPEN else wait


def open_breaker(provider_id: UUID, fault: SendResult) -> bool:
    """Open an account's breaker after a fault of it; False if it was not closed.

    Opened or not, it stays open for as long as the account asks. Refused credentials open it for
    the longest wait at once.
    """
    is_refused = fault.reason in NEEDS_A_HUMAN
    wish = _wish(fault)
    wait = max((LONGEST_WAIT if is_refused else FIRST_WAIT).total_seconds(), wish)
    told = _told(fault)
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, {"provider": provider_id, "wait": wait, **told})
        row = cursor.fetchone()
        if row is None and wish:
            cursor.execute(_PROLONG, {"provider": provider_id, "wait": wish})
    if row is None:
        return False
    opened = Opened(provider_id, fault.reason, told["detail"], row[0])
    level = logging.ERROR if opened.needs_a_human else logging.WARNING
    logger.log(
        level,
        "Account %s is left alone until %s (%s): %s",
        provider_id, row[0], opened.reason, opened.detail,
    )  # fmt: skip
    on_opened.send_robust(sender=None, opened=opened)
    return True


def take_probe(provider_id: UUID) -> bool:
    """Ask to send one mail through a breaker whose wait is over; False if another worker does."""
    return _moved(_TAKE_PROBE, {"provider": provider_id, "wait": PROBE_WAIT.total_seconds()})


def fail_probe(provider_id: UUID, fault: SendResult) -> None:
    """Open the breaker for twice as long: the probe failed."""
    longest = LONGEST_WAIT.total_seconds()
    is_refused = fault.reason in NEEDS_A_HUMAN
    first = longest if is_refused else FIRST_WAIT.total_seconds()
    _moved(
        _FAIL_PROBE,
        {
            "provider": provider_id,
            "first": first,
            "longest": longest,
            "wish": _wish(fault),
            **_told(fault),
        },
    )


def note_fault(provider_id: UUID, fault: SendResult) -> None:
    """Open the breaker, or for longer if it was open: no mail need be sent to know the fault."""
    if take_probe(provider_id):
        fail_probe(provider_id, fault)
    else:
        open_breaker(provider_id, fault)


def return_probe(provider_id: UUID) -> None:
    """Let another mail be the probe: this one came to nothing for reasons of its own."""
    _moved(_RETURN_PROBE, {"provider": provider_id})


def close_breaker(provider_id: UUID) -> bool:
    """Let mail pass again; True if that changed anything.

    After a probe's success, by an operator's hand, or because the account's settings were changed.
    """
    is_closed = _moved(_CLOSE, {"provider": provider_id})
    if is_closed:
        logger.info("The breaker of account %s is closed: mail passes", provider_id)
    return is_closed


def _moved(statement: str, parameters: Mapping[str, UUID | float | str]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return bool(cursor.rowcount)


def _wish(fault: SendResult) -> float:
    """Return the seconds that the account asks us to wait; 0 if it does not."""
    return min(max(0.0, fault.retry_after_seconds or 0.0), LONGEST_WISH.total_seconds())


def _told(fault: SendResult) -> dict[str, str]:
    code = f"{fault.reply.code} " if fault.reply.code else ""
    detail = f"{code}{fault.reply.text}".replace("\x00", "")
    return {
        "reason": fault.reason.value,
        "detail": detail.encode("utf-8", "replace").decode()[:500].strip(),
    }
