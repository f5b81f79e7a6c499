"""Returned mail: from the way in to the message's state and the suppression list."""

from __future__ import annotations

import io
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts.models import User
from delivery.models import Event, Message, Suppression
from inbound.models import ReturnedMail, ReturnedRoute
from inbound.services.returned import delete_old, take_returned, try_again
from inbound.services.returned_hook import renew_returned_token, return_hook, returned_url
from inbound.services.returned_work import work_off_returned
from mailservice.core.ids import uuid7
from tests.support.mail import force_status, queue
from tests.support.returned import arf, dsn, message_id_of, path_of, plain

pytestmark = pytest.mark.django_db


def sent(user: User, **fields: Any) -> Message:
    """Return a message that went out."""
    message = queue(user, **fields)
    force_status(message, "sent", sent_at=timezone.now())
    return message


def work(raw: bytes, to: str = "") -> ReturnedMail:
    """Take a mail and work it off."""
    taken = take_returned(raw, to, ReturnedRoute.HOOK)
    assert taken is not None
    work_off_returned()
    return ReturnedMail.objects.get(pk=taken)


def state_of(message: Message) -> str:
    message.refresh_from_db()
    return message.status


def suppressed() -> list[tuple[str, str]]:
    return list(Suppression.objects.order_by("address").values_list("address", "reason"))


def post(raw: bytes, to: str = "", url: str = "") -> int:
    path = "/hooks/" + (url or returned_url(renew_returned_token())).partition("/hooks/")[2]
    query = {"to": to} if to else {}
    response = Client().post(
        path,
        raw,
        content_type="message/rfc822",
        query_params=query,
    )
    return response.status_code


def test_a_dead_mailbox_bounces_the_message_and_is_suppressed(user: User) -> None:
    message = sent(user)
    row = work(dsn(), path_of(message))
    assert (row.status, row.kind, row.bounce_class, row.recipient, row.message_id, row.error) == (
        "done",
        "dsn",
        "address",
        "bob@example.net",
        message.pk,
        "",
    )
    assert state_of(message) == "bounced"
    event = Event.objects.get(message=message)
    assert (event.kind, event.recipient, event.actor) == (
        "bounced",
        "bob@example.net",
        "returned mail",
    )
    assert event.data == {
        "class": "address",
        "side": "recipient",
        "code": "5.1.1",
        "reply": "550 5.1.1 <bob@example.net>: Recipient address rejected: User unknown",
    }
    assert suppressed() == [("bob@example.net", "hard_bounce")]


def test_a_full_mailbox_suppresses_nobody(user: User) -> None:
    message = sent(user)
    row = work(dsn(status="5.2.2", diagnostic="smtp; 552 5.2.2 Mailbox full"), path_of(message))
    assert (row.status, row.bounce_class) == ("done", "mailbox_full")
    assert state_of(message) == "bounced"
    assert Event.objects.get().kind == "soft_bounced"
    assert suppressed() == []


@pytest.mark.parametrize(
    ("action", "kind", "state"),
    [("delayed", "delayed", "sent"), ("delivered", "delivered", "delivered")],
)
def test_what_is_no_failure_is_told_as_it_is(
    user: User, action: str, kind: str, state: str
) -> None:
    message = sent(user)
    raw = dsn(action=action, status="4.4.1", diagnostic="smtp; 451 4.4.1 no answer")
    assert work(raw, path_of(message)).status == "done"
    assert Event.objects.get().kind == kind
    assert state_of(message) == state
    assert suppressed() == []


@pytest.mark.parametrize("action", ["relayed", "expanded"])
def test_what_was_passed_on_proves_nothing(user: User, action: str) -> None:
    message = sent(user)
    row = work(dsn(action=action, status="2.0.0"), path_of(message))
    assert (row.status, row.error) == ("ignored", "It was only passed on")
    assert state_of(message) == "sent"


def test_the_same_mail_twice_is_one_event(user: User) -> None:
    message = sent(user)
    raw = dsn(to=path_of(message))
    assert work(raw, path_of(message)).status == "done"
    assert work(b"Delivered-To: x@example.com\r\n" + raw).status == "done"
    assert Event.objects.count() == 1
    assert suppressed() == [("bob@example.net", "hard_bounce")]


def test_a_mail_without_date_and_id_twice_is_one_event(user: User) -> None:
    message = sent(user)
    raw = dsn(own_id="", date="")
    for _ in range(2):
        assert work(raw, path_of(message)).status == "done"
    assert Event.objects.count() == 1


@pytest.mark.parametrize("header", ["To", "Delivered-To", "X-Original-To", "Envelope-To"])
def test_the_return_path_is_found_in_the_mails_header(user: User, header: str) -> None:
    message = sent(user)
    raw = f"{header}: <{path_of(message)}>\r\n".encode() + dsn()
    assert work(raw, "catchall@example.com").status == "done"
    assert state_of(message) == "bounced"


def test_our_message_id_in_the_returned_mail_finds_the_message(user: User) -> None:
    message = sent(user)
    assert work(dsn(message_id=message_id_of(message))).status == "done"
    assert state_of(message) == "bounced"
    assert suppressed() == [("bob@example.net", "hard_bounce")]


def test_a_strangers_report_does_nothing_but_stand_in_the_list(user: User) -> None:
    message = sent(user)
    wrong = path_of(message)[:-15] + "aaa@example.com"
    row = work(dsn(message_id=f"<{uuid7().hex}@example.com>"), wrong)
    assert (row.status, row.error, row.recipient) == (
        "unmatched",
        "It belongs to no mail that was sent here",
        "bob@example.net",
    )
    assert state_of(message) == "sent"
    assert suppressed() == []


def test_a_report_can_touch_recipients_of_its_own_message_only(user: User) -> None:
    message = sent(user, to=["bob@example.net", "eve@example.net"])
    row = work(dsn(final="victim@example.org", original="victim@example.org"), path_of(message))
    assert (row.status, row.error) == (
        "unmatched",
        "1 of 1 are about nobody whom this message went to",
    )
    assert state_of(message) == "sent"
    assert suppressed() == []


def test_one_of_several_recipients_bounces_alone(user: User) -> None:
    message = sent(user, to=["bob@example.net", "eve@example.net"])
    work(dsn(), path_of(message))
    assert state_of(message) == "sent"
    assert [entry.get("s") for entry in message.recipients] == ["bounced", None]
    assert suppressed() == [("bob@example.net", "hard_bounce")]


def test_a_dead_address_that_it_was_forwarded_to_is_not_ours_to_suppress(user: User) -> None:
    message = sent(user)
    row = work(dsn(final="old@elsewhere.example", original="bob@example.net"), path_of(message))
    assert (row.status, row.recipient) == ("done", "bob@example.net")
    event = Event.objects.get()
    assert (event.kind, (event.data or {})["forwarded_to"]) == (
        "soft_bounced",
        "old@elsewhere.example",
    )
    assert suppressed() == []


def test_a_purged_message_still_has_its_recipient_suppressed(user: User) -> None:
    message = sent(user)
    path = path_of(message)
    Message.objects.filter(pk=message.pk).delete()
    assert work(dsn(final="victim@example.org"), path).status == "unmatched"
    assert suppressed() == []
    row = work(dsn(final="Bob@Example.net"), path)
    assert (row.status, row.message_id) == ("done", message.pk)
    assert suppressed() == [("bob@example.net", "hard_bounce")]


def test_a_purged_message_of_several_suppresses_nobody(user: User) -> None:
    message = sent(user, to=["bob@example.net", "eve@example.net"])
    path = path_of(message)
    Message.objects.filter(pk=message.pk).delete()
    assert work(dsn(), path).status == "unmatched"
    assert work(dsn(message_id=message_id_of(message))).status == "unmatched"
    assert suppressed() == []


def test_an_unknown_outcome_is_resolved(user: User) -> None:
    message = queue(user)
    force_status(message, "unknown")
    work(dsn(), path_of(message))
    assert state_of(message) == "bounced"


def test_a_message_in_a_workers_hands_is_told_in_a_moment(user: User) -> None:
    message = sent(user)
    force_status(message, "sending", lease_id=uuid7())
    row = work(dsn(), path_of(message))
    assert (row.status, row.error) == ("new", "The message is in a worker's hands")
    assert row.due_at > timezone.now()
    force_status(message, "sent", lease_id=None)
    ReturnedMail.objects.update(due_at=timezone.now())
    work_off_returned()
    assert state_of(message) == "bounced"


@pytest.mark.parametrize("kind", ["abuse", "fraud"])
def test_a_complaint_is_told_and_suppressed(user: User, kind: str) -> None:
    message = sent(user)
    row = work(arf(type=kind, mail_from=path_of(message)), "fbl@example.com")
    assert (row.status, row.kind) == ("done", "feedback")
    assert state_of(message) == "complained"
    assert suppressed() == [("bob@example.net", "complaint")]


def test_not_spam_is_no_complaint(user: User) -> None:
    message = sent(user)
    row = work(arf(type="not-spam"), path_of(message))
    assert (row.status, row.error) == ("ignored", "The report is no complaint")
    assert state_of(message) == "sent"
    assert suppressed() == []


def test_a_complaint_of_nobody_in_particular_is_about_the_mail(user: User) -> None:
    message = sent(user, to=["bob@example.net", "eve@example.net"])
    assert work(arf(rcpt="", message_id=message_id_of(message))).status == "done"
    assert state_of(message) == "complained"
    assert suppressed() == []


def test_a_complaint_of_several_suppresses_each(user: User) -> None:
    message = sent(user, to=["bob@example.net", "eve@example.net"])
    raw = arf(
        mail_from=path_of(message), rcpt="bob@example.net>\nOriginal-Rcpt-To: <eve@example.net"
    )
    assert work(raw).status == "done"
    assert suppressed() == [("bob@example.net", "complaint"), ("eve@example.net", "complaint")]


def test_out_of_office_is_no_bounce(user: User) -> None:
    message = sent(user)
    raw = plain(Subject="Abwesenheitsnotiz: Hello", In_Reply_To=message_id_of(message))
    row = work(raw)
    assert (row.status, row.kind, row.bounce_class) == ("done", "auto_reply", "auto_reply")
    assert Event.objects.get().kind == "auto_replied"
    assert state_of(message) == "sent"


def test_a_challenge_is_told(user: User) -> None:
    message = sent(user)
    row = work(plain(From="x@boxbe.com", Subject="Hello (Action Required)"), path_of(message))
    assert (row.status, row.kind, row.bounce_class) == ("done", "challenge", "challenge")
    assert Event.objects.get().kind == "auto_replied"


def test_a_persons_answer_is_left_alone(user: User) -> None:
    message = sent(user)
    row = work(plain(Subject="Re: Hello", text="Thanks"), path_of(message))
    assert (row.status, row.error) == ("ignored", "It tells nothing of a mail's fate")
    assert not Event.objects.exists()


def test_a_bounce_in_words_counts(user: User) -> None:
    message = sent(user)
    text = f"""Hi. This is the qmail-send program at mx.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<bob@example.net>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 No such user here
Giving up on 192.0.2.1.

--- Below this line is a copy of the message.

Message-ID: {message_id_of(message)}
"""
    row = work(plain(From="MAILER-DAEMON@mx.example.net", Subject="failure notice", text=text))
    assert (row.status, row.kind, row.bounce_class) == ("done", "bounce", "address")
    assert state_of(message) == "bounced"
    assert suppressed() == [("bob@example.net", "hard_bounce")]


def test_words_cannot_suppress_other_peoples_addresses(user: User) -> None:
    message = sent(user, to=["bob@example.net", "eve@example.net"])
    raw = plain(
        From="MAILER-DAEMON@mx.example.net",
        Subject="failure notice",
        X_Failed_Recipients="victim@example.org, second@example.org",
        text="550 5.1.1 User unknown",
    )
    assert work(raw, path_of(message)).status == "unmatched"
    assert state_of(message) == "sent"
    assert suppressed() == []


# --- ways in --------------------------------------------------------------------------------------


def test_a_mail_server_posts_a_mail(user: User) -> None:
    message = sent(user)
    raw = dsn()
    assert post(raw, path_of(message)) == 200
    row = ReturnedMail.objects.get()
    assert (row.route, row.status, bytes(row.body)) == ("hook", "new", raw)
    work_off_returned()
    assert state_of(message) == "bounced"


def test_the_secret_of_the_address_can_be_renewed() -> None:
    old = returned_url(renew_returned_token())
    kept = return_hook()
    assert kept is not None
    assert returned_url(kept) == old
    fresh = returned_url(renew_returned_token())
    assert post(b"x", url=old) == 404
    assert post(b"x", url=fresh) == 200
    assert Client().get("/hooks/" + fresh.partition("/hooks/")[2]).status_code == 200
    assert Client().get("/hooks/returned/nonsense").status_code == 404


def test_no_address_was_made_yet() -> None:
    assert (
        Client().post("/hooks/returned/x", b"x", content_type="message/rfc822").status_code == 404
    )


def test_a_long_mail_is_cut_not_refused() -> None:
    assert post(b"Subject: x\r\n\r\n" + b"y" * 6_000_000) == 200
    row = ReturnedMail.objects.get()
    assert (len(row.body), row.size_bytes) == (262_144, 6_000_014)


def test_an_empty_mail_is_refused() -> None:
    assert post(b"\r\n") == 400
    assert not ReturnedMail.objects.exists()


def test_a_mail_server_pipes_a_mail(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    message = sent(user)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(dsn())))
    call_command("receive_returned_mail", to=path_of(message))
    assert ReturnedMail.objects.get().route == "command"
    work_off_returned()
    assert state_of(message) == "bounced"


def test_an_empty_pipe_is_bad_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(CommandError) as caught:
        call_command("receive_returned_mail")
    assert caught.value.returncode == 65


def test_hostile_mail_is_stored_and_fails_alone(user: User) -> None:
    message = sent(user)
    hostile = (
        b"From: mailer-daemon \x00 \xff\r\nTo: \xff@\x00\r\nSubject: =?x?q?\xff?=\r\n\r\n\x00\xff"
    )
    take_returned(hostile, "nul\x00 \ud800@x", ReturnedRoute.HOOK)
    row = work(dsn(diagnostic="smtp; 550 5.1.1 nul \x00 here"), path_of(message))
    assert row.status == "done"
    assert state_of(message) == "bounced"
    assert ReturnedMail.objects.exclude(pk=row.pk).get().status == "ignored"


def test_mails_are_tried_again(user: User) -> None:
    row = work(dsn())
    assert row.status == "unmatched"
    assert try_again(ids=[row.pk]) == 1
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("new", 0)
    assert try_again(ids=[row.pk]) == 0


def test_old_mails_are_forgotten() -> None:
    work(dsn())
    now = timezone.now()
    assert delete_old(now=now + timedelta(days=29)) == 0
    assert delete_old(now=now + timedelta(days=31)) == 1


def test_many_mails_take_few_statements(user: User, django_assert_max_num_queries: Any) -> None:
    messages = [sent(user) for _ in range(10)]
    for number, message in enumerate(messages):
        take_returned(dsn(own_id=f"<{number}@x>"), path_of(message), ReturnedRoute.HOOK)
    with django_assert_max_num_queries(15):
        assert work_off_returned().applied == 10
    assert {state_of(message) for message in messages} == {"bounced"}
