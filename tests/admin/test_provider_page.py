"""The page of one provider: its panel of state, figures, quotas and charts, and what it offers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from alerts.models import Alert
from delivery.models import Message
from mailservice.core.ids import uuid7
from providers.admin.states import AccountState, state_of
from providers.figures import Returns, Tally, add, add_returns
from providers.models import (
    AlignedDomains,
    BreakerState,
    CostDay,
    DomainSlowdown,
    Provider,
    ProviderHealth,
    RoutingRule,
    RoutingTarget,
)
from providers.services import update_provider
from tests.admin.provider_rows import LIST, fault, page, read, use


def panel(client: Client, provider: Provider, query: str = "") -> dict[str, Any]:
    answer = client.get(f"{page(provider)}{query}")
    assert answer.status_code == 200
    return dict(answer.context["panel"])


# --- the panel ------------------------------------------------------------------------------------


def test_a_new_account_s_page_says_what_there_is_nothing_of(root: Client, smtp: Provider) -> None:
    html = root.get(page(smtp)).content.decode()
    assert "It takes mail." in html
    assert "It was offered no mail in this time." in html
    assert "It accepted no mail in this time." in html
    assert "Nothing was spent in these days." in html
    assert "Closed: mail passes" in html
    assert "No rule names it: it takes mail in the usual order, at position 100." in html
    assert "No mail in the last 30 days." in html
    assert "<canvas" not in html


def test_the_figures_of_the_last_hour_and_day_are_told(root: Client, smtp: Provider) -> None:
    now = timezone.now()
    latency = [0] * 19
    latency[8] = 90  # 128 to 256 ms
    add(smtp.pk, Tally(accepted=90, faults=10, latency=latency), now)
    add(smtp.pk, Tally(accepted=100, latency=[100, *[0] * 18]), now - timedelta(hours=5))
    tiles = {tile.title: tile for tile in panel(root, smtp)["tiles"]}
    accepted = tiles["Accepted, last hour"]
    assert (accepted.value, accepted.tone) == ("90.0 %", "is-warning")
    assert accepted.hint == "of 100 · 24 h: 95.0 % of 200"
    # (90 + 19) / (100 + 20) fails in 9.2 % of the mails: the next step is 10.
    assert tiles["Counts for routing as"].value == "90 %"
    assert tiles["Median time"].value == "192 ms"
    assert tiles["95 % within"].value == "250 ms"


def test_what_came_back_is_told_for_each_span_with_its_colour(root: Client, smtp: Provider) -> None:
    now = timezone.now()
    add(smtp.pk, Tally(accepted_mails=99), now)
    add_returns({smtp.pk: Returns(bounced=1)}, now)
    add(smtp.pk, Tally(accepted_mails=901), now - timedelta(hours=2))
    add_returns({smtp.pk: Returns(bounced=59, complained=3, blocked=21)}, now - timedelta(hours=3))
    add(smtp.pk, Tally(accepted_mails=9000), now - timedelta(days=20))
    rows = {row.span: row for row in panel(root, smtp)["returned"]}
    hour, day, month = rows["1h"], rows["24h"], rows["30d"]
    assert (hour.bounced, hour.bounce_rate, hour.complaint_rate) == (1, "too few", "too few")
    assert (day.accepted, day.bounced, day.complained) == (1000, 60, 3)
    assert (day.bounce_rate, day.bounced_tone) == ("6.00 %", "is-warning")
    assert (day.complaint_rate, day.complained_tone) == ("0.30 %", "is-bad")
    assert (day.blocked, day.block_rate, hour.block_rate) == (21, "2.10 %", "too few")
    assert rows["7d"] == replace(day, span="7d")
    assert (month.bounce_rate, month.bounced_tone) == ("0.60 %", "")
    assert "6.00 %" in root.get(page(smtp)).content.decode()


def test_the_charts_stack_the_outcomes_of_the_chosen_time(root: Client, smtp: Provider) -> None:
    now = timezone.now()
    add(smtp.pk, Tally(accepted=7, rejected=2, latency=[7, *[0] * 18]), now)
    add(smtp.pk, Tally(accepted=5, latency=[5, *[0] * 18]), now - timedelta(days=3))
    today = panel(root, smtp)
    assert today["outcomes"].description == "accepted 7, recipient refused 2"
    data = json.loads(today["outcomes"].data)
    assert [each["label"] for each in data["datasets"]] == ["Accepted", "Recipient refused"]
    assert (len(data["labels"]), data["datasets"][0]["data"][-1]) == (24, 7)
    week = panel(root, smtp, "?span=7d")
    assert week["outcomes"].description == "accepted 12, recipient refused 2"
    assert len(json.loads(week["latency"].data)["labels"]) == 7 * 24
    month = panel(root, smtp, "?span=30d")
    assert len(json.loads(month["outcomes"].data)["labels"]) == 30
    assert panel(root, smtp, "?span=ever")["span"].key == "24h"


def test_the_cost_of_each_day_is_drawn(root: Client, smtp: Provider, superuser: User) -> None:
    CostDay.objects.create(
        provider=smtp,
        day=timezone.now().date(),
        owner=superuser,
        email_type="transactional",
        messages=3,
        mails=3,
        nanos=2_500_000_000,
    )
    found = panel(root, smtp)
    assert found["costs"].description == "2.50 USD in 7 days"
    assert json.loads(found["costs"].data)["datasets"][0]["data"] == [0, 0, 0, 0, 0, 0, 2.5]
    assert panel(root, smtp, "?span=30d")["costs_title"] == "Cost per day, USD, last 30 days"


def test_quotas_tell_reserved_kept_and_when_they_begin_anew(root: Client, smtp: Provider) -> None:
    update_provider(smtp.pk, daily_limit=1000, priority_reserve=10, time_zone="Asia/Tokyo")
    use(read(smtp), 300, reserved=20)
    hour, day, month = panel(root, smtp)["quotas"]
    assert (hour.quota.limit, month.quota.limit) == (None, None)
    quota = day.quota
    assert (quota.used, quota.sent, quota.reserved, quota.kept) == (320, 300, 20, 100)
    assert (quota.sent_percent, quota.reserved_percent, quota.kept_percent) == (30, 2, 10)
    assert day.anew == "00:00"
    html = root.get(page(smtp)).content.decode()
    assert "20 of these reserved by workers" in html
    assert "100 kept for priority 1" in html
    assert "Asia/Tokyo" in html


def test_rules_slow_domains_and_alerts_about_it_are_listed(root: Client, smtp: Provider) -> None:
    now = timezone.now()
    rule = RoutingRule.objects.create(name="<Receipts>", strategy="weighted_split")
    RoutingTarget.objects.create(rule=rule, provider=smtp, position=0, weight=3)
    order = RoutingRule.objects.create(name="Order", is_active=False)
    RoutingTarget.objects.create(rule=order, provider=smtp, position=1)
    DomainSlowdown.objects.create(
        provider=smtp,
        domain="slow.example",
        since=now,
        closed_until=now + timedelta(minutes=1),
        recovered_at=now + timedelta(minutes=9),
        detail="<b>4.7.28</b>",
    )
    Alert.objects.create(
        kind="provider.down",
        subject=str(smtp.pk),
        severity="critical",
        title="Relay is down",
        opened_at=now,
        last_at=now,
    )
    Alert.objects.create(
        kind="provider.down", subject=str(uuid7()), title="Other", opened_at=now, last_at=now,
        severity="warning",
    )  # fmt: skip
    html = root.get(page(smtp)).content.decode()
    assert "&lt;Receipts&gt;" in html
    assert "Weighted split, weight 3" in html
    assert "Fixed order, place 2" in html
    assert "slow.example" in html
    assert "&lt;b&gt;4.7.28&lt;/b&gt;" in html
    assert "Relay is down" in html
    assert [alert.title for alert in panel(root, smtp)["alerts"]] == ["Relay is down"]


def test_who_may_not_see_rules_and_alerts_does_not(staff_with, smtp: Provider) -> None:
    found = panel(staff_with("providers.view_provider"), smtp)
    assert (found["rules"], found["alerts"]) == (None, None)


def test_a_refused_form_comes_without_the_panel(root: Client, smtp: Provider) -> None:
    answer = root.post(page(smtp), {"name": ""})
    assert answer.status_code == 200
    assert "panel" not in answer.context


def test_the_page_needs_few_queries(root: Client, smtp: Provider, django_assert_max_num_queries):
    root.get(page(smtp))
    with django_assert_max_num_queries(18):
        root.get(page(smtp))


def test_the_page_has_no_script_of_its_own(root: Client, smtp: Provider) -> None:
    add(smtp.pk, Tally(accepted=1), timezone.now())
    html = root.get(page(smtp)).content.decode()
    inline = [part for part in html.split("<script")[1:] if "src=" not in part.split(">")[0]]
    assert [part for part in inline if "application/json" not in part.split(">")[0]] == []


# --- breaker --------------------------------------------------------------------------------------


def test_an_open_breaker_is_explained_and_closed_by_hand(root: Client, smtp: Provider) -> None:
    fault(smtp, "open", reason="authentication", detail="535 <no>")
    html = root.get(page(smtp)).content.decode()
    assert "Waiting will not mend that: check the credentials." in html
    assert "535 &lt;no&gt;" in html
    assert "Open: mail goes elsewhere or waits" in html
    close = page(smtp, "close")
    assert close in html
    root.get(close)
    assert ProviderHealth.objects.get().state == "open"
    assert root.post(close)["Location"] == page(smtp)
    assert ProviderHealth.objects.get().state == "closed"
    assert LogEntry.objects.get().change_message == "Breaker closed by hand."
    html = root.post(close, follow=True).content.decode()
    assert "The breaker was closed already." in html
    assert close not in html
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize("object_id", ["42", "nobody", "01a1fd9f-61be-746a-911b-e24485a98186"])
def test_there_is_no_page_of_an_account_that_is_not(root: Client, object_id: str) -> None:
    answer = root.get(f"{LIST}{object_id}/change/", follow=True)
    assert answer.redirect_chain == [("/admin/", 302)]


def test_there_is_no_breaker_of_an_account_that_is_not(root: Client) -> None:
    url = reverse("admin:providers_provider_close", args=[uuid7()])
    assert (root.get(url).status_code, root.post(url).status_code) == (404, 404)


def test_only_who_may_change_it_closes_a_breaker(staff_with, smtp: Provider) -> None:
    fault(smtp, "open")
    client = staff_with("providers.view_provider")
    assert page(smtp, "close") not in client.get(page(smtp)).content.decode()
    assert client.post(page(smtp, "close")).status_code == 403
    assert ProviderHealth.objects.get().state == "open"


@pytest.mark.parametrize(
    ("state", "reason", "minutes", "kind", "words"),
    [
        ("open", "connection", 5, AccountState.DOWN, "After the wait one mail goes as a trial."),
        ("open", "throttled", -1, AccountState.DOWN, "the next mail for it is a trial."),
        ("open", "authentication", 5, AccountState.REFUSED, "check the credentials."),
        ("half_open", "other", 1, AccountState.PROBED, "One mail is on its way"),
        ("closed", "connection", 0, AccountState.ACTIVE, "It takes mail."),
    ],
)
def test_the_state_of_a_breaker_in_words(
    smtp: Provider, state: str, reason: str, minutes: int, kind: AccountState, words: str
) -> None:
    retry_at = timezone.now() + timedelta(minutes=minutes)
    fault(smtp, state, reason=reason, retry_at=None if state == BreakerState.CLOSED else retry_at)
    found = state_of(read(smtp), timezone.now())
    assert found.kind is kind
    assert words in found.reason


# --- what if --------------------------------------------------------------------------------------


def test_the_page_asks_the_simulator_what_if_it_were_down(
    root: Client, smtp: Provider, user: User
) -> None:
    simulator = f"{reverse('admin:providers_routingrule_simulate')}?down={smtp.pk}"
    assert simulator in root.get(page(smtp)).content.decode()
    form = root.get(simulator).context["form"]
    assert form[f"down_{smtp.pk.hex}"].value() is True
    form = root.get(f"{simulator}&owner={user.pk}").context["form"]
    assert form["owner"].value() == str(user.pk)
    assert root.get(f"{simulator}x&down=&owner=nobody").status_code == 200


# --- test mail ------------------------------------------------------------------------------------


def test_who_sends_a_test_mail_is_told_that_it_will_wait(root: Client, smtp: Provider) -> None:
    html = root.get(page(smtp, "send_test")).content.decode()
    assert 'value="root@example.com"' in html
    assert "It will wait" not in html
    update_provider(smtp.pk, is_active=False)
    html = root.get(page(smtp, "send_test")).content.decode()
    assert "It will wait: switched off. It takes no mail until it is switched on." in html


def test_a_test_mail_that_the_account_would_never_take_is_refused(
    root: Client, smtp: Provider
) -> None:
    update_provider(smtp.pk, from_domains=["example.com"])
    answer = root.post(page(smtp, "send_test"), {"recipient": "bob@example.net"})
    assert "mailservice@localhost is not among them" in answer.content.decode()
    assert not Message.objects.exists()
    update_provider(smtp.pk, from_email="shop@example.com")
    answer = root.post(page(smtp, "send_test"), {"recipient": "bob@example.net"})
    assert answer.status_code == 302
    assert Message.objects.get().pinned_provider_id == smtp.pk


def test_a_test_mail_from_a_domain_that_is_not_aligned_is_refused(
    root: Client, smtp: Provider
) -> None:
    update_provider(smtp.pk, from_email="shop@example.com", requires_alignment=True)
    answer = root.post(page(smtp, "send_test"), {"recipient": "bob@example.net"})
    assert "example.com is not aligned (SPF or DKIM) at this account" in answer.content.decode()
    assert not Message.objects.exists()
    AlignedDomains.objects.create(kind="smtp", patterns=["example.com"])
    answer = root.post(page(smtp, "send_test"), {"recipient": "bob@example.net"})
    assert answer.status_code == 302


# --- deletion -------------------------------------------------------------------------------------


def test_an_account_that_a_rule_names_stays_and_the_rule_is_named(
    root: Client, smtp: Provider
) -> None:
    rule = RoutingRule.objects.create(name="Receipts")
    RoutingTarget.objects.create(rule=rule, provider=smtp, position=0)
    html = root.post(page(smtp, "delete"), follow=True).content.decode()
    assert "Relay cannot be deleted: the routing rule “Receipts” names it." in html
    assert Provider.objects.get() == smtp
