"""Provider accounts in the console: forms, credentials, tests, deletion."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from delivery.models import Message
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.ids import uuid7
from providers.adapters.esp import KINDS
from providers.admin.forms import ProviderForm
from providers.errors import ProviderInUseError
from providers.health import open_breaker
from providers.models import (
    AlignedDomains,
    InboxMail,
    Provider,
    ProviderHealth,
    ProviderKind,
)
from providers.ports import Outcome, Reason, Scope, SendResult
from providers.services import create_provider, delete_provider, update_provider
from tests.admin.conftest import Post, add_attempt
from tests.support.esp.accounts import APIS, running

LIST = "/admin/providers/provider/"
ADD = f"{LIST}add/?kind=smtp"


def page(provider: Provider, name: str = "change") -> str:
    return reverse(f"admin:providers_provider_{name}", args=[provider.pk])


def form(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Relay",
        "owner": "",
        "from_email": "",
        "from_name": "",
        "is_active": "on",
        "host": "127.0.0.1",
        "port": "9",
        "security": "starttls",
        "verify_certificate": "on",
        "username": "mailer",
        "password": "",
        "timeout_seconds": "",
        "hourly_limit": "",
        "daily_limit": "100",
        "time_zone": "Europe/Berlin",
        "position": "100",
        "max_connections": "10",
        "max_messages_per_connection": "0",
        "monthly_limit": "",
        "priority_reserve": "5",
        "rate_per_second": "",
        "warm_up": "",
        "from_domains": "",
        "max_message_bytes": "",
        "takes_attachments": "on",
        "price_per_thousand": "0",
        **changes,
    }


def errors_of(answer: Any) -> dict[str, list[str]]:
    return dict(answer.context["adminform"].form.errors)


def test_an_account_may_ask_for_aligned_domains_and_tells_which_are(root: Client) -> None:
    assert "Now none is: it would take no mail." in root.get(ADD).content.decode()
    AlignedDomains.objects.create(kind="smtp", patterns=["example.com", "*.example.com"])
    assert "Aligned now: example.com and below." in root.get(ADD).content.decode()
    assert root.post(ADD, form(requires_alignment="on", password="secret-word")).status_code == 302
    assert Provider.objects.get().requires_alignment is True
    inbox = root.get(ADD.replace("smtp", "inbox")).content.decode()
    assert "requires_alignment" not in inbox


def test_an_account_has_a_return_path_where_envelopes_are_ours(root: Client) -> None:
    refused = root.post(ADD, form(return_path="x" * 19 + "@example.com", password="secret-word"))
    assert errors_of(refused) == {
        "return_path": ["At most 18 characters may stand before the @-sign: a token follows."]
    }
    saved = root.post(ADD, form(return_path="@Bounces.Example.com", password="secret-word"))
    assert saved.status_code == 302
    assert Provider.objects.get().return_path == "@bounces.example.com"
    for kind, is_there in (("smtp", True), ("inbox", True), ("simulator", False)):
        html = root.get(ADD.replace("smtp", kind)).content.decode()
        assert ("return_path" in html) is is_there


def test_a_new_account_is_saved_with_its_password_encrypted(root: Client) -> None:
    answer = root.post(ADD, form(password="hunter2-secret"))
    assert answer.status_code == 302
    provider = Provider.objects.get()
    assert provider.secrets == {"password": "hunter2-secret"}
    assert provider.settings == {
        "host": "127.0.0.1",
        "port": 9,
        "use_tls": True,
        "use_ssl": False,
        "verify_certificate": True,
        "username": "mailer",
    }
    assert (provider.daily_limit, provider.hourly_limit) == (100, None)
    assert LogEntry.objects.get().object_id == str(provider.pk)


def test_an_empty_password_keeps_the_stored_one_and_is_never_shown(
    root: Client, smtp: Provider
) -> None:
    html = root.get(page(smtp)).content.decode()
    assert "hunter2-secret" not in html
    assert "Leave empty to keep it." in html
    assert root.post(page(smtp), form(port="2525")).status_code == 302
    smtp.refresh_from_db()
    assert smtp.settings["port"] == 2525
    assert smtp.secrets == {"password": "hunter2-secret"}


def test_a_stored_password_does_not_move_to_another_host(root: Client, smtp: Provider) -> None:
    response = root.post(page(smtp), form(host="evil.example.com"))
    assert "Give it again: the account is to log in at another host." in response.content.decode()
    smtp.refresh_from_db()
    assert smtp.settings["host"] != "evil.example.com"
    root.post(page(smtp), form(host="mail.example.com", password="hunter2-secret"))
    smtp.refresh_from_db()
    assert smtp.settings["host"] == "mail.example.com"


def test_a_typed_password_replaces_the_stored_one(root: Client, smtp: Provider) -> None:
    root.post(page(smtp), form(password="another"))
    assert Provider.objects.get().secrets == {"password": "another"}


def test_without_a_user_name_no_password_is_kept(root: Client, smtp: Provider) -> None:
    root.post(page(smtp), form(username=""))
    assert Provider.objects.get().secrets is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"host": "http://x/"}, "host"),
        ({"port": "70000"}, "port"),
        ({"password": ""}, "password"),
        ({"password": "x", "username": ""}, "username"),
        ({"password": "x", "daily_limit": "0"}, "daily_limit"),
        ({"password": "x", "time_zone": "Mars/Olympus"}, "time_zone"),
        ({"password": "x", "from_email": "nobody"}, "from_email"),
        ({"password": "x", "from_name": "a\nb: c"}, "from_name"),
        ({"password": "x", "name": " "}, "name"),
    ],
)
def test_faults_stand_beside_their_field(root: Client, changes: dict[str, str], field: str) -> None:
    answer = root.post(ADD, form(**changes))
    assert answer.status_code == 200
    assert field in errors_of(answer)
    assert not Provider.objects.exists()


def test_two_accounts_of_one_owner_do_not_share_a_name(root: Client, smtp: Provider) -> None:
    answer = root.post(ADD, form(name=smtp.name, password="x"))
    assert errors_of(answer)["name"] == ["Another account of this owner has this name."]


def test_the_simulators_rules_are_checked(root: Client) -> None:
    data = form(name="Drill", latency_ms="0", rules='[{"match": "*", "outcome": "maybe"}]')
    answer = root.post(f"{LIST}add/?kind=simulator", data)
    assert answer.status_code == 200
    assert not Provider.objects.exists()
    data["rules"] = '[{"match": "*", "outcome": "rejected"}]'
    assert root.post(f"{LIST}add/?kind=simulator", data).status_code == 302
    assert Provider.objects.get().settings["rules"] == [{"match": "*", "outcome": "rejected"}]


def esp_form(kind: str, **changes: Any) -> dict[str, Any]:
    """Return a form as the page for an account at an HTTP provider sends it."""
    api = APIS[kind]()
    options = dict.fromkeys([one.name for one in KINDS[kind].options], "")
    chosen = {one.name: str(one.default) for one in KINDS[kind].options if one.choices}
    url = {"api_url": f"http://127.0.0.1:9{api.base}"}
    common = {key: value for key, value in form(name=kind).items() if key not in _SMTP_ONLY}
    return {**common, **options, **chosen, **url, **api.settings, **api.secrets, **changes}


_SMTP_ONLY = {"host", "port", "security", "verify_certificate", "username", "password"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_http_provider_has_exactly_its_own_fields(root: Client, kind: str) -> None:
    page_form = root.get(f"{LIST}add/?kind={kind}").context["adminform"].form
    own = {one.name for one in (*KINDS[kind].secrets, *KINDS[kind].options)}
    assert set(page_form.fields) - set(ProviderForm.Meta.fields) == own
    assert page_form.own_title == f"{KINDS[kind].label} account"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_http_account_is_saved_kept_and_never_shows_its_keys(root: Client, kind: str) -> None:
    answer = root.post(f"{LIST}add/?kind={kind}", esp_form(kind, timeout_seconds="20"))
    assert answer.status_code == 302, errors_of(answer)
    provider = Provider.objects.get()
    api = APIS[kind]()
    assert (provider.kind, provider.secrets) == (kind, api.secrets)
    assert provider.settings["timeout_seconds"] == 20
    assert provider.settings["api_url"] == f"http://127.0.0.1:9{api.base}"
    html = root.get(page(provider)).content.decode()
    assert not any(value in html for value in api.secrets.values())
    assert "Leave empty to keep it." in html
    without_keys = esp_form(kind, name="Renamed", **dict.fromkeys(api.secrets, ""))
    answer = root.post(page(provider), without_keys)
    assert answer.status_code == 302, errors_of(answer)
    provider.refresh_from_db()
    assert (provider.name, provider.secrets) == ("Renamed", api.secrets)
    # Left empty, the default applies again.
    assert "timeout_seconds" not in provider.settings


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [
        ("sendgrid", {"api_key": ""}, "api_key"),
        ("sendgrid", {"api_url": "http://api.example.com/"}, "api_url"),
        ("sendgrid", {"region": "moon"}, "region"),
        ("mailgun", {"sender_domain": "not a domain"}, "sender_domain"),
        ("sparkpost", {"subaccount": "0"}, "subaccount"),
        ("postal", {"api_url": ""}, "api_url"),
        ("amazon_ses", {"region": ""}, "region"),
        ("scaleway", {"project_id": "{self.x}"}, "project_id"),
        ("resend", {"timeout_seconds": "0"}, "timeout_seconds"),
    ],
)
def test_faults_of_http_accounts_stand_beside_their_field(
    root: Client, kind: str, changes: dict[str, str], field: str
) -> None:
    answer = root.post(f"{LIST}add/?kind={kind}", esp_form(kind, **changes))
    assert answer.status_code == 200
    assert list(errors_of(answer)) == [field]
    assert not Provider.objects.exists()


def test_all_kinds_are_offered(root: Client) -> None:
    html = root.get(f"{LIST}add/").content.decode()
    assert all(f"?kind={kind.value}" in html for kind in ProviderKind)
    assert all(kind.label in html for kind in KINDS.values())


def test_an_http_account_s_connection_is_tested(root: Client) -> None:
    with running("postmark") as (api, server):
        url = f"http://127.0.0.1:{server.port}/"
        root.post(f"{LIST}add/?kind=postmark", esp_form("postmark", api_url=url))
        provider = Provider.objects.get()
        assert "The connection works." in root.post(page(provider, "test")).content.decode()
        server.then(api.refused)
        html = root.post(page(provider, "test")).content.decode()
    assert "The credentials were refused." in html
    assert api.mails == []


def test_the_list_names_the_provider(root: Client) -> None:
    root.post(f"{LIST}add/?kind=sparkpost", esp_form("sparkpost"))
    assert "SparkPost" in root.get(LIST).content.decode()


def test_the_list_shows_quotas_and_needs_few_queries(
    root: Client, inbox: Provider, smtp: Provider, django_assert_max_num_queries
) -> None:
    root.get(LIST)
    with django_assert_max_num_queries(6) as captured:
        html = root.get(LIST).content.decode()
    assert "no limit" in html
    assert not any(
        '"providers_provider"."secrets"' in query["sql"] for query in captured.captured_queries
    )


def test_the_connection_is_tested_on_post_only_and_the_failure_told(
    root: Client, smtp: Provider
) -> None:
    assert "Connection test" not in root.get(page(smtp, "test")).content.decode().split("<h2>")[1]
    assert not LogEntry.objects.exists()
    html = root.post(page(smtp, "test")).content.decode()
    assert "No usable connection" in html
    assert "hunter2-secret" not in html
    assert LogEntry.objects.get().change_message == "Connection test failed."


def test_the_inbox_passes_its_connection_test(root: Client, inbox: Provider) -> None:
    assert "The inbox is open and holds 0 mails." in root.post(page(inbox, "test")).content.decode()


def test_a_test_mail_is_queued_for_this_account_only(root: Client, inbox: Provider) -> None:
    url = page(inbox, "send_test")
    root.get(url)
    assert not Message.objects.exists()
    answer = root.post(url, {"recipient": "Someone@Example.com"})
    message = Message.objects.get()
    assert answer["Location"] == reverse("admin:delivery_message_change", args=[message.pk])
    assert (message.pinned_provider_id, message.priority) == (inbox.pk, 1)
    assert message.recipients[0]["a"] == "Someone@example.com"
    assert LogEntry.objects.get().object_id == str(inbox.pk)


def test_a_test_mail_needs_an_address(root: Client, inbox: Provider) -> None:
    answer = root.post(page(inbox, "send_test"), {"recipient": "nobody"})
    assert answer.status_code == 200
    assert not Message.objects.exists()


def test_an_unused_account_is_deleted_after_the_question(root: Client, smtp: Provider) -> None:
    root.get(page(smtp, "delete"))
    assert Provider.objects.exists()
    assert root.post(page(smtp, "delete"))["Location"] == LIST
    assert not Provider.objects.exists()


def test_an_account_that_carried_mail_stays(root: Client, inbox: Provider, post: Post) -> None:
    add_attempt(post(), inbox)
    answer = root.post(page(inbox, "delete"), follow=True)
    assert "it has carried mail" in answer.content.decode()
    assert Provider.objects.exists()


def test_an_account_with_mail_pinned_to_it_stays(inbox: Provider, post: Post) -> None:
    post(provider_id=str(inbox.pk))
    with pytest.raises(ProviderInUseError, match="mail is pinned to it"):
        delete_provider(inbox.pk)


def test_the_inbox_goes_with_its_account(inbox: Provider) -> None:
    InboxMail.objects.create(
        provider=inbox,
        message_id=uuid7(),
        sender="a@example.com",
        data=b"",
        size_bytes=0,
        received_at=inbox.created_at,
    )
    delete_provider(inbox.pk)
    assert not InboxMail.objects.exists()


def test_who_may_only_look_neither_tests_nor_sends_nor_deletes(staff_with, smtp: Provider) -> None:
    client = staff_with("providers.view_provider")
    assert client.get(page(smtp)).status_code == 200
    for name in ("test", "send_test", "delete"):
        assert client.get(page(smtp, name)).status_code == 403
        assert client.post(page(smtp, name)).status_code == 403
    assert client.post(page(smtp), form()).status_code == 403
    assert client.get(ADD).status_code == 403


# --- services -------------------------------------------------------------------------------------


def test_creation_names_every_fault(db: None) -> None:
    with pytest.raises(InvalidInputError) as caught:
        create_provider(
            owner_id=None,
            name="",
            kind="smtp",
            settings={"host": "", "use_tls": True, "use_ssl": True},
            secrets={"password": "x"},
            hourly_limit=0,
            time_zone="Nowhere",
        )
    assert set(caught.value.details) == {
        "name",
        "hourly_limit",
        "time_zone",
        "settings.host",
        "settings.use_ssl",
        "settings.username",
    }


def test_an_unknown_kind_is_refused(db: None) -> None:
    with pytest.raises(InvalidInputError) as caught:
        create_provider(owner_id=None, name="x", kind="pigeon", settings={}, secrets={})
    assert set(caught.value.details) == {"kind"}


def test_a_change_leaves_the_rest_alone(smtp: Provider) -> None:
    changed = update_provider(smtp.pk, daily_limit=5)
    assert (changed.daily_limit, changed.name) == (5, "Relay")
    assert Provider.objects.get().secrets == {"password": "hunter2-secret"}


def test_a_refused_change_changes_nothing(smtp: Provider) -> None:
    with pytest.raises(InvalidInputError):
        update_provider(smtp.pk, name="Other", daily_limit=0)
    assert Provider.objects.get().name == "Relay"


def test_what_does_not_exist_cannot_be_changed_or_deleted(db: None) -> None:
    with pytest.raises(NotFoundError):
        update_provider(uuid7(), name="x")
    with pytest.raises(NotFoundError):
        delete_provider(uuid7())


def test_limits_prices_and_a_warm_up_plan_are_saved_and_shown_again(root: Client) -> None:
    plan = '{"starts_on": "2026-03-01", "daily": [50, 100]}'
    limits = form(monthly_limit="9000", rate_per_second="0.5", warm_up=plan, password="hunter2")
    given = limits | {"from_domains": "example.com, *.example.org", "price_per_thousand": "1"}
    assert root.post(ADD, given).status_code == 302
    account = Provider.objects.get()
    assert (account.monthly_limit, account.rate_per_second) == (9000, 0.5)
    assert account.warm_up == {"starts_on": "2026-03-01", "daily": [50, 100]}
    assert account.from_domains == ["example.com", "*.example.org"]
    html = root.get(page(account)).content.decode()
    assert "example.com, *.example.org" in html
    assert root.post(page(account), form(warm_up="")).status_code == 302
    account.refresh_from_db()
    assert account.warm_up is None
    assert "null" not in root.get(page(account)).context["adminform"].form["warm_up"].as_widget()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("warm_up", '{"starts_on": "soon", "daily": [1]}'),
        ("warm_up", "{"),
        ("rate_per_second", "0"),
        ("priority_reserve", "60"),
        ("from_domains", "not a domain"),
    ],
)
def test_a_wrong_limit_stands_beside_its_field(root: Client, field: str, value: str) -> None:
    assert list(errors_of(root.post(ADD, form(password="hunter2", **{field: value})))) == [field]


def test_saving_the_page_with_the_same_settings_leaves_the_breaker(
    root: Client, smtp: Provider
) -> None:
    fault = SendResult(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER)
    root.post(page(smtp), form())
    open_breaker(smtp.pk, fault)
    assert root.post(page(smtp), form(daily_limit="77")).status_code == 302
    assert ProviderHealth.objects.get().state == "open"
    root.post(page(smtp), form(port="2525"))
    assert ProviderHealth.objects.get().state == "closed"
