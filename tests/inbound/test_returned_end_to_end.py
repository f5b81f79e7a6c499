"""The whole way of a bounce; the ways in without a database; workers beside each other."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from accounts.models import User
from delivery.announcements import listen_to, take_announcements
from delivery.link_keys import forget_link_keys
from delivery.models import Event, Message, Suppression
from inbound.dispatch import QUEUE
from inbound.models import ReturnedMail, ReturnedRoute
from inbound.services.returned import take_returned
from inbound.services.returned_hook import renew_returned_token, returned_url
from inbound.services.returned_work import work_off_returned
from inbound.tasks import check_bounce_mailboxes, process_returned_mail, read_bounce_mailbox
from mailservice.celery import app
from tests.inbound.test_returned import sent
from tests.inbound.test_returned_mailboxes import a_mailbox
from tests.support.imap import ImapServer
from tests.support.mail import drain, queue, smtp_account
from tests.support.returned import dsn, path_of
from tests.support.smtp_server import FaultyServer
from tests.support.workers import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _keys_are_those_of_this_database() -> Iterator[None]:
    forget_link_keys()
    yield
    forget_link_keys()


@pytest.mark.parametrize("setting", ["bounces@example.com", "@bounces.example.com"])
def test_from_the_mail_sent_to_the_address_suppressed(user: User, setting: str) -> None:
    listen_to(["email.bounced"])
    with FaultyServer() as server:
        smtp_account(server.port, return_path=setting)
        message = queue(user)
        drain()
    [mail] = server.mails
    sender = mail.sender.partition("<")[2].partition(">")[0]
    assert sender == path_of(message, setting=setting)
    assert sender.encode() not in mail.data

    path = "/hooks/" + returned_url(renew_returned_token()).partition("/hooks/")[2]
    report = dsn(to=sender).replace(b"\r\nHi Bob\r\n", b"\r\n" + mail.data)
    response = Client().post(
        path, report, content_type="message/rfc822", query_params={"to": sender}
    )
    assert response.status_code == 200
    process_returned_mail()

    message.refresh_from_db()
    assert message.status == "bounced"
    assert message.error.startswith("550 5.1.1")
    entry = Suppression.objects.get()
    assert (entry.address, entry.reason, entry.message_id) == (
        "bob@example.net",
        "hard_bounce",
        message.pk,
    )
    [told] = take_announcements(10)
    assert (told.kind, told.message_id) == ("email.bounced", message.pk)

    again = queue(user)
    with FaultyServer() as other:
        drain()
    assert other.mails == []
    again.refresh_from_db()
    assert again.status == "suppressed"


def test_a_plus_that_was_not_escaped_does_no_harm(user: User) -> None:
    message = sent(user)
    path = "/hooks/" + returned_url(renew_returned_token()).partition("/hooks/")[2]
    Client().post(f"{path}?to={path_of(message)}", dsn(), content_type="message/rfc822")
    work_off_returned()
    assert ReturnedMail.objects.get().status == "done"


def test_without_the_database_the_mail_server_keeps_the_mail(user: User) -> None:
    path = "/hooks/" + returned_url(renew_returned_token()).partition("/hooks/")[2]
    port = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = "1"
    try:
        response = Client().post(path, dsn(), content_type="message/rfc822")
    finally:
        connection.close()
        connection.settings_dict["PORT"] = port
    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert not ReturnedMail.objects.exists()


def test_without_the_database_the_command_says_try_again() -> None:
    environment = os.environ | {"DATABASE_URL": "postgres://x:y@127.0.0.1:1/x"}
    done = subprocess.run(
        [sys.executable, "manage.py", "receive_returned_mail", "--to", "b@example.com"],
        cwd=ROOT, env=environment, input=dsn(), capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (75, b"")
    assert b"Try again later" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.fixture
def workers() -> Iterator[list[threading.Thread]]:
    started: list[threading.Thread] = []
    yield started
    for thread in started:
        thread.join(20)


def test_workers_beside_each_other_apply_each_mail_once(
    user: User, workers: list[threading.Thread]
) -> None:
    messages = [sent(user) for _ in range(20)]
    for number, message in enumerate(messages):
        for _ in range(2):
            take_returned(dsn(own_id=f"<{number}@x>"), path_of(message), ReturnedRoute.HOOK)

    def work() -> None:
        try:
            while work_off_returned(mail_count=3).mails:
                pass
        finally:
            connections.close_all()

    for _ in range(4):
        thread = threading.Thread(target=work)
        workers.append(thread)
        thread.start()
    for thread in workers:
        thread.join(30)
    # Two mails about one message at the same time: one of them waits for a moment.
    ReturnedMail.objects.update(due_at=timezone.now())
    work()
    assert set(ReturnedMail.objects.values_list("status", flat=True)) == {"done"}
    assert Event.objects.count() == 20
    assert set(Message.objects.values_list("status", flat=True)) == {"bounced"}


def test_a_worker_killed_in_the_middle_leaves_all_for_the_next(user: User) -> None:
    messages = [sent(user) for _ in range(3)]
    for message in messages:
        take_returned(dsn(own_id=f"<{message.pk}@x>"), path_of(message), ReturnedRoute.HOOK)
    # Another transaction holds one message's events, so the worker stops right there.
    script = (
        "import django; django.setup()\n"
        "from inbound.services.returned_work import work_off_returned\n"
        "print('begin', flush=True)\n"
        "work_off_returned()\n"
    )
    name = connection.settings_dict["NAME"]
    base, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    environment = os.environ | {"DATABASE_URL": f"{base}/{name}"}
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE delivery_event IN SHARE MODE")
        with subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begin\n"
            time.sleep(0.5)
            process.send_signal(signal.SIGKILL)
        cursor.execute("ROLLBACK")
    assert set(ReturnedMail.objects.values_list("status", flat=True)) == {"new"}
    assert not Suppression.objects.exists()
    deadline = time.monotonic() + 10
    while not work_off_returned().mails and time.monotonic() < deadline:
        time.sleep(0.1)
    assert set(Message.objects.values_list("status", flat=True)) == {"bounced"}


def test_the_tasks_read_mailboxes_and_work_off(user: User) -> None:
    message = sent(user)
    with ImapServer() as server:
        server.add(dsn(to=path_of(message)))
        mailbox = a_mailbox(server.port)
        check_bounce_mailboxes()
        read_bounce_mailbox(str(mailbox.pk))
        assert server.mails() == []
    process_returned_mail()
    message.refresh_from_db()
    assert message.status == "bounced"


def test_a_wake_up_goes_to_the_queue_of_events(user: User) -> None:
    with app.connection_for_read() as broker:
        mails = broker.SimpleQueue(QUEUE)
        take_returned(dsn(), "", ReturnedRoute.HOOK)
        take_returned(dsn(), "", ReturnedRoute.HOOK)
        assert mails.get(timeout=2).headers["task"] == "inbound.tasks.process_returned_mail"
        with pytest.raises(mails.Empty):
            mails.get(block=False)
        mails.close()


def test_a_body_sent_in_chunks_is_read() -> None:
    path = "/hooks/" + returned_url(renew_returned_token()).partition("/hooks/")[2]
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": path, "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "CONTENT_TYPE": "message/rfc822", "wsgi.input": io.BytesIO(dsn()),
        "wsgi.input_terminated": True, "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http",
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_TRANSFER_ENCODING": "chunked",
    }  # fmt: skip
    said: list[str] = []

    def start(status: str, _headers: Any, _error: Any = None, /) -> Any:
        said.append(status)

    list(get_wsgi_application()(environ, start))
    assert said == ["200 OK"]
    assert ReturnedMail.objects.get().kind == ""
