"""What the DNS says of sender domains reaches the choice of an account."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from delivery.models import Attempt
from delivery.queue.sweep import sweep
from delivery.services.alignment import refresh_alignment
from delivery.states import Status
from delivery.tasks import refresh_alignment as tick
from mailservice.core.errors import InvalidInputError
from providers.account_faults import KINDS_WITHOUT_DNS
from providers.alignment import alignment_in_words, alignments
from providers.models import AlignedDomains, ProviderKind, RoutingDecision
from providers.routing import Alignment, Decision, Skip
from providers.selectors import forget_snapshot, take_snapshot
from providers.services import create_provider, update_provider
from tests.support.dns import SERVFAIL, NameServer, name_server
from tests.support.mail import drain, make_due, queue, simulator, smtp_account
from tests.support.smtp_server import FaultyServer
from verification.domains.conventions import CONVENTIONS
from verification.models import SenderDomain
from verification.services.domains import add_domain, change_domain, check_now, remove_domain

pytestmark = pytest.mark.django_db

KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8463 §A.2
DKIM = ("s1._domainkey.example.com", "TXT")
DMARC = ("_dmarc.example.com", "TXT")
VALUES = {"domain": "example.com", "providers": ["smtp"], "dkim": [{"selector": "s1"}]}
BOTH = frozenset({"example.com", "*.example.com"})


@pytest.fixture
def server(settings: Any) -> Iterator[NameServer]:
    with name_server({DKIM: [KEY], DMARC: ["v=DMARC1; p=reject"]}) as found:
        settings.DNS_RESOLVERS = [found.address]
        settings.DNS_TIMEOUT_SECONDS = 1
        yield found


@pytest.fixture
def domain(db: None) -> SenderDomain:
    return add_domain(owner_id=None, values=VALUES)


def check(row: SenderDomain) -> SenderDomain:
    SenderDomain.objects.update(checked_at=timezone.now() - timedelta(hours=1))
    return check_now(domain_id=row.pk)


def at_smtp() -> Alignment:
    return alignments().get("smtp", Alignment())


def make(owner: User | None, domain: str, *, below: bool = True, kind: str = "smtp") -> None:
    row = add_domain(owner_id=owner.pk if owner else None, values={"domain": domain})
    kinds = [kind] if below else []
    SenderDomain.objects.filter(pk=row.pk).update(aligned_providers=[kind], aligned_below=kinds)


def test_every_kind_that_sends_can_be_aligned() -> None:
    assert set(ProviderKind.values) - KINDS_WITHOUT_DNS == set(CONVENTIONS)


def test_a_check_that_changes_alignment_tells_routing_with_it(
    domain: SenderDomain, server: NameServer
) -> None:
    assert not AlignedDomains.objects.exists()
    check(domain)
    assert at_smtp() == Alignment(BOTH)
    row = AlignedDomains.objects.get()
    check(domain)
    assert AlignedDomains.objects.get() == row
    server.zone[DMARC] = ["v=DMARC1; p=reject; adkim=s"]
    check(domain)
    assert at_smtp() == Alignment(frozenset({"example.com"}))
    server.zone[DKIM] = server.zone[DMARC] = SERVFAIL
    check(domain)
    assert at_smtp() == Alignment(frozenset({"example.com"}))
    server.zone[DKIM] = ["v=DKIM1; p="]
    check(domain)
    assert at_smtp() == Alignment()
    assert not AlignedDomains.objects.exists()


def test_what_a_person_changes_or_removes_tells_routing(
    domain: SenderDomain, server: NameServer
) -> None:
    check(domain)
    change_domain(domain_id=domain.pk, values={"spf_includes": ["_spf.example.net"]})
    assert at_smtp() == Alignment(BOTH)
    change_domain(domain_id=domain.pk, values={"providers": ["sendgrid"]})
    assert alignments() == {}
    check(domain)
    assert alignments() == {"sendgrid": Alignment(BOTH)}
    remove_domain(domain_id=domain.pk)
    assert alignments() == {}


def test_a_change_that_is_undone_tells_nobody(domain: SenderDomain, server: NameServer) -> None:
    check(domain)
    with transaction.atomic():
        remove_domain(domain_id=domain.pk)
        assert at_smtp() == Alignment()
        transaction.set_rollback(True)
    assert at_smtp() == Alignment(BOTH)


def test_one_owners_domains_count_for_their_own_mail_only(user: User) -> None:
    other = User.objects.create_user("eve@example.com")
    make(None, "company.example", below=False)
    make(user, "a.example")
    make(other, "b.example")
    assert refresh_alignment() == 3
    found = at_smtp()
    assert found.shared == {"company.example"}
    assert found.own == {
        user.pk: {"a.example", "*.a.example"},
        other.pk: {"b.example", "*.b.example"},
    }
    assert found.covers("company.example", user.pk)
    assert found.covers("news.a.example", user.pk)
    assert not found.covers("a.example", other.pk)
    assert not found.covers("news.company.example", user.pk)


def test_the_tick_mends_what_nobody_told_and_does_no_more(user: User) -> None:
    make(user, "a.example")
    make(None, "b.example", kind="brevo")
    tick()
    kept = set(AlignedDomains.objects.values_list("pk", flat=True))
    assert len(kept) == 2
    tick()
    assert set(AlignedDomains.objects.values_list("pk", flat=True)) == kept
    SenderDomain.objects.filter(owner=user).delete()
    assert refresh_alignment(None) == 0
    assert refresh_alignment(user.pk) == 1
    assert AlignedDomains.objects.get().kind == "brevo"


def about_alignment(captured: CaptureQueriesContext) -> int:
    """How many of the statements ask for aligned domains; others come by the clock."""
    return sum("providers_aligneddomains" in each["sql"] for each in captured)


def test_an_account_that_asks_for_nothing_costs_no_query(user: User) -> None:
    assert alignments() == {}
    make(None, "example.com")
    refresh_alignment()
    account = simulator()
    take_snapshot(timezone.now())
    with CaptureQueriesContext(connection) as plain:
        assert take_snapshot(timezone.now()).by_id[account.pk].aligned is None
    strict = smtp_account(9, requires_alignment=True)
    with CaptureQueriesContext(connection) as first:
        assert take_snapshot(timezone.now()).by_id[strict.pk].aligned == Alignment(BOTH)
    with CaptureQueriesContext(connection) as second:
        take_snapshot(timezone.now())
    # Whether the lists still hold, and the lists themselves once.
    assert [about_alignment(each) for each in (plain, first, second)] == [0, 2, 1]


def test_what_was_read_in_a_transaction_that_was_undone_is_read_again(user: User) -> None:
    make(None, "a.example", below=False)
    refresh_alignment()
    before = at_smtp()
    with transaction.atomic():
        make(None, "b.example", below=False)
        refresh_alignment(None)
        assert at_smtp().shared == {"a.example", "b.example"}
        SenderDomain.objects.filter(domain="b.example").delete()
        transaction.set_rollback(True)
    make(user, "c.example", below=False)
    refresh_alignment(user.pk)
    assert at_smtp() == Alignment(before.shared, {user.pk: frozenset({"c.example"})})


@pytest.mark.django_db(transaction=True)
def test_refreshes_side_by_side_end_with_what_is_there(user: User) -> None:
    def work(number: int) -> None:
        try:
            make(user, f"d{number}.example", below=False)
            refresh_alignment(user.pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert at_smtp().own == {user.pk: {f"d{number}.example" for number in range(6)}}


# --- in the drain ---------------------------------------------------------------------------------


def test_mail_waits_until_its_from_is_aligned_and_says_for_what(
    user: User, domain: SenderDomain, server: NameServer
) -> None:
    with FaultyServer() as mail_server:
        account = smtp_account(mail_server.port, name="strict", requires_alignment=True)
        message = queue(user, from_email="shop@news.example.com")
        drain()
        message.refresh_from_db()
        assert message.status == Status.RETRY
        assert message.error == (
            "Waiting: no account may take this mail: news.example.com is not aligned (SPF or DKIM) "
            "at strict."
        )
        check(domain)
        forget_snapshot()  # as the commit does
        make_due(message.pk)
        sweep()
        drain()
        message.refresh_from_db()
        assert message.status == Status.SENT
        assert Attempt.objects.get(message=message).provider_id == account.pk


def test_other_accounts_take_what_is_not_aligned_and_the_message_remembers_why(
    user: User,
) -> None:
    strict = smtp_account(9, name="strict", requires_alignment=True, position=1)
    loose = simulator(name="loose", position=2)
    message = queue(user, from_email="shop@example.com")
    drain()
    attempt = Attempt.objects.get(message=message)
    assert attempt.provider_id == loose.pk
    body = RoutingDecision.objects.get(pk=attempt.decision_id or "").body
    assert body["candidates"][0] == {
        "provider": str(strict.pk),
        "name": "strict",
        "skipped": "its From domains must be aligned (SPF or DKIM)",
        "detail": "example.com is not aligned (SPF or DKIM) at this account: see Sender domains",
        "score": None,
        "note": "",
    }
    assert Decision.from_json(body).candidates[0].skipped is Skip.UNALIGNED
    assert Decision.from_json(body).in_words() == (
        "loose is chosen: its From address is the mail's. Passed over: strict (example.com is not "
        "aligned (SPF or DKIM) at this account: see Sender domains)."
    )


def test_mail_that_is_aligned_nowhere_is_given_up_as_other_mail_nobody_may_take(
    user: User,
) -> None:
    smtp_account(9, requires_alignment=True)
    message = queue(user, from_email="shop@example.com")
    type(message).objects.update(created_at=timezone.now() - timedelta(days=30))
    drain()
    message.refresh_from_db()
    assert message.status == Status.FAILED
    assert "example.com is not aligned (SPF or DKIM)" in message.error


# --- the switch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS_WITHOUT_DNS))
def test_kinds_that_keep_their_mail_refuse_the_switch(kind: str) -> None:
    fields: dict[str, Any] = {"owner_id": None, "settings": {}, "secrets": {}, "kind": kind}
    with pytest.raises(InvalidInputError) as refused:
        create_provider(name="x", requires_alignment=True, **fields)
    assert list(refused.value.details) == ["requires_alignment"]
    made = create_provider(name="x", **fields)
    with pytest.raises(InvalidInputError):
        update_provider(made.pk, requires_alignment=True)


def test_what_is_aligned_is_told_in_words(user: User) -> None:
    assert alignment_in_words("smtp", None) == ""
    make(None, "company.example", below=False)
    make(user, "a.example")
    refresh_alignment()
    assert alignment_in_words("smtp", user.pk) == "a.example and below, company.example"
    assert alignment_in_words("smtp", None) == (
        "company.example, domains of single users, each for their own mail"
    )
    for number in range(10):
        make(None, f"b{number}.example", below=False)
    refresh_alignment(None)
    assert alignment_in_words("smtp", user.pk).endswith("b8.example, 2 more")
