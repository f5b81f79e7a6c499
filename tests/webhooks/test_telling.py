"""From what happens to a receiver's 2xx, over real HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from accounts.models import User
from alerts.models import Alert
from delivery.models import Announcement, Listener, Message
from delivery.services.news import News, apply_news
from delivery.states import EventKind
from mailservice.core.signing import signed_headers
from tests.support.esp.server import Answer, ApiServer, Drop, Request, Stall
from tests.support.mail import drain, queue, simulator
from tests.webhooks.conftest import Make, let_pass, the_delivery, work
from webhooks.kinds import MEANINGS
from webhooks.models import Attempt, Delivery, Endpoint, Occurrence
from webhooks.queue.claims import claim
from webhooks.queue.health import ALERT_KIND, Verdicts, note_health
from webhooks.queue.spread import spread
from webhooks.retries import WAIT_SECONDS
from webhooks.services.deliveries import (
    delete_old,
    replay_one,
    replay_range,
    send_test,
)
from webhooks.services.endpoints import delete_endpoint, rotate_secret, update_endpoint

pytestmark = pytest.mark.django_db(transaction=True)


def signatures(request: Request, secret: str) -> str:
    """What the header should hold for a secret."""
    return signed_headers(
        secret=secret,
        message_id=request.headers["webhook-id"],
        timestamp_seconds=int(request.headers["webhook-timestamp"]),
        body=request.body,
    )["webhook-signature"]


def sent_mail(user: User, **fields):
    simulator()
    message = queue(user, **fields)
    drain()
    return message


def test_a_sent_mail_is_told_signed(user: User, make: Make, hook: ApiServer) -> None:
    made = make(kinds=["email.sent"])
    message = sent_mail(user, tags=["a"], metadata={"order": "7"})
    assert work() == 1
    [request] = hook.requests
    assert request.headers["webhook-signature"] == signatures(request, made.secret)
    assert request.headers["webhook-id"] == str(Occurrence.objects.get().pk)
    body = request.json
    assert body["type"] == "email.sent"
    data = body["data"]
    assert data["email_id"] == str(message.pk)
    assert (data["status"], data["recipient"]) == ("sent", data["to"][0])
    assert (data["tags"], data["metadata"]) == (["a"], {"order": "7"})
    delivery = the_delivery()
    assert (delivery.status, delivery.attempts, delivery.last_code) == ("delivered", 1, 200)
    log = Attempt.objects.get()
    assert (log.code, log.response, log.error) == (200, "taken", "")
    assert not Announcement.objects.exists()


def test_news_is_told_with_its_data(user: User, make: Make, hook: ApiServer) -> None:
    make(kinds=["email.bounced"])
    message = sent_mail(user)
    told = {"class": "address", "code": 550, "enhanced_code": "5.1.1", "email_id": "forged"}
    news = News(
        message.pk, EventKind.BOUNCED, timezone.now(), "1", detail="No such user", data=told
    )
    apply_news([news, news])
    work()
    [request] = hook.requests
    data = request.json["data"]
    assert data["email_id"] == str(message.pk)
    assert (data["class"], data["code"], data["enhanced_code"]) == ("address", 550, "5.1.1")
    assert (data["status"], data["detail"]) == ("bounced", "No such user")


@pytest.mark.parametrize(
    ("refusal", "kind", "expected"),
    [
        (
            {"reason": "bad_recipient", "text": "5.1.1 No such user"},
            "email.bounced",
            ("bounced", "bob@example.net", "address", "recipient", 550),
        ),
        (
            {"reason": "content", "text": "5.7.1 Spam message rejected"},
            "email.failed",
            ("failed", "bob@example.net", "content", "sender", 550),
        ),
    ],
)
def test_a_refusal_is_told_with_whom_and_why(
    user: User, make: Make, hook: ApiServer, refusal: dict[str, str], kind: str, expected: object
) -> None:
    make()
    simulator({"match": "*", "outcome": "rejected", "code": 550, **refusal})
    queue(user)
    drain()
    work()
    [told] = [each.json for each in hook.requests]
    data = told["data"]
    assert told["type"] == kind
    facts = tuple(data[name] for name in ("status", "recipient", "class", "side", "code"))
    assert facts == expected
    assert data["reply"] == refusal["text"]


def test_news_that_names_nobody_is_of_the_only_recipient(
    user: User, make: Make, hook: ApiServer
) -> None:
    make(kinds=["email.delivered"])
    message = sent_mail(user)
    apply_news([News(message.pk, EventKind.DELIVERED, timezone.now(), "1")])
    work()
    assert hook.requests[0].json["data"]["recipient"] == "bob@example.net"


def test_who_was_refused_beside_others_is_told_of_alone(
    user: User, make: Make, hook: ApiServer
) -> None:
    make()
    refusal = {"outcome": "rejected", "reason": "bad_recipient", "text": "5.1.1 No such user"}
    simulator({"match": "bad@*", **refusal})
    message = queue(user, to=["good@example.net", "bad@example.net"])
    drain()
    work()
    told = {each.json["type"]: each.json["data"] for each in hook.requests}
    assert set(told) == {"email.sent", "email.bounced"}
    assert told["email.sent"]["recipient"] is None
    data = told["email.bounced"]
    assert (data["email_id"], data["recipient"]) == (str(message.pk), "bad@example.net")
    assert (data["class"], data["side"], data["code"]) == ("address", "recipient", "5.1.1")
    assert (data["status"], data["detail"]) == ("bounced", "550 5.1.1 No such user")


def test_others_mail_is_told_only_to_who_reaches_all(
    user: User, make: Make, hook: ApiServer
) -> None:
    eve = User.objects.create_user("eve@example.com")
    make(owner=eve, kinds=["email.sent"], description="own")
    every = make(owner=eve, kinds=["email.sent"], reaches_all=True).endpoint
    sent_mail(user)
    assert work() == 1
    assert the_delivery().endpoint_id == every.pk


def test_only_what_somebody_wants_is_announced(user: User, make: Make) -> None:
    made = make(kinds=["email.bounced", "verification.confirmed"])
    kinds = Listener.objects.order_by("kind").values_list("kind", flat=True)
    assert list(kinds) == ["email.bounced"]
    update_endpoint(made.endpoint.pk, {"kinds": []})
    assert set(kinds.all()) == set(MEANINGS) - {"verification.confirmed"}
    update_endpoint(made.endpoint.pk, {"is_active": False})
    assert list(kinds.all()) == []
    update_endpoint(made.endpoint.pk, {"is_active": True})
    delete_endpoint(made.endpoint.pk)
    assert list(kinds.all()) == []


def test_both_secrets_sign_for_a_day_after_a_rotation(make: Make, hook: ApiServer) -> None:
    made = make()
    fresh = rotate_secret(made.endpoint.pk)
    assert fresh.secret != made.secret
    send_test(made.endpoint.pk)
    let_pass(hours=25)
    send_test(made.endpoint.pk)
    first, second = hook.requests
    both = f"{signatures(first, fresh.secret)} {signatures(first, made.secret)}"
    assert first.headers["webhook-signature"] == both
    assert second.headers["webhook-signature"] == signatures(second, fresh.secret)


def test_failures_are_repeated_over_hours_then_given_up(
    user: User, make: Make, hook: ApiServer
) -> None:
    hook.handler = lambda _request: Answer(500, b"oh no")
    make(kinds=["email.sent"])
    sent_mail(user)
    waits = []
    for _ in range(len(WAIT_SECONDS)):
        assert work() == 1
        delivery = the_delivery()
        assert delivery.status == "pending"
        waits.append((delivery.due_at - timezone.now()).total_seconds())
        assert work() == 0
        let_pass(hours=12)
    for wait, planned in zip(waits, WAIT_SECONDS, strict=True):
        assert planned * 0.9 - 3 < wait <= planned * 1.1
    assert work() == 1
    delivery = the_delivery()
    assert (delivery.status, delivery.attempts, delivery.last_code) == ("failed", 7, 500)
    assert delivery.last_error == "The answer was HTTP 500."
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    assert Attempt.objects.filter(response="oh no").count() == 7


def test_a_receiver_may_ask_to_wait(user: User, make: Make, hook: ApiServer) -> None:
    hook.then(Answer(429, b"", {"Retry-After": "3600"}))
    endpoint = make(kinds=["email.sent", "email.opened"]).endpoint
    message = sent_mail(user)
    assert work() == 1
    assert the_delivery().due_at > timezone.now() + timedelta(minutes=59)
    apply_news([News(message.pk, EventKind.OPENED, timezone.now(), "1")])
    assert work() == 0
    endpoint.refresh_from_db()
    assert endpoint.paused_until is not None
    let_pass(hours=1.1)
    work()
    assert [each.status for each in Delivery.objects.all()] == ["delivered", "delivered"]


def test_a_receiver_that_hangs_up_is_tried_again(user: User, make: Make, hook: ApiServer) -> None:
    hook.then(Drop())
    make(kinds=["email.sent"])
    sent_mail(user)
    work()
    delivery = the_delivery()
    assert (delivery.status, delivery.last_code) == ("pending", 0)
    assert "127.0.0.1" in delivery.last_error
    let_pass(minutes=1)
    work()
    assert the_delivery().status == "delivered"


def test_private_networks_are_refused(user: User, make: Make, hook: ApiServer, settings) -> None:
    make(kinds=["email.sent"])
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = False
    sent_mail(user)
    work()
    assert hook.requests == []
    assert "private or reserved network" in the_delivery().last_error


def test_redirects_are_not_followed(user: User, make: Make, hook: ApiServer) -> None:
    hook.then(Answer(302, b"", {"Location": f"http://127.0.0.1:{hook.port}/inside"}))
    make(kinds=["email.sent"])
    sent_mail(user)
    work()
    assert [request.path for request in hook.requests] == ["/hook"]
    assert the_delivery().last_code == 302


def test_a_slow_receiver_holds_only_itself(user: User, make: Make, hook: ApiServer) -> None:
    with ApiServer(lambda _request: Answer(200)) as slow:
        slow.then(*[Stall()] * 40)
        make(kinds=["email.opened"], server=slow)
        make(kinds=["email.opened"])
        message = sent_mail(user)
        news = [
            News(message.pk, EventKind.OPENED, timezone.now(), str(number)) for number in range(30)
        ]
        apply_news(news)
        began = time.monotonic()
        work(timeout_seconds=1.5, go_on=lambda: len(hook.requests) < 30)
        assert len(hook.requests) == 30
        assert time.monotonic() - began < 15
        assert len(slow.requests) <= 4


def test_claims_of_a_killed_sender_come_back(user: User, make: Make, hook: ApiServer) -> None:
    make(kinds=["email.sent"])
    sent_mail(user)
    spread()
    [_] = claim(10, busy={}, slow=(), is_troubled=False)
    assert work() == 0
    let_pass(seconds=31)
    assert work() == 1
    assert the_delivery().status == "delivered"


def test_two_claimers_get_different_deliveries(user: User, make: Make) -> None:
    make(kinds=["email.opened"])
    message = sent_mail(user)
    apply_news([News(message.pk, EventKind.OPENED, timezone.now(), str(n)) for n in range(6)])
    spread()
    first = claim(10, busy={}, slow=(), is_troubled=False)
    second = claim(10, busy={}, slow=(), is_troubled=False)
    assert (len(first), len(second)) == (4, 2)
    assert {one.id for one in first}.isdisjoint(one.id for one in second)


def test_one_that_is_gone_is_switched_off_at_once(user: User, make: Make, hook: ApiServer) -> None:
    hook.then(Answer(410))
    endpoint = make(kinds=["email.sent"]).endpoint
    sent_mail(user)
    work()
    endpoint.refresh_from_db()
    assert not endpoint.is_active
    assert endpoint.disabled_reason == "The receiver answered 410: it is gone."
    assert the_delivery().status == "failed"
    assert not Listener.objects.exists()
    alert = Alert.objects.open().get(kind=ALERT_KIND)
    assert alert.subject == str(endpoint.pk)
    update_endpoint(endpoint.pk, {"is_active": True})
    assert not Alert.objects.open().exists()
    assert Listener.objects.get().kind == "email.sent"


def test_five_days_without_success_switch_off(user: User, make: Make, hook: ApiServer) -> None:
    hook.handler = lambda _request: Answer(500)
    endpoint = make(kinds=["email.opened"]).endpoint
    message = sent_mail(user)

    def happens(number: int) -> None:
        apply_news([News(message.pk, EventKind.OPENED, timezone.now(), str(number))])
        work()
        endpoint.refresh_from_db()

    happens(1)
    assert endpoint.failing_since is not None
    hook.then(Answer(204))
    happens(2)
    assert endpoint.failing_since is None
    happens(3)
    Endpoint.objects.update(failing_since=F("failing_since") - timedelta(days=5))
    happens(4)
    assert not endpoint.is_active
    assert endpoint.disabled_reason.startswith("Nothing was taken for 5 days.")
    assert Alert.objects.open().filter(kind=ALERT_KIND).count() == 1


def fails(message: Message, number: int = 0) -> None:
    """Have something happen that the receiver refuses, and all its tries fail."""
    apply_news([News(message.pk, EventKind.OPENED, timezone.now(), str(number))])
    for hours in (0, 1, 1, 1, 3, 6, 11):
        let_pass(hours=hours)
        work()


def test_failures_days_apart_do_not_switch_a_quiet_endpoint_off(
    user: User, make: Make, hook: ApiServer
) -> None:
    endpoint = make(kinds=["email.opened"]).endpoint
    message = sent_mail(user)
    hook.handler = lambda _request: Answer(503)
    fails(message)
    let_pass(days=6)
    apply_news([News(message.pk, EventKind.OPENED, timezone.now(), "later")])
    work()
    endpoint.refresh_from_db()
    assert endpoint.is_active
    assert endpoint.failing_since is not None
    assert endpoint.failing_since > timezone.now() - timedelta(minutes=5)


def test_an_endpoint_that_is_told_daily_in_vain_is_switched_off(
    user: User, make: Make, hook: ApiServer
) -> None:
    endpoint = make(kinds=["email.opened"]).endpoint
    message = sent_mail(user)
    hook.handler = lambda _request: Answer(503)
    for day in range(4):
        fails(message, day)
        endpoint.refresh_from_db()
        assert endpoint.is_active
        let_pass(hours=3)
    fails(message, 4)
    endpoint.refresh_from_db()
    assert not endpoint.is_active


def test_a_failed_trial_begins_no_row_of_failures(make: Make, hook: ApiServer) -> None:
    hook.handler = lambda _request: Answer(503)
    endpoint = make().endpoint
    send_test(endpoint.pk)
    endpoint.refresh_from_db()
    assert (endpoint.failing_since, endpoint.last_failed_at) == (None, None)


def test_a_trial_that_is_taken_ends_a_row_of_failures(
    user: User, make: Make, hook: ApiServer
) -> None:
    endpoint = make(kinds=["email.opened"]).endpoint
    hook.then(Answer(503))
    apply_news([News(sent_mail(user).pk, EventKind.OPENED, timezone.now(), "1")])
    work()
    endpoint.refresh_from_db()
    assert endpoint.failing_since is not None
    send_test(endpoint.pk)
    endpoint.refresh_from_db()
    assert endpoint.failing_since is None


def test_news_of_failures_that_come_late_do_not_turn_time_back(make: Make) -> None:
    endpoint = make().endpoint
    failed = Verdicts()
    failed.add_failure("no", pause_seconds=0, is_gone=False)
    now = timezone.now()
    for minutes in (0, 5, 3):
        note_health({endpoint.pk: failed}, now + timedelta(minutes=minutes))
    endpoint.refresh_from_db()
    assert endpoint.failing_since == now
    assert endpoint.last_failed_at == now + timedelta(minutes=5)


def test_a_delivery_is_replayed_under_its_id(user: User, make: Make, hook: ApiServer) -> None:
    endpoint = make(kinds=["email.sent"]).endpoint
    sent_mail(user)
    work()
    replay_one(endpoint_id=endpoint.pk, delivery_id=the_delivery().pk)
    assert work() == 1
    first, second = hook.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_a_range_is_replayed_by_status(user: User, make: Make, hook: ApiServer) -> None:
    endpoint = make(kinds=["email.opened"]).endpoint
    message = sent_mail(user)
    apply_news([News(message.pk, EventKind.OPENED, timezone.now(), str(n)) for n in range(3)])
    work()
    Delivery.objects.filter(pk=Delivery.objects.latest("id").pk).update(status="failed")
    now = timezone.now()
    again = partial(replay_range, endpoint_id=endpoint.pk, since=now - timedelta(hours=1))
    until = now + timedelta(minutes=1)
    early = again(until=now - timedelta(minutes=30), statuses=["failed"])
    assert early.count == 0
    assert again(until=until, statuses=["failed"]).count == 1
    assert again(until=until, statuses=["delivered"]).count == 2
    assert work() == 3


def test_a_drain_is_not_slowed_by_receivers(user: User, make: Make, hook: ApiServer) -> None:
    hook.then(Stall())
    make()
    began = time.monotonic()
    sent_mail(user)
    assert time.monotonic() - began < 15
    assert hook.requests == []
    assert Announcement.objects.count() == 1


def test_spreading_takes_the_same_statements_however_much_happened(
    user: User,
    make: Make,
    django_assert_max_num_queries: Callable[..., AbstractContextManager[object]],
) -> None:
    make()
    message = sent_mail(user)
    apply_news([News(message.pk, EventKind.OPENED, timezone.now(), str(n)) for n in range(50)])
    with django_assert_max_num_queries(12):
        assert spread() == 51
    assert Occurrence.objects.count() == 51


def test_old_things_are_forgotten(user: User, make: Make) -> None:
    make(kinds=["email.sent"])
    sent_mail(user)
    work()
    assert delete_old(now=timezone.now() + timedelta(days=29)) == 0
    assert delete_old(now=timezone.now() + timedelta(days=31)) == 1
    for model in (Attempt, Delivery, Occurrence):
        assert not model.objects.exists()


def test_a_secret_that_cannot_be_read_fails_that_endpoint_only(
    user: User, make: Make, hook: ApiServer
) -> None:
    broken = make(kinds=["email.sent"]).endpoint
    make(kinds=["email.sent"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_endpoint SET secret = 'x' WHERE id = %s", [broken.pk])
    sent_mail(user)
    work()
    assert len(hook.requests) == 1
    failed = Delivery.objects.get(endpoint_id=broken.pk)
    assert failed.last_error == "No configured encryption key can read this secret."
