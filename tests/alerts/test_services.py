from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.utils import timezone

from alerts.channel_services import save_channel
from alerts.models import Alert, Channel, Notification
from alerts.selectors import open_alerts, open_severities
from alerts.services import close_alert, delete_old, open_alert
from mailservice.core.broker import redis_client
from mailservice.core.errors import InvalidInputError
from tests.alerts.conftest import let_pass

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def report(severity: str = "warning", title: str = "Relay is down", **fields: str) -> bool:
    values = {"kind": "provider.down", "subject": "relay", "title": title, **fields}
    return open_alert(severity=severity, **values)


def close(detail: str = "") -> bool:
    return close_alert(kind="provider.down", subject="relay", detail=detail)


def chat(name: str, **fields) -> Channel:
    channel = Channel(name=name, kind="slack", **fields)
    return save_channel(channel, secrets={"url": "https://chat.example.com/x"})


def asked() -> list[tuple[str, str]]:
    rows = Notification.objects.order_by("id").values_list("channel__name", "event")
    return list(rows)


def test_a_first_report_opens_and_the_next_counts_up() -> None:
    assert report(detail="421", link="/admin/x/")
    assert not report(detail="still 421", link="/admin/y/")
    alert = Alert.objects.get()
    assert (alert.count, alert.detail, alert.link) == (2, "still 421", "/admin/y/")
    assert alert.opened_at < alert.last_at
    assert alert.is_open


def test_severity_rises_and_never_falls() -> None:
    report("warning", "80 %")
    report("critical", "100 %")
    report("warning", "90 %")
    alert = Alert.objects.get()
    assert (alert.severity, alert.title, alert.count) == ("critical", "100 %", 3)


def test_closing_tells_whether_it_was_open() -> None:
    assert not close()
    report()
    assert close("It answers again.")
    assert not close()
    alert = Alert.objects.get()
    assert (alert.is_open, alert.closing) == (False, "It answers again.")


def test_other_subjects_and_kinds_are_other_alerts() -> None:
    assert report()
    assert report(subject="other")
    assert report(kind="provider.refused")
    assert open_severities(["provider.down"]) == {
        ("provider.down", "relay"): "warning",
        ("provider.down", "other"): "warning",
    }


def test_one_that_comes_back_soon_goes_on_in_its_row() -> None:
    report()
    close("over")
    let_pass(9 * MINUTE)
    assert report("critical", "again")
    alert = Alert.objects.get()
    assert (alert.count, alert.is_open, alert.closing) == (2, True, "")
    assert (alert.severity, alert.title) == ("critical", "again")


def test_one_that_comes_back_late_is_another() -> None:
    report()
    close()
    let_pass(11 * MINUTE)
    assert report()
    assert Alert.objects.count() == 2
    assert [alert.count for alert in open_alerts()] == [1]


def test_the_gravest_stand_first() -> None:
    report(subject="a")
    report("critical", subject="b")
    report(subject="c")
    assert [alert.subject for alert in open_alerts()] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "Provider Down"),
        ("kind", ""),
        ("kind", "a" * 61),
        ("subject", "x" * 101),
        ("subject", "nul\x00"),
        ("severity", "fatal"),
    ],
)
def test_bad_input_names_its_field_and_changes_nothing(field: str, value: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        report(**{"severity": "warning", field: value})
    assert list(caught.value.details) == [field]
    assert not Alert.objects.exists()


def test_what_hostile_servers_say_can_be_stored() -> None:
    report(title="nul \x00 half \ud800 " + "x" * 300, detail="ü" * 2000)
    alert = Alert.objects.get()
    assert alert.title.startswith("nul  half ? xxx")
    assert (len(alert.title), alert.title[-1], len(alert.detail)) == (200, "…", 1000)


def test_only_channels_that_take_it_are_asked_to_tell() -> None:
    chat("all")
    chat("critical", min_severity="critical")
    chat("providers", kinds=["provider."])
    chat("budgets", kinds=["budget."])
    chat("off", is_active=False)
    chat("no end", tells_closing=False)
    report()
    assert sorted(asked()) == [("all", "opened"), ("no end", "opened"), ("providers", "opened")]
    report()
    assert len(asked()) == 3
    report("critical")
    assert sorted(asked()[3:]) == [
        ("all", "reminder"),
        ("critical", "opened"),
        ("no end", "reminder"),
        ("providers", "reminder"),
    ]
    close()
    assert sorted(asked()[7:]) == [
        ("all", "closed"),
        ("critical", "closed"),
        ("providers", "closed"),
    ]


def test_asked_twice_before_it_was_told_it_is_told_once_and_with_all_its_attempts() -> None:
    chat("all")
    for _ in range(3):
        report()
        close()
        Notification.objects.update(attempts=3, due_at=timezone.now() + 60 * MINUTE)
    rows = Notification.objects.order_by("event").values_list("event", "attempts")
    assert list(rows) == [("closed", 3), ("opened", 3), ("reminder", 3)]
    close_alert(kind="provider.down", subject="relay")
    report()
    reminder = Notification.objects.get(event="reminder")
    assert (reminder.attempts, reminder.due_at <= timezone.now()) == (0, True)


@pytest.mark.django_db(transaction=True)
def test_nothing_is_told_of_what_was_rolled_back() -> None:
    chat("all")
    redis_client().flushdb()
    with transaction.atomic():
        report()
        transaction.set_rollback(True)
    assert not Alert.objects.exists()
    assert not Notification.objects.exists()
    assert redis_client().keys("*") == []


@pytest.mark.django_db(transaction=True)
def test_after_the_commit_one_wake_up_is_on_its_way() -> None:
    chat("all")
    redis_client().flushdb()
    report()
    report(subject="other")
    assert redis_client().exists("wake:alerts") == 1
    assert redis_client().llen("maintenance") == 1


@pytest.mark.django_db(transaction=True)
def test_racing_reporters_open_once_and_close_once() -> None:
    chat("all")

    def race(number: int) -> tuple[str, bool]:
        try:
            if number % 2:
                return "open", report()
            return "close", close()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(race, range(80)))
        opened, closed = answers.count(("open", True)), answers.count(("close", True))
        is_open = Alert.objects.open().count()
        assert Alert.objects.count() == 1
        assert opened - closed == is_open
        # And all at once.
        close()
        let_pass(11 * MINUTE)
        assert [done for _, done in pool.map(race, [1] * 16)].count(True) == 1
        assert Alert.objects.open().count() == 1
        assert [done for _, done in pool.map(race, [0] * 16)].count(True) == 1


def test_old_alerts_are_deleted_and_open_ones_stay() -> None:
    report(subject="old")
    close_alert(kind="provider.down", subject="old")
    report(subject="open")
    let_pass(timedelta(days=91))
    report(subject="new")
    close_alert(kind="provider.down", subject="new")
    assert delete_old(now=timezone.now()) == 1
    assert sorted(Alert.objects.values_list("subject", flat=True)) == ["new", "open"]


@pytest.mark.django_db(transaction=True)
def test_a_dead_broker_costs_a_wake_up_and_nothing_else(settings) -> None:
    chat("all")
    url = settings.REDIS_URL
    redis_client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    try:
        assert report()
    finally:
        redis_client.cache_clear()
        settings.REDIS_URL = url
    assert asked() == [("all", "opened")]
