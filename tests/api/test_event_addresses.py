"""Event addresses of accounts, and what providers posted there, over the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.scopes import Scope
from inbound.models import EventSource, RawEvent
from inbound.services.events import work_off_batch
from inbound.services.sources import source_of
from mailservice.core.ids import uuid7
from providers.models import Provider
from tests.inbound.test_events import deliver, path_of, tell
from tests.support.api import Api, api_with
from tests.support.webhooks.samples import KEYS, MAKERS, Mail, post_of


def account(owner: User | None, kind: str = "brevo", name: str = "mine") -> Provider:
    return Provider.objects.create(owner=owner, name=name, kind=kind, secrets={"api_key": "k"})


def address(provider: Provider) -> str:
    return f"/providers/{provider.pk}/event-address"


def fault(response: Any, status: int = 400) -> dict[str, str]:
    assert response.status_code == status, response.content
    return {path: found[0]["code"] for path, found in response.json()["details"].items()}


# --- addresses ------------------------------------------------------------------------------------


def test_reading_makes_no_address(api: Api, user: User) -> None:
    provider = account(user)
    response = api.get(address(provider))
    assert response.status_code == 404
    assert response.json()["message"] == ("This provider has no event address yet: POST makes one.")
    assert not EventSource.objects.exists()


def test_an_address_is_made_once_and_takes_posts(api: Api, user: User) -> None:
    provider = account(user)
    first, again = api.post(address(provider)), api.post(address(provider))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == api.get(address(provider)).json()
    body = first.json()
    prefix = f"https://mail.example.com/hooks/{provider.pk}/"
    assert body["url"].startswith(prefix)
    assert len(body["url"]) == len(prefix) + 43
    assert (body["takes_key"], body["is_signed"], body["topic_arn"]) == (False, False, None)
    assert body["steps"][1] == "Choose all events."
    assert first["Cache-Control"] == "no-store"
    path = body["url"].removeprefix("https://mail.example.com")
    assert Client().head(path).status_code == 200


def test_the_secret_is_shown_only_with_the_scope_to_change_it(user: User) -> None:
    provider = account(user)
    source = source_of(provider_id=provider.pk)
    reader = api_with(user, Scope.PROVIDERS_READ)
    response = reader.get(address(provider))
    assert (response.status_code, response.json()["url"]) == (200, None)
    assert source.token not in response.content.decode()
    assert reader.post(f"{address(provider)}/rotate").status_code == 403
    assert reader.put(f"{address(provider)}/signing-key", {"key": "x"}).status_code == 403


def test_the_company_s_address_is_read_without_its_secret_and_changed_by_operators(
    api: Api,
) -> None:
    provider = account(None)
    source = source_of(provider_id=provider.pk)
    response = api.get(address(provider))
    assert (response.status_code, response.json()["url"]) == (200, None)
    assert source.token not in response.content.decode()
    for answer in (
        api.post(address(provider)),
        api.post(f"{address(provider)}/rotate"),
        api.put(f"{address(provider)}/signing-key", {"key": None}),
    ):
        assert answer.status_code == 403
    assert EventSource.objects.get().token == source.token


def test_others_accounts_do_not_exist(other: Api, user: User) -> None:
    provider = account(user)
    source_of(provider_id=provider.pk)
    assert other.get(address(provider)).status_code == 404
    assert other.post(f"{address(provider)}/rotate").status_code == 404
    assert other.get("/providers/nonsense/event-address").status_code == 404


def test_a_kind_without_events_says_so(api: Api, user: User) -> None:
    provider = account(user, kind="simulator")
    assert api.get(address(provider)).json()["message"].endswith("does not post events.")
    assert fault(api.post(address(provider))) == {"provider": "unsupported"}


def test_a_new_secret_ends_the_old_one_at_once(api: Api, user: User) -> None:
    provider = account(user)
    old = api.post(address(provider)).json()["url"]
    fresh = api.post(f"{address(provider)}/rotate")
    assert fresh.status_code == 200
    assert fresh.json()["url"] != old
    host = "https://mail.example.com"
    assert Client().head(old.removeprefix(host)).status_code == 404
    assert Client().head(fresh.json()["url"].removeprefix(host)).status_code == 200


def test_posts_are_believed_for_the_key_that_was_set(api: Api, user: User) -> None:
    provider = account(user, kind="sendgrid")
    api.post(address(provider))
    source = EventSource.objects.get()
    data = MAKERS["sendgrid"](Mail(uuid7(), "x"), "delivered")
    response = api.put(f"{address(provider)}/signing-key", {"key": KEYS["sendgrid"]})
    assert (response.status_code, response.json()["is_signed"]) == (200, True)
    assert KEYS["sendgrid"] not in response.content.decode()
    good = post_of("sendgrid", data)
    assert deliver(source, good, path_of(source)) == 200
    good.headers = {}
    assert deliver(source, good, path_of(source)) == 403
    forgotten = api.put(f"{address(provider)}/signing-key", {"key": None})
    assert forgotten.json()["is_signed"] is False
    assert deliver(source, good, path_of(source)) == 200


@pytest.mark.parametrize(
    ("path", "body", "faults"),
    [
        ("signing-key", {}, {"key": "required"}),
        ("signing-key", {"key": 7}, {"key": "invalid_type"}),
        ("signing-key", {"key": "not a key"}, {"key": "invalid"}),
        ("signing-key", {"key": "a", "more": 1}, {"more": "unknown_field"}),
        ("topic", {"topic_arn": "arn:aws:sns:eu-west-1:1:x"}, {"topic_arn": "invalid"}),
    ],
)
def test_a_wrong_key_or_topic_is_named(
    api: Api, user: User, path: str, body: dict[str, Any], faults: dict[str, str]
) -> None:
    provider = account(user, kind="sendgrid")
    api.post(address(provider))
    assert fault(api.put(f"{address(provider)}/{path}", body)) == faults
    assert EventSource.objects.get().secrets is None


def test_a_topic_is_set_and_forgotten(api: Api, user: User) -> None:
    provider = account(user, kind="amazon_ses")
    api.post(address(provider))
    topic = "arn:aws:sns:eu-west-1:123456789012:mail"
    response = api.put(f"{address(provider)}/topic", {"topic_arn": topic})
    assert (response.json()["topic_arn"], response.json()["is_signed"]) == (topic, True)
    assert api.put(f"{address(provider)}/topic", {"topic_arn": ""}).json()["topic_arn"] is None


# --- posts ----------------------------------------------------------------------------------------


def posted(provider: Provider, count: int = 1) -> list[RawEvent]:
    source = source_of(provider_id=provider.pk)
    for _ in range(count):
        tell(source, "brevo", MAKERS["brevo"](Mail(uuid7(), "x"), "delivered"))
    RawEvent.objects.update(patient_until=timezone.now())
    while work_off_batch().posts:
        pass
    return list(RawEvent.objects.filter(source=source))


def listed(api: Api, query: str = "") -> list[str]:
    response = api.get(f"/provider-events{query}")
    assert response.status_code == 200, response.content
    return [one["id"] for one in response.json()["results"]]


def test_posts_are_listed_by_state_and_page(api: Api, user: User) -> None:
    rows = posted(account(user), 3)
    done = RawEvent.objects.filter(pk=rows[0].pk)
    done.update(status="done", error="")
    expected = [str(rows[1].pk), str(rows[2].pk)]
    assert listed(api, "?status=unmatched") == expected
    assert listed(api, "?status=done") == [str(rows[0].pk)]
    assert len(listed(api)) == 3
    page = api.get("/provider-events?status=unmatched&limit=1").json()
    assert [page["results"][0]["id"], page["next"] is None] == [expected[0], False]
    assert listed(api, f"?status=unmatched&limit=1&cursor={page['next']}") == expected[1:]
    first = page["results"][0]
    assert first["error"] == "1 of 1 belong to no mail that this account sent"
    assert (first["status"], first["attempts"], first["due_at"]) == ("unmatched", 1, None)
    assert "body" not in first


def test_a_post_is_read_with_what_it_said_and_tried_again(api: Api, user: User) -> None:
    [row] = posted(account(user))
    body = api.get(f"/provider-events/{row.pk}").json()
    assert '"event": "delivered"' in body["body"]
    assert body["content_type"] == "application/json"
    answers = [api.post(f"/provider-events/{row.pk}/retry") for _ in range(2)]
    assert [(one.status_code, one.json()["status"]) for one in answers] == [(202, "new")] * 2
    assert answers[0].json()["due_at"] is not None
    assert RawEvent.objects.get().attempts == 0


def test_only_one_s_own_accounts_posts_are_seen(api: Api, other: Api, user: User) -> None:
    mine, company = posted(account(user)), posted(account(None, name="shared"))
    ids = [str(row.pk) for row in (*company, *mine)]
    assert listed(api) == ids[1:]
    assert listed(other) == []
    assert listed(api_with(user, Scope.PROVIDERS_READ, Scope.EMAILS_ALL)) == ids
    for verb, path in (("GET", ids[0]), ("POST", f"{ids[0]}/retry"), ("GET", "x")):
        assert api.send(verb, f"/provider-events/{path}").status_code == 404
    assert listed(api, f"?provider_id={mine[0].source.provider_id}") == ids[1:]
    assert RawEvent.objects.get(pk=company[0].pk).status == "unmatched"


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("status=odd", {"status": "unknown_status"}),
        ("provider_id=x", {"provider_id": "not_found"}),
        ("page=2", {"page": "unknown_field"}),
        ("cursor=%00", {"cursor": "invalid"}),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, query: str, faults: dict[str, str]) -> None:
    assert fault(api.get(f"/provider-events?{query}")) == faults


def test_retrying_takes_the_scope_to_change(user: User) -> None:
    [row] = posted(account(user))
    reader = api_with(user, Scope.PROVIDERS_READ)
    assert reader.get(f"/provider-events/{row.pk}").status_code == 200
    assert reader.post(f"/provider-events/{row.pk}/retry").status_code == 403
    assert RawEvent.objects.get().status == "unmatched"
