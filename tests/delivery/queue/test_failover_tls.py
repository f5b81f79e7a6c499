"""A bad certificate of an SMTP account: nothing is said there, its breaker opens, mail moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from tests.support.failover import CONNECTION, TAKEN, check_fate, drain_twice, moved
from tests.support.mail import queue, smtp_account
from tests.support.smtp import Certificate, make_certificate, trusting
from tests.support.smtp_server import FaultyServer

pytestmark = pytest.mark.django_db

LOGIN: dict[str, Any] = {"username": "me"}
EXTENSIONS = ("PIPELINING", "8BITMIME", "AUTH PLAIN LOGIN", "ENHANCEDSTATUSCODES")


@contextmanager
def self_signed(folder: Path) -> Iterator[Certificate]:
    """Yield a certificate that nobody vouches for."""
    yield make_certificate(folder)


@contextmanager
def for_another_host(folder: Path) -> Iterator[Certificate]:
    """Yield a trusted certificate of somebody else."""
    certificate = make_certificate(folder, hosts=["mail.example.org", "192.0.2.7"])
    with trusting(certificate):
        yield certificate


@contextmanager
def expired(folder: Path) -> Iterator[Certificate]:
    """Yield a trusted certificate that was good until yesterday."""
    certificate = make_certificate(folder, ends_in=-timedelta(days=1))
    with trusting(certificate):
        yield certificate


@contextmanager
def good(folder: Path) -> Iterator[Certificate]:
    """Yield a trusted certificate for this host."""
    certificate = make_certificate(folder)
    with trusting(certificate):
        yield certificate


@pytest.mark.parametrize("how", ["use_tls", "use_ssl"])
@pytest.mark.parametrize(
    ("certificates", "says"),
    [
        (self_signed, "certificate not trusted: self-signed certificate"),
        (for_another_host, "certificate is not valid for '127.0.0.1'"),
        (expired, "certificate not trusted: certificate has expired"),
        (good, ""),
    ],
)
def test_a_certificate_decides_whether_an_account_gets_mail(
    user: User, certificates: Any, says: str, how: str, tmp_path: Path
) -> None:
    with certificates(tmp_path) as certificate, FaultyServer() as second:
        server = FaultyServer(
            extensions=EXTENSIONS, tls=certificate.context, implicit_tls=how == "use_ssl"
        )
        with server as first:
            account = smtp_account(
                first.port,
                position=1,
                hourly_limit=10,
                settings={**LOGIN, how: True},
                secrets={"password": "secret"},
            )
            smtp_account(second.port, position=2)
            message = queue(user, email_type="marketing")
            drain_twice()
            seen = (len(first.mails), len(second.mails))
            credentials = [line for line in first.lines if line.startswith("AUTH")]
    check_fate(message, account, moved(breaker=CONNECTION, says=says) if says else TAKEN, seen)
    assert len(credentials) == (0 if says else 1)
