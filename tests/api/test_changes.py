"""Cancel, reschedule, retry, hold, release."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from delivery.models import Event, Message
from tests.support.api import Api, mail


def send(api: Api, **fields) -> str:
    return str(api.post("/emails", mail(**fields)).json()["id"])


def test_a_cancelled_mail_is_cancelled_and_says_so(api: Api):
    email_id = send(api)
    response = api.post(f"/emails/{email_id}/cancel")
    assert response.status_code == 200
    assert response.json()["message"] == "The email is cancelled."
    assert (response.json()["id"], response.json()["status"]) == (email_id, "cancelled")
    assert Event.objects.get().actor.startswith("key:msk_")


def test_a_change_that_comes_too_late_is_refused_with_the_status(api: Api):
    email_id = send(api)
    api.post(f"/emails/{email_id}/cancel")
    response = api.post(f"/emails/{email_id}/cancel")
    assert response.status_code == 409
    assert response.json() == {
        "code": "wrong_state",
        "message": "The message is cancelled and cannot be cancelled.",
        "details": {"status": "cancelled"},
    }


def test_a_mail_goes_through_all_changes(api: Api):
    email_id = send(api)
    later = (timezone.now() + timedelta(hours=1)).replace(microsecond=0)
    steps = [
        ("hold", None, "held"),
        ("release", None, "queued"),
        ("reschedule", {"send_at": later.isoformat()}, "scheduled"),
        ("cancel", {}, "cancelled"),
        ("retry", None, "queued"),
        ("reschedule", {"send_at": "2001-01-01T00:00:00Z"}, "queued"),
    ]
    for verb, data, status in steps:
        response = api.post(f"/emails/{email_id}/{verb}", data)
        assert (response.status_code, response.json()["status"]) == (200, status), verb
    assert Event.objects.count() == len(steps)


@pytest.mark.parametrize(
    ("verb", "data", "field"),
    [
        ("reschedule", {}, "send_at"),
        ("reschedule", {"send_at": "tomorrow"}, "send_at"),
        ("reschedule", {"send_at": "2030-01-01T00:00:00"}, "send_at"),
        ("reschedule", {"send_at": "2999-01-01T00:00:00Z"}, "send_at"),
        ("cancel", {"reason": "x"}, "reason"),
        ("hold", {"ids": []}, "ids"),
    ],
)
def test_wrong_input_to_a_change_is_named(api: Api, verb, data, field):
    email_id = send(api)
    response = api.post(f"/emails/{email_id}/{verb}", data)
    assert response.status_code == 400
    assert list(response.json()["details"]) == [field]
    assert Message.objects.get().status == "queued"


def test_a_mail_is_not_put_off_beyond_its_expiry(api: Api):
    now = timezone.now()
    email_id = send(api, expires_at=(now + timedelta(hours=1)).isoformat())
    response = api.post(
        f"/emails/{email_id}/reschedule", {"send_at": (now + timedelta(hours=2)).isoformat()}
    )
    assert list(response.json()["details"]) == ["send_at"]


def test_a_bulk_change_moves_what_it_can_and_names_the_rest(api: Api, other: Api):
    first, second, foreign = send(api), send(api), send(other)
    api.post(f"/emails/{second}/cancel")
    unknown = str(uuid4())
    body = api.post("/emails/cancel", {"ids": [first, second, foreign, unknown, "x", first]}).json()
    assert body == {
        "message": "1 of 5 emails are cancelled.",
        "changed": [first],
        "refused": [
            {"id": second, "status": "cancelled"},
            {"id": foreign, "status": "not_found"},
            {"id": unknown, "status": "not_found"},
            {"id": "x", "status": "not_found"},
        ],
    }
    assert Message.objects.get(pk=foreign).status == "queued"


@pytest.mark.parametrize("verb", ["cancel", "retry", "hold", "release", "reschedule"])
def test_every_change_exists_in_bulk(api: Api, verb):
    email_id = send(api)
    prepare = {"retry": "cancel", "release": "hold"}.get(verb)
    if prepare:
        api.post(f"/emails/{email_id}/{prepare}")
    extra = {"send_at": "2001-01-01T00:00:00Z"} if verb == "reschedule" else {}
    body = api.post(f"/emails/{verb}", {"ids": [email_id], **extra}).json()
    assert (body["changed"], body["refused"]) == ([email_id], [])


@pytest.mark.parametrize("given", [None, [], "x", [1], ["x"] * 1001])
def test_a_bulk_change_wants_one_to_a_thousand_ids(api: Api, given):
    response = api.post("/emails/cancel", {"ids": given})
    assert response.status_code == 400
    assert list(response.json()["details"]) == ["ids"]


def test_a_thousand_ids_are_fine(api: Api):
    response = api.post("/emails/cancel", {"ids": [str(uuid4()) for _ in range(1000)]})
    assert len(response.json()["refused"]) == 1000
