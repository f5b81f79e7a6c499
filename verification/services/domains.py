"""Sender domains: kept by people, checked by the clock.

A check takes a domain for a few minutes, asks the DNS with no transaction open, and writes what it
found if the domain is still its own: two workers never check one side by side, and a killed one
only costs that wait.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

from django.db import connection, transaction

from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.ids import uuid7
from mailservice.core.presentation import console_path
from mailservice.core.sql import advisory_key, database_now, lock_for_transaction
from verification.alarms import tell_failing, tell_mended
from verification.dns import Budget, look_up
from verification.domains.input import FIELDS, read_plan
from verification.domains.report import examine, planned
from verification.domains.results import State, as_json
from verification.errors import TooManyRequestsError
from verification.models import SenderDomain
from verification.selectors.domains import plan_of
from verification.signals import alignment_changed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from verification.domains.report import Plan, Report

MAX_DOMAINS = 200
#: A failure is an alert when it has lasted so long.
TOLD_AFTER = timedelta(minutes=30)
#: One domain's look-ups take no longer together.
CHECK_SECONDS = 15.0
#: Whoever takes a check has so long before somebody else may.
CLAIM = timedelta(minutes=3)
#: Between two checks that people ask for.
COOL_DOWN = timedelta(seconds=10)
_AGAIN = {State.FAIL: timedelta(hours=1), State.UNKNOWN: timedelta(minutes=15)}
_DAILY = timedelta(days=1)
#: Checks spread over so much of their interval, so that they do not come in herds.
_SPREAD = 0.1

_CLAIM = """
UPDATE verification_senderdomain SET next_check_at = %s WHERE id = (
    SELECT id FROM verification_senderdomain WHERE next_check_at <= %s
     ORDER BY next_check_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""


def add_domain(*, owner_id: UUID | None, values: Mapping[str, Any]) -> SenderDomain:
    """Keep a domain; its first check follows within a minute. Raises `InvalidInputError`.

    `values` has the members of `verification.domains.input.FIELDS`. Without an owner it is
    everybody's.
    """
    plan = _plan(values)
    with transaction.atomic():
        lock_for_transaction(advisory_key("sender domains", owner_id))
        mine = SenderDomain.objects.filter(owner_id=owner_id)
        if mine.filter(domain=plan.domain).exists():
            raise InvalidInputError.for_field("domain", "It is there already.", code="exists")
        if owner_id is not None and mine.count() >= MAX_DOMAINS:
            raise InvalidInputError.for_field(
                "domain", f"At most {MAX_DOMAINS} domains are kept.", code="too_many"
            )
        row = SenderDomain(id=uuid7(), owner_id=owner_id, next_check_at=database_now())
        _put(row, plan)
        row.save(force_insert=True)
    return row


def change_domain(*, domain_id: UUID, values: Mapping[str, Any]) -> SenderDomain:
    """Change what is expected of a domain, whose name stays. Checked anew within a minute.

    Raises `InvalidInputError` and `NotFoundError`.
    """
    with transaction.atomic():
        row = SenderDomain.objects.select_for_update().filter(pk=domain_id).first()
        if row is None:
            raise NotFoundError("There is no such sender domain.")
        if values.get("domain", row.domain) != row.domain:
            raise InvalidInputError.for_field(
                "domain", "A domain keeps its name; add another one.", code="read_only"
            )
        plan = _plan({**{name: getattr(row, name) for name in FIELDS}, **values})
        row.next_check_at = database_now()
        before = _aligned_at(row)
        _put(row, plan)
        row.save()
        if _aligned_at(row) != before:
            alignment_changed.send(SenderDomain, owner_id=row.owner_id)
    return row


def remove_domain(*, domain_id: UUID) -> None:
    """Forget a domain and what was said about it. Raises `NotFoundError`."""
    with transaction.atomic():
        row = SenderDomain.objects.select_for_update().filter(pk=domain_id).first()
        if row is None:
            raise NotFoundError("There is no such sender domain.")
        subject = _subject(row)
        row.delete()
        tell_mended(subject=subject)
        if row.aligned_providers:
            alignment_changed.send(SenderDomain, owner_id=row.owner_id)


def check_now(*, domain_id: UUID) -> SenderDomain:
    """Check a domain at once; takes up to `CHECK_SECONDS`, so call it in no transaction.

    Raises `NotFoundError`, and `TooManyRequestsError` if one has just run or is running.
    """
    now = database_now()
    claimed = now + CLAIM
    with transaction.atomic():
        row = SenderDomain.objects.select_for_update().filter(pk=domain_id).first()
        if row is None:
            raise NotFoundError("There is no such sender domain.")
        ready_at = (row.checked_at or now - COOL_DOWN) + COOL_DOWN
        if ready_at > now:
            raise TooManyRequestsError(
                "It was checked a moment ago.",
                retry_after_seconds=(ready_at - now).total_seconds(),
            )
        row.next_check_at = claimed
        row.save(update_fields=["next_check_at"])
    _check(row, claimed)
    row.refresh_from_db()
    return row


def check_due(*, seconds: float) -> int:
    """Check what is due for a bounded time; return how many domains."""
    time_left = Budget(seconds)
    count = 0
    while time_left.left_seconds > 0:
        now = database_now()
        claimed = now + CLAIM
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, [claimed, now])
            found = cursor.fetchone()
        if found is None:
            break
        row = SenderDomain.objects.filter(pk=found[0]).first()
        if row is not None:
            _check(row, claimed)
            count += 1
    return count


def _check(row: SenderDomain, claimed: datetime) -> None:
    """Ask the DNS, then write down what it said, unless the domain was changed meanwhile."""
    # One question, one answer: the checks of one run agree with each other.
    ask = cache(partial(look_up, budget=Budget(CHECK_SECONDS)))
    report = examine(plan_of(row), ask)
    with transaction.atomic():
        held = SenderDomain.objects.select_for_update()
        fresh = held.filter(pk=row.pk, next_check_at=claimed).first()
        if fresh is None:
            return
        now = database_now()
        before = _aligned_at(fresh)
        _record(fresh, report, now)
        fresh.save()
        _tell(fresh, now)
        if _aligned_at(fresh) != before:
            alignment_changed.send(SenderDomain, owner_id=fresh.owner_id)


def _record(row: SenderDomain, report: Report, now: datetime) -> None:
    row.state = report.state.value
    row.checks = [as_json(check) for check in report.checks]
    row.checked_at = now
    kept = set(row.aligned_providers) & report.undecided
    row.aligned_providers = sorted(report.aligned | kept)
    kept_below = set(row.aligned_below) & report.undecided_below
    row.aligned_below = sorted(report.aligned_below | kept_below)
    if report.state is State.FAIL:
        row.failing_since = row.failing_since or now
    elif report.state is not State.UNKNOWN:
        row.failing_since = None
    wait = _AGAIN.get(report.state, _DAILY)
    share = crc32(row.domain.encode()) / 2**32
    row.next_check_at = now + wait * (1 - _SPREAD * share)


def _tell(row: SenderDomain, now: datetime) -> None:
    """Raise the alert once it lasts: a domain that is just being set up is none."""
    lasts = row.failing_since is not None and row.failing_since <= now - TOLD_AFTER
    if lasts and row.state == State.FAIL:
        failed = [check for check in row.checks if check["state"] == State.FAIL]
        tell_failing(
            subject=_subject(row),
            title=f"Checks of the sender domain {row.domain} fail",
            detail="\n".join(f"{check['title']}: {check['notes'][0]}" for check in failed),
            link=console_path("verification_senderdomain_change", row.pk),
        )
    elif row.failing_since is None and row.state != State.UNKNOWN:
        tell_mended(subject=_subject(row))


def _aligned_at(row: SenderDomain) -> tuple[list[str], list[str]]:
    return row.aligned_providers, row.aligned_below


def _subject(row: SenderDomain) -> str:
    """Return what tells one owner's domain from another's of the same name."""
    return row.domain if row.owner is None else f"{row.domain} ({row.owner.email})"


def _plan(values: Mapping[str, Any]) -> Plan:
    plan, faults = read_plan(values)
    if faults:
        raise InvalidInputError.for_fields(faults)
    return plan


def _put(row: SenderDomain, plan: Plan) -> None:
    row.domain = plan.domain
    row.providers = list(plan.providers)
    row.spf_includes = list(plan.spf_includes)
    row.dkim = [asdict(key) for key in plan.keys]
    row.return_path_domain = plan.return_path_domain
    row.return_path_target = plan.return_path_target
    row.aligned_providers = [kind for kind in row.aligned_providers if kind in plan.providers]
    row.aligned_below = [kind for kind in row.aligned_below if kind in plan.providers]
    row.checks = [as_json(check) for check in planned(plan)]
    row.state = State.UNKNOWN.value
