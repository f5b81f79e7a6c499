"""Mails, account settings and certificates for SMTP tests."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from providers.adapters.smtp.adapter import SmtpAdapter
from providers.adapters.smtp.connection import tls_context
from providers.ports import AccountConfig, OutgoingMail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PROVIDER_ID = UUID("01890000-0000-7000-8000-000000000001")
MESSAGE_ID = UUID("01890000-0000-7000-8000-000000000002")
DATA = b"Message-ID: <1@a.example>\r\nSubject: x\r\n\r\nHello\r\n"


def a_mail(*recipients: str, **changes: Any) -> OutgoingMail:
    """Return a mail from a@a.example to `recipients`, b@b.example if none are named."""
    values: dict[str, Any] = {
        "message_id": MESSAGE_ID,
        "return_path": "a@a.example",
        "recipients": recipients or ("b@b.example",),
        "data": DATA,
    }
    return OutgoingMail(**(values | changes))


def an_account(
    port: int, *, secrets: dict[str, str] | None = None, cap: int = 0, **settings: Any
) -> AccountConfig:
    """Return the account of a server on this host that answers within two seconds."""
    values: dict[str, Any] = {"host": "127.0.0.1", "port": port, "timeout_seconds": 2}
    return AccountConfig(
        provider_id=PROVIDER_ID,
        name="test",
        kind="smtp",
        settings=values | settings,
        secrets=secrets or {},
        max_messages_per_connection=cap,
    )


def an_adapter(port: int, **settings: Any) -> SmtpAdapter:
    """Return the adapter for `an_account`."""
    return SmtpAdapter(an_account(port, **settings))


class AnyPortController(Controller):
    """A real server (aiosmtpd) on a free port, which `port` tells after `start()`."""

    def __init__(self, handler: object, **options: Any) -> None:
        super().__init__(handler, hostname="127.0.0.1", port=0, **options)

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate and its key, as files and as a server context."""

    path: Path
    key_path: Path
    context: ssl.SSLContext


def make_certificate(
    folder: Path,
    *,
    hosts: Sequence[str] = ("localhost", "127.0.0.1"),
    ends_in: dt.timedelta = dt.timedelta(days=1),
) -> Certificate:
    """Write a certificate for `hosts` and its key below `folder`; a negative `ends_in` is over."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
    now = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + ends_in)
        .add_extension(
            x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, key_path = folder / "certificate.pem", folder / "key.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return Certificate(path, key_path, context)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@contextmanager
def trusting(certificate: Certificate) -> Iterator[None]:
    """Let this process trust a certificate as if an authority had signed it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificate.path))
        tls_context.cache_clear()
        try:
            yield
        finally:
            tls_context.cache_clear()
