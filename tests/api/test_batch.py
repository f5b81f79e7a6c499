"""POST /emails/batch."""

from __future__ import annotations

import pytest

from delivery.models import Content, Message
from tests.support.api import Api, api_with, mail


def test_good_items_are_accepted_beside_bad_ones_in_order(api: Api):
    response = api.post(
        "/emails/batch",
        {"messages": [mail(to="a@example.net"), mail(to="nope"), 7, mail(to="b@example.net")]},
    )
    assert response.status_code == 202
    body = response.json()
    assert (body["accepted"], body["rejected"]) == (2, 2)
    assert [item["index"] for item in body["results"]] == [0, 1, 2, 3]
    first, second, third, fourth = body["results"]
    assert set(first) == {"index", "email_id", "status"}
    assert first["status"] == "queued"
    assert second["error"]["code"] == "invalid"
    assert list(second["error"]["details"]) == ["to"]
    assert list(third["error"]["details"]) == [""]
    addresses = {str(row.pk): row.addresses for row in Message.objects.all()}
    assert addresses == {
        first["email_id"]: ["a@example.net"],
        fourth["email_id"]: ["b@example.net"],
    }
    assert {str(row.group_id) for row in Message.objects.all()} == {body["batch_id"]}
    assert len(api.get(f"/emails?batch_id={body['batch_id']}").json()["results"]) == 2


def test_one_content_serves_many_recipients(api: Api):
    shared = mail(subject="Hi {{ name }}")
    del shared["to"]
    body = api.post(
        "/emails/batch",
        shared
        | {
            "recipients": [
                {"to": "a@example.net", "context": {"name": "Ann"}},
                {"to": "b@example.net"},
                {"to": "c@example.net", "context": {"name": "Cleo"}, "metadata": {"n": 3}},
            ]
        },
    ).json()
    assert (body["accepted"], body["rejected"]) == (2, 1)
    assert body["results"][1]["error"]["details"]["context"][0]["code"] == "template_render"
    assert Content.objects.count() == 1
    last = api.get(f"/emails/{body['results'][2]['email_id']}").json()
    assert (last["subject"], last["metadata"]) == ("Hi Cleo", {"n": 3})


def test_a_batch_of_only_bad_items_is_answered_the_same_way(api: Api):
    response = api.post("/emails/batch", {"messages": [mail(to="nope")]})
    assert response.status_code == 202
    assert (response.json()["accepted"], response.json()["rejected"]) == (0, 1)
    assert not Content.objects.exists()


def test_a_test_key_marks_the_whole_batch(user):
    tester = api_with(user, "emails:send", is_test=True)
    tester.post("/emails/batch", {"messages": [mail(), mail()]})
    assert list(Message.objects.values_list("is_test", flat=True)) == [True, True]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": [mail()], "subject": "x"}, "subject"),
        ({"messages": [mail()] * 1001}, "messages"),
        ({"messages": [mail(to=["a@example.net"] * 100)] * 101}, "messages"),
        (
            {
                "subject": "s",
                "text": "t",
                "recipients": [{"to": "a@b.example", "cc": ["c@b.example"] * 11}] * 1000,
            },
            "recipients",
        ),
    ],
)
def test_a_batch_that_breaks_a_rule_as_a_whole_is_refused(api: Api, data, field):
    response = api.post("/emails/batch", data)
    assert response.status_code == 400
    assert list(response.json()["details"]) == [field]
    assert not Message.objects.exists()
