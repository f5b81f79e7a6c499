"""Verifications from request to confirmation, through queue and inbox."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone
from psycopg.sql import SQL, Identifier

from accounts.models import User
from delivery.models import Message, Suppression
from mailservice.core.errors import ConflictError, DomainError, InvalidInputError, NotFoundError
from mailservice.core.sealed import DOTS, masked, sealed, unsealed
from templates_app.services import create_template, publish, save_draft
from tests.support.mail import drain
from tests.support.verification import QUEUE, Mailbox, body, let_pass, mailbox, start, token_of
from verification.errors import TooManyRequestsError
from verification.models import Verification
from verification.services.letters import duration
from verification.services.token_settings import redirect_after, save_profile
from verification.services.tokens import (
    Requester,
    cancel,
    confirm,
    delete_old,
    end_overdue,
    resend,
)
from verification.signals import verified


@pytest.fixture(autouse=True)
def _queue(settings: Any) -> None:
    settings.EMAIL_BACKEND = QUEUE
    settings.PUBLIC_URL = "https://mail.example.com"


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as found:
        yield found


def _states() -> list[str]:
    return list(Verification.objects.order_by("pk").values_list("state", flat=True))


def test_the_mail_names_address_time_and_who_asks_and_its_link_confirms(user, box):
    save_profile(owner_id=user.pk, app_name="Café", from_email="", template="", redirects=[])
    verification = start(user, metadata={"order": 7})
    mail = box.newest()
    assert mail["Subject"] == "Confirm your email address for Café"
    assert mail["From"] == "Café <shop@example.com>"
    assert mail["To"] == "bob@example.net"
    for kind in ("plain", "html"):
        text = body(mail, kind)
        for words in ("Café", "bob@example.net", "1 hour", "ignore this mail"):
            assert words in text
    message = Message.objects.get()
    assert (message.priority, message.owner_id) == (1, user.pk)
    assert message.expires_at == verification.expires_at
    assert message.metadata == {"verification_id": str(verification.pk)}
    assert confirm(token=token_of(mail)) == verification
    verification.refresh_from_db()
    assert verification.state == "confirmed"
    assert verification.ended_at is not None


def test_the_secret_is_nowhere_in_the_database(user, box):
    start(user)
    token = token_of(box.newest())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema='public'"
        )
        for (table,) in cursor.fetchall():
            query = SQL("SELECT count(*) FROM {} t WHERE t::text LIKE %s").format(Identifier(table))
            cursor.execute(query, [f"%{token}%"])
            assert cursor.fetchone() == (0,), table


def test_a_sealed_value_opens_for_its_recipient_only():
    context = sealed({"a": 1}, {"url": "https://x"}, recipient="Bob@Example.net")
    assert "https://x" not in str(context)
    assert unsealed(context, ["bob@example.net"]) == {"a": 1, "url": "https://x"}
    assert unsealed(context, ["eve@example.net"]) == {"a": 1}
    assert unsealed(context, ["bob@example.net", "eve@example.net"]) == {"a": 1}
    renamed = {"b": context["url"], "_sealed": ["b"]}
    assert unsealed(renamed, ["bob@example.net"]) == {}
    assert masked(context) == {"a": 1, "url": DOTS}
    for strange in ({"_sealed": 7}, {"_sealed": ["x"], "x": "junk"}, {"_sealed": ["x"], "x": "ä"}):
        unsealed(strange, ["bob@example.net"])
        masked(strange)


def test_a_link_works_once(user, box):
    start(user)
    token = token_of(box.newest())
    assert confirm(token=token) is not None
    assert confirm(token=token) is None
    assert confirm(token="x" * 43) is None
    assert confirm(token="no token") is None


def test_a_link_works_for_its_time_only(user, box):
    verification = start(user, lifetime_seconds=60)
    token = token_of(box.newest())
    let_pass(verification, seconds=61)
    assert confirm(token=token) is None
    assert verification.state_at(timezone.now()) == "expired"
    assert end_overdue(now=timezone.now()) == 1
    assert _states() == ["expired"]


def test_a_new_request_voids_the_one_before(user, box):
    start(user, "Bob@example.net")
    old = token_of(box.newest())
    start(user, "bob@EXAMPLE.net")
    new = token_of(box.newest())
    assert _states() == ["superseded", "pending"]
    assert confirm(token=old) is None
    assert confirm(token=new) is not None


def test_owners_and_modes_do_not_void_each_others(user):
    start(user)
    start(user, is_test=True)
    start(User.objects.create_user("eve@example.com"))
    assert _states() == ["pending"] * 3


def test_a_test_verification_sends_nothing(user, box):
    start(user, is_test=True)
    drain()
    assert Message.objects.get().is_test
    assert box.count == 0


def test_a_suppressed_address_is_treated_alike_and_gets_no_mail(user, box):
    Suppression.objects.create(address="bob@example.net", reason="manual")
    assert start(user).state == "pending"
    drain()
    assert Message.objects.get().status == "suppressed"
    assert box.count == 0


def test_a_resend_waits_voids_the_old_link_and_ends(user, settings, box):
    settings.VERIFICATIONS_PER_ADDRESS = 100
    verification = start(user)
    old = token_of(box.newest())
    with pytest.raises(TooManyRequestsError) as refused:
        resend(verification_id=verification.pk, requester=Requester(user.pk))
    assert 1 <= refused.value.details["retry_after_seconds"] <= 60
    for count in range(2, 7):
        let_pass(verification, seconds=61)
        again, _ = resend(verification_id=verification.pk, requester=Requester(user.pk))
        assert len(again.mailed_at) == count
        new = token_of(box.newest())
    let_pass(verification, seconds=61)
    with pytest.raises(ConflictError) as ended:
        resend(verification_id=verification.pk, requester=Requester(user.pk))
    assert ended.value.code == "resend_limit"
    assert confirm(token=old) is None
    assert confirm(token=new) is not None


def test_an_address_gets_so_many_mails_an_hour_however_they_are_asked_for(user, settings):
    settings.VERIFICATIONS_PER_ADDRESS = 3
    first = start(user)
    let_pass(first, minutes=30)
    second = start(user)
    let_pass(second, minutes=2)
    resend(verification_id=second.pk, requester=Requester(user.pk))
    let_pass(second, minutes=2)
    with pytest.raises(TooManyRequestsError) as refused:
        start(user, "BOB@example.net")
    assert 1700 <= refused.value.details["retry_after_seconds"] <= 1800
    with pytest.raises(TooManyRequestsError):
        resend(verification_id=second.pk, requester=Requester(user.pk))
    start(user, "carol@example.net")
    start(User.objects.create_user("eve@example.com"))
    let_pass(first, minutes=31)
    start(user)


def test_many_owners_together_cannot_bomb_an_address(user, settings):
    settings.VERIFICATIONS_PER_ADDRESS = 1
    for number in range(3):
        start(User.objects.create_user(f"u{number}@example.com"))
    with pytest.raises(TooManyRequestsError):
        start(user)
    assert Verification.objects.count() == Message.objects.count() == 3


def test_a_cancelled_link_is_void_and_stays_so(user, box):
    verification = start(user)
    token = token_of(box.newest())
    other = User.objects.create_user("eve@example.com")
    with pytest.raises(NotFoundError):
        cancel(verification_id=verification.pk, owner_id=other.pk)
    assert cancel(verification_id=verification.pk, owner_id=user.pk).state == "cancelled"
    assert confirm(token=token) is None
    with pytest.raises(ConflictError):
        cancel(verification_id=verification.pk, owner_id=user.pk)
    with pytest.raises(ConflictError):
        resend(verification_id=verification.pk, requester=Requester(user.pk))


def test_an_unknown_template_is_refused_and_nothing_is_written(user):
    with pytest.raises(InvalidInputError) as refused:
        start(user, template="nope")
    assert list(refused.value.details) == ["template"]
    assert not Verification.objects.exists()
    assert not Message.objects.exists()


def test_an_own_template_is_filled(user, own_template, box):
    start(user, template="welcome", locale="de-AT", metadata={"plan": "gold"})
    mail = box.newest()
    assert mail["Subject"] == "Hallo"
    token = token_of(mail)
    assert body(mail).strip() == (
        f"https://mail.example.com/verify/{token}?lang=de-AT bob@example.net gold 1 Stunde"
    )


@pytest.fixture
def own_template(user):
    template = create_template(owner_id=user.pk, slug="welcome")
    text = "{{ verification_url }} {{ email }} {{ metadata.plan }} {{ expires_in }}"
    for locale, subject in (("", "Hello"), ("de", "Hallo")):
        save_draft(template_id=template.pk, locale=locale, subject=subject, html="", text=text)
    publish(template_id=template.pk)


@pytest.mark.parametrize(
    ("language", "subject"),
    [
        ("en", "Confirm your email address for mail.example.com"),
        ("de", "Bestätigen Sie Ihre E-Mail-Adresse für mail.example.com"),
        ("fr", "Confirmez votre adresse e-mail pour mail.example.com"),
        ("es", "Confirme su dirección de correo para mail.example.com"),
        ("fa", "نشانی ایمیل خود را برای mail.example.com تأیید کنید"),
        ("ar", "أكّد عنوان بريدك الإلكتروني لدى mail.example.com"),
    ],
)
def test_the_built_in_mail_speaks_the_language(user, box, language, subject):
    verification = start(user, locale=language, lifetime_seconds=7 * 86_400)
    mail = box.newest()
    html = body(mail, "html")
    direction = "rtl" if language in {"fa", "ar"} else "ltr"
    assert f'<html lang="{language}" dir="{direction}">' in html
    assert duration(7 * 86_400, language) in html
    assert f"?lang={language}" in body(mail)
    assert mail["Subject"] == subject
    assert confirm(token=token_of(mail)) == verification


def test_what_the_application_is_called_cannot_break_the_mail(user, box):
    name = "<b>{{ x }}{% raw %}"
    save_profile(owner_id=user.pk, app_name=name, from_email="", template="", redirects=[])
    start(user)
    mail = box.newest()
    assert mail["Subject"] == f"Confirm your email address for {name}"
    assert "&lt;b&gt;{{ x }}" in body(mail, "html")


def test_the_mail_shows_address_and_name_as_people_write_them(user, box):
    save_profile(owner_id=user.pk, app_name="Acme (株)", from_email="", template="", redirects=[])
    start(user, "ann@bücher.de", locale="fa")
    mail = box.newest()
    assert mail["To"] == "ann@xn--bcher-kva.de"
    assert "ann@bücher.de" in body(mail)
    html = body(mail, "html")
    assert "ann@bücher.de" in html
    assert "<bdi>Acme (株)</bdi> می‌خواهد بداند" in html


def test_a_confirmation_is_told_once_and_undone_if_a_receiver_fails(user, box):
    verification = start(user)
    token = token_of(box.newest())
    told = []

    def listen(sender: object, verification: Verification, **_: object) -> None:
        told.append((verification.pk, verification.state))
        if len(told) == 1:
            raise DomainError("The events table is full.")

    verified.connect(listen)
    try:
        with pytest.raises(DomainError):
            confirm(token=token)
        assert _states() == ["pending"]
        confirm(token=token)
        confirm(token=token)
    finally:
        verified.disconnect(listen)
    assert told == [(verification.pk, "confirmed")] * 2


@pytest.mark.django_db(transaction=True)
def test_of_twenty_at_once_one_confirms(user, box):
    start(user)
    token = token_of(box.newest())
    served = []
    gate = threading.Barrier(20)

    def press() -> None:
        try:
            gate.wait(10)
            served.append(confirm(token=token))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(served) == 20
    assert sum(found is not None for found in served) == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_at_once_one_stays_pending_and_the_limit_holds(user, settings):
    settings.VERIFICATIONS_PER_ADDRESS = 5
    results = []
    gate = threading.Barrier(10)

    def ask() -> None:
        try:
            gate.wait(10)
            start(user)
            results.append("started")
        except TooManyRequestsError:
            results.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == ["refused"] * 5 + ["started"] * 5
    assert sorted(_states()) == ["pending"] + ["superseded"] * 4
    assert Message.objects.count() == 5


def test_a_redirect_is_checked_when_asked_for_and_again_when_used(user):
    save_profile(
        owner_id=user.pk,
        app_name="",
        from_email="",
        template="",
        redirects=["https://app.example.com/in"],
    )
    verification = start(user, redirect_url="https://app.example.com/in/side?x=1")
    verification.state = "confirmed"
    assert redirect_after(verification) == (
        f"https://app.example.com/in/side?x=1&verification_id={verification.pk}&status=confirmed"
    )
    for url in ("https://app.example.com/", "https://evil.example/", "nonsense"):
        with pytest.raises(InvalidInputError) as refused:
            start(user, redirect_url=url)
        assert list(refused.value.details) == ["redirect_url"]
    save_profile(owner_id=user.pk, app_name="", from_email="", template="", redirects=[])
    assert redirect_after(verification) == ""


def test_settings_name_every_fault(user):
    with pytest.raises(InvalidInputError) as refused:
        save_profile(
            owner_id=user.pk,
            app_name="a\nb",
            from_email="nope",
            template="",
            redirects=["https://a.example/", "ftp://a.example"],
        )
    assert list(refused.value.details) == ["app_name", "from_email", "redirects[1]"]


def test_what_is_long_over_is_forgotten(user, settings):
    settings.VERIFICATION_DAYS = 90
    old = start(user)
    cancel(verification_id=old.pk)
    assert delete_old(now=timezone.now() + timedelta(days=89)) == 0
    start(user, "carol@example.net")
    assert delete_old(now=timezone.now() + timedelta(days=91)) == 1
    assert Verification.objects.get().email == "carol@example.net"


def test_looking_up_a_link_reads_one_row_by_its_index(user, django_assert_num_queries):
    with django_assert_num_queries(4):  # a savepoint and its end, the clock, the UPDATE
        assert confirm(token="x" * 43) is None
