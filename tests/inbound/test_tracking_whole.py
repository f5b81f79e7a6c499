"""The whole way: from the mail as it was sent to the event, its announcement and the page."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.services import NewApiKey
from delivery.announcements import listen_to, take_announcements
from delivery.link_keys import forget_link_keys
from delivery.models import Message
from inbound.models import Hit
from inbound.tasks import judge_hits
from inbound.tracking.service import forget_counts
from tests.support.api import Api
from tests.support.mail import drain, smtp_account
from tests.support.smtp_server import FaultyServer

pytestmark = pytest.mark.django_db(transaction=True)

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
TARGET = "https://shop.example.com/caf\u00e9?a=1&b=2"


@pytest.fixture
def server(transactional_db: None, live_server: Any, settings: Any) -> Iterator[FaultyServer]:
    settings.PUBLIC_URL = live_server.url
    forget_link_keys()
    forget_counts()
    with FaultyServer(({},)) as found:
        smtp_account(found.port)
        yield found


def ask(url: str, **headers: str) -> http.client.HTTPResponse:
    """Ask as a mail program does, following nothing."""
    parts = urlsplit(url)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    client.request("GET", parts.path, headers=headers)
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer


def html_of(server: FaultyServer) -> str:
    (mail,) = server.mails
    part = message_from_bytes(mail.data, policy=policy.default).get_body(("html",))
    assert part is not None
    return str(part.get_content())


def test_from_the_mail_to_the_page(server: FaultyServer, api_key: NewApiKey) -> None:
    api = Api(api_key.secret)
    listen_to(["email.opened", "email.clicked"])
    answer = api.post(
        "/emails",
        {
            "from": "shop@example.com",
            "to": "Bob@Example.net",
            "subject": "Hi",
            "html": f'<body><a href="{TARGET.replace("&", "&amp;")}">go</a></body>',
            "track_opens": True,
            "track_clicks": True,
        },
    )
    assert answer.status_code == 202
    drain()
    html = html_of(server)
    (link,), (pixel,) = re.findall(r'href="([^"]+)"', html), re.findall(r'src="([^"]+)"', html)

    # The mail was sent some time ago.
    Message.objects.update(sent_at=timezone.now() - timedelta(minutes=5))
    moved = ask(unescape(link), **{"User-Agent": FIREFOX})
    assert moved.status == 302
    assert moved.getheader("Location") == "https://shop.example.com/caf%C3%A9?a=1&b=2"
    assert ask(pixel, **{"User-Agent": FIREFOX}).getheader("Content-Type") == "image/gif"
    assert ask(pixel, **{"User-Agent": "curl/8"}).status == 200
    Hit.objects.update(due_at=timezone.now())
    judge_hits()

    with transaction.atomic():
        told = {each.kind for each in take_announcements(10)}
    assert told == {"email.opened", "email.clicked"}
    shown = api.get(f"/emails/{answer.json()['id']}").json()
    events = {each["type"]: each for each in shown["events"]}
    assert events["clicked"]["recipient"] == "bob@example.net"
    assert events["clicked"]["data"] == {"url": TARGET, "user_agent": FIREFOX, "verdict": "person"}
    assert "opened" in events
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com", "secret"))
    page = client.get(f"/admin/delivery/message/{answer.json()['id']}/change/").content.decode()
    assert "<td>Opens</td><td>1</td><td>1</td><td>0</td>" in page
    assert "<td>Clicks</td><td>1</td><td>0</td><td>0</td>" in page
