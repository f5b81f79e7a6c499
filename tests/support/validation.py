"""Domains of every kind for address validation."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from tests.support.dns import SERVFAIL, SILENCE, NameServer, name_server
from verification.mail_routes import forget_mail_routes

if TYPE_CHECKING:
    from collections.abc import Iterator

ZONE = {
    (".", "NS"): ["a.root-servers.net."],
    ("acme.io", "MX"): ["20 mx2.acme.io.", "10 mx1.acme.io."],
    ("mx1.acme.io", "A"): ["127.0.0.1"],
    ("mx2.acme.io", "A"): ["127.0.0.1"],
    ("old.io", "A"): ["192.0.2.1"],
    ("six.io", "AAAA"): ["2001:db8::1"],
    ("null.io", "MX"): ["0 ."],
    ("empty.io", "TXT"): ["nothing"],
    ("broken.io", "MX"): SERVFAIL,
    ("silent.io", "MX"): SILENCE,
    ("half.io", "NS"): ["ns.acme.io."],
    ("half.io", "A"): SERVFAIL,
    ("alias.io", "CNAME"): ["acme.io."],
    ("mailinator.com", "MX"): ["10 mx1.acme.io."],
    ("gmail.com", "MX"): ["10 mx1.acme.io."],
    ("gmai.com", "MX"): ["10 mx1.acme.io."],
    ("xn--bcher-kva.de", "MX"): ["10 mx1.acme.io."],
}


@contextlib.contextmanager
def local_dns(settings: Any) -> Iterator[NameServer]:
    """Serve `ZONE`, and have it asked."""
    with name_server(dict(ZONE)) as server:
        settings.DNS_RESOLVERS = [server.address]
        settings.DNS_TIMEOUT_SECONDS = 1
        forget_mail_routes()
        yield server
