"""Where domains take their mail: every answer of DNS, remembered, shared, and in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mailservice.core.broker import redis_client
from tests.support.dns import NameServer
from tests.support.validation import local_dns
from verification.adapters.resolver import parse_resolver
from verification.mail_routes import forget_mail_routes, mail_routes
from verification.models import DomainEntry
from verification.selectors.validation import domain_lists, forget_domain_lists
from verification.services import validate_many


@pytest.fixture
def dns(settings: Any) -> Iterator[NameServer]:
    with local_dns(settings) as server:
        yield server


def kind(domain: str, budget_seconds: float = 3.0) -> str:
    return mail_routes([domain], budget_seconds=budget_seconds)[domain].kind.value


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("acme.io", "mx"),
        ("alias.io", "mx"),
        ("old.io", "address"),
        ("six.io", "address"),
        ("null.io", "null"),
        ("empty.io", "none"),
        ("nowhere.io", "no_domain"),
        ("broken.io", "unknown"),
        ("half.io", "unknown"),
        ("silent.io", "unknown"),
    ],
)
def test_each_answer_has_its_meaning(dns: NameServer, domain: str, expected: str) -> None:
    assert kind(domain) == expected


def test_hosts_come_by_preference(dns: NameServer) -> None:
    route = mail_routes(["acme.io"], budget_seconds=3)["acme.io"]
    assert route.hosts == ("mx1.acme.io", "mx2.acme.io")


def test_null_mx_beside_others_is_a_slip(dns: NameServer) -> None:
    dns.zone["odd.io", "MX"] = ["0 .", "10 mx1.acme.io."]
    assert mail_routes(["odd.io"], budget_seconds=3)["odd.io"].hosts == ("mx1.acme.io",)


def test_a_resolver_that_denies_the_root_knows_nothing_of_the_world(dns: NameServer) -> None:
    del dns.zone[".", "NS"]
    assert (kind("nowhere.io"), kind("acme.io")) == ("unknown", "mx")


def test_an_answer_is_asked_for_once_by_all_processes(dns: NameServer) -> None:
    assert [kind("acme.io") for _ in range(3)] == ["mx"] * 3
    forget_mail_routes()  # another process
    assert kind("acme.io") == "mx"
    assert dns.asked == [("acme.io", "MX")]
    assert 0 < redis_client().ttl("mailroute:acme.io") <= 300


@pytest.mark.parametrize("attempt", range(20))
def test_a_crowd_asks_once(dns: NameServer, attempt: int) -> None:
    found: list[str] = []
    crowd = [threading.Thread(target=lambda: found.append(kind("acme.io"))) for _ in range(12)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert found == ["mx"] * 12
    assert dns.asked == [("acme.io", "MX")]


def test_who_waits_for_a_dead_process_gives_up_in_time_and_the_next_one_asks(
    dns: NameServer,
) -> None:
    redis_client().set("mailroute-mark:acme.io", b"1", px=20_000)
    started = time.monotonic()
    assert kind("acme.io", budget_seconds=0.1) == "unknown"
    assert time.monotonic() - started < 10
    assert dns.asked == []
    redis_client().pexpire("mailroute-mark:acme.io", 100)
    assert kind("acme.io", budget_seconds=10) == "mx"  # the mark has run out


def test_silence_takes_no_longer_than_the_budget_and_is_not_asked_again_at_once(
    dns: NameServer,
) -> None:
    domains = [f"s{number}.io" for number in range(100)]
    dns.zone.update({(domain, "MX"): "SILENCE" for domain in domains})
    started = time.monotonic()
    routes = mail_routes(domains, budget_seconds=0.5)
    assert time.monotonic() - started < 5  # four rounds of two seconds, were there no budget
    assert {route.kind.value for route in routes.values()} == {"unknown"}
    asked = len(dns.asked)
    assert kind(dns.asked[0][0], budget_seconds=0.5) == "unknown"
    assert len(dns.asked) == asked


def test_without_a_budget_only_what_is_remembered_counts(dns: NameServer) -> None:
    assert kind("acme.io", budget_seconds=0) == "unknown"
    assert dns.asked == []
    assert kind("acme.io") == "mx"
    assert kind("acme.io", budget_seconds=0) == "mx"


def test_without_a_broker_each_process_remembers_for_itself(dns: NameServer, settings: Any) -> None:
    redis_client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    try:
        assert [kind("acme.io") for _ in range(3)] == ["mx"] * 3
    finally:
        redis_client.cache_clear()
    assert dns.asked == [("acme.io", "MX")]


def test_a_dead_resolver_makes_all_unknown(settings: Any) -> None:
    settings.DNS_RESOLVERS = ["127.0.0.1:1"]
    forget_mail_routes()
    assert kind("acme.io", budget_seconds=0.3) == "unknown"


def test_many_are_validated_in_order_within_the_budget(dns: NameServer, db: None) -> None:
    results = validate_many(
        ["ann@acme.io", "x", "ann@nowhere.io", "ann@silent.io", "Ann@ACME.io", "ann@gmai.com"],
        budget_seconds=2,
    )
    assert [(each.verdict.value, each.suggestion) for each in results] == [
        ("valid", ""),
        ("invalid", ""),
        ("invalid", ""),
        ("unknown", ""),
        ("valid", ""),
        ("risky", "ann@gmail.com"),
    ]
    assert validate_many([]) == []


def test_an_operators_entry_counts_within_seconds_and_the_lists_are_not_read_again_for_nothing(
    dns: NameServer, db: None, django_assert_num_queries: Any
) -> None:
    assert validate_many(["ann@acme.io"])[0].verdict.value == "valid"
    entry = DomainEntry.objects.create(domain="acme.io", list="disposable")
    assert not domain_lists().is_disposable("acme.io")  # remembered for five seconds
    forget_domain_lists()
    assert validate_many(["ann@acme.io"])[0].is_disposable
    entry.list = "allow"
    entry.save()
    forget_domain_lists()
    with django_assert_num_queries(2):
        assert not domain_lists().is_disposable("acme.io")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_resolvers_are_named_with_or_without_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_resolver(text) == expected
