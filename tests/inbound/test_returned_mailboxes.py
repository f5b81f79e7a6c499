"""Bounce mailboxes, read over a real IMAP conversation."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from alerts.models import Alert
from delivery.models import Suppression
from inbound.models import BounceMailbox, ReturnedMail
from inbound.returned import imap
from inbound.returned.imap import MailboxAccess, MailboxError, opened
from inbound.services import returned_mailboxes
from inbound.services.returned_mailboxes import (
    ALERT_KIND,
    delete_mailbox,
    mailboxes_due,
    read_mailbox,
    save_mailbox,
    try_mailbox,
)
from inbound.services.returned_work import work_off_returned
from mailservice.core.errors import ConflictError, InvalidInputError
from tests.inbound.test_returned import sent, state_of
from tests.support.imap import ImapServer
from tests.support.returned import dsn, path_of
from tests.support.smtp import make_certificate, trusting

pytestmark = pytest.mark.django_db


SECRET = "secret"


def a_mailbox(port: int, *, password: str = SECRET, **fields: Any) -> BounceMailbox:
    values = {
        "name": "bounces",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "username": "bounces",
    }
    return save_mailbox(BounceMailbox(**values | fields), password=password)


def read_again(mailbox: BounceMailbox) -> int | None:
    BounceMailbox.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    return read_mailbox(mailbox.pk)


def failure_of(mailbox: BounceMailbox) -> str:
    assert read_again(mailbox) == 0
    mailbox.refresh_from_db()
    return mailbox.last_error


def test_mail_is_fetched_worked_off_and_removed(user: User) -> None:
    message = sent(user)
    with ImapServer() as server:
        server.add(dsn(to=path_of(message)), b"Subject: hello\r\n\r\nhello")
        mailbox = a_mailbox(server.port)
        assert mailboxes_due() == [mailbox.pk]
        assert read_mailbox(mailbox.pk) == 2
        assert server.mails() == []
    assert mailboxes_due() == []
    mailbox.refresh_from_db()
    assert (mailbox.fetched_count, mailbox.last_error) == (2, "")
    assert mailbox.last_checked_at is not None
    work_off_returned()
    assert state_of(message) == "bounced"
    assert Suppression.objects.get().address == "bob@example.net"
    assert sorted(row.status for row in ReturnedMail.objects.all()) == ["done", "ignored"]


@pytest.mark.parametrize(
    "capabilities", ["IMAP4rev1 MOVE UIDPLUS", "IMAP4rev1 UIDPLUS", "IMAP4rev1"]
)
def test_mail_is_moved_if_wanted_to_a_folder_made_for_it(capabilities: str) -> None:
    with ImapServer(capabilities=capabilities) as server:
        server.add(b"one", b"two")
        mailbox = a_mailbox(server.port, move_to="Done & over")
        assert read_mailbox(mailbox.pk) == 2
        assert server.mails() == []
        assert server.mails("Done &- over") == [b"one", b"two"]


def test_folders_have_names_in_any_script() -> None:
    with ImapServer() as server:
        server.add(b"one", folder="R&APw-ckl&AOQ-ufer")
        assert read_mailbox(a_mailbox(server.port, folder="Rückläufer").pk) == 1


def test_many_mails_are_removed_batch_by_batch() -> None:
    with ImapServer() as server:
        server.add(*[b"mail %d" % number for number in range(60)])
        assert read_mailbox(a_mailbox(server.port).pk) == 60
        assert server.commands.count("UID EXPUNGE") == 3
        assert server.mails() == []
    assert ReturnedMail.objects.count() == 60


def test_of_a_huge_folder_the_oldest_are_taken_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "_SEARCHED", 10)
    with ImapServer() as server:
        server.add(*[b"mail %d" % number for number in range(25)])
        mailbox = a_mailbox(server.port)
        assert read_mailbox(mailbox.pk) == 25
        assert server.mails() == []


def test_a_reader_out_of_time_leaves_the_rest_for_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returned_mailboxes, "_READ_SECONDS", 0)
    with ImapServer() as server:
        server.add(b"one")
        mailbox = a_mailbox(server.port)
        assert read_mailbox(mailbox.pk) == 0
        assert server.mails() == [b"one"]
    assert mailboxes_due() == [mailbox.pk]


def test_who_dies_before_removing_finds_the_mail_again_and_keeps_it_once() -> None:
    with ImapServer(hang_up_at="UID STORE") as server:
        server.add(b"one", b"two")
        mailbox = a_mailbox(server.port)
        assert read_mailbox(mailbox.pk) == 2
        mailbox.refresh_from_db()
        assert mailbox.last_error.startswith("Mail cannot be removed: the connection broke")
        assert server.mails() == [b"one", b"two"]
        server.hang_up_at = ""
        assert read_again(mailbox) == 0
        assert server.mails() == []
    assert ReturnedMail.objects.count() == 2
    mailbox.refresh_from_db()
    assert (mailbox.fetched_count, mailbox.last_error, mailbox.failing_since) == (2, "", None)


def test_another_mail_under_the_same_id_is_kept_too() -> None:
    with ImapServer() as server:
        server.add(b"one")
        mailbox = a_mailbox(server.port)
        read_mailbox(mailbox.pk)
        server._next_uid = 1
        server.add(b"two")
        assert read_again(mailbox) == 1
    assert ReturnedMail.objects.count() == 2


def test_a_second_reader_gets_nothing() -> None:
    with ImapServer() as server:
        mailbox = a_mailbox(server.port)
        now = timezone.now()
        taken = BounceMailbox.objects.claim(mailbox.pk, now=now, until=now + timedelta(minutes=2))
        assert taken
        assert read_mailbox(mailbox.pk) is None
        assert server.commands == []


def test_of_a_large_mail_the_start_is_fetched() -> None:
    with ImapServer() as server:
        server.add(b"Subject: x\r\n\r\n" + b"y" * 1_000_000)
        read_mailbox(a_mailbox(server.port).pk)
    row = ReturnedMail.objects.get()
    assert (len(row.body), row.size_bytes) == (262_144, 1_000_014)


def test_an_empty_mail_is_only_removed() -> None:
    with ImapServer() as server:
        server.add(b"", b"one")
        assert read_mailbox(a_mailbox(server.port).pk) == 1
        assert server.mails() == []


def test_an_inactive_mailbox_is_left_alone() -> None:
    with ImapServer() as server:
        mailbox = a_mailbox(server.port, is_active=False)
        assert mailboxes_due() == []
        assert read_mailbox(mailbox.pk) is None


# --- failures -------------------------------------------------------------------------------------


def test_a_wrong_password_is_named_and_never_shown() -> None:
    with ImapServer() as server:
        error = failure_of(a_mailbox(server.port, password="wr0ng"))
    assert error == "The server refuses the login: [AUTHENTICATIONFAILED] *** is wrong."


def test_a_login_without_plain_is_as_good() -> None:
    with ImapServer(capabilities="IMAP4rev1", password='se"cr\\et') as server:
        assert try_mailbox(a_mailbox(server.port, password='se"cr\\et').pk) == 0
        server.capabilities = "IMAP4rev1 LOGINDISABLED"
        with pytest.raises(MailboxError, match="takes no login without TLS"):
            try_mailbox(BounceMailbox.objects.get().pk)


def test_a_password_of_other_letters_needs_a_server_for_it() -> None:
    with ImapServer(password="geheimß") as server:
        mailbox = a_mailbox(server.port, password="geheimß")
        assert try_mailbox(mailbox.pk) == 0
        server.capabilities = "IMAP4rev1"
        with pytest.raises(MailboxError, match="in ASCII only"):
            try_mailbox(mailbox.pk)


def test_a_missing_folder_is_named_with_those_there_are() -> None:
    with ImapServer() as server:
        error = failure_of(a_mailbox(server.port, folder="Bounces"))
    assert error == ("There is no folder “Bounces”, or it cannot be opened; there are: INBOX.")


def test_a_server_that_is_away_is_named() -> None:
    with ImapServer() as server:
        mailbox = a_mailbox(server.port)
    assert failure_of(mailbox) == f"Cannot connect to 127.0.0.1:{mailbox.port}: Connection refused."


def test_a_host_that_is_none_is_named() -> None:
    mailbox = a_mailbox(143, host="imap.invalid")
    assert "there is no such host" in failure_of(mailbox)


@pytest.mark.parametrize("command", ["CAPABILITY", "SELECT", "UID SEARCH", "UID FETCH"])
def test_a_broken_connection_is_named(command: str) -> None:
    with ImapServer(hang_up_at=command) as server:
        server.add(b"one")
        assert "the connection broke" in failure_of(a_mailbox(server.port))
        assert server.mails() == [b"one"]
    assert not ReturnedMail.objects.exists()


def test_a_server_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "ANSWER_SECONDS", 0.2)
    with ImapServer(stall_at="UID SEARCH") as server:
        server.add(b"one")
        error = failure_of(a_mailbox(server.port))
    assert error == "The folder cannot be searched: no answer within 0.2 seconds."


def test_a_conversation_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "MAX_SECONDS", 0.3)
    with ImapServer(stall_at="UID SEARCH") as server:
        server.add(b"one")
        assert "the connection broke" in failure_of(a_mailbox(server.port))


@pytest.mark.parametrize(
    "noise",
    [
        b"* 99999999999999999999999 EXISTS\r\n",
        b"* \xff\xfe\x00 nonsense\r\n",
        b"* SEARCH 1:* 5,6 abc 99999999999999999999\r\n",
        b"* 1 FETCH (BODY[] {4000000000}\r\n",
        b"garbage without a star\r\n",
        b"* BYE go away\r\n",
    ],
)
@pytest.mark.parametrize("command", ["SELECT", "UID SEARCH", "UID FETCH", "UID STORE"])
def test_a_server_that_talks_nonsense_harms_nobody(command: str, noise: bytes) -> None:
    with ImapServer(noise={command: noise}) as server:
        server.add(b"one")
        mailbox = a_mailbox(server.port)
        assert read_mailbox(mailbox.pk) is not None
        assert server.mails() in ([b"one"], [])
    assert ReturnedMail.objects.count() <= 1
    assert server.mails() == [] or not ReturnedMail.objects.exists() or mailbox_failed(mailbox)


def mailbox_failed(mailbox: BounceMailbox) -> bool:
    mailbox.refresh_from_db()
    return bool(mailbox.last_error)


def test_what_speaks_no_imap_is_named() -> None:
    with ImapServer(greeting=b"220 smtp.example.com ESMTP\r\n") as server:
        error = failure_of(a_mailbox(server.port))
    assert error.startswith(f"127.0.0.1:{server.port} does not answer like an IMAP server")


def test_people_are_told_of_half_an_hour_of_failures_and_of_the_end() -> None:
    with ImapServer(password="other") as server:
        mailbox = a_mailbox(server.port)
        failure_of(mailbox)
        assert not Alert.objects.exists()
        BounceMailbox.objects.update(failing_since=timezone.now() - timedelta(minutes=31))
        failure_of(mailbox)
        alert = Alert.objects.get()
        assert (alert.kind, alert.subject, alert.is_open) == (ALERT_KIND, str(mailbox.pk), True)
        assert alert.title == "The bounce mailbox “bounces” cannot be read"
        assert "secret" not in alert.detail
        server.password = "secret"
        assert read_again(mailbox) == 0
    alert.refresh_from_db()
    assert (alert.is_open, alert.closing) == (False, "It was read again.")


def test_a_mailbox_that_fails_long_is_looked_at_less_often() -> None:
    with ImapServer(password="other") as server:
        mailbox = a_mailbox(server.port)
        BounceMailbox.objects.update(failing_since=timezone.now() - timedelta(days=1))
        failure_of(mailbox)
    assert timedelta(minutes=14) < mailbox.due_at - timezone.now() < timedelta(minutes=16)


def test_deleting_a_mailbox_ends_its_alert() -> None:
    with ImapServer(password="other") as server:
        mailbox = a_mailbox(server.port)
        BounceMailbox.objects.update(failing_since=timezone.now() - timedelta(hours=1))
        failure_of(mailbox)
    delete_mailbox(mailbox.pk)
    assert not Alert.objects.get().is_open
    assert not BounceMailbox.objects.exists()


# --- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("security", "is_starttls"), [("tls", False), ("starttls", True)])
def test_tls_is_checked(tmp_path: Path, security: str, *, is_starttls: bool) -> None:
    certificate = make_certificate(tmp_path)
    with ImapServer(tls=certificate.context, is_starttls=is_starttls) as server:
        server.add(b"one")
        mailbox = a_mailbox(server.port, security=security)
        with pytest.raises(MailboxError, match="the certificate is refused"):
            try_mailbox(mailbox.pk)
        assert "LOGIN" not in server.commands
        assert "AUTHENTICATE" not in server.commands
        with trusting(certificate):
            assert read_mailbox(mailbox.pk) == 1


def test_a_server_without_tls_at_its_port_is_named() -> None:
    with ImapServer() as server:
        error = failure_of(a_mailbox(server.port, security="tls"))
    assert error.endswith(f":{server.port} failed: the server speaks no TLS at this port.")


def test_starttls_that_is_not_offered_ends_it() -> None:
    with ImapServer() as server, pytest.raises(MailboxError, match="does not offer STARTTLS"):
        try_mailbox(a_mailbox(server.port, security="starttls").pk)
    assert server.commands == ["CAPABILITY", "LOGOUT"]


# --- form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("host", ""),
        ("host", "imap://x"),
        ("host", "a" * 250 + "!"),
        ("port", 0),
        ("port", 70_000),
        ("security", "ssl"),
        ("username", ""),
        ("username", "a\r\nb"),
        ("folder", ""),
        ("folder", "IN\r\nBOX"),
        ("move_to", "INBOX"),
        ("move_to", "x" * 201),
    ],
)
def test_bad_settings_name_their_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        a_mailbox(**{"port": 993, field: value})
    assert list(caught.value.details) == [field]


def test_the_password_is_stored_sealed_and_stays_unless_given() -> None:
    with pytest.raises(InvalidInputError, match="password: Give the password"):
        a_mailbox(993, password="")
    mailbox = a_mailbox(993, password="hush-hush")
    mailbox.folder = "Other"
    save_mailbox(mailbox)
    assert BounceMailbox.objects.get().secrets == {"password": "hush-hush"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM inbound_bouncemailbox")
        assert "hush" not in cursor.fetchone()[0]


def test_two_mailboxes_have_two_names() -> None:
    a_mailbox(993)
    with pytest.raises(ConflictError, match="There is a mailbox “bounces” already"):
        a_mailbox(993)


def test_the_password_shows_nowhere_in_the_access() -> None:
    access = MailboxAccess("h", 1, "none", "u", "hush-hush")
    assert "hush" not in repr(access)
    with pytest.raises(MailboxError), opened(access):
        pass
