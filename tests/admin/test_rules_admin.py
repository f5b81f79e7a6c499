"""Routing rules in the console: list, form, deletion, simulator."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from accounts.services import NewApiKey
from providers.models import Provider, RoutingDecision, RoutingRule
from providers.routing import Target
from providers.rules import create_rule
from tests.support.mail import simulator

LIST = "/admin/providers/routingrule/"
ADD = f"{LIST}add/"
SIMULATE = f"{LIST}simulate/"
StaffWith = Callable[..., Client]


@pytest.fixture
def ses(db: None) -> Provider:
    return simulator(name="SES", price_per_thousand=Decimal("0.1"), position=1)


@pytest.fixture
def postmark(db: None) -> Provider:
    return simulator(name="Postmark", price_per_thousand=Decimal("1.25"), position=2)


def rule(*providers: Provider, **fields: Any) -> RoutingRule:
    targets = [Target(provider.pk) for provider in providers]
    return create_rule(**{"owner_id": None, "name": "receipts", "targets": targets} | fields)


def page(shown: RoutingRule, name: str = "change") -> str:
    return reverse(f"admin:providers_routingrule_{name}", args=[shown.pk])


def form(*targets: dict[str, Any], initial: int = 0, **changes: Any) -> dict[str, Any]:
    rows = {
        f"targets-{number}-{name}": str(value)
        for number, target in enumerate(targets)
        for name, value in target.items()
    }
    return {
        "name": "receipts",
        "owner": "",
        "position": "100",
        "is_active": "on",
        "email_types": "",
        "sender_domains": "",
        "recipient_domains": "",
        "tags": "",
        "strategy": "fixed_order",
        "is_exclusive": "on",
        "cost_weight": "1",
        "reliability_weight": "1",
        "latency_weight": "1",
        "targets-TOTAL_FORMS": str(len(targets)),
        "targets-INITIAL_FORMS": str(initial),
        **rows,
        **changes,
    }


def target(provider: Provider, place: int | str = "", weight: int = 1) -> dict[str, Any]:
    return {"provider": provider.pk, "place": place, "weight": weight}


def order_of(shown: RoutingRule) -> list[str]:
    return [each.provider.name for each in shown.targets.select_related("provider")]


def test_a_rule_is_added_with_its_targets_in_the_order_given(
    root: Client, api_key: NewApiKey, ses: Provider, postmark: Provider
) -> None:
    data = form(
        target(ses, 2, 3),
        target(postmark, 1, 7),
        email_types="transactional, marketing",
        recipient_domains="*.Example.net; gmail.com",
        tags="vip, big spender",
        api_key_ids=[str(api_key.api_key.pk)],
        strategy="weighted_split",
    )
    assert root.post(ADD, data).status_code == 302
    made = RoutingRule.objects.get()
    assert order_of(made) == ["Postmark", "SES"]
    assert [each.weight for each in made.targets.all()] == [7, 3]
    assert made.email_types == ["transactional", "marketing"]
    assert made.recipient_domains == ["*.example.net", "gmail.com"]
    assert made.tags == ["vip", "big spender"]
    assert made.api_key_ids == [api_key.api_key.pk]
    assert LogEntry.objects.get().object_id == str(made.pk)


def test_targets_change_places(root: Client, ses: Provider, postmark: Provider) -> None:
    made = rule(ses, postmark, tags=["vip"])
    first, second = made.targets.all()
    html = root.get(page(made)).content.decode()
    assert 'value="vip"' in html
    data = form(
        target(ses, 2) | {"id": first.pk, "rule": made.pk},
        target(postmark, 1) | {"id": second.pk, "rule": made.pk},
        initial=2,
        name="renamed",
    )
    answer = root.post(page(made), data)
    assert answer.status_code == 302
    made.refresh_from_db()
    assert (made.name, made.tags, order_of(made)) == ("renamed", [], ["Postmark", "SES"])
    assert "“SES”" in LogEntry.objects.get().get_change_message()


def test_a_target_is_removed(root: Client, ses: Provider, postmark: Provider) -> None:
    made = rule(ses, postmark)
    first, second = made.targets.all()
    data = form(
        target(ses) | {"id": first.pk, "rule": made.pk, "DELETE": "on"},
        target(postmark) | {"id": second.pk, "rule": made.pk},
        initial=2,
    )
    assert root.post(page(made), data).status_code == 302
    assert order_of(made) == ["Postmark"]


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"name": " "}, "name", "This field is required."),
        ({"email_types": "no way"}, "email_types", "no way: No name of an email type."),
        (
            {"sender_domains": "example.com, *"},
            "sender_domains",
            "*: Use a domain such as example.com, or *.example.com for all below it.",
        ),
        (
            {
                "strategy": "balanced",
                "cost_weight": 0,
                "reliability_weight": 0,
                "latency_weight": 0,
            },
            "cost_weight",
            "At least one of the weights must not be 0.",
        ),
    ],
)
def test_faults_stand_beside_their_field(
    root: Client, ses: Provider, changes: dict[str, Any], field: str, text: str
) -> None:
    answer = root.post(ADD, form(target(ses), **changes))
    assert answer.context["adminform"].form.errors[field] == [text]
    assert not RoutingRule.objects.exists()


def test_faults_of_targets_stand_beside_them(root: Client, user: User, ses: Provider) -> None:
    own = simulator(name="own", owner=user)
    answer = root.post(ADD, form(target(ses), target(own), target(ses)))
    errors = answer.context["inline_admin_formsets"][0].formset.errors
    assert errors[0] == {}
    assert "a rule for all cannot name one of a user" in errors[1]["provider"][0]
    assert errors[2] == {"provider": ["This provider is named twice."]}
    empty = root.post(ADD, form()).context["inline_admin_formsets"][0].formset
    assert empty.non_form_errors() == ["Name at least one provider."]
    assert not RoutingRule.objects.exists()


def test_a_second_rule_of_the_same_name_is_refused(root: Client, ses: Provider) -> None:
    rule(ses)
    answer = root.post(ADD, form(target(ses)))
    errors = answer.context["adminform"].form.errors
    assert errors["name"] == ["Another rule of this owner has this name."]


def test_the_list_says_what_rules_mean_in_the_order_in_which_they_count(
    root: Client, api_key: NewApiKey, ses: Provider, postmark: Provider
) -> None:
    rule(ses, name="last <b>", position=9, tags=["<i>"])
    rule(postmark, ses, name="first", position=1, api_key_ids=[api_key.api_key.pk])
    html = root.get(LIST).content.decode()
    assert html.index("first") < html.index("last &lt;b&gt;")
    assert "<b>" not in html
    assert "Mail tagged &lt;i&gt;: through SES; no other account." in html
    assert "Mail sent with “shop”: the first open one of Postmark, SES; no other account." in html


def test_the_list_takes_as_many_queries_for_many_rules_as_for_one(
    root: Client, api_key: NewApiKey, ses: Provider
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert root.get(LIST).status_code == 200
        return len(queries)

    rule(ses, name="one", api_key_ids=[api_key.api_key.pk])
    before = count()
    for number in range(8):
        rule(ses, name=f"rule {number}", api_key_ids=[api_key.api_key.pk])
    assert count() == before


def test_positions_are_changed_in_the_list(root: Client, ses: Provider, postmark: Provider) -> None:
    first, second = rule(ses, name="a", position=1), rule(postmark, ses, name="b", position=2)
    data = {
        "form-TOTAL_FORMS": "2",
        "form-INITIAL_FORMS": "2",
        "form-0-id": str(first.pk),
        "form-0-position": "3",
        "form-1-id": str(second.pk),
        "form-1-position": "2",
        "_save": "Save",
    }
    assert root.post(LIST, data).status_code == 302
    assert [each.name for each in RoutingRule.objects.all()] == ["b", "a"]
    assert order_of(second) == ["Postmark", "SES"]
    assert LogEntry.objects.get().object_id == str(first.pk)


def test_a_rule_is_deleted_after_a_question(root: Client, ses: Provider) -> None:
    made = rule(ses)
    question = root.get(page(made, "delete")).content.decode()
    assert "Delete the rule “receipts”?" in question
    assert RoutingRule.objects.exists()
    assert root.post(page(made, "delete")).status_code == 302
    assert not RoutingRule.objects.exists()
    assert LogEntry.objects.get().object_repr == "receipts"


def test_an_account_that_a_rule_names_is_kept_and_the_rule_told(
    root: Client, ses: Provider
) -> None:
    rule(ses)
    answer = root.post(reverse("admin:providers_provider_delete", args=[ses.pk]), follow=True)
    assert "the routing rule “receipts” names it." in answer.content.decode()
    assert Provider.objects.exists()


def test_staff_sees_and_changes_what_its_rights_say(staff_with: StaffWith, ses: Provider) -> None:
    made = rule(ses)
    viewer = staff_with("providers.view_routingrule")
    assert viewer.get(LIST).status_code == 200
    assert viewer.get(page(made)).status_code == 200
    assert viewer.get(SIMULATE).status_code == 200
    assert viewer.get(ADD).status_code == 403
    assert viewer.post(page(made), form(target(ses), name="x")).status_code == 403
    assert viewer.post(page(made, "delete")).status_code == 403
    nobody = staff_with("providers.view_provider")
    for path in (LIST, page(made), SIMULATE):
        assert nobody.get(path).status_code == 403
    assert RoutingRule.objects.get().name == "receipts"


# --- simulator ------------------------------------------------------------------------------------


def question(user: User, **changes: Any) -> dict[str, Any]:
    return {
        "owner": str(user.pk),
        "from_email": "shop@example.com",
        "to": "bob@example.net",
        "email_type": "transactional",
        "tags": "",
        "size_kilobytes": "10",
        "priority": "3",
        **changes,
    }


def test_the_simulator_asks(root: Client, superuser: User, ses: Provider) -> None:
    answer = root.get(SIMULATE)
    html = answer.content.decode()
    assert answer.context["answer"] is None
    assert 'placeholder="0.10"' in html
    assert 'placeholder="no limit"' in html
    assert SIMULATE in root.get(LIST).content.decode()


def test_the_simulator_explains_and_writes_nothing(
    root: Client, superuser: User, ses: Provider, postmark: Provider
) -> None:
    made = rule(postmark, ses, strategy="cheapest", name="cheap <b>")
    response = root.post(SIMULATE, question(superuser))
    answer = response.context["answer"]
    assert answer.sentence == (
        "SES is chosen: cheapest open target of the rule “cheap <b>” (0.10 per 1,000)."
    )
    assert [(row.candidate.name, row.is_chosen) for row in answer.rows] == [
        ("SES", True),
        ("Postmark", False),
    ]
    html = response.content.decode()
    assert page(made) in html
    assert "cheap &lt;b&gt;" in html
    assert "cheap <b>" not in html
    assert not RoutingDecision.objects.exists()


def test_the_simulator_names_what_is_not_aligned(
    root: Client, superuser: User, ses: Provider, postmark: Provider
) -> None:
    # Only the choice is asked, for which the kind makes no difference.
    Provider.objects.filter(pk=ses.pk).update(requires_alignment=True)
    html = root.post(SIMULATE, question(superuser)).content.decode()
    assert html.count("is not aligned (SPF or DKIM) at this account: see Sender domains") == 2


def test_the_simulator_supposes(
    root: Client, superuser: User, ses: Provider, postmark: Provider
) -> None:
    rule(postmark, ses, strategy="cheapest")
    down = root.post(SIMULATE, question(superuser, **{f"down_{ses.pk.hex}": "on"}))
    assert down.context["answer"].sentence == (
        "Postmark is chosen: cheapest open target of the rule “receipts” (1.25 per 1,000). "
        "Passed over: SES (supposed to be down)."
    )
    assert down.context["answer"].otherwise.startswith("SES is chosen")
    changes = {f"price_{postmark.pk.hex}": "0.01", f"left_{ses.pk.hex}": "0"}
    answer = root.post(SIMULATE, question(superuser, **changes)).context["answer"]
    assert answer.rows[0].candidate.note == "0.01 per 1,000"
    assert answer.rows[1].candidate.skipped == "quota used up"
    none = {f"left_{ses.pk.hex}": "0", f"down_{postmark.pk.hex}": "on"}
    assert not root.post(SIMULATE, question(superuser, **none)).context["answer"].is_taken


def test_the_simulator_takes_each_fact(
    root: Client, superuser: User, user: User, api_key: NewApiKey, ses: Provider, postmark: Provider
) -> None:
    own = simulator(name="own", owner=user, position=9)
    Provider.objects.filter(pk=ses.pk).update(max_message_bytes=20_000, takes_attachments=False)
    rule(postmark, name="tagged", tags=["vip"], api_key_ids=[api_key.api_key.pk])

    def chosen(**changes: Any) -> str:
        rows = root.post(SIMULATE, question(superuser, **changes)).context["answer"].rows
        return str(next(row.candidate.name for row in rows if row.is_chosen))

    assert chosen() == "SES"
    assert chosen(size_kilobytes="21") == "Postmark"
    assert chosen(has_attachments="on") == "Postmark"
    assert chosen(owner=str(user.pk)) == "own"
    assert chosen(pinned=str(postmark.pk)) == "Postmark"
    assert chosen(tags="a, vip", api_key=str(api_key.api_key.pk)) == "Postmark"
    assert own.name == "own"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"owner": ""}, "owner"),
        ({"from_email": "nobody"}, "from_email"),
        ({"to": "bob@example.net, eve"}, "to"),
        ({"size_kilobytes": "-1"}, "size_kilobytes"),
        ({"priority": "6"}, "priority"),
        ({"email_type": "transactonal"}, "email_type"),
    ],
)
def test_a_question_with_a_fault_is_not_answered(
    root: Client, superuser: User, ses: Provider, changes: dict[str, str], field: str
) -> None:
    response = root.post(SIMULATE, question(superuser, **changes))
    assert response.context["answer"] is None
    assert set(response.context["form"].errors) == {field}
