"""Opens and clicks in the console."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from inbound.models import Hit
from tests.inbound.test_judging import add
from tests.support.mail import queue

pytestmark = pytest.mark.django_db

HITS, MESSAGES = "/admin/inbound/hit/", "/admin/delivery/message/"
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com", "secret"))
    return client


def html(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def judged(message_id: Any, verdict: str, reason: str, **fields: Any) -> Hit:
    return add(message_id, verdict=verdict, reason=reason, **fields)


def test_a_messages_page_counts_people_and_machines_apart(root: Client, user: User) -> None:
    message = queue(user)
    judged(message.pk, "person", "no_sign")
    judged(message.pk, "proxy", "image_proxy", kind="open", url="")
    for _ in range(3):
        judged(message.pk, "scanner", "burst")
    add(message.pk, kind="open", url="")
    judged(uuid4(), "person", "no_sign")
    page = html(root, f"{MESSAGES}{message.pk}/change/")
    assert "<td>Opens</td><td>1</td><td>0</td><td>1</td>" in page
    assert "<td>Clicks</td><td>1</td><td>3</td><td>0</td>" in page
    assert "several links of the mail within seconds" in page
    assert f"{HITS}?q={message.pk}" in page


def test_the_card_stands_where_it_has_something_to_say(root: Client, user: User) -> None:
    plain = queue(user, html="<p>x</p>")
    tracked = queue(user, html="<p>x</p>", track_opens=True)
    assert "Opens and clicks</h2>" not in html(root, f"{MESSAGES}{plain.pk}/change/")
    assert "Nobody has opened or clicked yet" in html(root, f"{MESSAGES}{tracked.pk}/change/")


def test_who_may_not_see_hits_sees_no_card(user: User) -> None:
    message = queue(user)
    add(message.pk)
    staff = User.objects.create_user("staff@example.com", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_message"))
    client = Client()
    client.force_login(staff)
    assert "Opens and clicks</h2>" not in html(client, f"{MESSAGES}{message.pk}/change/")
    assert client.get(HITS).status_code == 403


def test_the_list_filters_and_finds_by_message(root: Client) -> None:
    mine = uuid4()
    judged(mine, "person", "no_sign", url="https://x.example/mine")
    judged(uuid4(), "scanner", "head", kind="open", url="")
    page = html(root, HITS)
    assert "no sign of a machine" in page
    assert "asked for the head only" in page
    assert "https://x.example/mine" in html(root, f"{HITS}?q={mine}")
    for query in ("?kind__exact=open", "?verdict__exact=scanner", f"?q={uuid4()}", "?q=x"):
        assert "https://x.example/mine" not in html(root, HITS + query)


def test_nothing_that_came_is_markup_and_nothing_is_changed(root: Client, user: User) -> None:
    message = queue(user)
    hit = add(message.pk, url=f"https://x.example/{HOSTILE}", user_agent=HOSTILE, purpose=HOSTILE)
    for path in (HITS, f"{HITS}{hit.pk}/change/", f"{MESSAGES}{message.pk}/change/"):
        page = html(root, path)
        assert HOSTILE not in page
        assert "&lt;script&gt;alert" in page
    assert root.get(f"{HITS}add/").status_code == 403
    assert root.get(f"{HITS}{hit.pk}/delete/").status_code == 403
    root.post(f"{HITS}{hit.pk}/change/", {"verdict": "person"})
    hit.refresh_from_db()
    assert hit.verdict == ""


def test_the_list_costs_the_same_however_long_it_is(root: Client) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            html(root, HITS)
        return len(queries)

    add(uuid4())
    few = cost()
    for _ in range(20):
        add(uuid4())
    assert cost() == few
