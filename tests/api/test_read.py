"""GET /emails and GET /emails/{id}."""

from __future__ import annotations

from datetime import timedelta, timezone
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from delivery import selectors
from delivery.models import Attempt, Message
from delivery.services.change import hold
from delivery.states import Status
from tests.support.api import Api, mail
from tests.support.mail import drain, simulator


def ids(response):
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["results"]]


def send(api: Api, **fields) -> str:
    return str(api.post("/emails", mail(**fields)).json()["id"])


def test_a_sent_mail_tells_its_whole_story(api: Api, user):
    account = simulator()
    email_id = send(api, to=["bob@example.net"], bcc="dora@example.net")
    drain()
    body = api.get(f"/emails/{email_id}").json()
    assert body["status"] == "sent"
    assert body["sent_at"] is not None
    assert body["smtp_config"] == str(account.pk)
    assert body["provider"] == "simulator"
    assert (body["retry_count"], body["error_message"], body["due_at"]) == (0, None, None)
    assert body["recipient_status"] == [
        {"address": address, "name": "", "kind": kind, "status": "sent", "reason": None}
        for address, kind in (("bob@example.net", "to"), ("dora@example.net", "bcc"))
    ]
    (attempt,) = body["attempts"]
    assert attempt["number"] == 1
    assert attempt["provider"] == {"id": str(account.pk), "name": "simulator"}
    assert attempt["outcome"] == "accepted"
    assert attempt["routing"]["candidates"][0]["name"] == "simulator"
    assert attempt["duration_ms"] >= 0
    assert [entry["type"] for entry in body["events"]] == ["accepted", "attempt"]
    assert "content" not in body
    assert "Hi Bob" not in str(body)


def test_a_refusal_is_told_with_class_and_side(api: Api):
    refusal = {"outcome": "rejected", "reason": "bad_recipient", "text": "5.1.1 No such user"}
    simulator({"match": "bad@*", **refusal})
    alone = send(api, to="bad@example.net")
    drain()
    (attempt,) = api.get(f"/emails/{alone}").json()["attempts"]
    assert (attempt["outcome"], attempt["class"], attempt["side"]) == (
        "rejected",
        "address",
        "recipient",
    )


def test_the_timeline_has_who_was_refused_beside_others(api: Api):
    refusal = {"outcome": "rejected", "reason": "bad_recipient", "text": "5.1.1 No such user"}
    simulator({"match": "bad@*", **refusal})
    email_id = send(api, to=["bob@example.net", "bad@example.net"])
    drain()
    body = api.get(f"/emails/{email_id}").json()
    (attempt,) = body["attempts"]
    assert (attempt["outcome"], attempt["class"], attempt["side"]) == ("accepted", None, None)
    bounced = body["events"][-1]
    assert (bounced["type"], bounced["recipient"]) == ("bounced", "bad@example.net")
    assert bounced["detail"] == "550 5.1.1 No such user"
    assert bounced["data"] == {"class": "address", "side": "recipient", "code": "5.1.1"}


def test_retries_are_counted_from_the_second_attempt(api: Api):
    email_id = send(api)
    for count, expected in [(0, 0), (1, 0), (2, 1), (5, 4)]:
        Message.objects.update(attempt_count=count)
        assert api.get(f"/emails/{email_id}").json()["retry_count"] == expected


def test_events_and_attempts_come_in_time_order(api: Api):
    simulator()
    email_id = send(api)
    api.post(f"/emails/{email_id}/hold")
    api.post(f"/emails/{email_id}/release")
    drain()
    events = api.get(f"/emails/{email_id}").json()["events"]
    assert [entry["type"] for entry in events] == ["accepted", "held", "released", "attempt"]
    assert [entry["at"] for entry in events] == sorted(entry["at"] for entry in events)
    assert events[1]["actor"].startswith("key:msk_")


def test_an_operator_is_not_named_to_the_outside(api: Api):
    email_id = send(api)
    hold(ids=[Message.objects.get().pk], actor="user:root@example.com")
    assert api.get(f"/emails/{email_id}").json()["events"][1]["actor"] == "operator"


def test_bodies_come_on_request_and_as_the_recipient_reads_them(api: Api):
    email_id = send(
        api, subject="Hi {{ n }}", text="{{ n }} & co", html="<p>{{ n }}</p>", context={"n": "<b>"}
    )
    assert api.get(f"/emails/{email_id}?include=content").json()["content"] == {
        "subject": "Hi <b>",
        "text": "<b> & co",
        "html": "<p>&lt;b&gt;</p>",
    }
    assert api.get(f"/emails/{email_id}?include=body").status_code == 400
    assert api.get(f"/emails/{email_id}?foo=1").json()["details"]["foo"]


def test_a_subject_that_cannot_be_filled_is_shown_as_written(api: Api):
    email_id = send(api, subject="Hi {{ n }}", context={"n": "Bob"})
    Message.objects.update(context={})
    assert api.get(f"/emails/{email_id}").json()["subject"] == "Hi {{ n }}"
    assert api.get("/emails").json()["results"][0]["subject"] == "Hi {{ n }}"


@pytest.mark.parametrize("path", ["", "/cancel", "/retry", "/hold", "/release"])
def test_other_peoples_unknown_and_malformed_ids_read_alike(api: Api, other: Api, path):
    foreign = send(other)
    method = "POST" if path else "GET"
    answers = {
        (response.status_code, response.content)
        for response in (
            api.send(method, f"/emails/{email_id}{path}")
            for email_id in (foreign, uuid4(), "1", "x" * 300, "%00", "0190-")
        )
    }
    assert answers == {
        (404, b'{"code":"not_found","message":"There is no such email.","details":{}}')
    }
    assert Message.objects.get().status == "queued"


def test_a_list_holds_only_ones_own_newest_first(api: Api, other: Api):
    mine = [send(api) for _ in range(3)]
    send(other)
    assert ids(api.get("/emails")) == mine[::-1]


def test_pages_follow_each_other_without_gap_or_overlap(api: Api):
    mine = [send(api) for _ in range(5)]
    first = api.get("/emails?limit=2").json()
    send(api)
    second = api.get(f"/emails?limit=2&cursor={first['next']}").json()
    third = api.get(f"/emails?limit=2&cursor={second['next']}").json()
    pages = [[item["id"] for item in page["results"]] for page in (first, second, third)]
    assert pages == [mine[4:2:-1], mine[2:0:-1], mine[:1]]
    assert third["next"] is None


def test_each_filter_finds_what_it_names(api: Api):
    account = simulator(is_active=False)
    plain = send(api)
    special = send(
        api,
        to="Bob <B.ob@Exämple.net>",
        tags=["a", "b"],
        subject="Invoice 100%",
        email_type="marketing",
        provider_id=str(account.pk),
    )
    api.post(f"/emails/{special}/hold")
    both = [special, plain]
    for query, expected in {
        "status=held": [special],
        "status=held,queued": both,
        "recipient=b.OB@exämple.net": [special],
        "recipient=b.ob@xn--exmple-cua.net": [special],
        "recipient=nobody@example.net": [],
        "tag=a": [special],
        "tag=c": [],
        "type=marketing": [special],
        "email_type=transactional": [plain],
        f"provider={account.pk}": [special],
        f"smtp_config={uuid4()}": [],
        "subject=invoice": [special],
        "subject=100%25": [special],
        "subject=0_": [],
        f"batch_id={uuid4()}": [],
        "status=": both,
    }.items():
        assert ids(api.get(f"/emails?{query}")) == expected, query


def test_a_date_range_includes_its_start_and_excludes_its_end(api: Api):
    found = [send(api) for _ in range(3)]
    first, second, third = Message.objects.order_by("pk").values_list("created_at", flat=True)
    assert first < second < third
    utc = third.isoformat().replace("+00:00", "Z")
    assert ids(api.get(f"/emails?created_from={second.isoformat()}&created_to={utc}")) == found[1:2]
    shifted = second.astimezone(timezone(timedelta(hours=1))).isoformat()
    assert ids(api.get(f"/emails?created_from={shifted}")) == found[:0:-1]
    day = first.date()
    assert ids(api.get(f"/emails?created_from={day}")) == found[::-1]
    assert ids(api.get(f"/emails?created_to={day}")) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("colour=red", "colour"),
        ("status=lost", "status"),
        ("recipient=nope", "recipient"),
        ("provider=1", "provider"),
        ("batch_id=1", "batch_id"),
        ("created_from=yesterday", "created_from"),
        ("created_from=0001-01-01", "created_from"),
        ("created_to=9999-12-31", "created_to"),
        ("tag=%00", "tag"),
        ("subject=" + "x" * 400, "subject"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("type=a&email_type=b", "email_type"),
    ],
)
def test_a_wrong_filter_is_named(api: Api, query, field):
    response = api.get(f"/emails?{query}")
    assert response.status_code == 400
    assert list(response.json()["details"]) == [field]


@pytest.mark.parametrize("query", ["subject=needle", "tag=needle"])
def test_a_scan_goes_on_from_where_it_stopped(api: Api, monkeypatch, query):
    monkeypatch.setattr(selectors, "SCAN_ROWS", 3)
    monkeypatch.setattr(selectors, "RARE_ROWS", 0)
    wanted = send(api, subject="needle", tags=["needle"])
    for _ in range(5):
        send(api)
    found, cursor, pages = [], "", 0
    while cursor is not None:
        page = api.get(f"/emails?{query}&cursor={cursor}").json()
        found += [item["id"] for item in page["results"]]
        cursor, pages = page["next"], pages + 1
    assert (found, pages) == ([wanted], 3)


def test_a_list_by_status_takes_a_limit(api: Api):
    mine = [send(api) for _ in range(3)]
    assert ids(api.get("/emails/status/queued?limit=2")) == mine[:0:-1]
    assert ids(api.get("/emails/status/sent")) == []
    response = api.get("/emails/status/lost")
    assert list(response.json()["details"]) == ["status"]
    assert api.get("/emails/status/queued?status=sent").status_code == 400
    for status in Status.values:
        assert api.get(f"/emails/status/{status}").status_code == 200


def test_a_list_takes_the_same_statements_however_long(api: Api):
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            api.get("/emails")
        assert not any("html" in query["sql"] for query in captured)
        return len(captured)

    send(api, subject="{{ n }}", context={"n": 1})
    few = count()
    for number in range(9):
        send(api, subject="{{ n }}", context={"n": number})
    # two savepoint statements, the settings, one page, its contexts
    assert count() == few == 5


def test_one_mail_takes_the_same_statements_however_much_happened(api: Api):
    account = simulator()
    email_id = send(api)
    drain()

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            api.get(f"/emails/{email_id}")
        return len(captured)

    few = count()
    attempt = Attempt.objects.get()
    for number in range(2, 6):
        attempt.pk, attempt.number, attempt.provider_id = uuid4(), number, account.pk
        attempt.save(force_insert=True)
    assert count() == few == 5
