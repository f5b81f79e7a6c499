"""Which account would take a mail, and why, over the API."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from accounts.services import NewApiKey
from providers.models import Provider, RoutingDecision
from tests.api.test_routing import create, details
from tests.support.api import Api, api_with
from tests.support.mail import simulator


@pytest.fixture
def ses(db: None) -> Provider:
    return simulator(name="ses", price_per_thousand=Decimal("0.1"), position=1)


@pytest.fixture
def postmark(db: None) -> Provider:
    return simulator(name="postmark", price_per_thousand=Decimal("1.25"), position=2)


def explain(api: Api, **question: Any) -> dict[str, Any]:
    response = api.post("/routing/explain", question)
    assert response.status_code == 200, response.content
    return dict(response.json())


def test_without_a_rule_the_usual_order_is_explained(
    api: Api, ses: Provider, postmark: Provider
) -> None:
    answer = explain(api)
    assert answer == {
        "chosen": {"provider": str(ses.pk), "name": "ses"},
        "explanation": "ses is chosen: first open account in order.",
        "reason": "first open account in order",
        "rule": None,
        "strategy": None,
        "retry_at": None,
        "hopeless": False,
        "candidates": [
            {
                "provider": str(provider.pk),
                "name": provider.name,
                "skipped": None,
                "detail": "",
                "score": None,
                "note": "",
            }
            for provider in (ses, postmark)
        ],
    }
    assert not RoutingDecision.objects.exists()


def test_what_is_not_aligned_is_named(api: Api, ses: Provider, postmark: Provider) -> None:
    # Only the choice is asked, for which the kind makes no difference.
    Provider.objects.filter(pk=ses.pk).update(requires_alignment=True)
    answer = explain(api, **{"from": "shop@news.example.com", "to": ["bob@example.net"]})
    assert answer["chosen"] == {"provider": str(postmark.pk), "name": "postmark"}
    assert [(item["skipped"], item["detail"]) for item in answer["candidates"]] == [
        (
            "its From domains must be aligned (SPF or DKIM)",
            "news.example.com is not aligned (SPF or DKIM) at this account: see Sender domains",
        ),
        (None, ""),
    ]


def test_a_rule_and_its_scores_are_explained(api: Api, ses: Provider, postmark: Provider) -> None:
    rule = create(
        api,
        postmark,
        ses,
        strategy="cheapest",
        conditions={"tags": ["vip"], "recipient_domains": ["example.net"]},
    )
    question = {"from": "shop@example.com", "to": ["bob@Example.net"], "tags": ["vip"]}
    answer = explain(api, **question)
    assert answer["rule"] == {"id": rule["id"], "name": "receipts"}
    assert answer["explanation"] == (
        "ses is chosen: cheapest open target of the rule “receipts” (0.10 per 1,000)."
    )
    assert [(item["name"], item["score"]) for item in answer["candidates"]] == [
        ("ses", 0.1),
        ("postmark", 1.25),
    ]
    assert explain(api, **question | {"to": "Bob <bob@example.org>"})["rule"] is None


def test_what_if_an_account_were_down_or_dearer_or_used_up(
    api: Api, ses: Provider, postmark: Provider
) -> None:
    create(api, ses, postmark, strategy="cheapest")
    ids = {"ses": str(ses.pk), "postmark": str(postmark.pk)}

    def chosen(**what_if: Any) -> str:
        return str(explain(api, what_if=what_if)["chosen"]["name"])

    assert chosen() == "ses"
    assert chosen(down=[ids["ses"]]) == "postmark"
    assert chosen(price={ids["ses"]: 2.5}) == "postmark"
    assert chosen(price={ids["postmark"]: "0.05"}) == "postmark"
    assert chosen(remaining={ids["ses"]: 0}) == "postmark"
    assert chosen(remaining={ids["ses"]: None}) == "ses"
    answer = explain(api, what_if={"down": list(ids.values())})
    assert (answer["chosen"], answer["hopeless"]) == (None, False)
    assert answer["explanation"] == (
        "No account takes it now: every account that may take this mail is closed for now, "
        "by the rule “receipts”. Passed over: ses (supposed to be down), "
        "postmark (supposed to be down)."
    )
    ses.refresh_from_db()
    assert ses.price_per_thousand == Decimal("0.1")


def test_size_files_priority_and_a_pinned_account_count(
    api: Api, ses: Provider, postmark: Provider
) -> None:
    Provider.objects.filter(pk=ses.pk).update(max_message_bytes=1_000, takes_attachments=False)
    Provider.objects.filter(pk=postmark.pk).update(daily_limit=100, priority_reserve=50)
    assert explain(api)["chosen"]["name"] == "ses"
    assert explain(api, size_bytes=1_001)["chosen"]["name"] == "postmark"
    assert explain(api, has_attachments=True)["chosen"]["name"] == "postmark"
    assert explain(api, provider_id=str(postmark.pk))["reason"] == "pinned by the sender"
    urgent = {"has_attachments": True, "what_if": {"remaining": {str(postmark.pk): 50}}}
    assert explain(api, **urgent)["chosen"] is None
    assert explain(api, **urgent, priority=1)["chosen"]["name"] == "postmark"


def test_the_asking_key_counts_unless_another_is_named(
    api: Api, user: User, api_key: NewApiKey, ses: Provider, postmark: Provider
) -> None:
    create(api, postmark, conditions={"api_key_ids": [str(api_key.api_key.pk)]})
    assert explain(api)["chosen"]["name"] == "postmark"
    another = api_with(user, "providers:read")
    assert explain(another)["chosen"]["name"] == "ses"
    assert explain(another, api_key_id=str(api_key.api_key.pk))["chosen"]["name"] == "postmark"


def test_other_peoples_accounts_and_rules_are_never_shown(
    api: Api, other: Api, other_user: User, ses: Provider
) -> None:
    theirs = simulator(name="secret relay", owner=other_user, position=0)
    create(other, theirs, name="secret rule")
    assert b"secret" not in api.post("/routing/explain", {"from": "a@example.com"}).content
    questions: tuple[dict[str, Any], ...] = (
        {"provider_id": str(theirs.pk)},
        {"what_if": {"down": [str(theirs.pk)]}},
        {"what_if": {"price": {str(theirs.pk): 0}}},
        {"what_if": {"remaining": {str(theirs.pk): 0}}},
    )
    for question in questions:
        answer = api.post("/routing/explain", question)
        assert set(details(answer).values()) == {"not_found"}
        assert b"secret" not in answer.content
    assert explain(other)["chosen"]["name"] == "secret relay"


@pytest.mark.parametrize(
    ("question", "faults"),
    [
        ({"from": "nobody"}, {"from": "invalid_email"}),
        ({"to": ["a@b.example", "x"]}, {"to[1]": "invalid_email"}),
        ({"to": 5}, {"to": "invalid_type"}),
        ({"subject": "Hi"}, {"subject": "unknown_field"}),
        ({"size_bytes": -1}, {"size_bytes": "out_of_range"}),
        ({"size_bytes": "1"}, {"size_bytes": "invalid_type"}),
        ({"priority": 6}, {"priority": "out_of_range"}),
        ({"tags": "vip"}, {"tags": "invalid_type"}),
        ({"has_attachments": "no"}, {"has_attachments": "invalid_type"}),
        ({"provider_id": "x"}, {"provider_id": "invalid_type"}),
        ({"what_if": []}, {"what_if": "invalid_type"}),
        ({"what_if": {"up": []}}, {"what_if.up": "unknown_field"}),
        ({"what_if": {"down": "x"}}, {"what_if.down": "invalid_type"}),
        ({"what_if": {"down": ["x"]}}, {"what_if.down[0]": "not_found"}),
        ({"what_if": {"price": 1}}, {"what_if.price": "invalid_type"}),
    ],
)
def test_faults_in_a_question_name_their_field(
    api: Api, question: dict[str, Any], faults: dict[str, str]
) -> None:
    assert details(api.post("/routing/explain", question)) == faults


@pytest.mark.parametrize("price", [-1, "NaN", "Infinity", "cheap", True, None, 1e9, [1]])
def test_a_supposed_price_must_be_one(api: Api, ses: Provider, price: object) -> None:
    path = f"what_if.price.{ses.pk}"
    answer = api.post("/routing/explain", {"what_if": {"price": {str(ses.pk): price}}})
    assert details(answer) == {path: "invalid"}
    rest = {"what_if": {"remaining": {str(ses.pk): -1}}}
    assert details(api.post("/routing/explain", rest)) == {f"what_if.remaining.{ses.pk}": "invalid"}


def test_an_unknown_type_is_not_explained(api: Api, ses: Provider) -> None:
    response = api.post("/routing/explain", {"email_type": "transactonal"})
    assert details(response) == {"email_type": "not_found"}
