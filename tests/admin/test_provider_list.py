"""The list of providers, and credentials in the form of one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from providers.admin.figures import short_kind
from providers.figures import Tally, add
from providers.models import (
    Provider,
    ProviderKind,
)
from providers.services import create_provider, update_provider
from tests.admin.provider_rows import LIST, fault, page, read, use

# --- list -----------------------------------------------------------------------------------------


def test_states_are_told_and_filtered(root: Client, smtp: Provider, inbox: Provider) -> None:
    down, off, full, urgent = (
        create_provider(owner_id=None, name=name, kind="simulator", settings={}, secrets={})
        for name in ("Down", "Off", "Full", "Urgent")
    )
    fault(down, "open")
    update_provider(off.pk, is_active=False)
    update_provider(full.pk, daily_limit=100, time_zone="Pacific/Auckland")
    update_provider(urgent.pk, daily_limit=100, priority_reserve=10)
    use(read(full), 100)
    use(read(urgent), 95)

    def listed(state: str) -> set[str]:
        answer = root.get(LIST, {"state": state})
        return {each.name for each in answer.context["cl"].result_list}

    assert listed("active") == {"Relay", "Inbox"}
    assert listed("open") == {"Down"}
    assert listed("off") == {"Off"}
    assert listed("quota") == {"Full"}
    assert listed("urgent") == {"Urgent"}
    assert listed("refused") == set()
    assert len(listed("whatever")) == 6
    html = root.get(LIST).content.decode()
    assert all(str(label) in html for label in ("Breaker open", "Switched off", "Quota used up"))


def test_the_list_needs_as_many_queries_for_30_accounts_as_for_2(
    root: Client, smtp: Provider, inbox: Provider, user: User
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert root.get(LIST).status_code == 200
        return len(captured)

    root.get(LIST)
    few = count()
    for number in range(28):
        account = create_provider(
            owner_id=user.pk,
            name=f"Account {number}",
            kind="simulator",
            settings={},
            secrets={},
            daily_limit=100,
            price_tiers=[{"above": 10, "price_per_thousand": "0.5"}],
        )
        use(account, number)
        fault(account, "open")
        add(account.pk, Tally(accepted=9, faults=1), timezone.now())
    assert count() == few
    html = root.get(LIST).content.decode()
    assert html.count("90.0 %") == 28
    assert f"of {user.email}" in html


def test_the_list_tells_the_price_of_the_next_mail(root: Client) -> None:
    account = create_provider(
        owner_id=None,
        name="Tiered",
        kind="simulator",
        settings={},
        secrets={},
        price_per_thousand=Decimal("1.5"),
        price_tiers=[{"above": 100, "price_per_thousand": "0.25"}],
    )
    assert "1.50 <span" in root.get(LIST).content.decode()
    use(account, 200)
    assert "0.25 <span" in root.get(LIST).content.decode()


def test_every_kind_has_a_short_label() -> None:
    labels = [short_kind(kind) for kind in ProviderKind.values]
    assert len(set(labels)) == len(labels)
    assert not set(labels) & set(ProviderKind.values)
    assert short_kind("amazon_ses") == "Amazon SES"
    assert short_kind("new") == "new"


def test_names_are_shown_as_text(root: Client, smtp: Provider) -> None:
    update_provider(smtp.pk, name="<i>Großversand</i>", from_name="<b>")
    for url in (LIST, page(smtp), page(smtp, "close"), page(smtp, "send_test")):
        html = root.get(url).content.decode()
        assert "<i>Großversand</i>" not in html
        assert "&lt;i&gt;Großversand&lt;/i&gt;" in html


# --- a credential that may go ---------------------------------------------------------------------


@pytest.fixture
def ses(db: None) -> Provider:
    return create_provider(
        owner_id=None,
        name="SES",
        kind="amazon_ses",
        settings={"access_key_id": "AKIAIOSFODNN7EXAMPLE", "region": "eu-west-1"},
        secrets={"secret_access_key": "first-secret", "session_token": "second-secret"},
    )


def posted(client: Client, provider: Provider, **changes: str) -> Any:
    """Post the page's form as it stands, with changes."""
    form = client.get(page(provider)).context["adminform"].form
    data = {name: form[name].value() for name in form.fields}
    data = {name: "" if value is None else value for name, value in data.items()}
    data = {name: value for name, value in data.items() if value is not False}
    return client.post(page(provider), {**data, **changes})


def test_an_optional_credential_can_be_removed(root: Client, ses: Provider) -> None:
    html = root.get(page(ses)).content.decode()
    assert 'name="session_token-remove"' in html
    assert 'name="secret_access_key-remove"' not in html
    assert "second-secret" not in html
    assert posted(root, ses).status_code == 302
    assert set(read(ses).secrets or {}) == {"secret_access_key", "session_token"}
    assert posted(root, ses, **{"session_token-remove": "on"}).status_code == 302
    assert read(ses).secrets == {"secret_access_key": "first-secret"}
    assert "session_token-remove" not in root.get(page(ses)).content.decode()
    entry = LogEntry.objects.latest("pk")
    assert "session token" in entry.get_change_message().lower()


def test_a_credential_is_not_typed_and_removed_at_once(root: Client, ses: Provider) -> None:
    answer = posted(root, ses, **{"session_token-remove": "on", "session_token": "third-secret"})
    errors = answer.context["adminform"].form.errors
    assert errors == {"session_token": ["Either type a new one or tick “Remove”."]}
    assert "third-secret" not in answer.content.decode()


def test_a_required_credential_stays_whatever_is_ticked(root: Client, ses: Provider) -> None:
    assert posted(root, ses, **{"secret_access_key-remove": "on"}).status_code == 302
    assert set(read(ses).secrets or {}) == {"secret_access_key", "session_token"}
