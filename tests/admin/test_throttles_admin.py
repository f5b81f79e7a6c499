"""Limits of recipient domains and slowed-down domains in the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from providers.domain_limits import create_limit
from providers.models import DomainLimit, DomainSlowdown, Provider
from tests.support.mail import simulator

LIMITS = "/admin/providers/domainlimit/"
SLOWDOWNS = "/admin/providers/domainslowdown/"


@pytest.fixture
def ses(db: None) -> Provider:
    return simulator(name="SES <b>")


def form(**changes: Any) -> dict[str, Any]:
    return {"pattern": "Example.NET", "provider": "", "rate_per_second": "2.5"} | changes


def slowdown(provider: Provider, domain: str = "slow.example", **fields: Any) -> DomainSlowdown:
    now = timezone.now()
    defaults: dict[str, Any] = {
        "since": now,
        "closed_until": now + timedelta(seconds=30),
        "recovered_at": now + timedelta(seconds=210),
        "detail": "450 <i>slow down",
    }
    return DomainSlowdown.objects.create(provider=provider, domain=domain, **defaults | fields)


def test_a_limit_is_added_changed_and_deleted(root: Client, ses: Provider) -> None:
    assert root.post(f"{LIMITS}add/", form(is_active="on")).status_code == 302
    made = DomainLimit.objects.get()
    assert (made.pattern, made.provider_id, made.rate_per_second, made.is_active) == (
        "example.net",
        None,
        2.5,
        True,
    )
    page = f"{LIMITS}{made.pk}/change/"
    changes = form(pattern="*.bücher.example", provider=str(ses.pk), rate_per_second="9")
    assert root.post(page, changes).status_code == 302
    made.refresh_from_db()
    assert (made.pattern, made.provider_id, made.rate_per_second, made.is_active) == (
        "*.xn--bcher-kva.example",
        ses.pk,
        9,
        False,
    )
    delete = f"{LIMITS}{made.pk}/delete/"
    assert b"Delete the limit of" in root.get(delete).content
    assert DomainLimit.objects.count() == 1
    assert root.post(delete).status_code == 302
    assert not DomainLimit.objects.exists()
    assert [entry.action_flag for entry in LogEntry.objects.order_by("pk")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"pattern": "no domain"}, "pattern", "Use a domain such as example.com"),
        ({"pattern": ""}, "pattern", "This field is required."),
        ({"rate_per_second": "0"}, "rate_per_second", "Must be from 0.001 to 100,000."),
        ({"rate_per_second": "inf"}, "rate_per_second", "Enter a number."),
        ({"pattern": "taken.example"}, "pattern", "There is a limit for this domain and account."),
    ],
)
def test_faults_stand_beside_their_field(
    root: Client, db: None, changes: dict[str, Any], field: str, text: str
) -> None:
    create_limit(pattern="taken.example", rate_per_second=1)
    answer = root.post(f"{LIMITS}add/", form(**changes))
    assert text in answer.context["adminform"].form.errors[field][0]
    assert DomainLimit.objects.count() == 1


def test_the_lists_are_escaped_and_take_as_many_queries_for_many(
    root: Client, ses: Provider
) -> None:
    def count(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            html = root.get(address).content.decode()
        assert "SES &lt;b&gt;" in html
        assert "<b>" not in html
        assert not any("secrets" in query["sql"] for query in queries if "JOIN" in query["sql"])
        return len(queries)

    create_limit(pattern="a.example", rate_per_second=1, provider_id=ses.pk)
    slowdown(ses)
    before = count(LIMITS), count(SLOWDOWNS)
    for number in range(5):
        create_limit(pattern=f"{number}.example", rate_per_second=1, provider_id=ses.pk)
        slowdown(ses, f"{number}.example")
    assert (count(LIMITS), count(SLOWDOWNS)) == before


def test_slow_downs_tell_what_passes_and_why(root: Client, ses: Provider) -> None:
    now = timezone.now()
    slowdown(ses)
    slowdown(ses, "open.example", closed_until=now - timedelta(seconds=60))
    slowdown(
        ses,
        "past.example",
        closed_until=now - timedelta(hours=2),
        recovered_at=now - timedelta(hours=1),
    )
    html = root.get(SLOWDOWNS).content.decode()
    assert "Closed for 30 s more" in html or "Closed for 29 s more" in html
    assert "4 a second" in html or "4.1 a second" in html
    assert "450 &lt;i&gt;slow down" in html
    assert "past.example" not in html


def test_mail_is_let_pass_after_a_question(root: Client, ses: Provider) -> None:
    row, other = slowdown(ses), slowdown(ses, "other.example")
    data = {"action": "let_pass", "index": "0", "_selected_action": [str(row.pk)]}
    answer = root.post(SLOWDOWNS, data)
    assert "Let mail pass to 1 domain?" in answer.content.decode()
    assert DomainSlowdown.objects.count() == 2
    assert root.post(SLOWDOWNS, data | {"confirmed": "1"}).status_code == 302
    assert list(DomainSlowdown.objects.values_list("pk", flat=True)) == [other.pk]


def test_who_may_only_look_changes_nothing(staff_with: Any, ses: Provider) -> None:
    row = slowdown(ses)
    limit = create_limit(pattern="a.example", rate_per_second=1)
    client = staff_with("providers.view_domainslowdown", "providers.view_domainlimit")
    data = {"action": "let_pass", "index": "0", "_selected_action": [str(row.pk)], "confirmed": "1"}
    client.post(SLOWDOWNS, data)
    assert client.post(f"{LIMITS}{limit.pk}/delete/").status_code == 403
    assert client.post(f"{LIMITS}add/", form()).status_code == 403
    assert (DomainSlowdown.objects.count(), DomainLimit.objects.count()) == (1, 1)
