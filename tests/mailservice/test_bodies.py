"""Bodies in chunks, as the real web server hands them over, and clients that break off."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client, RequestFactory

from accounts.services import NewApiKey
from delivery.link_keys import forget_link_keys
from delivery.models import LinkKey, Message, Suppression
from delivery.unsubscribing import MailLink, seal_link
from inbound.models import EventSource, RawEvent, ReturnedMail
from inbound.services.returned_hook import renew_returned_token, returned_url
from inbound.services.sources import hook_url, source_of
from mailservice.core import bodies
from providers.models import Provider
from tests.support.returned import dsn
from tests.support.web import WebServer

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MAIL = {"from": "a@example.com", "to": "bob@example.net", "subject": "Hi", "text": "Hello"}


@pytest.fixture(scope="module")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with WebServer(tmp_path_factory.mktemp("web") / "log") as server:
        yield server


@pytest.fixture(autouse=True)
def _keys(transactional_db: None) -> Iterator[None]:
    # The server lives through all tests and remembers the keys of the first.
    LinkKey.objects.create(number=0, secret="5a" * 32)
    forget_link_keys()
    yield
    forget_link_keys()


@pytest.fixture
def hook(db: None) -> str:
    provider = Provider.objects.create(name="my esp", kind="brevo", secrets={"api_key": "k"})
    source = EventSource.objects.get(pk=source_of(provider_id=provider.pk).pk)
    return "/hooks/" + hook_url(source).partition("/hooks/")[2]


def returned_path() -> str:
    return "/hooks/" + returned_url(renew_returned_token()).partition("/hooks/")[2]


def test_a_providers_post_in_chunks_is_kept(web: WebServer, hook: str) -> None:
    said = web.post_chunked(hook, b'{"event":', b'"delivered"}', Content_Type=JSON)
    assert said.status == 200
    assert bytes(RawEvent.objects.get().body) == b'{"event":"delivered"}'


def test_one_click_in_chunks_unsubscribes(web: WebServer) -> None:
    link = seal_link(MailLink(uuid4(), "marketing", "", "bob@example.net"))
    said = web.post_chunked(f"/u/{link}", b"List-Unsubscribe", b"=One-Click", Content_Type=FORM)
    assert said.status == 200
    assert Suppression.objects.get().address == "bob@example.net"


def test_a_form_of_parts_in_chunks_is_read(web: WebServer) -> None:
    link = seal_link(MailLink(uuid4(), "marketing", "", "bob@example.net"))
    parts = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n'
    said = web.post_chunked(
        f"/u/{link}", parts, b"--x--\r\n", Content_Type="multipart/form-data; boundary=x"
    )
    assert said.status == 200
    assert Suppression.objects.exists()


def test_the_api_takes_mail_in_chunks(web: WebServer, api_key: NewApiKey) -> None:
    body = json.dumps(MAIL | {"text": "x" * 2_000_000}).encode()
    pieces = [body[start : start + 100_000] for start in range(0, len(body), 100_000)]
    bearer = f"Bearer {api_key.secret}"
    said = web.post_chunked("/api/v1/emails", *pieces, Content_Type=JSON, Authorization=bearer)
    assert said.status == 202
    assert Message.objects.count() == 1


def test_the_api_takes_files_in_chunks(web: WebServer, api_key: NewApiKey) -> None:
    parts = b""
    for name, value in MAIL.items():
        parts += f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    parts += b'--x\r\nContent-Disposition: form-data; name="attachments"; filename="a.txt"\r\n'
    parts += b"Content-Type: text/plain\r\n\r\nabc\r\n--x--\r\n"
    bearer = f"Bearer {api_key.secret}"
    kind = "multipart/form-data; boundary=x"
    said = web.post_chunked("/api/v1/emails", parts, Content_Type=kind, Authorization=bearer)
    assert said.status == 202
    assert Message.objects.get().content.attachments.count() == 1


def test_a_returned_mail_in_chunks_is_kept(web: WebServer) -> None:
    said = web.post_chunked(returned_path(), dsn(), Content_Type="message/rfc822")
    assert said.status == 200
    assert bytes(ReturnedMail.objects.get().body) == dsn()


@pytest.mark.parametrize("end", [b"", b"5\r\nab", b"zz\r\n", b"0\r\nbad trailer\r\n\r\n"])
def test_a_body_that_breaks_off_is_answered_400_without_a_trace(
    web: WebServer, hook: str, end: bytes
) -> None:
    link = seal_link(MailLink(uuid4(), "marketing", "", "bob@example.net"))
    paths = (hook, returned_path(), f"/u/{link}", "/api/v1/emails")
    for path in paths:
        assert web.post_chunked(path, b"List-Unsubscribe=One-Click", end=end).status == 400
    assert not RawEvent.objects.exists()
    assert not ReturnedMail.objects.exists()
    assert not Suppression.objects.exists()
    assert "Traceback" not in web.log()
    assert not any(path in web.log() for path in paths[:3])


def test_a_body_shorter_than_announced_is_not_kept(web: WebServer, hook: str) -> None:
    for path in (hook, returned_path()):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        assert web.say(head.encode() + b'{"event": ').status == 400
    assert not RawEvent.objects.exists()
    assert not ReturnedMail.objects.exists()


def test_a_client_that_resets_its_connection_leaves_no_traceback(web: WebServer, hook: str) -> None:
    link = seal_link(MailLink(uuid4(), "marketing", "", "bob@example.net"))
    for path in (hook, returned_path(), f"/u/{link}", "/admin/login/"):
        with socket.create_connection(("127.0.0.1", web.port)) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            connection.sendall(f"{head}Content-Type: {FORM}\r\n\r\nabc".encode())
            time.sleep(0.2)  # let it begin to read
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert web.say(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200
    assert "Traceback" not in web.log()


@pytest.mark.parametrize(
    ("path", "size"), [("/api/v1/emails", 42_000_000), ("HOOK", 5_300_000), ("/u/x", 70_000)]
)
def test_what_is_too_long_is_refused(web: WebServer, hook: str, path: str, size: int) -> None:
    said = web.post_chunked(path.replace("HOOK", hook), b"x" * size, Content_Type=JSON)
    assert said.status == 413


def test_an_empty_post_is_no_event(hook: str) -> None:
    assert Client().post(hook, b"", content_type=JSON).status_code == 400
    assert not RawEvent.objects.exists()


def test_a_body_is_not_waited_for_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    theirs.sendall(b"part of a body")

    def view(_request: Any) -> Any:
        while ours.recv(100):
            pass
        return "answered"

    request = RequestFactory().post("/")
    del request.META["CONTENT_LENGTH"]
    request.META |= {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
        "gunicorn.socket": ours,
    }
    with ours, theirs:
        answer: Any = bodies.ChunkedBodies(view)(request)
    assert answer == "answered"
