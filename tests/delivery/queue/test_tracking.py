"""Which mails are tracked, and what their marks say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from delivery.admin import rendering
from delivery.email_types import forget_email_types
from delivery.link_keys import add_link_key, forget_link_keys
from delivery.links.tracks import NOBODY, Track, recipient_mark
from delivery.models import EmailType, Message, TrackingRefusal
from delivery.services import change
from delivery.states import Lane
from delivery.tracking import clicked, opened
from tests.support.mail import drain, make_due, queue, smtp_account
from tests.support.smtp_server import FaultyServer

pytestmark = pytest.mark.django_db

BOB = "bob@example.net"
HTML = '<body>Hi <a href="https://shop.example.com/?a=1&amp;b=2">go</a></body>'
CLICK = re.compile(r'href="https://mail\.example\.com/c/([\w-]+)"')
PIXEL = re.compile(r'src="https://mail\.example\.com/o/([\w-]+)\.gif"')


@pytest.fixture(autouse=True)
def _public(settings: Any) -> None:
    settings.PUBLIC_URL = "https://mail.example.com"
    forget_link_keys()


@pytest.fixture
def server(db: None) -> Iterator[FaultyServer]:
    with FaultyServer(({},)) as found:
        smtp_account(found.port)
        yield found


def sent_html(server: FaultyServer, lane: Lane = Lane.TRANSACTIONAL) -> str:
    drain(lane)
    mail = message_from_bytes(server.mails[-1].data, policy=policy.default)
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def tracks_in(html: str) -> tuple[Track | None, Track | None]:
    """Return what pixel and link of a mail say."""
    pixel, link = PIXEL.search(html), CLICK.search(html)
    return (opened(pixel[1]) if pixel else None, clicked(link[1]) if link else None)


@pytest.mark.parametrize(
    ("of_type", "of_message", "expected"),
    [
        ((False, False), {}, (False, False)),
        ((True, True), {}, (True, True)),
        ((True, False), {}, (True, False)),
        ((False, False), {"track_opens": True}, (True, False)),
        ((False, False), {"track_clicks": True}, (False, True)),
        ((True, True), {"track_opens": False}, (False, True)),
        ((True, True), {"track_opens": False, "track_clicks": False}, (False, False)),
    ],
)
def test_the_message_decides_then_its_type(
    user: User,
    server: FaultyServer,
    of_type: tuple[bool, bool],
    of_message: dict[str, Any],
    expected: tuple[bool, bool],
) -> None:
    EmailType.objects.filter(pk="transactional").update(
        track_opens=of_type[0], track_clicks=of_type[1]
    )
    forget_email_types()
    queue(user, html=HTML, **of_message)
    html = sent_html(server)
    assert (bool(PIXEL.search(html)), bool(CLICK.search(html))) == expected
    if not any(expected):
        assert html.strip() == HTML


def test_marks_tell_of_a_mail_to_one_whose_it_is(user: User, server: FaultyServer) -> None:
    message = queue(
        user, to="Bob <BOB@Example.net>", html=HTML, track_opens=True, track_clicks=True
    )
    mark = recipient_mark(message.pk, message.addresses[0])
    assert tracks_in(sent_html(server)) == (
        Track(message.pk, mark),
        Track(message.pk, mark, "https://shop.example.com/?a=1&b=2", 1),
    )


def test_marks_of_a_mail_to_several_tell_nobody(user: User, server: FaultyServer) -> None:
    message = queue(user, to=[BOB, "eve@example.net"], html=HTML, track_opens=True)
    assert tracks_in(sent_html(server))[0] == Track(message.pk, NOBODY)


@pytest.mark.parametrize("to", [["BOB@example.net"], ["eve@example.net", BOB]])
def test_who_refused_is_never_tracked(user: User, server: FaultyServer, to: list[str]) -> None:
    TrackingRefusal.objects.create(address=BOB)
    queue(user, to=to, html=HTML, track_opens=True, track_clicks=True)
    assert sent_html(server).strip() == HTML


def test_a_blind_recipient_who_refused_counts_too(user: User, server: FaultyServer) -> None:
    TrackingRefusal.objects.create(address=BOB)
    queue(user, to="eve@example.net", bcc=[BOB], html=HTML, track_opens=True)
    assert sent_html(server).strip() == HTML


def test_refusals_are_asked_for_once_and_only_for_tracked_mail(
    user: User, server: FaultyServer
) -> None:
    for tracked, expected in ((False, 0), (True, 1)):
        for number in range(5):
            queue(user, to=f"u{number}@example.net", html=HTML, track_opens=tracked)
        with CaptureQueriesContext(connection) as queries:
            drain()
        asked = [each for each in queries if "trackingrefusal" in each["sql"]]
        assert len(asked) == expected


def test_own_addresses_for_unsubscribing_are_not_tracked(user: User, server: FaultyServer) -> None:
    html = (
        '<a href="{{ unsubscribe_url }}">a</a><a href="{{ preferences_url }}">b</a>'
        '<a href="https://own.example/bye?x=1&amp;y=2">c</a><a href="https://own.example/in">d</a>'
    )
    queue(
        user,
        email_type="marketing",
        html=html,
        context={"preferences_url": "https://own.example/prefs"},
        headers={"List-Unsubscribe": "<mailto:x@own.example>, <https://own.example/bye?x=1&y=2>"},
        track_clicks=True,
    )
    text = sent_html(server, Lane.BULK)
    urls = [track.url for token in CLICK.findall(text) if (track := clicked(token))]
    assert urls == ["https://own.example/in"]
    assert 'href="https://mail.example.com/u/' in text


def test_a_retry_gives_the_same_octets(user: User) -> None:
    with FaultyServer(({"END": ["451 4.3.0 later"]},)) as server:
        smtp_account(server.port)
        message = queue(user, html=HTML, track_opens=True, track_clicks=True)
        drain()
        make_due(message.pk)
        change.retry(ids=[message.pk], actor="test")
        drain()
    first, second = server.mails
    assert CLICK.search(first.data.replace(b"=\r\n", b"").replace(b"=3D", b"=").decode())
    assert first.data == second.data


def test_links_work_after_new_keys_and_after_the_message_is_gone(
    user: User, server: FaultyServer
) -> None:
    message = queue(user, html=HTML, track_opens=True, track_clicks=True)
    html = sent_html(server)
    for _ in range(3):
        add_link_key()
    Message.objects.filter(pk=message.pk).delete()
    pixel, link = tracks_in(html)
    assert pixel is not None
    assert link is not None
    assert link.url == "https://shop.example.com/?a=1&b=2"


def test_what_people_read_in_the_console_has_no_marks(user: User, server: FaultyServer) -> None:
    message = queue(user, html=HTML, track_opens=True, track_clicks=True)
    assert b"/o/" not in rendering.raw(message)
    assert rendering.preview(message).html == HTML
