"""Accounts are watched: real breakers, usage and figures open and close real alerts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from alerts.channel_services import save_channel
from alerts.models import Alert, Channel
from alerts.queue import notify_all
from delivery.models import Content, Message
from mailservice.core.ids import uuid7
from providers import health
from providers.figures import Returns, Tally, add, add_returns
from providers.models import Provider, ProviderHealth
from providers.ports import Outcome, Reason, Reply, Scope, SendResult
from providers.quotas import Settlement, settle
from providers.tasks import watch as watch_task
from providers.watch import watch

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture
def account(db: None) -> Provider:
    return Provider.objects.create(name="Relay", kind="simulator")


def fault(reason: Reason = Reason.CONNECTION, text: str = "no route to host") -> SendResult:
    return SendResult(Outcome.NOT_ACCEPTED, reason, reply=Reply(0, "", text), scope=Scope.PROVIDER)


def age_breaker(wait: timedelta) -> None:
    ProviderHealth.objects.update(since=F("since") - wait)


def open_now() -> list[tuple[str, str]]:
    return list(Alert.objects.open().order_by("kind", "subject").values_list("kind", "severity"))


def send(account: Provider, count: int, now: datetime) -> None:
    settlement = Settlement(account.pk, account.time_zone, settled=0, sent=count)
    settle(lease_id=uuid7(), settlements=[settlement], now=now)


# --- breakers -------------------------------------------------------------------------------------


def test_a_breaker_that_stays_open_is_told_after_two_minutes(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    assert watch(timezone.now()) == 0
    age_breaker(MINUTE + timedelta(seconds=55))
    assert watch(timezone.now()) == 0
    age_breaker(timedelta(seconds=10))
    assert [watch(timezone.now()) for _ in range(3)] == [1, 0, 0]
    alert = Alert.objects.get()
    assert (alert.kind, alert.subject, alert.severity, alert.count) == (
        "provider.down", str(account.pk), "critical", 1,
    )  # fmt: skip
    assert alert.title == "Relay is down: no usable connection"
    assert alert.detail.startswith("It said: no route to host\n")
    assert alert.link == f"/admin/providers/provider/{account.pk}/change/"


def test_a_probe_on_its_way_does_not_end_the_alert_and_its_success_does(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    age_breaker(3 * MINUTE)
    watch(timezone.now())
    ProviderHealth.objects.update(retry_at=timezone.now() - MINUTE)
    assert health.take_probe(account.pk)
    assert watch(timezone.now()) == 0
    health.close_breaker(account.pk)
    assert watch(timezone.now()) == 1
    assert open_now() == []
    assert Alert.objects.get().closing.startswith("Its breaker is closed again")


def test_refused_credentials_are_told_at_once_by_whoever_meets_them(account: Provider) -> None:
    health.open_breaker(account.pk, fault(Reason.AUTHENTICATION, "535 5.7.8 bad password"))
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity) == ("provider.refused", "critical")
    assert alert.title == "Relay refuses our credentials"
    assert "535 5.7.8 bad password" in alert.detail
    age_breaker(3 * MINUTE)
    assert watch(timezone.now()) == 0
    health.close_breaker(account.pk)
    watch(timezone.now())
    assert open_now() == []


def test_other_faults_are_not_told_at_once(account: Provider) -> None:
    health.open_breaker(account.pk, fault(Reason.THROTTLED))
    assert not Alert.objects.exists()


def test_a_lost_signal_is_made_good_by_the_watch(account: Provider) -> None:
    health.open_breaker(account.pk, fault(Reason.AUTHENTICATION))
    Alert.objects.all().delete()
    watch(timezone.now())
    assert open_now() == [("provider.refused", "critical")]


def test_a_fault_that_becomes_another_is_told_as_such(account: Provider) -> None:
    health.open_breaker(account.pk, fault())
    age_breaker(3 * MINUTE)
    watch(timezone.now())
    ProviderHealth.objects.update(retry_at=timezone.now() - MINUTE)
    health.take_probe(account.pk)
    health.fail_probe(account.pk, fault(Reason.AUTHENTICATION))
    watch(timezone.now())
    assert open_now() == [("provider.refused", "critical")]


def test_an_account_that_is_switched_off_or_deleted_alerts_nobody(account: Provider) -> None:
    other = Provider.objects.create(name="Other", kind="simulator")
    for each in (account, other):
        health.open_breaker(each.pk, fault(Reason.AUTHENTICATION))
    assert len(open_now()) == 2
    Provider.objects.filter(pk=account.pk).update(is_active=False)
    other.delete()
    assert watch(timezone.now()) == 2
    assert open_now() == []
    assert {alert.closing for alert in Alert.objects.all()} == {
        "The account is switched off or gone."
    }
    health.close_breaker(account.pk)
    health.open_breaker(account.pk, fault(Reason.AUTHENTICATION))
    assert open_now() == []


# --- quotas ---------------------------------------------------------------------------------------


def test_a_days_limit_is_told_at_80_percent_and_when_it_is_used_up(account: Provider) -> None:
    Provider.objects.update(daily_limit=1000, priority_reserve=0)
    send(account, 799, NOW)
    assert watch(NOW) == 0
    send(account, 1, NOW)
    assert [watch(NOW) for _ in range(2)] == [1, 0]
    alert = Alert.objects.get()
    assert alert.title == "The daily limit of Relay is 80 % used"
    assert alert.detail == "800 of 1,000 mails. It begins anew at 2026-11-22 00:00 UTC."
    assert (alert.subject, alert.severity) == (f"{account.pk}:day", "warning")
    send(account, 200, NOW)
    assert [watch(NOW) for _ in range(2)] == [1, 0]
    alert.refresh_from_db()
    assert (alert.severity, alert.title) == (
        "critical",
        "The daily limit of Relay is used up",
    )
    # The window rolls over without any reset.
    assert watch(NOW + timedelta(days=1)) == 1
    assert open_now() == []


def test_a_limit_is_used_up_when_only_priority_1_may_go_on(account: Provider) -> None:
    Provider.objects.update(monthly_limit=1000, priority_reserve=10)
    send(account, 900, NOW)
    watch(NOW)
    alert = Alert.objects.get()
    assert (alert.subject, alert.severity) == (f"{account.pk}:month", "critical")
    assert alert.detail.startswith("900 of 1,000 mails, 100 of them kept for priority 1.")
    assert "2026-12-01 00:00 UTC" in alert.detail


def test_a_raised_limit_ends_the_alert(account: Provider) -> None:
    Provider.objects.update(daily_limit=10)
    send(account, 10, NOW)
    watch(NOW)
    Provider.objects.update(daily_limit=100)
    watch(NOW)
    assert open_now() == []


def test_days_begin_in_the_accounts_zone(account: Provider) -> None:
    Provider.objects.update(daily_limit=10, time_zone="America/New_York")
    account.refresh_from_db()
    send(account, 10, NOW)
    watch(NOW)
    assert "2026-11-22 05:00 UTC" in Alert.objects.get().detail
    watch(datetime(2026, 11, 22, 4, 59, tzinfo=UTC))
    assert len(open_now()) == 1
    watch(datetime(2026, 11, 22, 5, 0, tzinfo=UTC))
    assert open_now() == []


# --- success --------------------------------------------------------------------------------------


def test_a_low_success_rate_is_told_if_enough_was_tried(account: Provider) -> None:
    add(account.pk, Tally(accepted=39, deferred=6, faults=3, unknown=1), NOW)
    assert watch(NOW) == 0
    add(account.pk, Tally(rejected=500, deferred=1), NOW)
    assert [watch(NOW) for _ in range(2)] == [1, 0]
    alert = Alert.objects.get()
    assert alert.title == "Relay took only 78 % of its mail in the last 15 minutes"
    assert alert.severity == "warning"
    assert "Of 50 tries 39 were taken, 7 put off, 3 met a fault of the account" in alert.detail
    add(account.pk, Tally(accepted=10), NOW + MINUTE)
    assert watch(NOW + MINUTE) == 1
    assert open_now() == []


def test_mail_that_is_refused_for_other_reasons_than_the_address_is_told(
    account: Provider,
) -> None:
    add(account.pk, Tally(accepted=44, refused=5), NOW)
    assert watch(NOW) == 0
    add(account.pk, Tally(accepted=1, rejected=500), NOW)
    assert [watch(NOW) for _ in range(2)] == [1, 0]
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity) == ("provider.refusals", "warning")
    assert alert.title == "Relay refused 10 % of its mail in the last 15 minutes"
    assert alert.detail.startswith("5 of 50 mails, not because of their recipients' addresses.")
    assert alert.link == f"/admin/providers/provider/{account.pk}/change/"
    add(account.pk, Tally(accepted=1), NOW)
    assert watch(NOW) == 1
    assert open_now() == []


def test_an_account_that_refuses_everything_is_told_of_once(account: Provider) -> None:
    add(account.pk, Tally(refused=60), NOW)
    assert watch(NOW) == 1
    assert open_now() == [("provider.refusals", "warning")]


def test_what_is_long_past_does_not_count(account: Provider) -> None:
    add(account.pk, Tally(deferred=100), NOW - 16 * MINUTE)
    assert watch(NOW) == 0


# --- what comes back ------------------------------------------------------------------------------


def come_back(account: Provider, at: datetime = NOW, **counts: int) -> None:
    add_returns({account.pk: Returns(**counts)}, at)


def test_bounces_are_told_from_5_percent_of_500_mails_and_are_critical_from_10(
    account: Provider,
) -> None:
    add(account.pk, Tally(accepted_mails=499), NOW)
    come_back(account, bounced=25)
    assert watch(NOW) == 0
    add(account.pk, Tally(accepted_mails=1), NOW)
    assert [watch(NOW) for _ in range(2)] == [1, 0]
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.subject) == (
        "provider.bounce_rate", "warning", str(account.pk),
    )  # fmt: skip
    assert alert.title == "5 % of the mails of Relay bounced in 24 hours"
    assert alert.detail.startswith("25 of 500 mails. Addresses that bounced get no more mail.")
    assert "have addresses validated" in alert.detail
    assert alert.link == f"/admin/providers/provider/{account.pk}/change/"
    come_back(account, bounced=25)
    assert [watch(NOW) for _ in range(2)] == [1, 0]
    alert.refresh_from_db()
    assert (alert.severity, alert.title) == (
        "critical",
        "10 % of the mails of Relay bounced in 24 hours",
    )


def test_bounces_are_of_recipients_as_the_mails_are(account: Provider) -> None:
    add(account.pk, Tally(accepted=60, accepted_mails=600), NOW)
    come_back(account, bounced=7)
    assert watch(NOW) == 0
    come_back(account, bounced=23)
    assert watch(NOW) == 1
    assert Alert.objects.get().detail.startswith("30 of 600 mails.")


def test_complaints_are_told_from_a_tenth_of_a_percent_and_are_critical_from_three(
    account: Provider,
) -> None:
    add(account.pk, Tally(accepted_mails=2000), NOW)
    come_back(account, complained=1)
    assert watch(NOW) == 0
    come_back(account, complained=1)
    assert watch(NOW) == 1
    assert open_now() == [("provider.complaint_rate", "warning")]
    assert Alert.objects.get().title == ("0.1 % of the mails of Relay were called spam in 24 hours")
    come_back(account, complained=4)
    watch(NOW)
    assert open_now() == [("provider.complaint_rate", "critical")]


def test_a_rate_that_dances_about_its_threshold_is_told_once(account: Provider) -> None:
    add(account.pk, Tally(accepted_mails=1000), NOW)
    come_back(account, bounced=50)
    watch(NOW)
    add(account.pk, Tally(accepted_mails=249), NOW)
    # 4.003 %: below what opens it, not below four fifths of that.
    assert watch(NOW) == 0
    assert open_now() == [("provider.bounce_rate", "warning")]
    add(account.pk, Tally(accepted_mails=2), NOW)
    assert watch(NOW) == 1
    assert open_now() == []
    assert Alert.objects.get().closing.startswith("Few enough of its mails come back again")
    # And as low as that it does not open.
    come_back(account, bounced=5)
    assert watch(NOW) == 0


def test_what_came_back_is_forgotten_after_24_hours(account: Provider) -> None:
    add(account.pk, Tally(accepted_mails=1000), NOW)
    come_back(account, bounced=100)
    assert watch(NOW + timedelta(hours=23, minutes=59)) == 1
    assert watch(NOW + timedelta(hours=24)) == 1
    assert open_now() == []


def test_thresholds_are_settings(account: Provider, settings) -> None:
    settings.BOUNCE_RATE_ALERT, settings.RATE_ALERT_MIN_MAILS = (1.0, 2.0), 100
    add(account.pk, Tally(accepted_mails=100), NOW)
    come_back(account, bounced=1)
    watch(NOW)
    assert open_now() == [("provider.bounce_rate", "warning")]


def test_returns_of_an_account_that_sent_nothing_alert_nobody(account: Provider) -> None:
    come_back(account, bounced=600, complained=600)
    assert watch(NOW) == 0


# --- together -------------------------------------------------------------------------------------


def test_the_number_of_queries_does_not_grow_with_the_accounts(account: Provider) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            watch(NOW)
        return len(captured)

    before = queries()
    for number in range(20):
        Provider.objects.create(name=f"p{number}", kind="simulator", daily_limit=10)
    assert queries() == before == 6


def test_refused_credentials_reach_the_people_on_call(account: Provider, settings) -> None:
    settings.EMAIL_BACKEND = "delivery.backend.QueueBackend"  # the test runner puts its own there
    User.objects.create_superuser("root@example.com", "a long password")
    save_channel(Channel(name="on call", kind="mail", addresses=["ops@example.com"]), secrets={})
    health.open_breaker(account.pk, fault(Reason.AUTHENTICATION, "535 5.7.8 bad password"))
    watch_task()
    assert notify_all() == 1
    content = Content.objects.get(pk=Message.objects.get().content_id)
    assert content.subject == "[mailservice] CRITICAL: Relay refuses our credentials"
    assert f"http://localhost:8000/admin/providers/provider/{account.pk}/change/" in content.text
    assert "535 5.7.8 bad password" in content.text
