"""Channels are told: by a real HTTP server, and by mail that stands in the real queue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from alerts import queue
from alerts.channel_services import save_channel, try_channel
from alerts.channels import TellError, tell
from alerts.models import Alert, Channel, News, Notification
from alerts.queue import MAX_ATTEMPTS, RETRY_SECONDS, is_news, notify_all
from alerts.services import close_alert, open_alert
from alerts.tasks import notify
from delivery.models import Content, Message
from mailservice.core.secrets import encrypt
from mailservice.core.signing import signed_headers
from tests.alerts.conftest import SIGNING_SECRET, let_pass, told
from tests.support.esp.server import Answer, ApiServer, Request

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def report(
    subject: str = "relay", severity: str = "critical", title: str = "Relay is down"
) -> bool:
    return open_alert(
        kind="provider.down",
        subject=subject,
        severity=severity,
        title=title,
        detail="421 <try> & later",
        link="/admin/x/",
    )


def close(subject: str = "relay", detail: str = "It answers again.") -> bool:
    return close_alert(kind="provider.down", subject=subject, detail=detail)


def states() -> list[tuple[str, str]]:
    return list(Notification.objects.order_by("id").values_list("event", "state"))


# --- what is told ---------------------------------------------------------------------------------


def test_a_webhook_is_told_signed_what_happened(webhook: Channel, hook: ApiServer) -> None:
    report()
    assert notify_all() == 1
    request = hook.requests[0]
    alert = Alert.objects.get()
    assert (request.method, request.path, request.query) == ("POST", "/hooks/s3cr3t", "key=1")
    assert request.json["type"] == "alert.opened"
    assert request.json["data"] == {
        "id": str(alert.pk),
        "kind": "provider.down",
        "subject": "relay",
        "severity": "critical",
        "title": "Relay is down",
        "detail": "421 <try> & later",
        "link": "http://localhost:8000/admin/x/",
        "opened_at": alert.opened_at.isoformat(),
        "last_at": alert.last_at.isoformat(),
        "count": 1,
        "closed_at": None,
        "closing": "",
    }
    expected = signed_headers(
        secret=SIGNING_SECRET,
        message_id=request.headers["webhook-id"],
        timestamp_seconds=int(request.headers["webhook-timestamp"]),
        body=request.body,
    )
    assert request.headers["webhook-signature"] == expected["webhook-signature"]
    assert states() == [("opened", "sent")]
    assert notify_all() == 0


def test_a_chat_is_told_in_its_own_words(db: None, hook: ApiServer) -> None:
    channel = Channel(name="chat", kind="slack")
    save_channel(channel, secrets={"url": f"http://127.0.0.1:{hook.port}/T/B/x"})
    report(title="<!channel> & all")
    close()
    notify_all()
    lines = [request.json["text"].splitlines() for request in hook.requests]
    assert lines[0][:2] == ["*CRITICAL: &lt;!channel&gt; &amp; all*", "421 &lt;try&gt; &amp; later"]
    assert lines[0][-1].endswith("<http://localhost:8000/admin/x/|Open in the console>")
    assert lines[1][0] == "*Over: &lt;!channel&gt; &amp; all*"
    assert "webhook-id" not in hook.requests[0].headers


def test_mail_goes_through_the_queue_of_this_very_service(mail_channel: Channel) -> None:
    report(title="Konto „Köln“ ist aus")
    assert notify_all() == 1
    message = Message.objects.get()
    content = Content.objects.get(pk=message.content_id)
    assert message.addresses == ["ops@example.com"]
    assert content.subject == "[mailservice] CRITICAL: Konto „Köln“ ist aus"
    assert "421 <try> & later" in content.text
    assert "http://localhost:8000/admin/x/" in content.text
    assert states() == [("opened", "sent")]


def test_mail_without_anybody_to_own_it_is_tried_again(mail_channel: Channel) -> None:
    User.objects.update(is_superuser=False)
    report()
    notify_all()
    one = Notification.objects.get()
    assert (one.state, one.attempts) == ("pending", 1)
    assert one.last_error == "Mail of the system needs a superuser to own it."


def test_the_end_is_told_to_those_who_want_it(webhook: Channel, hook: ApiServer) -> None:
    report()
    close()
    notify()
    assert told(hook) == ["alert.opened Relay is down", "alert.closed Relay is down"]
    assert hook.requests[1].json["data"]["closing"] == "It answers again."
    Channel.objects.update(tells_closing=False)
    report("other")
    close("other")
    notify()
    assert len(hook.requests) == 3


def test_a_graver_report_is_told_again(webhook: Channel, hook: ApiServer) -> None:
    report(severity="warning", title="80 %")
    notify_all()
    report(severity="warning", title="81 %")
    assert notify_all() == 0
    report(title="100 %")
    notify_all()
    assert told(hook) == ["alert.opened 80 %", "alert.reminder 100 %"]


# --- flapping -------------------------------------------------------------------------------------


def test_flapping_is_told_once_and_again_after_ten_minutes_if_it_is_there(
    webhook: Channel, hook: ApiServer
) -> None:
    report()
    notify_all()
    for _ in range(5):
        let_pass(timedelta(seconds=30))
        close()
        notify_all()
        let_pass(timedelta(seconds=30))
        report()
        notify_all()
    # The first end was told; from then on only silence, for it came and went.
    assert told(hook) == ["alert.opened Relay is down", "alert.closed Relay is down"]
    let_pass(6 * MINUTE)
    notify_all()
    assert told(hook)[2:] == ["alert.reminder Relay is down"]
    close()
    notify_all()
    assert told(hook)[3:] == ["alert.closed Relay is down"]


def test_flapping_that_ends_is_told_no_more(webhook: Channel, hook: ApiServer) -> None:
    report()
    close()
    notify_all()
    report()
    close()
    let_pass(11 * MINUTE)
    assert notify_all() == 0
    assert told(hook) == ["alert.opened Relay is down", "alert.closed Relay is down"]
    assert states()[2:] == [("reminder", "dropped"), ("closed", "dropped")]


@given(
    event=st.sampled_from(News), is_open=st.booleans(), heard=st.sampled_from(["", *News.values])
)
def test_nobody_is_told_twice_in_a_row_that_it_is_over(event, is_open, heard) -> None:
    if is_news(event, is_open=is_open, heard=heard) and not is_open:
        assert heard != "closed"
    assert not (is_news(News.CLOSED, is_open=True, heard=heard))
    assert not (is_news(News.REMINDER, is_open=False, heard=heard))


# --- failing --------------------------------------------------------------------------------------


def test_a_failing_channel_is_tried_ten_times_then_given_up(
    webhook: Channel, hook: ApiServer
) -> None:
    report()
    waits = []
    for _ in range(MAX_ATTEMPTS):
        hook.then(Answer(500, b"/hooks/s3cr3t?key=1 is\x00 broken" + b"x" * 5000))
        assert notify_all() == 0
        one = Notification.objects.get()
        waits.append(round((one.due_at - timezone.now()).total_seconds()))
        let_pass(timedelta(seconds=3601))
    assert waits[:-1] == list(RETRY_SECONDS)
    assert (one.state, one.attempts) == ("failed", 10)
    assert one.last_error.startswith("The answer was HTTP 500. /…/…?key=1 is brokenxxx")
    assert len(one.last_error) < 240
    assert notify_all() == 0


def test_every_attempt_has_the_same_id(webhook: Channel, hook: ApiServer) -> None:
    report()
    hook.then(Answer(500, b""), Answer(302, b"", {"Location": "http://127.0.0.1:1/"}))
    for _ in range(3):
        notify_all()
        let_pass(timedelta(seconds=61))
        # let_pass ages the moment of asking too, of which the id is made; undo that.
        Notification.objects.update(asked_at=Alert.objects.get().opened_at + timedelta(days=1))
    assert len(hook.requests) == 3
    assert states() == [("opened", "sent")]


def test_other_channels_are_told_while_one_is_down(webhook: Channel, mail_channel: Channel) -> None:
    url = "http://127.0.0.1:1/nobody"
    save_channel(Channel(name="dead", kind="slack"), secrets={"url": url})
    report()
    report("other")
    assert notify_all() == 4
    dead = Notification.objects.filter(channel__name="dead")
    assert [(one.state, one.attempts) for one in dead] == [("pending", 1)] * 2
    assert {one.last_error for one in dead} == {"127.0.0.1: Connection refused"}


def test_what_closed_meanwhile_is_told_in_an_order_that_is_true(
    webhook: Channel, hook: ApiServer
) -> None:
    report()
    hook.then(Answer(503))
    notify_all()
    close()
    notify_all()
    let_pass(MINUTE)
    notify_all()
    # The end came first, so that it had been there is no news any more.
    assert told(hook) == [
        "alert.opened Relay is down",
        "alert.closed Relay is down",
    ]
    assert sorted(states()) == [("closed", "sent"), ("opened", "dropped")]


def test_a_channel_that_was_switched_off_is_told_nothing(webhook: Channel, hook: ApiServer) -> None:
    report()
    Channel.objects.update(is_active=False)
    assert notify_all() == 0
    assert (hook.requests, states()) == ([], [("opened", "dropped")])


def test_a_private_address_is_told_nothing_unless_allowed(
    webhook: Channel, hook: ApiServer, settings
) -> None:
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = False
    report()
    notify_all()
    assert hook.requests == []
    assert "private or reserved network" in Notification.objects.get().last_error


def test_secrets_that_no_key_reads_are_a_failure_in_words(webhook: Channel) -> None:
    report()
    broken = encrypt({"url": "https://x.example"})[:-10]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE alerts_channel SET secrets = %s", [broken])
    notify_all()
    assert "encryption key" in Notification.objects.get().last_error


# --- storms ---------------------------------------------------------------------------------------


def test_a_storm_is_told_thirty_times_then_together(webhook: Channel, hook: ApiServer) -> None:
    for number in range(42):
        report(f"s{number}")
    assert notify_all() == 31
    assert [each.json["type"] for each in hook.requests[:30]] == ["alert.opened"] * 30
    summary = hook.requests[30].json
    assert (summary["type"], summary["data"]["count"]) == ("alert.summary", 12)
    assert [alert["subject"] for alert in summary["data"]["alerts"]] == [
        f"s{number}" for number in range(30, 42)
    ]
    assert Notification.objects.filter(state="sent", in_summary=True).count() == 12
    # More of it waits ten minutes and then comes together.
    report("late")
    report("later")
    assert notify_all() == 0
    let_pass(9 * MINUTE)
    assert notify_all() == 0
    let_pass(MINUTE)
    assert notify_all() == 1
    assert hook.requests[31].json["data"]["count"] == 2
    # After the hour each is told on its own again.
    let_pass(61 * MINUTE)
    report("calm")
    notify_all()
    assert told(hook)[32:] == ["alert.opened Relay is down"]


def test_a_summary_by_mail_names_the_alerts(mail_channel: Channel) -> None:
    for number in range(55):
        report(f"s{number}", title=f"Account {number} is down")
    notify_all()
    content = Content.objects.latest("created_at")
    assert content.subject == "[mailservice] 25 more alerts, told together"
    assert "- CRITICAL: Account 30 is down" in content.text
    assert "- and 5 more" in content.text
    assert "http://localhost:8000/admin/alerts/alert/" in content.text


# --- beside itself --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_racing_workers_tell_everything_once(webhook: Channel, hook: ApiServer) -> None:
    for number in range(20):
        report(f"s{number}")

    def work(_: int) -> int:
        try:
            return notify_all()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == 20
    assert sorted(each.json["data"]["subject"] for each in hook.requests) == sorted(
        f"s{number}" for number in range(20)
    )
    assert Channel.objects.get().busy_until is None


def test_a_channel_that_another_worker_has_is_left_alone(webhook: Channel, hook: ApiServer) -> None:
    report()
    Channel.objects.update(busy_until=timezone.now() + MINUTE)
    assert notify_all() == 0
    # The worker died: its lease is over.
    Channel.objects.update(busy_until=timezone.now() - MINUTE)
    assert notify_all() == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_asked_again_while_it_is_told_is_told_again(
    webhook: Channel, hook: ApiServer
) -> None:
    report(severity="warning", title="80 %")
    notify_all()
    report(title="95 %")

    def ask_again(_request: Request) -> Answer:
        hook.handler = lambda _request: Answer(200)
        Notification.objects.filter(state="pending").update(asked_at=timezone.now())
        connections.close_all()
        return Answer(200)

    hook.handler = ask_again
    notify_all()
    assert [each.json["type"] for each in hook.requests] == [
        "alert.opened",
        "alert.reminder",
        "alert.reminder",
    ]
    assert states() == [("opened", "sent"), ("reminder", "sent")]


# --- trying ---------------------------------------------------------------------------------------


def test_a_channel_can_be_tried(webhook: Channel, hook: ApiServer) -> None:
    try_channel(webhook.pk)
    assert told(hook) == ["alert.test This is a test alert"]
    assert not Notification.objects.exists()
    hook.then(Answer(404, b"no such hook"))
    with pytest.raises(TellError) as caught:
        try_channel(webhook.pk)
    assert caught.value.message == "The answer was HTTP 404. no such hook"


def test_after_a_rotation_of_keys_the_old_one_can_go(
    webhook: Channel, hook: ApiServer, settings
) -> None:
    new = Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, *settings.ENCRYPTION_KEYS]
    call_command("rotate_encryption_keys")
    settings.ENCRYPTION_KEYS = [new]
    try_channel(webhook.pk)
    assert len(hook.requests) == 1


def test_after_a_death_on_the_way_it_is_told_again_under_the_same_id(
    webhook: Channel, hook: ApiServer
) -> None:
    report()
    taken = queue._take()
    assert taken is not None
    channel, _ = taken
    tell(channel, queue.letter_of(queue._due(channel), is_summary=False))
    # Here the worker dies; nobody touches its channel before its lease is over.
    assert notify_all() == 0
    Channel.objects.update(busy_until=timezone.now() - MINUTE)
    assert notify_all() == 1
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    assert len(hook.requests) == 2
