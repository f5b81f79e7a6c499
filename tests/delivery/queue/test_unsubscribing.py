"""Suppressions by scope, and the personal links of mails."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command

from accounts.models import User
from delivery.admin import rendering
from delivery.link_keys import forget_link_keys
from delivery.models import Content, EmailType, Message, Suppression
from delivery.models.suppressions import ALL_MARKETING
from delivery.services import change
from delivery.states import Lane
from delivery.unsubscribing import MailLink, read_link, seal_link
from mailservice.core.errors import InvalidInputError
from tests.support.api import Api
from tests.support.mail import drain, make_due, queue, smtp_account
from tests.support.smtp_server import FaultyServer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _public(settings: Any) -> None:
    settings.PUBLIC_URL = "https://mail.example.com"
    forget_link_keys()


@pytest.fixture
def server(db: None) -> Iterator[FaultyServer]:
    with FaultyServer(({},)) as found:
        smtp_account(found.port)
        yield found


def sent(server: FaultyServer, lane: Lane = Lane.BULK) -> list[EmailMessage]:
    drain(lane)
    return [
        message_from_bytes(mail.data, policy=policy.default.clone(utf8=True))
        for mail in server.mails
    ]


def suppress(address: str = "bob@example.net", **scope: str) -> None:
    Suppression.objects.create(address=address, reason="unsubscribe", **scope)


def token_in(header: str) -> str:
    return header.removeprefix("<https://mail.example.com/u/").removesuffix(">")


@pytest.mark.parametrize(
    ("scope", "fields", "status"),
    [
        ({}, {}, "suppressed"),
        ({"email_type": "transactional"}, {}, "suppressed"),
        ({"email_type": "marketing"}, {}, "sent"),
        ({"email_type": ALL_MARKETING}, {}, "sent"),
        ({"email_type": ALL_MARKETING}, {"email_type": "marketing"}, "suppressed"),
        ({"list_key": "spring"}, {"email_type": "marketing", "list": "spring"}, "suppressed"),
        ({"list_key": "spring"}, {"email_type": "marketing", "list": "autumn"}, "sent"),
        ({"list_key": "spring"}, {"email_type": "marketing"}, "sent"),
        ({"email_type": "marketing"}, {"email_type": "marketing", "list": "x"}, "suppressed"),
    ],
)
def test_a_suppression_stops_mail_of_its_scope_and_no_other(
    user: User, server: FaultyServer, scope: dict[str, str], fields: dict[str, Any], status: str
) -> None:
    suppress(**scope)
    message = queue(user, **fields)
    mails = [*sent(server), *sent(server, Lane.TRANSACTIONAL)]
    message.refresh_from_db()
    assert message.status == status
    assert bool(mails) == (status == "sent")


def test_a_retry_does_not_reach_who_was_suppressed_meanwhile(user: User) -> None:
    with FaultyServer(({"END": ["451 4.3.0 try later"]},)) as server:
        smtp_account(server.port)
        message = queue(user)
        drain()
        suppress()
        make_due(message.pk)
        change.retry(ids=[message.pk], actor="test")
        drain()
        message.refresh_from_db()
        assert message.status == "suppressed"
        change.retry(ids=[message.pk], actor="test")
        drain()
    message.refresh_from_db()
    assert message.status == "suppressed"
    assert message.attempts.count() == 1


def test_no_path_reaches_a_suppressed_address(
    user: User, api_key: Any, server: FaultyServer
) -> None:
    suppress()
    api = Api(api_key.secret)
    base = {"from": "shop@example.com", "subject": "Hi", "text": "Hi"}
    api.post("/emails", {**base, "to": "Bob@EXAMPLE.net"})
    api.post("/emails/batch", {"messages": [{**base, "to": "bob@example.net"}]})
    api.post("/emails/batch", {**base, "recipients": ["bob@example.net"], "list": "spring"})
    api.post("/emails", {**base, "to": "eve@example.net", "bcc": "bob@example.net"})
    drain()
    assert sorted(Message.objects.values_list("status", flat=True)) == [
        "sent",
        "suppressed",
        "suppressed",
        "suppressed",
    ]
    assert [mail.recipients for mail in server.mails] == [["eve@example.net"]]


def test_the_list_is_kept_with_the_content_also_in_batches(user: User, api_key: Any) -> None:
    base = {"from": "shop@example.com", "subject": "Hi", "text": "Hi"}
    body = {**base, "list": "spring-2026", "recipients": ["bob@example.net", "eve@example.net"]}
    assert Api(api_key.secret).post("/emails/batch", body).status_code in {202, 207}
    messages = [{**base, "to": "bob@example.net", "list": key} for key in ("one", "two")]
    Api(api_key.secret).post("/emails/batch", {"messages": messages})
    keys = Content.objects.values_list("list_key", flat=True)
    assert sorted(keys) == ["one", "spring-2026", "two"]


@pytest.mark.parametrize("bad", ["a b", "x" * 65, "caf\u00e9", 7])
def test_a_list_that_is_no_slug_is_refused_by_name(user: User, bad: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        queue(user, list=bad)
    assert list(caught.value.details) == ["list"]


def test_marketing_mail_goes_to_one_recipient_each(user: User) -> None:
    with pytest.raises(InvalidInputError) as caught:
        queue(
            user,
            email_type="marketing",
            to=["bob@example.net", "eve@example.net"],
            bcc="dan@example.net",
        )
    assert list(caught.value.details) == ["to", "bcc"]
    assert "goes to one recipient each" in caught.value.message
    assert not Content.objects.exists()


def test_marketing_mail_carries_the_headers_of_rfc_8058(user: User, server: FaultyServer) -> None:
    message = queue(user, email_type="marketing", list="spring", to="Bob <Bob@Example.net>")
    (mail,) = sent(server)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert read_link(token_in(mail["List-Unsubscribe"])) == MailLink(
        message.pk, "marketing", "spring", message.addresses[0]
    )
    assert rendering.raw(message).count(b"\r\nList-Unsubscribe") == 2


def test_other_mail_carries_none(user: User, server: FaultyServer) -> None:
    queue(user)
    (mail,) = sent(server, Lane.TRANSACTIONAL)
    assert mail["List-Unsubscribe"] is None
    assert mail["List-Unsubscribe-Post"] is None


def test_the_senders_own_header_stays_alone(user: User, server: FaultyServer) -> None:
    own = "<https://shop.example.com/stop>"
    queue(user, email_type="marketing", headers={"list-unsubscribe": own})
    (mail,) = sent(server)
    assert mail.get_all("List-Unsubscribe") == [own]
    assert mail["List-Unsubscribe-Post"] is None


def test_without_https_there_is_no_promise_of_one_click(
    user: User, server: FaultyServer, settings: Any
) -> None:
    settings.PUBLIC_URL = "http://mail.example.com"
    queue(
        user,
        email_type="marketing",
        headers={"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    )
    (mail,) = sent(server)
    assert mail["List-Unsubscribe"].startswith("<http://mail.example.com/u/")
    assert mail["List-Unsubscribe-Post"] is None


def test_templates_may_name_the_links_in_any_mail_to_one(user: User, server: FaultyServer) -> None:
    text = "{{ name }} {{ unsubscribe_url }} {{ preferences_url }}"
    message = queue(user, text=text, context={"name": "Bob"})
    (mail,) = sent(server, Lane.TRANSACTIONAL)
    name, unsubscribe, preferences = mail.get_content().split()
    assert (name, preferences) == ("Bob", f"{unsubscribe}/preferences")
    link = read_link(unsubscribe.removeprefix("https://mail.example.com/u/"))
    assert link == MailLink(message.pk, "transactional", "", "bob@example.net")


def test_a_body_that_names_a_link_gets_it_without_a_context(
    user: User, server: FaultyServer
) -> None:
    queue(user, email_type="marketing", text='<a href="{{ unsubscribe_url }}">')
    [mail] = sent(server)
    assert mail.get_content().startswith('<a href="https://mail.example.com/u/')


def test_a_mail_to_several_has_no_links_to_name(user: User) -> None:
    with pytest.raises(InvalidInputError) as caught:
        queue(user, text="{{ unsubscribe_url }}", context={}, cc="eve@example.net")
    assert list(caught.value.details) == ["context"]
    with pytest.raises(InvalidInputError):
        queue(user, text="{{ unsubscribe_url }}", cc="eve@example.net")


def test_the_senders_own_variable_stays(user: User, server: FaultyServer) -> None:
    queue(user, text="{{ unsubscribe_url }}", context={"unsubscribe_url": "mine"})
    (mail,) = sent(server, Lane.TRANSACTIONAL)
    assert mail.get_content().strip() == "mine"


def test_both_ways_of_composing_give_the_same_links_every_time(user: User) -> None:
    message = queue(
        user,
        email_type="marketing",
        html="<a href='{{ unsubscribe_url }}'>x</a>",
        text="{{ preferences_url }}",
        context={},
    )
    content, fields = rendering.compiled(message), rendering.fields_of(message)
    direct = bytes(content.compose(fields))
    assert direct == bytes(content.compose(rendering.fields_of(message)))
    ways = [
        message_from_bytes(data, policy=policy.default)
        for data in (direct, content.compose_general(fields))
    ]
    assert ways[0].items() == ways[1].items()
    texts = [[part.get_content() for part in way.iter_parts()] for way in ways]
    assert texts[0] == texts[1]
    parts = content.parts(fields)
    assert (
        f"<{parts.text.strip().removesuffix('/preferences')}>" == parts.headers["List-Unsubscribe"]
    )


def test_links_work_after_a_new_key_and_new_ones_differ() -> None:
    link = MailLink(UUID(int=7), "marketing", "spring", "b\u00f6b@example.net")
    old = seal_link(link)
    call_command("rotate_link_keys")
    assert read_link(old) == link
    assert seal_link(link) != old
    assert read_link(seal_link(link)) == link


@pytest.mark.parametrize("bad", ["", "x", "AAAA", "\u00fc" * 40, "A" * 5_000, "%00", "a.b"])
def test_what_we_did_not_seal_is_no_link(bad: str) -> None:
    seal_link(MailLink(UUID(int=7), "marketing", "", "bob@example.net"))
    assert read_link(bad) is None


def test_a_tampered_link_is_none() -> None:
    token = seal_link(MailLink(UUID(int=7), "marketing", "", "bob@example.net"))
    changed = token[:30] + ("A" if token[30] != "A" else "B") + token[31:]
    assert read_link(changed) is None


def test_types_are_marketing_by_their_mark(user: User, server: FaultyServer) -> None:
    EmailType.objects.filter(pk="transactional").update(is_marketing=True)
    queue(user)
    (mail,) = sent(server, Lane.TRANSACTIONAL)
    assert mail["List-Unsubscribe"].startswith("<https://mail.example.com/u/")
