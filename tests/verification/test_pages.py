"""The page behind a verification's link."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.db import OperationalError
from django.db.models import F
from django.test import Client

from mailservice.core.masking import MaskingFormatter
from tests.support.verification import QUEUE, Mailbox, let_pass, mailbox, start, token_of
from verification.models import Verification
from verification.services.token_settings import save_profile
from verification.services.tokens import cancel
from verification.signals import verified
from verification.views import REPEAT

LOCALES = Path(__file__).parents[2] / "verification" / "locale"
UNKNOWN = "A" * 43


@pytest.fixture(autouse=True)
def _settings(settings: Any, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = QUEUE
    settings.STATIC_ROOT = str(tmp_path)
    settings.PUBLIC_URL = "https://mail.example.com"


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as found:
        yield found


@pytest.fixture
def token(user, box) -> str:
    start(user)
    return token_of(box.newest())


def get(token: str, method: str = "get", query: str = "", **headers: str) -> Any:
    return getattr(Client(), method)(f"/verify/{token}{query}", headers=headers)


def test_get_and_head_change_nothing_however_often(token):
    before = Verification.objects.values().get()
    for method in ("get", "head", "options", "get"):
        assert get(token, method, **{"Sec-Purpose": "prefetch"}).status_code == 200
    assert Verification.objects.values().get() == before


def test_the_page_asks_and_the_button_confirms(token):
    page = get(token)
    text = page.content.decode()
    assert '<form method="post">' in text
    assert "bob<wbr>@example.net" in text
    assert "<script" not in text
    assert token not in text
    done = get(token, "post")
    assert done.status_code == 200
    assert "Your address is confirmed" in done.content.decode()
    assert Verification.objects.get().state == "confirmed"


def test_links_that_do_not_work_cannot_be_told_apart(user, token, box):
    used = token
    get(used, "post")
    forget_the_press()
    start(user, "old@example.net")
    expired = token_of(box.newest())
    let_pass(Verification.objects.get(email="old@example.net"), hours=2)
    cancelled = token_of(_sent(user, box, "off@example.net"))
    cancel(verification_id=Verification.objects.get(email="off@example.net").pk)
    answers = {
        (answer.status_code, answer.content, str(sorted(answer.items())))
        for link in (used, expired, cancelled, UNKNOWN, f"{UNKNOWN}/", "x" * 500, "ä%20b")
        for answer in (get(link), get(link, "post"))
    }
    assert len(answers) == 1
    status, content, _ = answers.pop()
    assert status == 410
    assert "This link does not work any more" in content.decode()


def _sent(user: Any, box: Mailbox, address: str) -> Any:
    start(user, address)
    return box.newest()


def forget_the_press() -> None:
    """Move confirmations so far back that a second press of the button comes too late."""
    Verification.objects.update(ended_at=F("ended_at") - REPEAT - timedelta(seconds=1))


def test_the_button_pressed_twice_gets_the_same_answer_and_confirms_once(token):
    told = []

    def listen(verification: Verification, **_: object) -> None:
        told.append(verification.pk)

    verified.connect(listen)
    try:
        answers = [get(token, "post") for _ in range(3)]
    finally:
        verified.disconnect(listen)
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.content for answer in answers}) == 1
    assert len(told) == 1
    assert get(token).status_code == 410
    forget_the_press()
    assert get(token, "post").status_code == 410


def test_the_page_shows_address_and_name_as_people_write_them(user, box):
    save_profile(owner_id=user.pk, app_name="A & B (株)", from_email="", template="", redirects=[])
    start(user, "ann@bücher.de")
    text = get(token_of(box.newest()), query="?lang=ar").content.decode()
    assert '<bdi dir="ltr">ann<wbr>@bücher.de</bdi>' in text
    assert "<bdi>A &amp; B (株)</bdi>" in text


def test_pages_leak_nothing_and_know_no_cookie(token):
    for answer in (get(token), get(UNKNOWN), get(token, "post")):
        assert answer["Referrer-Policy"] == "no-referrer"
        assert answer["Cache-Control"] == "no-store, private"
        assert answer["X-Robots-Tag"] == "noindex, nofollow"
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["Content-Security-Policy"] == (
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
            "frame-ancestors 'none'; form-action 'self'"
        )
        assert not answer.cookies


def test_a_foreign_form_needs_no_csrf_token_for_the_link_is_the_secret(token):
    client = Client(enforce_csrf_checks=True)
    assert client.post(f"/verify/{token}").status_code == 200


def test_a_confirmed_person_goes_where_the_application_wants(user, box):
    save_profile(
        owner_id=user.pk,
        app_name="",
        from_email="",
        template="",
        redirects=["https://app.example.com/in"],
    )
    verification = start(user, redirect_url="https://app.example.com/in/now?a=b")
    token = token_of(box.newest())
    assert get(token)["Content-Security-Policy"].endswith("form-action 'self'")
    answer = get(token, "post")
    assert answer.status_code == 200
    goal = (
        "https://app.example.com/in/now?a=b&amp;"
        f"verification_id={verification.pk}&amp;status=confirmed"
    )
    text = answer.content.decode()
    assert "Your address is confirmed" in text
    assert f'<meta http-equiv="refresh" content="0; url={goal}">' in text
    assert f'<a class="go" href="{goal}">Continue</a>' in text
    # Browsers hold every redirect after a form to its policy: there must be none.
    assert not answer.has_header("Location")
    assert answer["Referrer-Policy"] == "no-referrer"
    assert get(token, "post").content == answer.content
    forget_the_press()
    assert get(token, "post").status_code == 410


def test_a_redirect_no_longer_allowed_shows_our_own_page(user, box):
    fields = {"owner_id": user.pk, "app_name": "", "from_email": "", "template": ""}
    save_profile(**fields, redirects=["https://app.example.com/"])
    start(user, redirect_url="https://app.example.com/x")
    token = token_of(box.newest())
    save_profile(**fields, redirects=[])
    answer = get(token, "post")
    assert answer.status_code == 200
    assert b"You can close this page" in answer.content
    assert b"refresh" not in answer.content


@pytest.mark.parametrize(
    ("query", "accept", "locale", "opening"),
    [
        ("", "", "", '<html lang="en" dir="ltr">'),
        ("", "fr-CH, fr;q=0.9", "", '<html lang="fr" dir="ltr">'),
        ("", "fr", "de", '<html lang="de" dir="ltr">'),
        ("?lang=fa", "fr", "de", '<html lang="fa" dir="rtl">'),
        ("?lang=xx", "ar", "", '<html lang="ar" dir="rtl">'),
    ],
)
def test_the_page_speaks_the_readers_language(user, box, query, accept, locale, opening):
    start(user, locale=locale)
    page = get(token_of(box.newest()), query=query, **{"Accept-Language": accept})
    assert opening in page.content.decode()
    assert page["Content-Language"] == opening[12:14]
    assert page["Vary"] == "Accept-Language"


def test_what_applications_write_is_escaped(user, box):
    save_profile(
        owner_id=user.pk,
        app_name='"><script>alert(1)</script>',
        from_email="",
        template="",
        redirects=[],
    )
    start(user)
    assert b"<script>" not in get(token_of(box.newest())).content


def test_without_database_a_page_says_so_and_logs_no_secret(monkeypatch, caplog):
    def broken(*_: object, **__: object) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr("django.db.models.query.QuerySet._fetch_all", broken)
    with caplog.at_level(logging.DEBUG):
        answer = get(UNKNOWN)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert "try again" in answer.content.decode()
    assert UNKNOWN not in caplog.text


def test_no_answer_is_logged_with_its_path(token, caplog):
    with caplog.at_level(logging.DEBUG):
        for method in ("get", "post", "put", "post"):
            get(token, method)
    assert token not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("django.request")
    )


def test_the_logs_of_all_processes_mask_links(settings):
    record = logging.LogRecord("x", 30, "f", 1, "Not Found: %s", (f"/verify/{UNKNOWN}",), None)
    assert MaskingFormatter("%(message)s").format(record) == "Not Found: /verify/…"
    formatter = settings.LOGGING["formatters"]["line"]
    assert formatter["class"] == "mailservice.core.masking.MaskingFormatter"


def _texts(catalog: Any) -> dict[str, tuple[str, ...]]:
    """Return a catalog as data; of texts with a plural the singular is the key."""

    def many(value: Any) -> tuple[str, ...]:
        return (value,) if isinstance(value, str) else tuple(value)

    return {many(message.id)[0]: many(message.string) for message in catalog if message.id}


def _used() -> set[str]:
    """Return what pages and mails say, as the sources have it."""
    app = LOCALES.parent
    with (app / "services" / "letters.py").open("rb") as file:
        found = {
            message if isinstance(message, str) else message[0]
            for _, message, _, _ in extract("python", file, keywords=DEFAULT_KEYWORDS)
        }
    page = (app / "templates" / "verification" / "page.html").read_text()
    found |= set(re.findall(r'{% translate "([^"]+)" %}', page))
    blocks = re.findall(r"{% blocktranslate %}(.+?){% endblocktranslate %}", page)
    return found | {block.replace("{{ app }}", "%(app)s") for block in blocks}


@pytest.mark.parametrize("language", ["ar", "de", "es", "fa", "fr"])
def test_translations_are_complete_and_compiled(language):
    folder = LOCALES / language / "LC_MESSAGES"
    with (folder / "django.po").open("rb") as file:
        written = read_po(file, locale=language)
    with (folder / "django.mo").open("rb") as file:
        compiled = read_mo(file)
    assert _texts(written) == _texts(compiled)
    assert _texts(written).keys() == _used()
    for message in written:
        assert all(_texts([message]).get(str(message.id), ("x",)))
        assert not list(message.check(written)), message.id
