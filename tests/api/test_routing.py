"""Routing rules and explanations over the API."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import User
from accounts.services import NewApiKey
from providers.models import Provider, RoutingRule
from providers.routing import Target
from providers.rules import create_rule
from tests.support.api import Api, api_with
from tests.support.mail import simulator


@pytest.fixture
def ses(db: None) -> Provider:
    return simulator(name="ses", price_per_thousand=Decimal("0.1"), position=1)


@pytest.fixture
def postmark(db: None) -> Provider:
    return simulator(name="postmark", price_per_thousand=Decimal("1.25"), position=2)


def full(key: NewApiKey, *providers: Provider) -> dict[str, Any]:
    return {
        "name": "receipts",
        "position": 7,
        "active": False,
        "conditions": {
            "email_types": ["transactional"],
            "sender_domains": ["example.com"],
            "recipient_domains": ["*.example.net"],
            "tags": ["vip"],
            "api_key_ids": [str(key.api_key.pk)],
        },
        "strategy": "weighted_split",
        "weights": {"cost": 2, "reliability": 3, "latency": 0},
        "exclusive": False,
        "targets": [
            {"provider_id": str(provider.pk), "name": provider.name, "weight": place}
            for place, provider in enumerate(providers)
        ],
    }


def least(*providers: Provider, **fields: Any) -> dict[str, Any]:
    targets = [{"provider_id": str(provider.pk)} for provider in providers]
    return {"name": "receipts", "targets": targets} | fields


def create(api: Api, *providers: Provider, **fields: Any) -> dict[str, Any]:
    response = api.post("/routing-rules", least(*providers, **fields))
    assert response.status_code == 201, response.content
    return dict(response.json())


def shared_rule(*providers: Provider, **fields: Any) -> RoutingRule:
    targets = [Target(provider.pk) for provider in providers]
    return create_rule(**{"owner_id": None, "name": "company", "targets": targets} | fields)


def details(response: Any) -> dict[str, str]:
    assert response.status_code == 400, response.content
    return {path: found[0]["code"] for path, found in response.json()["details"].items()}


# --- rules ----------------------------------------------------------------------------------------


def test_a_rule_is_created_and_shown(
    api: Api, user: User, api_key: NewApiKey, ses: Provider, postmark: Provider
) -> None:
    given = full(api_key, ses, postmark)
    response = api.post("/routing-rules", given)
    rule = RoutingRule.objects.get()
    assert response.status_code == 201
    assert response["Location"] == f"/api/v1/routing-rules/{rule.pk}"
    assert rule.owner_id == user.pk
    assert response.json() == given | {
        "message": "The routing rule is created.",
        "id": str(rule.pk),
        "description": "Transactional mail from example.com to *.example.net only tagged vip "
        "sent with “shop”: split among ses (0), postmark (1); else the usual order.",
        "shared": False,
        "created_at": rule.created_at.isoformat(),
        "updated_at": rule.updated_at.isoformat(),
    }
    read = api.get(f"/routing-rules/{rule.pk}").json()
    assert read == {key: value for key, value in response.json().items() if key != "message"}


def test_what_is_not_given_takes_its_default(api: Api, ses: Provider) -> None:
    body = create(api, ses)
    assert (body["position"], body["active"], body["strategy"], body["exclusive"]) == (
        100,
        True,
        "fixed_order",
        True,
    )
    assert body["weights"] == {"cost": 1, "reliability": 1, "latency": 1}
    assert all(value == [] for value in body["conditions"].values())
    assert body["targets"] == [{"provider_id": str(ses.pk), "name": "ses", "weight": 1}]
    assert body["description"] == "All mail: through ses; no other account."


def test_rules_are_listed_in_the_order_in_which_they_count(
    api: Api, other: Api, ses: Provider
) -> None:
    create(api, ses, name="last", position=300)
    create(api, ses, name="first", position=1)
    create(other, ses, name="theirs")
    shared_rule(ses, position=5)
    answer = api.get("/routing-rules").json()
    assert [(rule["name"], rule["shared"]) for rule in answer["results"]] == [
        ("first", False),
        ("company", True),
        ("last", False),
    ]
    assert answer["next"] is None
    assert details(api.get("/routing-rules?page=2")) == {"page": "unknown_field"}


def test_a_put_replaces_and_a_patch_changes(
    api: Api, api_key: NewApiKey, ses: Provider, postmark: Provider
) -> None:
    path = f"/routing-rules/{create(api, ses)['id']}"
    given = full(api_key, postmark, ses)
    assert api.put(path, given).json()["targets"] == given["targets"]
    patched = api.patch(
        path, {"conditions": {"tags": None}, "weights": {"latency": 9}, "position": 3}
    ).json()
    assert patched["conditions"] == given["conditions"] | {"tags": []}
    assert patched["weights"] == {"cost": 2, "reliability": 3, "latency": 9}
    assert (patched["position"], patched["name"]) == (3, "receipts")
    emptied = api.patch(path, {"weights": None, "strategy": None}).json()
    assert emptied["weights"] == {"cost": 1, "reliability": 1, "latency": 1}
    assert (emptied["strategy"], emptied["conditions"]) == ("fixed_order", patched["conditions"])
    read = api.get(path).json()
    assert api.put(path, read).status_code == 200
    replaced = api.put(path, least(ses, name="other")).json()
    assert (replaced["conditions"]["email_types"], replaced["position"]) == ([], 100)


def test_a_rule_is_deleted(api: Api, ses: Provider) -> None:
    path = f"/routing-rules/{create(api, ses)['id']}"
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_the_companys_rules_are_read_but_not_changed(api: Api, ses: Provider) -> None:
    path = f"/routing-rules/{shared_rule(ses).pk}"
    assert api.get(path).json()["shared"] is True
    for answer in (api.put(path, least(ses)), api.patch(path, {"name": "x"}), api.delete(path)):
        assert answer.status_code == 403
        assert answer.json()["message"] == "This rule is the company's: only operators change it."
    assert RoutingRule.objects.get().name == "company"


def test_rules_of_others_are_not_there(api: Api, other: Api, ses: Provider) -> None:
    path = f"/routing-rules/{create(other, ses)['id']}"
    for answer in (
        api.get(path),
        api.put(path, least(ses)),
        api.patch(path, {}),
        api.delete(path),
        api.get(f"/routing-rules/{uuid4()}"),
        api.get("/routing-rules/nonsense"),
    ):
        assert answer.status_code == 404


def test_the_company_rules_do_not_name_other_peoples_keys(
    other: Api, api_key: NewApiKey, ses: Provider
) -> None:
    rule = shared_rule(ses, api_key_ids=[api_key.api_key.pk])
    shown = other.get(f"/routing-rules/{rule.pk}").json()["description"]
    assert shown == "Mail sent with “another's key”: through ses; no other account."


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"name": None}, {"name": "required"}),
        ({"name": 5, "position": "1"}, {"name": "invalid_type", "position": "invalid_type"}),
        (
            {"active": 1, "exclusive": "yes"},
            {"active": "invalid_type", "exclusive": "invalid_type"},
        ),
        ({"position": True}, {"position": "invalid_type"}),
        ({"position": 70_000}, {"position": "out_of_range"}),
        ({"luck": 1}, {"luck": "unknown_field"}),
        ({"strategy": "luck"}, {"strategy": "invalid_choice"}),
        ({"conditions": []}, {"conditions": "invalid_type"}),
        ({"conditions": {"tag": []}}, {"conditions.tag": "unknown_field"}),
        ({"conditions": {"tags": "vip"}}, {"conditions.tags": "invalid_type"}),
        ({"conditions": {"tags": ["a", 1]}}, {"conditions.tags[1]": "invalid_type"}),
        ({"conditions": {"api_key_ids": ["x"]}}, {"conditions.api_key_ids[0]": "invalid_type"}),
        (
            {"conditions": {"sender_domains": ["a.com", "*"]}},
            {"conditions.sender_domains[1]": "invalid_domain"},
        ),
        ({"weights": {"cost": 1.5}}, {"weights.cost": "invalid_type"}),
        ({"weights": {"latency": 101}}, {"weights.latency": "out_of_range"}),
        ({"targets": None}, {"targets": "required"}),
        ({"targets": []}, {"targets": "required"}),
        ({"targets": {}}, {"targets": "invalid_type"}),
        ({"targets": ["x"]}, {"targets[0]": "invalid_type"}),
        ({"targets": [{}]}, {"targets[0].provider_id": "required"}),
        ({"targets": [{"provider_id": "x"}]}, {"targets[0].provider_id": "invalid_type"}),
        (
            {"targets": [{"provider_id": str(uuid4()), "weight": 1, "x": 1}]},
            {"targets[0].x": "unknown_field"},
        ),
        ({"targets": [{"provider_id": str(uuid4())}]}, {"targets[0].provider_id": "not_found"}),
    ],
)
def test_faults_name_their_field(
    api: Api, ses: Provider, fields: dict[str, Any], faults: dict[str, str]
) -> None:
    assert details(api.post("/routing-rules", least(ses) | fields)) == faults
    assert not RoutingRule.objects.exists()


def test_another_users_account_or_key_reads_like_one_that_is_not_there(
    api: Api, other_user: User, ses: Provider
) -> None:
    theirs = simulator(name="theirs", owner=other_user)
    key = api_with(other_user, "providers:read")
    assert key.get("/routing-rules").status_code == 200
    key_id = other_user.api_keys.get().pk
    answer = api.post(
        "/routing-rules", least(ses, theirs, conditions={"api_key_ids": [str(key_id)]})
    )
    assert details(answer) == {
        "conditions.api_key_ids[0]": "not_found",
        "targets[1].provider_id": "not_found",
    }


def test_an_account_that_a_rule_names_is_not_deleted(api: Api, user: User) -> None:
    made = api.post(
        "/smtp-configs", {"email_address": "ann@example.com", "smtp_host": "smtp.example.com"}
    ).json()
    create(api, Provider.objects.get(pk=made["id"]))
    answer = api.delete(f"/smtp-configs/{made['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "provider_in_use")
    assert "the routing rule “receipts” names it" in answer.json()["message"]


def test_scopes_are_kept(user: User, ses: Provider) -> None:
    reader, writer = api_with(user, "providers:read"), api_with(user, "providers:write")
    assert reader.get("/routing-rules").status_code == 200
    assert reader.post("/routing/explain", {}).status_code == 200
    assert reader.post("/routing-rules", least(ses)).status_code == 403
    rule = create(writer, ses)
    assert writer.get("/routing-rules").status_code == 403
    assert reader.delete(f"/routing-rules/{rule['id']}").status_code == 403
    assert writer.post("/routing/explain", {}).status_code == 403
