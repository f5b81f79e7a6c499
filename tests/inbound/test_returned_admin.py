"""Returned mail and bounce mailboxes in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import User
from inbound.models import BounceMailbox, ReturnedMail, ReturnHook
from inbound.services.returned_hook import returned_url
from tests.inbound.test_returned import sent, work
from tests.inbound.test_returned_mailboxes import a_mailbox
from tests.support.imap import ImapServer
from tests.support.returned import dsn, path_of

pytestmark = pytest.mark.django_db

MAILS, BOXES = "/admin/inbound/returnedmail/", "/admin/inbound/bouncemailbox/"
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com", "secret"))
    return client


def viewer(*codenames: str) -> Client:
    user = User.objects.create_user("v@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def html(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_a_bounce_is_listed_with_its_message(root: Client, user: User) -> None:
    message = sent(user)
    row = work(dsn(), path_of(message))
    page = html(root, MAILS)
    assert "bob@example.net" in page
    assert "Delivery report" in page
    assert f"/admin/delivery/message/{message.pk}/change/" in page
    page = html(root, f"{MAILS}{row.pk}/change/")
    assert "User unknown" in page
    assert f"/admin/delivery/message/{message.pk}/change/" in page
    assert path_of(message) in page


def test_what_strangers_write_is_shown_safely(root: Client) -> None:
    row = work(dsn(final=f"{HOSTILE}@example.net", diagnostic=HOSTILE), f"{HOSTILE}@example.com")
    assert HOSTILE not in html(root, MAILS)
    assert HOSTILE not in html(root, f"{MAILS}{row.pk}/change/")


def test_a_mail_is_tried_again(root: Client) -> None:
    row = work(dsn())
    assert root.get(f"{MAILS}{row.pk}/again/").status_code == 405
    root.post(f"{MAILS}{row.pk}/again/")
    assert ReturnedMail.objects.get().status == "new"
    assert "Try again" not in html(root, f"{MAILS}{row.pk}/change/")


def test_chosen_mails_are_tried_again(root: Client) -> None:
    row = work(dsn())
    root.post(MAILS, {"action": "again", "_selected_action": [str(row.pk)]})
    assert ReturnedMail.objects.get().status == "new"


def test_who_may_only_look_changes_nothing(user: User) -> None:
    client = viewer("view_returnedmail")
    row = work(dsn(), path_of(sent(user)))
    page = html(client, f"{MAILS}{row.pk}/change/")
    assert "/admin/delivery/message/" not in page
    assert client.post(f"{MAILS}{row.pk}/again/").status_code == 403
    assert client.get(f"{MAILS}address/").status_code == 403
    assert client.post(f"{MAILS}address/renew/").status_code == 403
    assert ReturnedMail.objects.get().status == "done"


def test_the_address_for_mail_servers_is_shown_and_renewed(root: Client) -> None:
    assert "Address for mail servers" in html(root, MAILS)
    assert "There is no address yet" in html(root, f"{MAILS}address/")
    assert "Make an address" in html(root, f"{MAILS}address/renew/")
    assert not ReturnHook.objects.exists()
    root.post(f"{MAILS}address/renew/")
    old = ReturnHook.objects.get()
    assert returned_url(old) in html(root, f"{MAILS}address/")
    assert root.get(f"{MAILS}address/renew/").status_code == 200
    assert ReturnHook.objects.get().token == old.token
    root.post(f"{MAILS}address/renew/")
    assert ReturnHook.objects.get().token != old.token
    assert LogEntry.objects.count() == 2


def values(port: int, **fields: Any) -> dict[str, Any]:
    return {
        "name": "bounces",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "username": "bounces",
        "password": "secret",
        "folder": "INBOX",
        "move_to": "",
        "is_active": "on",
    } | fields


def test_a_mailbox_is_added_changed_tried_and_deleted(root: Client) -> None:
    with ImapServer() as server:
        server.add(b"one", b"two")
        root.post(f"{BOXES}add/", values(server.port))
        mailbox = BounceMailbox.objects.get()
        assert mailbox.secrets == {"password": "secret"}
        root.post(f"{BOXES}{mailbox.pk}/change/", values(server.port, password="", move_to="Done"))
        mailbox.refresh_from_db()
        assert (mailbox.secrets, mailbox.move_to) == ({"password": "secret"}, "Done")
        page = html(root, f"{BOXES}{mailbox.pk}/change/")
        assert 'value="secret"' not in page
        assert "One is stored" in page
        assert root.get(f"{BOXES}{mailbox.pk}/try/").status_code == 200
        response = root.post(f"{BOXES}{mailbox.pk}/try/", follow=True)
        assert "All is well: 2 mails in “INBOX”." in response.content.decode()
        assert server.mails() == [b"one", b"two"]
    root.post(f"{BOXES}{mailbox.pk}/delete/", {"post": "yes"})
    assert not BounceMailbox.objects.exists()


def test_a_failed_test_says_what_failed(root: Client) -> None:
    with ImapServer(password="other") as server:
        mailbox = a_mailbox(server.port)
        response = root.post(f"{BOXES}{mailbox.pk}/try/", follow=True)
    page = response.content.decode()
    assert "The test failed. The server refuses the login" in page
    assert "secret is wrong" not in page


def test_a_fault_stands_beside_its_field(root: Client) -> None:
    response = root.post(f"{BOXES}add/", values(993, host="imap://x", password=""))
    page = response.content.decode()
    assert "Not a host name or an IP address" in page
    assert "Give the password." in page
    assert not BounceMailbox.objects.exists()


def test_the_list_shows_what_fails(root: Client) -> None:
    mailbox = a_mailbox(993)
    BounceMailbox.objects.update(last_error=HOSTILE, last_checked_at=timezone.now())
    page = html(root, BOXES)
    assert HOSTILE not in page
    assert "alert(" in page
    assert mailbox.name in page


def test_who_may_look_at_mailboxes_may_not_try_them() -> None:
    mailbox = a_mailbox(993)
    client = viewer("view_bouncemailbox")
    assert "secret" not in html(client, f"{BOXES}{mailbox.pk}/change/")
    assert client.post(f"{BOXES}{mailbox.pk}/try/").status_code == 403


def test_lists_take_few_statements(
    root: Client, user: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        work(dsn(own_id=f"<{number}@x>"), path_of(sent(user)))
        a_mailbox(993, name=f"box {number}")
    for path in (MAILS, BOXES):
        html(root, path)
        with django_assert_max_num_queries(12):
            html(root, path)
