"""What a provider's page shows above its form: state, figures, quotas, charts, who uses it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.http import urlencode

from alerts.models import Alert
from providers import costs, performance
from providers.admin.charts import SPANS, cost_chart, latency_chart, outcome_chart
from providers.admin.figures import all_quotas_of, short_kind
from providers.admin.states import fault_in_words, state_of
from providers.models import BreakerState, DomainSlowdown, RoutingTarget
from providers.quotas import windows
from providers.returns import rates_of, returned_in
from providers.routing import Strategy, price_text, success_rate
from providers.routing.scores import failure_percent
from providers.warm_up import warm_up_limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from django.http import HttpRequest

    from providers.admin.figures import Quota
    from providers.figures import Tally
    from providers.models import Provider, ProviderHealth, ProviderUsage

#: Longer lists are cut: the page is about the account.
_MAX_ROWS = 12
_ALERTS_FOR = timedelta(days=30)
_SECOND = 1_000
_BREAKERS: Mapping[str, str] = {
    BreakerState.CLOSED: "Closed: mail passes",
    BreakerState.OPEN: "Open: mail goes elsewhere or waits",
    BreakerState.HALF_OPEN: "Half-open: one mail is on trial",
}
_NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure in large."""

    title: str
    value: str
    hint: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """One quota, and when it begins anew on the account's clock."""

    label: str
    quota: Quota
    anew: str
    wait: timedelta


@dataclass(frozen=True, slots=True)
class BreakerView:
    """The circuit breaker in words."""

    is_closed: bool = True
    title: str = _BREAKERS[BreakerState.CLOSED]
    #: Why it opened last; empty if it never did.
    reason: str = ""
    #: What the account said then.
    detail: str = ""
    #: When it opened, or closed again.
    since: datetime | None = None
    #: When the next trial may go; None while closed.
    retry_at: datetime | None = None
    #: In a row.
    failures: int = 0


@dataclass(frozen=True, slots=True)
class RuleUse:
    """A routing rule that names the account."""

    rule_id: UUID
    name: str
    is_active: bool
    words: str


@dataclass(frozen=True, slots=True)
class SlowDomain:
    """A recipient domain that puts off the account's mail."""

    domain: str
    since: datetime
    #: While that is to come no mail goes there; then it goes slowly.
    closed_until: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class ReturnedRow:
    """What came back within one stretch of time."""

    span: str
    accepted: int
    bounced: int
    bounce_rate: str
    bounced_tone: str
    blocked: int
    block_rate: str
    complained: int
    complaint_rate: str
    complained_tone: str


def panel_of(request: HttpRequest, provider: Provider, now: datetime) -> dict[str, Any]:
    """Return the context of `console/provider_panel.html`."""
    span = SPANS.get(request.GET.get("span", ""), SPANS["24h"])
    ids = [provider.pk]
    zone = provider.time_zone
    hour = performance.windows(ids, since=now - timedelta(hours=1))[provider.pk]
    day = performance.windows(ids, since=now - timedelta(hours=24))[provider.pk]
    points = performance.series(
        ids, since=now - span.reach, until=now, step=span.step, time_zone=zone
    )[provider.pk]
    today = windows(now, zone).today
    spent = costs.daily(provider.pk, days=span.days, today=today)
    rules = _rules(provider) if request.user.has_perm("providers.view_routingrule") else None
    return {
        "now": now,
        "state": state_of(provider, now),
        "tiles": _tiles(hour, day),
        "breaker": breaker_of(provider),
        "quotas": quota_rows(provider, now),
        "returned": returned_rows(provider.pk, now),
        "warm_up": warm_up_in_words(provider.warm_up, today),
        "time_zone": zone,
        "spans": SPANS.values(),
        "span": span,
        "outcomes": outcome_chart(points, span, zone),
        "latency": latency_chart(points, span, zone),
        "costs": cost_chart([(each.day, each.nanos) for each in spent], settings.CURRENCY),
        "costs_title": f"Cost per day, {settings.CURRENCY}, last {span.days} days",
        "slowdowns": _slowdowns(provider),
        "alerts": _alerts(provider, now) if request.user.has_perm("alerts.view_alert") else None,
        "rules": rules,
        "what_if": _what_if(provider),
        "kind": short_kind(provider.kind),
    }


def breaker_of(provider: Provider) -> BreakerView:
    """Return the account's circuit breaker in words; closed if it never failed."""
    health: ProviderHealth | None = getattr(provider, "health", None)
    if health is None:
        return BreakerView()
    return BreakerView(
        is_closed=health.state == BreakerState.CLOSED,
        title=_BREAKERS[health.state],
        reason=fault_in_words(health.reason) if health.reason else "",
        detail=health.detail,
        since=health.since,
        retry_at=health.retry_at,
        failures=health.failures,
    )


def quota_rows(provider: Provider, now: datetime) -> list[QuotaRow]:
    """Return the account's quotas of the hour, the day and the month."""
    zone = ZoneInfo(provider.time_zone)
    labels = (("This hour", "H:i"), ("Today", "H:i"), ("This month", "j F"))
    rows = []
    for (label, pattern), quota in zip(labels, all_quotas_of(provider, now), strict=True):
        anew = date_format(quota.resets_at.astimezone(zone), pattern)
        rows.append(QuotaRow(label, quota, anew, quota.resets_at - now))
    return rows


def warm_up_in_words(plan: Mapping[str, Any] | None, today: date) -> str:
    """Return where a warm-up plan stands on a local day; empty without one and once it is over."""
    if plan is None:
        return ""
    starts_on = date.fromisoformat(plan["starts_on"])
    days = len(plan["daily"])
    if today < starts_on:
        return f"Warm-up of {days} days begins on {date_format(starts_on, 'j F Y')}."
    limit = warm_up_limit(plan, today)
    if limit is None:
        return ""
    return f"Warm-up day {(today - starts_on).days + 1} of {days}: at most {limit:,} mails today."


def price_now(provider: Provider, now: datetime) -> str:
    """Return what a thousand mails cost at the place that the month's count has reached."""
    usage: ProviderUsage | None = getattr(provider, "usage", None)
    count = usage.month_count_at(windows(now, provider.time_zone).month_start) if usage else 0
    return price_text(provider.pricing.next_price(count))


def percent(share: float | None) -> str:
    """Return a share between 0 and 1 in percent, never rounded up to 100."""
    if share is None:
        return _NOTHING
    if share == 1:
        return "100 %"
    return f"{min(round(100 * share, 1), 99.9)} %"


def milliseconds(value: float | None) -> str:
    """Return a duration, from a second on in seconds."""
    if value is None:
        return _NOTHING
    if value >= _SECOND:
        return f"{value / _SECOND:.1f} s"
    return f"{value:.0f} ms"


def _tiles(hour: Tally, day: Tally) -> Sequence[Tile]:
    known = success_rate(hour.kept, hour.tried)
    grade = 100 - failure_percent(known)
    return (
        Tile(
            "Accepted, last hour",
            percent(hour.success_rate),
            f"of {hour.tried:,} · 24 h: {percent(day.success_rate)} of {day.tried:,}",
            rate_tone(hour.success_rate),
        ),
        Tile(
            "Counts for routing as",
            f"{grade:g} %",
            "last hour, cautious while mails are few"
            if hour.tried
            else "assumed: no mail this hour",
        ),
        Tile(
            "Median time",
            milliseconds(hour.p50_ms),
            f"last hour · 24 h: {milliseconds(day.p50_ms)}",
        ),
        Tile(
            "95 % within",
            milliseconds(hour.p95_ms),
            f"last hour · 24 h: {milliseconds(day.p95_ms)}",
        ),
    )


#: Shares of accepted mails under which a figure is coloured.
_GOOD, _FAIR = 0.98, 0.8


def rate_tone(share: float | None) -> str:
    """Return the colour of a share of accepted mails."""
    if share is None:
        return ""
    if share >= _GOOD:
        return "is-good"
    return "is-warning" if share >= _FAIR else "is-bad"


def returned_rows(provider_id: UUID, now: datetime) -> list[ReturnedRow]:
    """Return how much of an account's mail came back in each span; empty without any mail."""
    spans = performance.SPANS
    tallies = returned_in(provider_id, [now - reach for reach in spans.values()])
    if not any(
        each.accepted_mails or each.bounced or each.blocked or each.complained for each in tallies
    ):
        return []
    rows = []
    for span, tally in zip(spans, tallies, strict=True):
        bounced, complained = rates_of(tally)
        rows.append(
            ReturnedRow(
                span,
                tally.accepted_mails,
                tally.bounced,
                small_percent(tally.bounce_rate),
                return_tone(tally.bounce_rate, bounced.thresholds),
                tally.blocked,
                small_percent(tally.block_rate),
                tally.complained,
                small_percent(tally.complaint_rate),
                return_tone(tally.complaint_rate, complained.thresholds),
            )
        )
    return rows


def small_percent(share: float | None) -> str:
    """Return a small share in percent; “too few” mails where it would be chance."""
    return "too few" if share is None else f"{100 * share:.2f} %"


def return_tone(share: float | None, thresholds: tuple[float, float]) -> str:
    """Return the colour of a share of mails that came back."""
    warning, critical = thresholds
    if share is None or 100 * share < warning:
        return ""
    return "is-bad" if 100 * share >= critical else "is-warning"


def _rules(provider: Provider) -> list[RuleUse]:
    targets = (
        RoutingTarget.objects.filter(provider_id=provider.pk)
        .select_related("rule")
        .order_by("rule__position", "rule_id")
    )
    return [
        RuleUse(target.rule_id, target.rule.name, target.rule.is_active, _part_in(target))
        for target in targets[:_MAX_ROWS]
    ]


def _what_if(provider: Provider) -> str:
    """Return the address of the simulator that supposes the account to be down."""
    query = {"down": str(provider.pk)}
    if provider.owner_id is not None:
        # Nobody else's mail may use it.
        query["owner"] = str(provider.owner_id)
    return f"{reverse('admin:providers_routingrule_simulate')}?{urlencode(query)}"


def _part_in(target: RoutingTarget) -> str:
    """Return what a rule does with a target, such as “Fixed order, place 2”."""
    if target.rule.strategy == Strategy.WEIGHTED_SPLIT:
        return f"Weighted split, weight {target.weight}"
    strategy = target.rule.strategy.replace("_", " ").capitalize()
    return f"{strategy}, place {target.position + 1}"


def _slowdowns(provider: Provider) -> list[SlowDomain]:
    slow = DomainSlowdown.objects.under_way().filter(provider_id=provider.pk)
    return [
        SlowDomain(each.domain, each.since, each.closed_until, each.detail)
        for each in slow.order_by("-closed_until")[:_MAX_ROWS]
    ]


def _alerts(provider: Provider, now: datetime) -> list[Alert]:
    """Return what was told about the account lately, what is not over first."""
    about = Alert.objects.filter(kind__startswith="provider.", subject__startswith=str(provider.pk))
    return list(about.filter(last_at__gt=now - _ALERTS_FOR)[:_MAX_ROWS])
