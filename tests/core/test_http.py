"""Outgoing requests against real servers of this machine."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core import http
from mailservice.core.http import (
    BlockedAddressError,
    DeadlineError,
    InvalidUrlError,
    OutgoingHttpError,
    parse_url,
    post_json,
)
from mailservice.core.networks import is_public
from tests.support.esp.server import Answer, ApiServer, Drop, Stall


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(lambda _request: Answer(200, b'{"ok": true}')) as running:
        yield running


def url_of(server: ApiServer, host: str = "127.0.0.1", path: str = "/hook?a=1") -> str:
    return f"http://{host}:{server.port}{path}"


def send(url: str, **options):
    return post_json(url, b'{"x": 1}', **{"timeout_seconds": 5, "allow_private": True, **options})


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111"])
def test_the_internets_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192",
        "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "168.63.129.16",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
        "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
        "", "localhost", "1.2.3", "0x7f.1",
    ],
)  # fmt: skip
def test_all_others_are_refused(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_that_carries_another_is_refused(inner: ipaddress.IPv4Address) -> None:
    for text in (f"::ffff:{inner}", f"::{inner}", f"64:ff9b::{inner}"):
        assert not is_public(text)
    assert is_public(str(inner)) <= inner.is_global


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "127.1", "0"],
)
def test_no_way_of_writing_this_machine_gets_through(server: ApiServer, host: str) -> None:
    with pytest.raises(OutgoingHttpError) as caught:
        send(url_of(server, host), allow_private=False)
    assert isinstance(caught.value, BlockedAddressError) or "no host" in caught.value.message
    assert server.requests == []


def test_the_setting_decides_where_the_caller_does_not(server: ApiServer, settings) -> None:
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = False
    with pytest.raises(BlockedAddressError, match="OUTGOING_HTTP_ALLOW_PRIVATE allows it"):
        send(url_of(server), allow_private=None)
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
    assert send(url_of(server), allow_private=None).status == 200


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://Hooks.Example.COM", ("https", "hooks.example.com", 443, "/")),
        ("http://example.com:8080/a/b?c=d#e", ("http", "example.com", 8080, "/a/b?c=d")),
        ("https://köln.example/x", ("https", "xn--kln-sna.example", 443, "/x")),
        ("https://[2606:4700::1111]/", ("https", "2606:4700::1111", 443, "/")),
    ],
)
def test_urls_are_taken_apart(text: str, parts: tuple[str, str, int, str]) -> None:
    url = parse_url(text)
    assert (url.scheme, url.host, url.port, url.target) == parts


@pytest.mark.parametrize(
    "text",
    [
        "", "example.com", "ftp://example.com", "file:///etc/passwd", "//example.com", "https://",
        "https://user@example.com", "https://u:p@example.com", "https://example.com:99999",
        "https://example.com:0", "https://example.com:x", "https://[::1", "https://ex ample.com",
        "https://example.com/a\r\nHost: x", "https://example.com/ü", "https://☃\u0378.example",
        "https://example.com/" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidUrlError) as caught:
        parse_url(text)
    assert caught.value.message.endswith(".") or "host" in caught.value.message


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    for candidate in (text, f"https://{text}", f"https://h/{text}"):
        try:
            url = parse_url(candidate)
        except InvalidUrlError:
            continue
        assert url.host.isascii()
        assert "\n" not in url.target


# --- exchange -------------------------------------------------------------------------------------


def test_json_is_sent_and_the_answer_comes_back(server: ApiServer) -> None:
    answer = send(url_of(server), headers={"webhook-id": "1"})
    assert (answer.status, answer.text, answer.is_ok) == (200, '{"ok": true}', True)
    request = server.requests[0]
    assert (request.path, request.query, request.body) == ("/hook", "a=1", b'{"x": 1}')
    names = ("content-type", "user-agent", "webhook-id", "host", "accept-encoding")
    assert [request.headers[name] for name in names] == [
        "application/json",
        "mailservice",
        "1",
        f"127.0.0.1:{server.port}",
        "identity",
    ]


def test_the_host_is_named_though_an_address_is_connected_to(server: ApiServer) -> None:
    send(url_of(server, "LocalHost"))
    assert server.requests[0].headers["host"] == f"localhost:{server.port}"


def test_a_redirect_is_an_answer_and_not_followed(server: ApiServer) -> None:
    server.then(Answer(307, b"", {"Location": url_of(server, path="/elsewhere")}))
    answer = send(url_of(server))
    assert (answer.status, answer.is_ok, len(server.requests)) == (307, False, 1)
    assert answer.headers["location"].endswith("/elsewhere")


def test_of_a_long_answer_64_kib_are_read(server: ApiServer) -> None:
    server.then(Answer(200, b"x" * 5_000_000), Answer(500, b"\xff", {"Content-Encoding": "gzip"}))
    assert len(send(url_of(server)).body) == 65_536
    assert send(url_of(server)).text == "\ufffd"


def test_a_header_cannot_carry_another(server: ApiServer) -> None:
    with pytest.raises(OutgoingHttpError):
        send(url_of(server), headers={"x": "1\r\nY: 2"})
    assert server.requests == []


def test_nobody_there_is_told_without_path_and_query() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(OutgoingHttpError) as caught:
        send(f"http://127.0.0.1:{port}/s3cr3t?token=x")
    assert caught.value.message == "127.0.0.1: Connection refused"


def test_an_unknown_host_is_told() -> None:
    with pytest.raises(OutgoingHttpError, match=r"There is no host nowhere\.invalid"):
        send("https://nowhere.invalid/")


def test_a_server_that_hangs_up_is_told(server: ApiServer) -> None:
    server.then(Drop(), Drop(before_body=True))
    for _ in range(2):
        with pytest.raises(OutgoingHttpError) as caught:
            send(url_of(server))
        assert not isinstance(caught.value, DeadlineError)


# --- deadline -------------------------------------------------------------------------------------


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as peer:
                try:
                    peer.recv(65_536)
                    answer(peer)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def drip(head: bytes) -> Callable[[socket.socket], None]:
    def answer(peer: socket.socket) -> None:
        peer.sendall(head)
        for _ in range(200):
            peer.sendall(b"x")
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\n\r\n", b"HT"])
def test_a_server_that_drips_does_not_hold_us_up(head: bytes) -> None:
    with raw_server(drip(head)) as port:
        started = time.monotonic()
        with pytest.raises(DeadlineError, match=r"within 0\.3 seconds"):
            send(f"http://127.0.0.1:{port}/", timeout_seconds=0.3)
        assert time.monotonic() - started < 8  # it would drip for 10
    assert _outgoing_threads_end()


def test_a_silent_server_does_not_hold_us_up(server: ApiServer) -> None:
    server.then(Stall())
    with pytest.raises(DeadlineError):
        send(url_of(server), timeout_seconds=0.2)
    assert _outgoing_threads_end()


def test_a_silent_tls_handshake_does_not_hold_us_up() -> None:
    with raw_server(lambda _peer: time.sleep(1)) as port:
        with pytest.raises(DeadlineError):
            send(f"https://127.0.0.1:{port}/", timeout_seconds=0.2)
        assert _outgoing_threads_end()


def test_what_is_no_http_is_told() -> None:
    with raw_server(lambda peer: peer.sendall(b"220 mail.example.com ESMTP\r\n")) as port:
        with pytest.raises(OutgoingHttpError) as caught:
            send(f"http://127.0.0.1:{port}/")
        assert caught.value.message == "127.0.0.1: the answer is no HTTP (BadStatusLine)"


def _outgoing_threads_end() -> bool:
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if not any(thread.name == "outgoing-http" for thread in threading.enumerate()):
            return True
        time.sleep(0.01)
    return False


# --- TLS ------------------------------------------------------------------------------------------


def certificate(tmp_path: Path, *names: str) -> tuple[Path, Path]:
    """Return a self-signed certificate for the names, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@pytest.fixture
def tls_server(tmp_path: Path, monkeypatch) -> Iterator[tuple[ApiServer, list[str | None]]]:
    """Return a server with a certificate for `localhost`, trusted as the system's own are."""
    cert, key = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    http._tls.cache_clear()
    with ApiServer(lambda _request: Answer(200), tls=context) as running:
        yield running, asked
    http._tls.cache_clear()


def test_the_certificate_must_be_the_hosts(tls_server) -> None:
    server, asked = tls_server
    assert send(f"https://localhost:{server.port}/").status == 200
    assert server.requests[0].headers["host"] == f"localhost:{server.port}"
    assert asked == ["localhost"]
    with pytest.raises(OutgoingHttpError, match="the certificate is refused"):
        send(f"https://127.0.0.1:{server.port}/")
    assert len(server.requests) == 1


def test_a_certificate_of_unknown_origin_is_refused(tls_server, monkeypatch) -> None:
    server, _ = tls_server
    monkeypatch.delenv("SSL_CERT_FILE")
    http._tls.cache_clear()
    with pytest.raises(OutgoingHttpError, match="the certificate is refused: self-signed"):
        send(f"https://localhost:{server.port}/")
    assert server.requests == []
