"""Watching accounts: what a person should know of them becomes an alert, and ends with its cause.

Idempotent, and safe beside itself: what is alerted already is left alone, and what is over is
closed by whoever sees it. Refused credentials are told at once, by the worker that met them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from alerts.models import Severity, is_graver
from alerts.selectors import open_severities
from alerts.services import close_alert, open_alert
from mailservice.core.presentation import console_path
from providers.figures import sums_since
from providers.health import NEEDS_A_HUMAN
from providers.models import BreakerState, Provider, ProviderHealth
from providers.ports import Reason
from providers.quotas import usage_of, windows
from providers.returns import BOUNCE_RATE, COMPLAINT_RATE, OVER, rates_of, returned_since

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from providers.figures import Tally
    from providers.health import Opened
    from providers.models import ProviderUsage
    from providers.returns import Rate

DOWN, REFUSED = "provider.down", "provider.refused"
QUOTA, SUCCESS_RATE = "provider.quota", "provider.success_rate"
REFUSALS = "provider.refusals"
KINDS = (DOWN, REFUSED, QUOTA, SUCCESS_RATE, REFUSALS, BOUNCE_RATE, COMPLAINT_RATE)

#: A breaker that closes again sooner is no news.
DOWN_AFTER = timedelta(minutes=2)
#: Of what mail below priority 1 may use of a limit, in percent.
QUOTA_WARNING_PERCENT, QUOTA_CRITICAL_PERCENT = 80, 100
RATE_OVER = timedelta(minutes=15)
#: Below it an account is warned of, if it was tried so often.
MIN_SUCCESS_RATE, MIN_TRIED = 0.8, 50
#: From it on an account is warned of that refuses mails, not addresses, if it was tried so often.
MAX_REFUSED_PERCENT = 10

_WHY: Mapping[str, str] = {
    Reason.AUTHENTICATION: "it refuses our credentials",
    Reason.CONNECTION: "no usable connection",
    Reason.THROTTLED: "it asks us to slow down",
    Reason.LOST_AFTER_DATA: "it goes silent after the data",
    Reason.OTHER: "it takes no mail from us",
}
_OVER = {
    DOWN: "Its breaker is closed again, or its fault has become another.",
    REFUSED: "Its breaker is closed again, or its fault has become another.",
    QUOTA: "A new window has begun, or the limit was changed.",
    SUCCESS_RATE: "It takes enough again, or too little was sent to tell.",
    REFUSALS: "It refuses few enough again, or too little was sent to tell.",
    BOUNCE_RATE: "Few enough of its mails come back again, or too little was sent to tell.",
    COMPLAINT_RATE: "Few enough people complain again, or too little was sent to tell.",
}
#: (what is wrong with an account, what a person should do about it).
_NEEDED = {
    Reason.AUTHENTICATION: (
        "refuses our credentials",
        "correct user name, password or key of the account.",
    ),
    Reason.SETUP: (
        "cannot be used",
        (
            "give every process the encryption key that the credentials are kept under "
            "(ENCRYPTION_KEYS), or save the account's settings and credentials anew."
        ),
    ),
}
#: (what happened to mails, what a person should do about it).
_RETURNED = {
    BOUNCE_RATE: (
        "bounced",
        (
            "Addresses that bounced get no more mail. Find where they come from: stop that list, "
            "and have addresses validated before they are sent to. Providers suspend accounts "
            "over this."
        ),
    ),
    COMPLAINT_RATE: (
        "were called spam",
        (
            "Who complained gets no more mail. Find which mail it was among the messages that are "
            "Complained, and stop it: write only to people who asked for it, and show them how to "
            "unsubscribe. Mailbox providers block senders over this."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know of an account, as an alert says it."""

    kind: str
    subject: str
    severity: Severity
    title: str
    detail: str
    link: str

    @property
    def key(self) -> tuple[str, str]:
        """Return what the alert is known by."""
        return self.kind, self.subject


def watch(now: datetime) -> int:
    """Open and close the alerts of accounts; return how many changed."""
    # Read before the facts: an alert that appears in between is not closed by older ones.
    known = open_severities(KINDS)
    active = list(Provider.objects.filter(is_active=True).defer("secrets", "settings"))
    found = {finding.key: finding for finding in _findings(active, known.keys(), now)}
    count = 0
    for key, finding in found.items():
        if key not in known or is_graver(finding.severity, known[key]):
            _open(finding)
            count += 1
    names = {str(provider.pk) for provider in active}
    for kind, subject in known.keys() - found.keys():
        is_off = subject.partition(":")[0] not in names
        why = "The account is switched off or gone." if is_off else _OVER[kind]
        count += close_alert(kind=kind, subject=subject, detail=why)
    return count


def tell_refused(*, opened: Opened, **_signal: object) -> None:
    """Open an alert at once if an account refuses our credentials: waiting mends nothing."""
    if not opened.needs_a_human:
        return
    provider = Provider.objects.defer("secrets", "settings").filter(pk=opened.provider_id).first()
    if provider is not None and provider.is_active:
        _open(_refused(provider, opened.reason, opened.detail))


def _open(finding: Finding) -> None:
    open_alert(
        kind=finding.kind,
        subject=finding.subject,
        severity=finding.severity,
        title=finding.title,
        detail=finding.detail,
        link=finding.link,
    )


def _findings(
    providers: list[Provider], known: Collection[tuple[str, str]], now: datetime
) -> Iterator[Finding]:
    health = {row.pk: row for row in ProviderHealth.objects.exclude(state=BreakerState.CLOSED)}
    usage = usage_of(providers)
    tallies = sums_since(now - RATE_OVER)
    returned = returned_since(now - OVER)
    for provider in providers:
        yield from breaker_findings(provider, health.get(provider.pk), now)
        yield from quota_findings(provider, usage.get(provider.pk), now)
        if provider.pk in tallies:
            yield from rate_findings(provider, tallies[provider.pk])
        if provider.pk in returned:
            yield from return_findings(provider, returned[provider.pk], known)


def breaker_findings(
    provider: Provider, health: ProviderHealth | None, now: datetime
) -> Iterator[Finding]:
    """Tell of a breaker that is not closed: of refused credentials at once, else after a while."""
    if health is None:
        return
    if health.reason in NEEDS_A_HUMAN:
        yield _refused(provider, health.reason, health.detail)
    elif now - health.since > DOWN_AFTER:
        why = _WHY.get(health.reason, health.reason or "unknown")
        yield Finding(
            DOWN,
            str(provider.pk),
            Severity.CRITICAL,
            f"{provider.name} is down: {why}",
            _quoted(health.detail)
            + "It gets no mail but a probe now and then. Its mail goes through other accounts or "
            "waits.",
            console_path("providers_provider_change", provider.pk),
        )


def _refused(provider: Provider, reason: str, said: str) -> Finding:
    title, advice = _NEEDED[Reason(reason)]
    return Finding(
        REFUSED,
        str(provider.pk),
        Severity.CRITICAL,
        f"{provider.name} {title}",
        f"{_quoted(said)}Waiting will not mend it: {advice}",
        console_path("providers_provider_change", provider.pk),
    )


def quota_findings(
    provider: Provider, usage: ProviderUsage | None, now: datetime
) -> Iterator[Finding]:
    """Tell of a day's or month's limit that is nearly or wholly used.

    What is only reserved does not count, so within a window the figure never falls. The warm-up
    plan does not count either: to use it up each day is its purpose.
    """
    if usage is None:
        return
    frame = windows(now, provider.time_zone)
    for window, word, limit, used in (
        ("day", "daily", provider.daily_limit, usage.day_count_at(frame.day_start)),
        ("month", "monthly", provider.monthly_limit, usage.month_count_at(frame.month_start)),
    ):
        if not limit:
            continue
        open_to_all = limit - limit * provider.priority_reserve // 100
        percent = used * 100 // open_to_all
        if percent < QUOTA_WARNING_PERCENT:
            continue
        is_used_up = percent >= QUOTA_CRITICAL_PERCENT
        end = frame.day_end if window == "day" else frame.month_end
        state = "used up" if is_used_up else f"{percent} % used"
        kept = limit - open_to_all
        reserve = f", {kept:,} of them kept for priority 1" if kept else ""
        yield Finding(
            QUOTA,
            f"{provider.pk}:{window}",
            Severity.CRITICAL if is_used_up else Severity.WARNING,
            f"The {word} limit of {provider.name} is {state}",
            f"{used:,} of {limit:,} mails{reserve}. It begins anew at {end:%Y-%m-%d %H:%M} UTC.",
            console_path("providers_provider_change", provider.pk),
        )


def rate_findings(provider: Provider, tally: Tally) -> Iterator[Finding]:
    """Tell of an account that lately took too little of what it was offered, or refused too much.

    What it refuses is an alert of its own, so it does not count for the other as well.
    """
    subject, link = str(provider.pk), console_path("providers_provider_change", provider.pk)
    if tally.tried >= MIN_TRIED and 100 * tally.refused >= MAX_REFUSED_PERCENT * tally.tried:
        yield Finding(
            REFUSALS,
            subject,
            Severity.WARNING,
            f"{provider.name} refused {100 * tally.refused // tally.tried} % of its mail in the "
            "last 15 minutes",
            f"{tally.refused:,} of {tally.tried:,} mails, not because of their recipients' "
            "addresses. See what it said in the attempts of messages: it may not send for their "
            "From address, or finds fault with what they hold.",
            link,
        )
    tried = tally.tried - tally.refused
    if tried < MIN_TRIED or tally.accepted >= MIN_SUCCESS_RATE * tried:
        return
    yield Finding(
        SUCCESS_RATE,
        subject,
        Severity.WARNING,
        f"{provider.name} took only {100 * tally.accepted // tried} % of its mail in the last "
        "15 minutes",
        f"Of {tried:,} tries {tally.accepted:,} were taken, {tally.deferred:,} put off, "
        f"{tally.faults:,} met a fault of the account, {tally.unknown:,} got no answer.",
        link,
    )


def return_findings(
    provider: Provider, tally: Tally, known: Collection[tuple[str, str]]
) -> Iterator[Finding]:
    """Tell of an account of whose mails too many bounce or are complained about."""
    for rate in rates_of(tally):
        subject = str(provider.pk)
        severity = rate.severity(is_open=(rate.kind, subject) in known)
        if severity is not None:
            yield _returned(provider, rate, severity)


def _returned(provider: Provider, rate: Rate, severity: Severity) -> Finding:
    words, advice = _RETURNED[rate.kind]
    return Finding(
        rate.kind,
        str(provider.pk),
        severity,
        f"{rate.percent:.3g} % of the mails of {provider.name} {words} in 24 hours",
        f"{rate.count:,} of {rate.mails:,} mails. {advice}",
        console_path("providers_provider_change", provider.pk),
    )


def _quoted(said: str) -> str:
    return f"It said: {said}\n" if said else ""
