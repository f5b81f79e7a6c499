"""What a mail cost, in GET /emails/{id}."""

from __future__ import annotations

from delivery.queue.sweep import sweep
from tests.support.api import Api, mail
from tests.support.mail import drain, make_due, simulator


def test_each_attempt_tells_its_cost_and_the_mail_their_sum(api: Api) -> None:
    simulator({"match": "b@*", "outcome": "not_accepted", "times": 1}, price_per_thousand="0.8")
    sent = api.post("/emails", mail(to=["a@example.net", "b@example.net", "c@example.net"]))
    email_id = sent.json()["id"]
    drain()
    make_due(email_id)
    sweep()
    drain()
    body = api.get(f"/emails/{email_id}").json()
    assert (body["cost"], body["currency"]) == ("0.0024", "USD")
    assert [attempt["cost"] for attempt in body["attempts"]] == ["0.0016", "0.0008"]


def test_a_mail_that_was_not_sent_cost_nothing(api: Api) -> None:
    email_id = api.post("/emails", mail()).json()["id"]
    body = api.get(f"/emails/{email_id}").json()
    assert (body["cost"], body["attempts"]) == ("0.00", [])


def test_the_currency_is_the_services(api: Api, settings) -> None:
    settings.CURRENCY = "EUR"
    email_id = api.post("/emails", mail()).json()["id"]
    assert api.get(f"/emails/{email_id}").json()["currency"] == "EUR"
