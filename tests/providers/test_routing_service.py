"""Rules in the database: writing them, reading them for the choice, and sending by them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from accounts.services import NewApiKey
from delivery.models import Attempt, EmailType
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.ids import uuid7
from providers.errors import ProviderInUseError
from providers.models import Provider, RoutingDecision, RoutingRule, RoutingTarget
from providers.routing import Balance, Conditions, Rule, Strategy, Target
from providers.rules import MAX_RULES, create_rule, delete_rule, update_rule
from providers.selectors import recent_snapshot, take_snapshot
from providers.services import create_provider, delete_provider, update_provider
from tests.support.mail import drain, queue, simulator, smtp_account

pytestmark = pytest.mark.django_db

FULL: dict[str, Any] = {
    "position": 7,
    "email_types": ["transactional"],
    "sender_domains": ["Example.com", "example.com"],
    "recipient_domains": ["*.Example.net"],
    "tags": ["vip"],
    "strategy": "balanced",
    "is_exclusive": False,
    "cost_weight": 3,
    "reliability_weight": 0,
    "latency_weight": 2,
}


def sink(name: str, **fields: Any) -> Provider:
    return simulator(name=name, **fields)


def simple(*providers: Provider, **fields: Any) -> RoutingRule:
    targets = [Target(provider.pk) for provider in providers]
    return create_rule(**{"owner_id": None, "name": "receipts", "targets": targets} | fields)


def faults_of(call: Any, **fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as caught:
        call(**fields)
    return {path: found[0]["code"] for path, found in caught.value.details.items()}


def test_a_rule_is_stored_and_read_as_the_choice_sees_it(api_key: NewApiKey) -> None:
    one, two = sink("one"), sink("two")
    rule = create_rule(
        owner_id=None,
        name="  Receipts ",
        targets=[Target(two.pk, 5), Target(one.pk, 0)],
        api_key_ids=[api_key.api_key.pk],
        **FULL,
    )
    assert take_snapshot(timezone.now()).rules == [
        Rule(
            rule_id=rule.pk,
            name="Receipts",
            owner_id=None,
            position=7,
            strategy=Strategy.BALANCED,
            targets=(Target(two.pk, 5), Target(one.pk, 0)),
            conditions=Conditions(
                email_types=frozenset({"transactional"}),
                sender_domains=frozenset({"example.com"}),
                recipient_domains=frozenset({"*.example.net"}),
                tags=frozenset({"vip"}),
                api_key_ids=frozenset({api_key.api_key.pk}),
            ),
            is_exclusive=False,
            balance=Balance(3, 0, 2),
        )
    ]


def test_rules_come_in_order_and_without_those_switched_off() -> None:
    one = sink("one")
    last = simple(one, name="last", position=300)
    simple(one, name="off", position=1, is_active=False)
    first = simple(one, name="first", position=2)
    also_last = simple(one, name="also last", position=300)
    found = [rule.rule_id for rule in take_snapshot(timezone.now()).rules]
    assert found == [first.pk, last.pk, also_last.pk]


def test_a_snapshot_takes_eight_queries_however_many_rules() -> None:
    one = sink("one")
    for number in range(5):
        simple(one, name=f"rule {number}")
    with CaptureQueriesContext(connection) as queries:
        take_snapshot(timezone.now())
    # accounts, usage, breakers, figures, domain limits, slow-downs, rules, their targets
    assert len(queries) == 8, [query["sql"] for query in queries]


def test_a_change_leaves_what_is_not_named_and_counts_at_once(
    django_capture_on_commit_callbacks: Any,
) -> None:
    one, two = sink("one"), sink("two")
    rule = simple(one, position=7, tags=["vip"])
    assert recent_snapshot().rules[0].name == "receipts"
    with django_capture_on_commit_callbacks(execute=True):
        update_rule(rule.pk, targets=[Target(two.pk), Target(one.pk)])
    read = recent_snapshot().rules[0]
    assert [target.provider_id for target in read.targets] == [two.pk, one.pk]
    assert (read.position, read.conditions.tags) == (7, frozenset({"vip"}))
    update_rule(rule.pk, name="other")
    rule.refresh_from_db()
    assert (rule.name, rule.targets.count()) == ("other", 2)


def test_a_misspelt_type_is_told_from_one_that_was_deleted() -> None:
    EmailType.objects.create(name="receipt")
    rule = simple(sink("one"), email_types=["receipt"])
    EmailType.objects.filter(name="receipt").delete()
    update_rule(rule.pk, name="other")
    with pytest.raises(InvalidInputError) as refused:
        update_rule(rule.pk, email_types=["receipt", "Transactional"])
    fault = refused.value.details["email_types[1]"][0]
    assert fault["message"] == (
        "There is no email type “Transactional”. Did you mean “transactional”?"
    )
    with pytest.raises(InvalidInputError, match=r"“xyz”\. Create it first"):
        update_rule(rule.pk, email_types=["xyz"])


def test_a_rule_is_deleted_with_its_targets() -> None:
    rule = simple(sink("one"))
    delete_rule(rule.pk)
    assert not RoutingTarget.objects.exists()
    with pytest.raises(NotFoundError):
        delete_rule(rule.pk)
    with pytest.raises(NotFoundError):
        update_rule(rule.pk, name="x")


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"name": " "}, {"name": "required"}),
        ({"name": "a\nb"}, {"name": "invalid"}),
        ({"name": "x" * 101}, {"name": "too_long"}),
        ({"position": -1}, {"position": "out_of_range"}),
        ({"position": 40_000}, {"position": "out_of_range"}),
        ({"strategy": "luck"}, {"strategy": "invalid_choice"}),
        ({"email_types": ["ok", "no way"]}, {"email_types[1]": "invalid"}),
        ({"email_types": ["marketing", "transactonal"]}, {"email_types[1]": "not_found"}),
        ({"tags": [""]}, {"tags[0]": "invalid"}),
        ({"tags": ["x"] * 201}, {"tags": "too_many"}),
        ({"sender_domains": ["*"]}, {"sender_domains[0]": "invalid_domain"}),
        (
            {"recipient_domains": ["a.com", "a@b.com", "-"]},
            {"recipient_domains[1]": "invalid_domain", "recipient_domains[2]": "invalid_domain"},
        ),
        ({"recipient_domains": ["a.com"] * 201}, {"recipient_domains": "too_many"}),
        ({"api_key_ids": [UUID(int=1)]}, {"api_key_ids[0]": "not_found"}),
        (
            {
                "strategy": "balanced",
                "cost_weight": 0,
                "reliability_weight": 0,
                "latency_weight": 0,
            },
            {"cost_weight": "invalid"},
        ),
        ({"latency_weight": 101}, {"latency_weight": "out_of_range"}),
        ({"targets": []}, {"targets": "required"}),
        ({"targets": [Target(UUID(int=1))]}, {"targets[0].provider_id": "not_found"}),
        ({"position": -1, "tags": [" "]}, {"position": "out_of_range", "tags[0]": "invalid"}),
    ],
)
def test_faults_name_their_field_and_nothing_is_written(
    fields: dict[str, Any], faults: dict[str, str]
) -> None:
    one = sink("one")
    given = {"owner_id": None, "name": "x", "targets": [Target(one.pk)]} | fields
    assert faults_of(create_rule, **given) == faults
    assert not RoutingRule.objects.exists()


def test_targets_must_differ_and_weigh_something(user: User) -> None:
    one, own = sink("one"), sink("own", owner=user)
    base: dict[str, Any] = {"owner_id": user.pk, "name": "x", "strategy": "weighted_split"}
    twice = [Target(one.pk), Target(own.pk, 1_001), Target(one.pk)]
    assert faults_of(create_rule, **base, targets=twice) == {
        "targets[1].weight": "out_of_range",
        "targets[2].provider_id": "duplicate",
    }
    assert faults_of(create_rule, **base, targets=[Target(one.pk, 0)]) == {
        "targets[0].weight": "invalid"
    }
    assert create_rule(**base, targets=[Target(one.pk), Target(own.pk, 0)]).targets.count() == 2


def test_a_rule_names_only_accounts_that_all_its_mail_may_use(user: User) -> None:
    own = sink("own", owner=user)
    theirs = sink("theirs", owner=User.objects.create_user("eve@example.com"))
    for owner_id, provider in ((None, own), (user.pk, theirs)):
        assert faults_of(
            create_rule, owner_id=owner_id, name="x", targets=[Target(provider.pk)]
        ) == {"targets[0].provider_id": "not_found"}


def test_a_users_rule_names_only_their_keys(user: User, api_key: NewApiKey) -> None:
    eve = User.objects.create_user("eve@example.com")
    fields: dict[str, Any] = {
        "name": "x",
        "targets": [Target(sink("one").pk)],
        "api_key_ids": [api_key.api_key.pk],
    }
    assert faults_of(create_rule, owner_id=eve.pk, **fields) == {"api_key_ids[0]": "not_found"}
    assert create_rule(owner_id=user.pk, **fields).api_key_ids == [api_key.api_key.pk]


def test_names_are_unique_per_owner_and_rules_are_limited(user: User) -> None:
    one = sink("one")
    first = simple(one)
    simple(one, owner_id=user.pk)
    again = {"owner_id": None, "name": "receipts", "targets": [Target(one.pk)]}
    assert faults_of(create_rule, **again) == {"name": "exists"}
    assert update_rule(first.pk, name="receipts").pk == first.pk
    RoutingRule.objects.bulk_create(
        RoutingRule(name=f"rule {number}") for number in range(MAX_RULES - 1)
    )
    assert faults_of(create_rule, **again | {"name": "one more"}) == {"name": "too_many"}
    assert update_rule(first.pk, name="renamed").name == "renamed"


# --- accounts that rules name ---------------------------------------------------------------------


def test_an_account_that_a_rule_names_is_not_deleted() -> None:
    one = sink("one")
    rule = simple(one)
    with pytest.raises(ProviderInUseError) as caught:
        delete_provider(one.pk)
    assert caught.value.message == ("one cannot be deleted: the routing rule “receipts” names it.")
    delete_rule(rule.pk)
    delete_provider(one.pk)
    assert not Provider.objects.exists()


def test_an_account_of_a_rule_for_all_is_not_given_to_somebody(user: User) -> None:
    one = sink("one")
    rule = simple(one)
    assert faults_of(lambda: update_provider(one.pk, owner_id=user.pk)) == {"owner": "in_use"}
    update_rule(rule.pk, owner_id=user.pk)
    assert update_provider(one.pk, owner_id=user.pk).owner_id == user.pk


def test_the_constraints_of_an_account_are_checked_and_reach_the_choice() -> None:
    made = create_provider(
        owner_id=None,
        name="one",
        kind="simulator",
        settings={},
        secrets={},
        from_email="shop@mail.example.com",
        from_domains=["*.Example.com", "example.org", "example.org"],
        max_message_bytes=10_000_000,
        takes_attachments=False,
        price_per_thousand=Decimal("0.125"),
    )
    made.refresh_from_db()
    assert made.from_domains == ["*.example.com", "example.org"]
    state = take_snapshot(timezone.now()).by_id[made.pk]
    assert state.from_domains == {"*.example.com", "example.org"}
    assert (state.max_message_bytes, state.takes_attachments) == (10_000_000, False)
    assert state.price == Decimal("0.125")


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"from_domains": ["a b"]}, {"from_domains[0]": "invalid_domain"}),
        (
            {"from_email": "a@example.net", "from_domains": ["example.com"]},
            {"from_email": "not_allowed"},
        ),
        ({"max_message_bytes": 0}, {"max_message_bytes": "out_of_range"}),
        ({"price_per_thousand": Decimal(-1)}, {"price_per_thousand": "out_of_range"}),
    ],
)
def test_bad_constraints_are_refused(fields: dict[str, Any], faults: dict[str, str]) -> None:
    one = create_provider(owner_id=None, name="x", kind="simulator", settings={}, secrets={})
    assert faults_of(lambda: update_provider(one.pk, **fields)) == faults


# --- in the drain ---------------------------------------------------------------------------------


def test_mail_goes_where_its_rule_says_and_tells_why(user: User) -> None:
    cheap = sink("cheap", price_per_thousand=Decimal("0.1"), position=9)
    dear = sink("dear", price_per_thousand=Decimal("0.9"), position=1)
    rule = simple(
        dear, cheap, strategy="cheapest", tags=["bulk"], recipient_domains=["example.net"]
    )
    tagged = queue(user, tags=["bulk"])
    elsewhere = queue(user, tags=["bulk"], cc="eve@example.org")
    drain()
    assert Attempt.objects.get(message=tagged).provider_id == cheap.pk
    assert Attempt.objects.get(message=elsewhere).provider_id == dear.pk
    attempt = Attempt.objects.get(message=tagged)
    body = RoutingDecision.objects.get(pk=attempt.decision_id or "").body
    assert body["rule"] == {"id": str(rule.pk), "name": "receipts"}
    assert (body["strategy"], body["reason"]) == (
        "cheapest",
        "cheapest open target of the rule “receipts”",
    )
    assert [(item["name"], item["score"], item["note"]) for item in body["candidates"]] == [
        ("cheap", 0.1, "0.10 per 1,000"),
        ("dear", 0.9, "0.90 per 1,000"),
    ]


def test_large_mail_and_mail_with_files_go_to_accounts_that_take_them(user: User) -> None:
    small = sink("small", position=1, max_message_bytes=100_000, takes_attachments=True)
    plain = sink("plain", position=2, takes_attachments=False)
    roomy = sink("roomy", position=3)

    def attached(size: int) -> list[dict[str, str]]:
        return [
            {"filename": "a.txt", "content": "QUJD" * (size // 3), "content_type": "text/plain"}
        ]

    light = queue(user, attachments=attached(6_000))
    heavy = queue(user, attachments=attached(90_000))
    long = queue(user, text="x" * 100_000)
    drain()
    found = {attempt.message_id: attempt.provider_id for attempt in Attempt.objects.all()}
    assert found == {light.pk: small.pk, heavy.pk: roomy.pk, long.pk: plain.pk}


def test_a_mail_without_a_from_gets_that_of_the_account_its_rule_chooses(user: User) -> None:
    sink("first", position=1, from_email="first@example.com")
    second = sink("second", position=2, from_email="second@example.com")
    simple(second, tags=["vip"])
    assert queue(user, tags=["vip"]).content.from_email == "second@example.com"
    assert queue(user).content.from_email == "first@example.com"


def test_mail_of_an_exclusive_rule_waits_for_its_account(user: User) -> None:
    sink("other")
    own = sink("own", is_active=False)
    simple(own)
    message = queue(user)
    drain()
    message.refresh_from_db()
    assert (message.status, message.provider_id) == ("retry", None)
    assert message.error == (
        "Waiting: every account that may take this mail is closed for now, by the rule “receipts”."
    )


def test_a_refusing_account_hands_over_to_the_next_target(user: User) -> None:
    away = smtp_account(9, name="away")
    backup, other = sink("backup"), sink("other", position=1)
    simple(away, backup)
    message = queue(user)
    drain()
    found = Attempt.objects.filter(message=message).order_by("number")
    assert [attempt.provider_id for attempt in found] == [away.pk, backup.pk]
    assert other.pk != backup.pk


def test_a_rule_needs_a_known_strategy_in_the_database_too() -> None:
    with pytest.raises(Exception, match="providers_routingrule_strategy"):
        RoutingRule.objects.create(id=uuid7(), name="x", strategy="luck")
