"""Alerts and channels in the console."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alerts.channel_services import save_channel
from alerts.models import Alert, Channel
from alerts.queue import notify_all
from alerts.services import close_alert, open_alert
from tests.support.esp.server import Answer, ApiServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALERTS, CHANNELS = "admin:alerts_alert_changelist", "admin:alerts_channel_changelist"


@pytest.fixture
def hook(settings) -> Iterator[ApiServer]:
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
    with ApiServer(lambda _request: Answer(200, b"ok")) as server:
        yield server


@pytest.fixture
def channel(db: None, hook: ApiServer) -> Channel:
    url = f"http://127.0.0.1:{hook.port}/very-s3cret"
    return save_channel(
        Channel(name="on call", kind="webhook"), secrets={"url": url, "signing_secret": SECRET}
    )


def report(subject: str = "relay", **fields: str) -> Alert:
    values = {"severity": "critical", "title": "Relay is down", "detail": "421", **fields}
    open_alert(kind="provider.down", subject=subject, **values)
    return Alert.objects.open().get(subject=subject)


# --- alerts ---------------------------------------------------------------------------------------


def test_an_empty_list_says_what_will_appear_here(root: Client) -> None:
    html = root.get(reverse(ALERTS)).content.decode()
    assert "All is well" in html
    assert "What you should know appears here" in html
    assert "Nobody is told of alerts yet" in root.get(reverse(CHANNELS)).content.decode()


def test_open_alerts_stand_first_and_nothing_is_markup(root: Client) -> None:
    report("a", title="<script>alert(1)</script>")
    close_alert(kind="provider.down", subject="a")
    report("b", title="Second")
    html = root.get(reverse(ALERTS)).content.decode()
    assert html.index("Second") < html.index("&lt;script&gt;alert(1)")
    assert "<script>alert(1)" not in html
    only_open = root.get(reverse(ALERTS), {"state": "open"}).content.decode()
    assert "Second" in only_open
    assert "&lt;script&gt;alert(1)" not in only_open


@pytest.mark.parametrize("name", [ALERTS, CHANNELS])
def test_the_lists_queries_do_not_grow(root: Client, name: str, channel: Channel) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            root.get(reverse(name))
        return len(captured)

    report("first")
    before = queries()
    for number in range(10):
        report(f"s{number}")
        save_channel(Channel(name=f"c{number}", kind="mail", addresses=["a@b.com"]), secrets={})
    assert queries() == before


def test_an_alerts_page_shows_who_was_told(root: Client, channel: Channel) -> None:
    alert = report(link="/admin/providers/provider/")
    notify_all()
    html = root.get(reverse("admin:alerts_alert_change", args=[alert.pk])).content.decode()
    assert "on call" in html
    assert "Told" in html
    assert 'href="/admin/providers/provider/"' in html
    assert "s3cret" not in html


def test_a_link_elsewhere_is_no_link(root: Client) -> None:
    alert = report(link="javascript:alert(1)")
    html = root.get(reverse("admin:alerts_alert_change", args=[alert.pk])).content.decode()
    assert "javascript:alert" not in html


def test_closing_asks_first_and_is_noted(root: Client, hook: ApiServer, channel: Channel) -> None:
    alert = report()
    page = reverse("admin:alerts_alert_close", args=[alert.pk])
    assert root.get(page).status_code == 200
    alert.refresh_from_db()
    assert alert.is_open
    for _ in range(2):
        assert root.post(page).status_code == 302
    alert.refresh_from_db()
    assert (alert.is_open, alert.closing) == (False, "Closed by root@example.com.")
    assert LogEntry.objects.filter(object_id=str(alert.pk)).count() == 1
    notify_all()
    assert [each.json["type"] for each in hook.requests] == ["alert.opened", "alert.closed"]


def test_alerts_are_neither_added_nor_changed_nor_deleted_here(root: Client) -> None:
    alert = report()
    assert root.get(reverse("admin:alerts_alert_add")).status_code == 403
    page = reverse("admin:alerts_alert_change", args=[alert.pk])
    root.post(page, {"title": "x"})
    assert root.post(reverse("admin:alerts_alert_delete", args=[alert.pk])).status_code == 403
    alert.refresh_from_db()
    assert alert.title == "Relay is down"


def test_who_may_only_look_closes_and_tries_nothing(
    staff_with: Callable[..., Client], hook: ApiServer, channel: Channel
) -> None:
    alert = report()
    staff = staff_with("alerts.view_alert", "alerts.view_channel")
    assert staff.get(reverse("admin:alerts_alert_change", args=[alert.pk])).status_code == 200
    assert staff.post(reverse("admin:alerts_alert_close", args=[alert.pk])).status_code == 403
    assert staff.post(reverse("admin:alerts_channel_try", args=[channel.pk])).status_code == 403
    assert staff.post(reverse("admin:alerts_channel_delete", args=[channel.pk])).status_code == 403
    alert.refresh_from_db()
    assert (alert.is_open, hook.requests) == (True, [])


# --- channels -------------------------------------------------------------------------------------

FIELDS = {"name": "Ops", "is_active": "on", "min_severity": "critical", "kinds": "provider., x"}


def add(root: Client, kind: str, **fields: str):
    return root.post(f"{reverse('admin:alerts_channel_add')}?kind={kind}", {**FIELDS, **fields})


def test_the_kind_is_asked_first_and_each_has_its_form(root: Client) -> None:
    page = reverse("admin:alerts_channel_add")
    html = root.get(page).content.decode()
    assert all(f'href="?kind={kind}"' in html for kind in ("mail", "slack", "webhook"))
    fields = {
        kind: {
            name
            for name in ("addresses", "url", "signing_secret")
            if f'name="{name}"' in root.get(page, {"kind": kind}).content.decode()
        }
        for kind in ("mail", "slack", "webhook")
    }
    assert fields == {"mail": {"addresses"}, "slack": {"url"}, "webhook": {"url", "signing_secret"}}


def test_a_mail_channel_is_added(root: Client) -> None:
    assert (
        add(root, "mail", addresses="a@example.com, b@example.com\nc@example.com").status_code
        == 302
    )
    one = Channel.objects.get()
    assert (one.kind, one.name, one.min_severity, one.tells_closing) == (
        "mail", "Ops", "critical", False,
    )  # fmt: skip
    assert one.addresses == ["a@example.com", "b@example.com", "c@example.com"]
    assert one.kinds == ["provider.", "x"]
    assert one.secrets is None


def test_secrets_are_stored_and_never_shown(root: Client) -> None:
    assert (
        add(root, "webhook", url="https://h.example/s3cret", signing_secret=SECRET).status_code
        == 302
    )
    one = Channel.objects.get()
    assert one.secrets == {"url": "https://h.example/s3cret", "signing_secret": SECRET}
    page = reverse("admin:alerts_channel_change", args=[one.pk])
    for where in (page, reverse(CHANNELS), reverse("admin:alerts_channel_history", args=[one.pk])):
        html = root.get(where).content.decode()
        assert "s3cret" not in html
        assert SECRET not in html
    # Left empty they stay; typed they change.
    assert root.post(page, {**FIELDS, "name": "Other"}).status_code == 302
    one.refresh_from_db()
    assert (one.name, one.secrets["url"]) == ("Other", "https://h.example/s3cret")
    root.post(page, {**FIELDS, "url": "https://h.example/new"})
    one.refresh_from_db()
    assert one.secrets == {"url": "https://h.example/new", "signing_secret": SECRET}


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("mail", {"addresses": "nobody"}, "nobody"),
        ("mail", {"addresses": ""}, "This field is required"),
        ("slack", {"url": ""}, "This field is required"),
        ("slack", {"url": "ftp://x"}, "Begin with https://"),
        ("slack", {"url": "https://u:p@x"}, "user name or password"),
        ("webhook", {"url": "https://x", "signing_secret": "short"}, "base64 of 24 to 64 bytes"),
        ("mail", {"addresses": "a@b.com", "kinds": "no such thing!"}, "begins no kind"),
        ("mail", {"addresses": "a@b.com", "name": " "}, "This field is required"),
        ("mail", {"addresses": "a@b.com", "min_severity": "fatal"}, "Select a valid choice"),
    ],
)
def test_bad_input_is_refused_beside_its_field(
    root: Client, kind: str, fields: dict[str, str], words: str
) -> None:
    answer = add(root, kind, **fields)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not Channel.objects.exists()


def test_a_name_is_taken_once(root: Client) -> None:
    add(root, "mail", addresses="a@example.com")
    answer = add(root, "slack", url="https://chat.example/x")
    assert answer.status_code == 200
    assert "already exists" in answer.content.decode()
    assert Channel.objects.count() == 1


def test_a_test_alert_is_sent_by_post_only(root: Client, hook: ApiServer, channel: Channel) -> None:
    page = reverse("admin:alerts_channel_try", args=[channel.pk])
    assert root.get(page).status_code == 200
    assert hook.requests == []
    assert "The test alert is taken." in root.post(page, follow=True).content.decode()
    assert hook.requests[0].json["type"] == "alert.test"
    hook.then(Answer(403, b"go away, /very-s3cret"))
    html = root.post(page, follow=True).content.decode()
    assert "The test alert failed. The answer was HTTP 403. go away, /…" in html
    assert "s3cret" not in html
    assert not Alert.objects.exists()


def test_saving_while_a_worker_has_the_channel_leaves_it_the_lease(
    root: Client, channel: Channel
) -> None:
    stale = Channel.objects.get()
    report()
    Channel.objects.update(busy_until=channel.created_at)
    save_channel(stale, secrets={})
    assert Channel.objects.get().busy_until == channel.created_at


def test_a_channel_is_deleted_after_asking(root: Client, channel: Channel) -> None:
    report()
    page = reverse("admin:alerts_channel_delete", args=[channel.pk])
    assert root.get(page).status_code == 200
    assert Channel.objects.exists()
    assert root.post(page).status_code == 302
    assert not Channel.objects.exists()
    assert Alert.objects.count() == 1


def test_the_dashboard_begins_with_what_is_open_the_gravest_first(
    root: Client, staff_with: Callable[..., Client]
) -> None:
    report("one", severity="warning", title="Quota <nearly> used")
    report("two", title="Relay is down")
    report("three", title="Old trouble")
    close_alert(kind="provider.down", subject="three")
    html = root.get(reverse("admin:index")).content.decode()
    assert html.index("Relay is down") < html.index("Quota &lt;nearly&gt; used")
    assert "Old trouble" not in html
    assert "Relay is down" not in staff_with().get(reverse("admin:index")).content.decode()
