"""The pages behind the links in mails, and what they change."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client

from accounts.models import User
from delivery.email_types import forget_email_types
from delivery.link_keys import forget_link_keys
from delivery.models import EmailType, Event, Message, Suppression, TrackingRefusal
from delivery.unsubscribing import MailLink, seal_link
from inbound.unsubscribe import service
from tests.support.mail import queue

pytestmark = pytest.mark.django_db

APP = Path(__file__).parents[2] / "inbound"
BOB = "bob@example.net"
FORM = "application/x-www-form-urlencoded"
PARTS = (
    b'--xyz\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
    b"One-Click\r\n--xyz--\r\n"
)


@pytest.fixture(autouse=True)
def _settings(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = str(tmp_path)
    settings.PUBLIC_URL = "https://mail.example.com"
    forget_link_keys()


def token(message_id: UUID | None = None, email_type: str = "marketing", key: str = "") -> str:
    return seal_link(MailLink(message_id or uuid4(), email_type, key, BOB))


def fetch(path: str, method: str = "get", query: str = "", **headers: str) -> Any:
    return getattr(Client(), method)(f"/u/{path}{query}", headers=headers)


def post(path: str, body: bytes | str, content_type: str = FORM) -> Any:
    client = Client(enforce_csrf_checks=True)
    return client.generic("POST", f"/u/{path}", body, content_type=content_type)


def rows() -> list[tuple[str, str, str, str]]:
    found = Suppression.objects.order_by("email_type", "list_key")
    return list(found.values_list("address", "email_type", "list_key", "reason"))


def events() -> list[tuple[str, str, Any]]:
    return list(Event.objects.order_by("pk").values_list("kind", "recipient", "data"))


def test_get_and_head_and_options_change_nothing() -> None:
    link = token()
    for method in ("get", "head", "options", "get"):
        for page in (link, f"{link}/preferences"):
            assert fetch(page, method, **{"Sec-Purpose": "prefetch"}).status_code == 200
    assert rows() == []


def test_the_page_asks_by_a_form_that_needs_no_script_and_leaks_nothing() -> None:
    page = fetch(token())
    text = page.content.decode()
    assert 'name="List-Unsubscribe" value="One-Click"' in text
    assert BOB in text
    assert "<script" not in text
    assert not page.cookies
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["Cache-Control"] == "no-store, private"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("List-Unsubscribe=One-Click", FORM),
        ("List-Unsubscribe=One-Click", f"{FORM}; charset=iso-8859-1"),
        ("List-Unsubscribe=One-Click\r\n", FORM),
        ("List%2DUnsubscribe=One%2DClick", FORM),
        ("List-Unsubscribe=One-Click", ""),
        (PARTS, "multipart/form-data; boundary=xyz"),
        (PARTS, 'multipart/form-data; boundary="xyz"; charset=utf-8'),
    ],
)
def test_any_conforming_post_unsubscribes_with_200_and_no_cookie(
    body: bytes | str, content_type: str
) -> None:
    answer = post(token(), body, content_type)
    assert answer.status_code == 200
    assert not answer.cookies
    assert not answer.has_header("Location")
    assert rows() == [(BOB, "marketing", "", "unsubscribe")]


@pytest.mark.parametrize("path", ["", "/preferences"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_cookies_that_come_along_are_neither_renewed_nor_removed(path: str, method: str) -> None:
    cookies = "sessionid=abc; csrftoken=malformed; messages=x"
    answer = fetch(f"{token()}{path}", method, Cookie=cookies)
    assert not answer.cookies
    assert not answer.has_header("Set-Cookie")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", FORM),
        ("List-Unsubscribe=No", FORM),
        ("x=1", FORM),
        (b"\xff\xfe\x00", FORM),
        (b"--xyz\r\nbroken", "multipart/form-data; boundary=xyz"),
        (PARTS, "multipart/form-data"),
        ("&".join(["a=1"] * 600), FORM),
        ('{"List-Unsubscribe": "One-Click"}', "application/json"),
    ],
)
def test_a_post_that_says_something_else_changes_nothing(
    body: bytes | str, content_type: str
) -> None:
    assert post(token(), body, content_type).status_code == 400
    assert rows() == []


def test_a_list_is_left_if_the_mail_had_one_and_nothing_else() -> None:
    post(token(key="spring"), "List-Unsubscribe=One-Click")
    assert rows() == [(BOB, "", "spring", "unsubscribe")]


def test_twice_is_one_suppression_and_one_event(user: User) -> None:
    message = queue(user, email_type="marketing", to=BOB)
    link = token(message.pk)
    for _ in range(2):
        assert post(link, "List-Unsubscribe=One-Click").status_code == 200
    assert rows() == [(BOB, "marketing", "", "unsubscribe")]
    assert events() == [("unsubscribed", BOB, {"email_type": "marketing", "list": ""})]
    assert Suppression.objects.get().message_id == message.pk


def test_links_work_after_the_message_is_purged_and_after_a_new_key(user: User) -> None:
    message = queue(user, email_type="marketing", to=BOB)
    link = token(message.pk)
    Message.objects.all().delete()
    call_command("rotate_link_keys")
    assert post(link, "List-Unsubscribe=One-Click").status_code == 200
    assert rows() == [(BOB, "marketing", "", "unsubscribe")]


@pytest.mark.parametrize("bad", ["x", "A" * 90, "A" * 3_000, "%FF%FE"])
def test_a_wrong_token_is_a_page_with_404(bad: str) -> None:
    for page in (bad, f"{bad}/preferences"):
        for method in ("get", "head", "post"):
            assert fetch(page, method).status_code == 404
    assert rows() == []


def test_other_methods_are_refused() -> None:
    assert fetch(token(), "put").status_code == 405
    assert fetch(token(), "delete").status_code == 405


def test_without_the_database_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    link = token()

    def dead(*_args: object) -> None:
        raise OperationalError

    monkeypatch.setattr(service, "add_suppressions", dead)
    answer = post(link, "List-Unsubscribe=One-Click")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


# --- preferences ----------------------------------------------------------------------------------


@pytest.fixture
def types(db: None) -> None:
    EmailType.objects.create(
        name="news", is_marketing=True, title="News & <more>", description="Once a month"
    )
    forget_email_types()


def save(link: str, *pairs: str) -> Any:
    return post(f"{link}/preferences", "&".join(("action=save", *pairs)))


def test_preferences_show_marketing_types_with_their_words(types: None) -> None:
    text = fetch(f"{token(key='spring')}/preferences").content.decode()
    assert "News &amp; &lt;more&gt;" in text
    assert "Once a month" in text
    assert 'value="transactional"' not in text
    assert text.count(" checked") == 3  # news, marketing and the list


def test_what_is_not_ticked_is_stopped_and_what_is_ticked_comes_back(
    user: User, types: None
) -> None:
    link = token(queue(user, email_type="marketing", to=BOB).pk)
    assert save(link, "type=marketing").status_code == 200
    assert rows() == [(BOB, "news", "", "unsubscribe")]
    save(link, "type=news")
    assert rows() == [(BOB, "marketing", "", "unsubscribe")]
    save(link, "type=news")
    assert sorted((kind, data["email_type"]) for kind, _, data in events()) == [
        ("resubscribed", "news"),
        ("unsubscribed", "marketing"),
        ("unsubscribed", "news"),
    ]


def test_no_advertising_at_all_holds_for_types_yet_to_come(types: None) -> None:
    link = token(key="spring")
    assert post(f"{link}/preferences", "action=none").status_code == 200
    assert rows() == [(BOB, "", "spring", "unsubscribe"), (BOB, "*", "", "unsubscribe")]
    EmailType.objects.create(name="later", is_marketing=True)
    forget_email_types()
    assert " checked" not in fetch(f"{link}/preferences").content.decode()


def test_one_tick_after_everything_was_stopped_brings_back_only_that(types: None) -> None:
    link = token()
    post(f"{link}/preferences", "action=none")
    save(link, "type=news")
    assert rows() == [(BOB, "marketing", "", "unsubscribe")]


def test_no_tick_stops_bounces_and_complaints_from_holding(types: None) -> None:
    Suppression.objects.create(address=BOB, reason="complaint")
    Suppression.objects.create(address=BOB, reason="manual", email_type="news")
    link = token()
    page = save(link, "type=news", "type=marketing")
    assert rows() == [(BOB, "", "", "complaint"), (BOB, "news", "", "manual")]
    text = page.content.decode()
    assert "is stopped: mail came back" in text
    assert text.count(" disabled") == 2
    assert NEEDED not in text


def test_tracking_is_refused_and_allowed_again() -> None:
    link = token()
    save(link, "type=marketing", "tracking=no")
    assert TrackingRefusal.objects.get().address == BOB
    save(link, "type=marketing")
    assert not TrackingRefusal.objects.exists()


def test_an_unknown_action_changes_nothing() -> None:
    assert post(f"{token()}/preferences", "type=marketing").status_code == 400
    assert rows() == []


@pytest.mark.parametrize("email_type", ["transactional", "no-longer-there"])
def test_one_click_in_mail_that_is_no_marketing_stops_advertising_only(
    types: None, email_type: str
) -> None:
    link = token(email_type=email_type)
    assert "All advertising" in fetch(link).content.decode()
    assert post(link, "List-Unsubscribe=One-Click").status_code == 200
    assert rows() == [(BOB, "*", "", "unsubscribe")]
    save(link, "type=marketing", "type=news")
    assert rows() == []


NEEDED = "is sent in any case"


def test_who_once_unsubscribed_from_needed_mail_finds_it_and_ticks_it_back(types: None) -> None:
    Suppression.objects.create(address=BOB, reason="unsubscribe", email_type="transactional")
    link = token(email_type="transactional")
    page = fetch(f"{link}/preferences").content.decode()
    assert 'value="transactional">' in page
    assert NEEDED not in page
    save(link, "type=marketing", "type=news")
    assert rows() == [(BOB, "transactional", "", "unsubscribe")]
    save(link, "type=marketing", "type=news", "type=transactional")
    assert rows() == []
    page = fetch(f"{link}/preferences").content.decode()
    assert 'value="transactional"' not in page
    assert NEEDED in page


def test_who_unsubscribed_from_all_mail_may_take_back_only_what_is_needed(types: None) -> None:
    Suppression.objects.create(address=BOB, reason="unsubscribe")
    link = token()
    page = fetch(f"{link}/preferences").content.decode()
    assert 'name="needed"' in page
    assert NEEDED not in page
    save(link, "list=yes")  # there is none, and nothing comes back by it
    assert (BOB, "", "", "unsubscribe") in rows()
    save(link, "needed=yes")
    stopped = [(BOB, name, "", "unsubscribe") for name in ("*", "marketing", "news")]
    assert rows() == stopped
    assert NEEDED in fetch(f"{link}/preferences").content.decode()


def test_what_others_stopped_is_shown_so_and_left_alone(types: None) -> None:
    Suppression.objects.create(address=BOB, reason="manual", email_type="news")
    link = token()
    page = fetch(f"{link}/preferences").content.decode()
    assert 'value="news" disabled' in page
    assert 'value="marketing" checked>' in page
    assert "greyed out" in page
    save(link, "type=news", "type=marketing")
    assert rows() == [(BOB, "news", "", "manual")]
    save(link)
    assert rows() == [(BOB, "marketing", "", "unsubscribe"), (BOB, "news", "", "manual")]


def test_all_marketing_stopped_by_others_is_not_the_readers_to_choose(types: None) -> None:
    Suppression.objects.create(address=BOB, reason="manual", email_type="*")
    link = token(key="spring")
    page = fetch(f"{link}/preferences").content.decode()
    assert page.count(" disabled") == 3  # news, marketing and the list
    assert " checked" not in page
    assert "greyed out" in page
    assert NEEDED in page
    save(link, "type=news", "list=yes", "tracking=no")
    assert rows() == [(BOB, "*", "", "manual")]
    assert TrackingRefusal.objects.get().address == BOB


def test_a_list_of_needed_mail_is_no_advertising(types: None) -> None:
    link = token(email_type="transactional", key="invoices")
    post(f"{link}/preferences", "action=save&list=yes")
    assert rows() == [(BOB, name, "", "unsubscribe") for name in ("*", "marketing", "news")]
    assert 'name="list" value="yes" checked' in fetch(f"{link}/preferences").content.decode()


def test_without_anything_to_choose_nothing_is_chosen() -> None:
    EmailType.objects.update(is_marketing=False)
    forget_email_types()
    save(token(), "tracking=no")
    forget_email_types()
    assert rows() == []


# --- languages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "direction", "word"),
    [
        ("en", "ltr", "Yes, unsubscribe"),
        ("de", "ltr", "Ja, abmelden"),
        ("fr", "ltr", "Oui, me d\u00e9sabonner"),
        ("es", "ltr", "S\u00ed, darme de baja"),
        ("fa", "rtl", "\u0628\u0644\u0647\u060c"),
        ("ar", "rtl", "\u0646\u0639\u0645\u060c"),
    ],
)
def test_the_page_speaks_the_readers_language(language: str, direction: str, word: str) -> None:
    for page in (
        fetch(token(), query=f"?lang={language}"),
        fetch(token(), **{"Accept-Language": f"{language}-XX,en;q=0.5"}),
    ):
        text = page.content.decode()
        assert f'<html lang="{language}" dir="{direction}">' in text
        assert word in text
        assert page["Content-Language"] == language


@pytest.mark.parametrize("language", ["de", "fr", "es", "fa", "ar"])
def test_every_word_is_translated_and_compiled(language: str) -> None:
    folder = APP / "locale" / language / "LC_MESSAGES"
    with (folder / "django.po").open("rb") as file:
        source = {each.id: each.string for each in read_po(file) if each.id}
    with (folder / "django.mo").open("rb") as file:
        compiled = {each.id: each.string for each in read_mo(file) if each.id}
    assert source == compiled
    wanted = set()
    for page in (APP / "templates" / "inbound").glob("*.html"):
        pieces = page.read_text().split('{% translate "')[1:]
        wanted |= {piece.partition('"')[0] for piece in pieces}
    assert wanted == set(source)
    assert all(source.values())
