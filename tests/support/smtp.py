"""Mails, account settings and certificates for SMTP tests."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from providers.adapters.smtp.adapter import SmtpAdapter
from providers.ports import AccountConfig, OutgoingMail

if TYPE_CHECKING:
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
    """A self-signed certificate for 127.0.0.1 and localhost, as files and as a server context."""

    path: Path
    context: ssl.SSLContext


def make_certificate(folder: Path) -> Certificate:
    """Write a certificate and its key below `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
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
    return Certificate(path, context)
