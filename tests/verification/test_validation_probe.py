"""What mail servers say of mailboxes, asked politely."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mailservice.core.broker import redis_client
from tests.support.dns import NameServer
from tests.support.smtp_server import Drop, FaultyServer, Say, Stall
from tests.support.validation import local_dns
from verification.adapters.probe import Manners, is_about_mailbox, probe_mailbox
from verification.services import validate_many
from verification.services.probing import operator_of, probe_all


@pytest.fixture(autouse=True)
def dns(settings: Any) -> Iterator[NameServer]:
    with local_dns(settings) as server:
        yield server


def ask(
    server: FaultyServer,
    dns: NameServer,
    *,
    email: str = "ann@acme.io",
    seconds: float = 2,
    allows_private: bool = True,
) -> str:
    manners = Manners("mail.example.com", "", server.port, seconds, allows_private)
    return probe_mailbox(email, ["mx1.acme.io"], resolvers=[dns.address], manners=manners).value


UNKNOWN_USER = "550 5.1.1 No such user"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({}, "catch_all"),
        ({"RCPT ann@acme.io": "250 OK", "RCPT": UNKNOWN_USER}, "accepted"),
        ({"RCPT": UNKNOWN_USER}, "rejected"),
        ({"RCPT": "550 Mailbox unavailable: user unknown"}, "rejected"),
        ({"RCPT": "550 5.7.1 Your host is blocked"}, "unknown"),
        ({"RCPT": "554 5.7.1 user unknown to our whitelist"}, "unknown"),
        ({"RCPT": "450 4.2.0 Greylisted"}, "unknown"),
        ({"CONNECT": "554 No"}, "unknown"),
        ({"EHLO": "421 Later"}, "unknown"),
        ({"MAIL": "550 5.1.1 bad sender"}, "unknown"),
        ({"RCPT": Drop()}, "unknown"),
        ({"RCPT": Say(b"nonsense\r\n")}, "unknown"),
        ({"CONNECT": Say(b"220-" + b"x" * 100_000)}, "unknown"),
    ],
)
def test_each_reply_has_its_meaning(dns: NameServer, script: Any, expected: str) -> None:
    with FaultyServer((script,)) as server:
        assert ask(server, dns) == expected
        assert not server.mails
        assert not any(line.startswith("DATA") for line in server.lines)


def test_we_introduce_ourselves_and_hang_up(dns: NameServer) -> None:
    with FaultyServer(({"RCPT": UNKNOWN_USER},)) as server:
        ask(server, dns)
        time.sleep(0.05)
        assert server.lines == [
            "EHLO mail.example.com",
            "MAIL FROM:<>",
            "RCPT TO:<ann@acme.io>",
            "QUIT",
        ]


def test_a_silent_server_takes_no_longer_than_allowed(dns: NameServer) -> None:
    started = time.monotonic()
    with FaultyServer(({"RCPT": Stall()},)) as server:
        assert ask(server, dns, seconds=0.4) == "unknown"
        assert time.monotonic() - started < 10  # the server would be silent for 20


def test_a_strangers_record_does_not_lead_into_our_own_network(dns: NameServer) -> None:
    with FaultyServer() as server:
        assert ask(server, dns, allows_private=False) == "unknown"
        assert server.conversations == []


def test_an_address_beyond_ascii_is_not_asked_about(dns: NameServer) -> None:
    with FaultyServer() as server:
        assert ask(server, dns, email="änn@acme.io") == "unknown"
        assert server.conversations == []


def test_only_words_about_the_mailbox_count() -> None:
    assert is_about_mailbox(550, "5.1.1 x")
    assert is_about_mailbox(550, "The email account does not exist")
    assert not is_about_mailbox(550, "Access denied")
    assert not is_about_mailbox(550, "5.7.1 user unknown")
    assert not is_about_mailbox(554, "user unknown")


@pytest.fixture
def server(settings: Any) -> Iterator[FaultyServer]:
    with FaultyServer(({"RCPT ann@acme.io": "250 OK", "RCPT": UNKNOWN_USER},)) as server:
        settings.VALIDATION_PROBE = True
        settings.VALIDATION_PROBE_PORT = server.port
        settings.VALIDATION_PROBE_PRIVATE = True
        yield server


def test_the_pace_is_kept_for_each_operator(server: FaultyServer, settings: Any) -> None:
    settings.VALIDATION_PROBE_RATE = 60
    hosts = ["mx1.acme.io"]
    answers = probe_all(
        {"ann@acme.io": hosts, "bob@acme.io": hosts}, ends_at=time.monotonic() + 0.5
    )
    assert sorted(answer.value for answer in answers.values()) in (
        ["accepted", "unknown"],
        ["rejected", "unknown"],
    )
    assert len(server.conversations) == 1
    assert operator_of("aspmx.l.google.com") == operator_of("alt1.google.com") == "google.com"


def test_without_the_store_that_keeps_the_pace_nobody_is_asked(
    server: FaultyServer, settings: Any
) -> None:
    redis_client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    try:
        answers = probe_all({"ann@acme.io": ["mx1.acme.io"]}, ends_at=time.monotonic() + 1)
    finally:
        redis_client.cache_clear()
    assert [answer.value for answer in answers.values()] == ["unknown"]
    assert server.conversations == []


def test_verdicts_are_refined_and_only_where_that_can_matter(
    server: FaultyServer, settings: Any, db: None
) -> None:
    settings.VALIDATION_PROBE_RATE = 60_000
    emails = ["ann@acme.io", "bob@acme.io", "x@nowhere.io", "x"]
    results = validate_many(emails, budget_seconds=5, does_probe=True)
    assert [(each.verdict.value, each.probe.value) for each in results] == [
        ("valid", "accepted"),
        ("invalid", "rejected"),
        ("invalid", "not_checked"),
        ("invalid", "not_checked"),
    ]
    assert len(server.conversations) == 2
