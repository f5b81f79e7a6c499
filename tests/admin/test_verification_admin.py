"""Verifications and sender domains in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from delivery.models import Message
from tests.support.dns import name_server
from tests.support.verification import QUEUE, start
from verification.models import SenderDomain, Verification, VerificationProfile
from verification.services.domains import add_domain

DOMAINS = "/admin/verification/senderdomain/"
VERIFICATIONS = "/admin/verification/verification/"
PROFILES = "/admin/verification/verificationprofile/"
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(autouse=True)
def _queue(settings: Any) -> None:
    settings.EMAIL_BACKEND = QUEUE


def html(client: Any, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return str(response.content.decode())


def test_a_domain_is_added_shown_with_its_records_changed_and_removed(root):
    response = root.post(
        f"{DOMAINS}add/",
        {
            "domain": "Example.com",
            "providers": ["mandrill", "sendgrid"],
            "dkim": "s1 cname a.b.net",
        },
    )
    row = SenderDomain.objects.get()
    assert response["Location"] == f"{DOMAINS}{row.pk}/change/"
    key = {"selector": "s1", "type": "CNAME", "value": "a.b.net", "provider": ""}
    assert row.dkim == [key]
    page = html(root, f"{DOMAINS}{row.pk}/change/")
    for text in ("mte1._domainkey.example.com", "dkim1.mandrillapp.com", "From your providers"):
        assert text in page
    assert "s1 CNAME a.b.net" in html(root, f"{DOMAINS}{row.pk}/edit/")
    value = "v=DKIM1; p=YWJj"
    keys = f"SMTP account: s2 {value}"
    changed = {"domain": "other.example", "providers": ["smtp"], "dkim": keys}
    root.post(f"{DOMAINS}{row.pk}/edit/", changed)
    row.refresh_from_db()
    assert (row.domain, row.providers) == ("example.com", ["smtp"])
    assert row.dkim == [{"selector": "s2", "type": "TXT", "value": value, "provider": "smtp"}]
    assert f"smtp: s2 TXT {value}" in html(root, f"{DOMAINS}{row.pk}/edit/")
    assert root.get(f"{DOMAINS}{row.pk}/delete/").status_code == 200
    assert SenderDomain.objects.exists()
    root.post(f"{DOMAINS}{row.pk}/delete/")
    assert not SenderDomain.objects.exists()
    assert [entry.action_flag for entry in LogEntry.objects.order_by("pk")] == [1, 2, 3]


def test_a_domains_page_says_what_to_do(root):
    values = {"domain": "bücher.example", "providers": ["mailjet", "brevo"]}
    row = add_domain(owner_id=None, values=values)
    page = html(root, f"{DOMAINS}{row.pk}/change/")
    for text in (
        "Not checked yet. Publish the records below",
        "bücher.example",
        "Publish the key that Mailjet shows for your account.",
        "b1.xn--bcher-kva-example.dkim.brevo.com",
    ):
        assert text in page
    assert "bücher.example · Everybody&#x27;s" in html(root, DOMAINS)
    failed = {**row.checks[0], "state": "fail", "notes": ["There is no SPF record."]}
    row.checks = [failed, *row.checks[1:]]
    row.state, row.aligned_providers, row.aligned_below = "fail", ["brevo"], ["brevo"]
    row.save()
    page = html(root, f"{DOMAINS}{row.pk}/change/")
    for text in (
        f"1 of {len(row.checks)} checks fails. Mend what is marked red, then check.",
        "From domains below it too at: Brevo.",
        "Their mail fails DMARC",
    ):
        assert text in page


def test_wrong_input_stands_beside_its_field(root):
    page = root.post(f"{DOMAINS}add/", {"domain": "x", "dkim": "s1\na/b"}).content.decode()
    assert "Use a domain name such as example.com." in page
    assert "Entry 2: Use a selector such as s1." in page
    assert not SenderDomain.objects.exists()


def test_a_check_happens_on_post_only_and_what_strangers_publish_is_escaped(root, settings):
    row = add_domain(owner_id=None, values={"domain": "example.com"})
    zone = {("example.com", "TXT"): [f"v=spf1 {HOSTILE} -all"]}
    with name_server(zone) as server:
        settings.DNS_RESOLVERS = [server.address]
        root.get(f"{DOMAINS}{row.pk}/check/")
        row.refresh_from_db()
        assert row.checked_at is None
        root.post(f"{DOMAINS}{row.pk}/check/")
    row.refresh_from_db()
    assert row.state == "fail"
    for page in (html(root, DOMAINS), html(root, f"{DOMAINS}{row.pk}/change/")):
        assert HOSTILE not in page
        assert "alert(" in page


def test_lists_take_a_fixed_number_of_queries(root, user, django_assert_max_num_queries):
    for number in range(5):
        add_domain(owner_id=user.pk, values={"domain": f"d{number}.example"})
        start(user, f"a{number}@example.net")
    html(root, DOMAINS)
    with django_assert_max_num_queries(10):
        html(root, DOMAINS)
    with django_assert_max_num_queries(10):
        html(root, VERIFICATIONS)


def test_verifications_are_shown_without_hash_and_cancelled_on_post(root, user):
    row = start(user, metadata={"note": HOSTILE})
    page = html(root, f"{VERIFICATIONS}{row.pk}/change/")
    assert bytes(row.token_hash).hex() not in page
    assert HOSTILE not in page
    assert "bob@example.net" in html(root, f"{VERIFICATIONS}?q=Bob@example.net".lower())
    assert "bob@example.net" in html(root, f"{VERIFICATIONS}?state=pending")
    assert "bob@example.net" not in html(root, f"{VERIFICATIONS}?state=expired")
    assert root.get(f"{VERIFICATIONS}{row.pk}/cancel/").status_code == 200
    assert Verification.objects.get().state == "pending"
    for _ in range(2):
        root.post(f"{VERIFICATIONS}{row.pk}/cancel/")
    assert Verification.objects.get().state == "cancelled"
    assert LogEntry.objects.count() == 1


def test_an_address_is_found_and_shown_as_people_write_it(root, user):
    row = start(user, "ann@bücher.de")
    page = html(root, f"{VERIFICATIONS}?q=Ann@Bücher.de")
    assert "ann@bücher.de" in page
    assert "xn--bcher-kva" in html(root, f"{VERIFICATIONS}{row.pk}/change/")


def test_the_mails_page_shows_dots_for_the_link(root, user):
    start(user)
    message = Message.objects.get()
    page = html(root, f"/admin/delivery/message/{message.pk}/change/")
    assert "••••••••" in page
    assert str((message.context or {})["verification_url"]) not in page
    assert "/verify/" not in page


def test_settings_are_made_and_changed_with_faults_at_their_fields(root, user):
    wrong = {"owner": user.pk, "app_name": "Shop", "redirects": "https://a.example\nnope"}
    assert "Begin with https://" in root.post(f"{PROFILES}add/", wrong).content.decode()
    lost = {"owner": user.pk, "app_name": "Shop", "template": "lost", "redirects": ""}
    answer = root.post(f"{PROFILES}add/", lost).content.decode()
    assert "There is no published template &#x27;lost&#x27;." in answer
    assert not VerificationProfile.objects.exists()
    right = wrong | {
        "redirects": "https://a.example\nHTTPS://B.example/x",
        "from_email": "a@b.example",
    }
    assert root.post(f"{PROFILES}add/", right).status_code == 302
    profile = VerificationProfile.objects.get()
    assert profile.redirects == ["https://a.example/", "https://b.example/x"]
    page = html(root, f"{PROFILES}{user.pk}/change/")
    assert "https://b.example/x" in page
    changed = {"app_name": "Store", "from_email": "", "template": "", "redirects": ""}
    assert root.post(f"{PROFILES}{user.pk}/change/", changed).status_code == 302
    profile.refresh_from_db()
    assert (profile.app_name, profile.redirects) == ("Store", [])
    assert "Store" in html(root, PROFILES)


def test_without_permission_nothing_is_shown_or_done(staff_with, user):
    row = add_domain(owner_id=None, values={"domain": "example.com"})
    verification = start(user)
    nobody = staff_with()
    for path in (
        DOMAINS,
        f"{DOMAINS}{row.pk}/change/",
        f"{DOMAINS}add/",
        f"{VERIFICATIONS}{verification.pk}/change/",
        PROFILES,
    ):
        assert nobody.get(path).status_code == 403
    viewer = staff_with("verification.view_senderdomain", "verification.view_verification")
    assert viewer.get(f"{DOMAINS}{row.pk}/change/").status_code == 200
    for path in (
        f"{DOMAINS}{row.pk}/check/",
        f"{DOMAINS}{row.pk}/edit/",
        f"{DOMAINS}{row.pk}/delete/",
        f"{VERIFICATIONS}{verification.pk}/cancel/",
    ):
        assert viewer.post(path).status_code == 403
