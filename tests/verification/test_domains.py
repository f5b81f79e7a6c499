"""Sender domains over time, against a name server of our own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from accounts.models import User
from alerts.models import Alert
from mailservice.core.errors import InvalidInputError, NotFoundError
from tests.support.dns import SERVFAIL, SILENCE, NameServer, name_server
from verification.dns import Budget, Status, look_up
from verification.errors import TooManyRequestsError
from verification.models import SenderDomain
from verification.selectors.domains import aligned_patterns
from verification.services.domains import (
    MAX_DOMAINS,
    add_domain,
    change_domain,
    check_due,
    check_now,
    remove_domain,
)

KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8463 §A.2
SPF = {("example.com", "TXT"): ["v=spf1 include:_spf.example.net -all"]}
GOOD: dict[tuple[str, str], Any] = {
    **SPF,
    ("_spf.example.net", "TXT"): ["v=spf1 ip4:192.0.2.1 -all"],
    ("s1._domainkey.example.com", "TXT"): [KEY],
    ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject; rua=mailto:d@example.com"],
    ("example.com", "MX"): ["10 mx.example.com."],
}
VALUES = {
    "domain": "example.com",
    "providers": ["smtp"],
    "spf_includes": ["_spf.example.net"],
    "dkim": [{"selector": "s1", "type": "TXT", "value": KEY}],
}


@pytest.fixture
def server(settings: Any) -> Iterator[NameServer]:
    with name_server(dict(GOOD)) as found:
        settings.DNS_RESOLVERS = [found.address]
        settings.DNS_TIMEOUT_SECONDS = 1
        yield found


@pytest.fixture
def domain(db: None) -> SenderDomain:
    return add_domain(owner_id=None, values=VALUES)


def states(row: SenderDomain) -> dict[str, str]:
    return {check["title"]: check["state"] for check in row.checks}


def later(row: SenderDomain) -> None:
    SenderDomain.objects.filter(pk=row.pk).update(checked_at=timezone.now() - timedelta(hours=1))


def test_answers_of_the_dns_are_told_apart(server):
    server.zone |= {
        ("slow.example", "TXT"): SILENCE,
        ("broken.example", "TXT"): SERVFAIL,
        ("alias.example", "CNAME"): ["example.com."],
        ("long.example", "TXT"): ["x" * 600],
        ("null.example", "MX"): ["0 ."],
    }
    assert look_up("example.com", "TXT").records == tuple(SPF["example.com", "TXT"])
    assert look_up("example.com", "A").status is Status.EMPTY
    assert look_up("nobody.example", "A").status is Status.ABSENT
    assert look_up("broken.example", "TXT").status is Status.UNKNOWN
    assert look_up("slow.example", "TXT").status is Status.UNKNOWN
    assert look_up("long.example", "TXT").records == ("x" * 600,)
    assert look_up("null.example", "MX").records == ("0 .",)
    alias = look_up("alias.example", "MX")
    assert (alias.records, alias.canonical) == (("10 mx.example.com",), "example.com")
    for odd in ("a..b", "x" * 64 + ".example", "x." * 200, ""):
        assert look_up(odd, "TXT").status in {Status.ABSENT, Status.EMPTY}
    assert look_up("example.com", "TXT", budget=Budget(0)).status is Status.UNKNOWN


def test_without_name_server_nothing_is_known(settings, domain):
    settings.DNS_RESOLVERS = ["127.0.0.1:1"]
    settings.DNS_TIMEOUT_SECONDS = 1
    row = check_now(domain_id=domain.pk)
    assert row.state == "unknown"
    assert set(states(row).values()) == {"unknown"}
    assert row.failing_since is None


def test_a_new_domain_knows_what_to_publish_and_is_checked_at_once(domain, server):
    assert domain.state == "unknown"
    assert domain.checks[0]["record"] == {
        "name": "example.com",
        "type": "TXT",
        "value": "v=spf1 include:_spf.example.net ~all",
    }
    assert check_due(seconds=20) == 1
    assert check_due(seconds=20) == 0
    domain.refresh_from_db()
    assert states(domain) == {"SPF": "pass", "DKIM key s1": "pass", "DMARC": "pass", "MX": "pass"}
    assert (domain.state, domain.aligned_providers) == ("pass", ["smtp"])
    assert domain.checked_at is not None
    wait = domain.next_check_at - domain.checked_at
    assert timedelta(hours=21) < wait <= timedelta(hours=24)


def test_what_fails_is_looked_at_every_hour(domain, server):
    del server.zone["s1._domainkey.example.com", "TXT"]
    row = check_now(domain_id=domain.pk)
    assert (row.state, states(row)["DKIM key s1"]) == ("fail", "fail")
    assert row.failing_since is not None
    assert row.checked_at is not None
    assert timedelta(minutes=53) < row.next_check_at - row.checked_at <= timedelta(hours=1)
    first = row.failing_since
    later(row)
    row = check_now(domain_id=row.pk)
    assert row.failing_since == first
    later(row)
    server.zone.update(GOOD)
    assert check_now(domain_id=row.pk).failing_since is None


def test_silence_neither_starts_nor_ends_a_failure_nor_alignment(domain, server):
    check_now(domain_id=domain.pk)
    later(domain)
    server.zone["s1._domainkey.example.com", "TXT"] = SERVFAIL
    server.zone["example.com", "TXT"] = SERVFAIL
    row = check_now(domain_id=domain.pk)
    assert (row.state, row.failing_since, row.aligned_providers) == ("unknown", None, ["smtp"])
    later(row)
    server.zone["s1._domainkey.example.com", "TXT"] = ["v=DKIM1; p="]
    server.zone["example.com", "TXT"] = ["v=spf1 +all"]
    row = check_now(domain_id=row.pk)
    assert (row.state, row.aligned_providers) == ("fail", [])


def test_what_strangers_publish_can_be_written_down(domain, server):
    odd = "\x00\x01\u20ac" + "x" * 3_000
    server.zone["example.com", "TXT"] = [f"v=spf1 include:{odd} {odd} -all"]
    server.zone["_dmarc.example.com", "TXT"] = [f"v=DMARC1; p=reject; rua=mailto:a@{odd}; x={odd}"]
    server.zone["s1._domainkey.example.com", "TXT"] = [f"v=DKIM1; k={odd}; p={odd}"]
    server.zone["example.com", "MX"] = ["10 a\\000b.example.com."]
    row = check_now(domain_id=domain.pk)
    assert row.state == "fail"


def test_a_check_on_demand_waits_for_the_last_one(domain, server):
    check_now(domain_id=domain.pk)
    with pytest.raises(TooManyRequestsError) as refused:
        check_now(domain_id=domain.pk)
    assert 1 <= refused.value.details["retry_after_seconds"] <= 10


def test_a_change_during_a_check_wins(domain, server, monkeypatch):
    asked: list[str] = []

    def ask(name: str, kind: str, **options: Any) -> Any:
        if not asked:
            asked.append(name)
            change_domain(domain_id=domain.pk, values={"spf_includes": []})
        return look_up(name, kind, **options)

    monkeypatch.setattr("verification.services.domains.look_up", ask)
    row = check_now(domain_id=domain.pk)
    assert row.state == "unknown"
    assert row.checked_at is None
    assert row.next_check_at <= timezone.now()


def test_a_domain_removed_during_a_check_stays_removed(domain, server, monkeypatch):
    def ask(name: str, kind: str, **options: Any) -> Any:
        SenderDomain.objects.all().delete()
        return look_up(name, kind, **options)

    monkeypatch.setattr("verification.services.domains.look_up", ask)
    assert check_due(seconds=5) == 1
    assert not SenderDomain.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_check_each_domain_once(server):
    for number in range(6):
        add_domain(owner_id=None, values={"domain": f"d{number}.example"})
    counts = []

    def work() -> None:
        try:
            counts.append(check_due(seconds=20))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(counts) == 6
    assert server.asked.count(("d0.example", "MX")) == 1


def test_a_domain_of_a_killed_worker_is_taken_up_again(domain, server):
    soon = timezone.now() + timedelta(minutes=3)
    SenderDomain.objects.update(next_check_at=soon)
    assert check_due(seconds=5) == 0
    SenderDomain.objects.update(next_check_at=timezone.now() - timedelta(seconds=1))
    assert check_due(seconds=5) == 1


def test_a_failure_that_lasts_is_an_alert_until_it_is_mended(domain, server):
    alerts = Alert.objects
    del server.zone["s1._domainkey.example.com", "TXT"]
    check_now(domain_id=domain.pk)
    assert not alerts.exists()
    later(domain)
    SenderDomain.objects.update(failing_since=timezone.now() - timedelta(minutes=31))
    check_now(domain_id=domain.pk)
    alert = alerts.get()
    assert (alert.kind, alert.subject, alert.is_open) == ("domain.failing", "example.com", True)
    assert alert.detail == "DKIM key s1: There is no key at this name."
    server.zone["example.com", "TXT"] = SERVFAIL
    later(domain)
    check_now(domain_id=domain.pk)
    assert alerts.get().is_open
    server.zone.update(GOOD)
    later(domain)
    check_now(domain_id=domain.pk)
    assert not alerts.get().is_open


def test_silence_opens_no_alert(domain, server):
    del server.zone["s1._domainkey.example.com", "TXT"]
    check_now(domain_id=domain.pk)
    for name in ("s1._domainkey.example.com", "example.com"):
        server.zone[name, "TXT"] = SERVFAIL
    SenderDomain.objects.update(failing_since=timezone.now() - timedelta(hours=1))
    later(domain)
    row = check_now(domain_id=domain.pk)
    assert (row.state, row.failing_since is None) == ("unknown", False)
    assert not Alert.objects.exists()
    del server.zone["s1._domainkey.example.com", "TXT"]
    later(domain)
    assert check_now(domain_id=domain.pk).state == "fail"
    assert Alert.objects.get().is_open


def test_owners_keep_their_own(user, server):
    other = User.objects.create_user("eve@example.com")
    add_domain(owner_id=user.pk, values=VALUES)
    add_domain(owner_id=other.pk, values=VALUES)
    add_domain(owner_id=None, values={**VALUES, "domain": "company.example"})
    with pytest.raises(InvalidInputError) as refused:
        add_domain(owner_id=user.pk, values={"domain": "EXAMPLE.com."})
    assert list(refused.value.details) == ["domain"]
    assert check_due(seconds=20) == 3
    patterns = ["example.com", "*.example.com"]
    mine, theirs = ("smtp", user.pk), ("smtp", other.pk)
    assert aligned_patterns() == {mine: patterns, theirs: patterns}
    assert aligned_patterns(user.pk, None) == {mine: patterns}
    assert aligned_patterns(None) == {}


def test_an_owner_keeps_so_many(user, monkeypatch):
    monkeypatch.setattr("verification.services.domains.MAX_DOMAINS", 1)
    assert MAX_DOMAINS == 200
    add_domain(owner_id=user.pk, values={"domain": "a.example"})
    with pytest.raises(InvalidInputError):
        add_domain(owner_id=user.pk, values={"domain": "b.example"})


def test_a_domain_changes_all_but_its_name(domain):
    row = change_domain(domain_id=domain.pk, values={"providers": ["brevo"], "dkim": []})
    assert (row.providers, row.dkim, row.spf_includes) == (["brevo"], [], ["_spf.example.net"])
    with pytest.raises(InvalidInputError) as refused:
        change_domain(domain_id=domain.pk, values={"domain": "other.example"})
    assert list(refused.value.details) == ["domain"]
    remove_domain(domain_id=domain.pk)
    with pytest.raises(NotFoundError):
        remove_domain(domain_id=domain.pk)
