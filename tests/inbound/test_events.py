"""Provider events: from the post to the message's state, for every kind that has them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from delivery.models import Attempt, Event, Message, Suppression
from inbound.models import EventSource, RawEvent
from inbound.services.events import work_off_batch
from inbound.services.intake import delete_old, try_again
from inbound.services.sources import hook_url, renew_token, set_trust, source_of
from mailservice.core.errors import InvalidInputError
from mailservice.core.ids import uuid7
from providers.models import Provider
from tests.support.mail import force_status, queue
from tests.support.webhooks.samples import CASES, KEYS, MAKERS, Mail, Post, post_of

pytestmark = pytest.mark.django_db


def account(kind: str, **fields: Any) -> EventSource:
    secrets = {"api_key": "unisender-key"} if kind == "unisender_go" else {"api_key": "k"}
    defaults = {"name": f"my {kind}", "kind": kind, "secrets": secrets}
    provider = Provider.objects.create(**defaults | fields)
    source = source_of(provider_id=provider.pk)
    if kind in KEYS:
        set_trust(source_id=source.pk, key=KEYS[kind])
    return EventSource.objects.get(pk=source.pk)


def sent_through(source: EventSource, user: User, *, remote_id: str = "1234567") -> Message:
    """Return a message that the account took."""
    message = queue(user)
    force_status(message, "sent", provider_id=source.provider_id, sent_at=timezone.now())
    Attempt.objects.create(
        message=message, number=1, provider_id=source.provider_id, started_at=timezone.now(),
        duration_ms=1, outcome="accepted", scope="message", remote_id=remote_id,
    )  # fmt: skip
    return message


def path_of(source: EventSource) -> str:
    return "/hooks/" + hook_url(source).partition("/hooks/")[2]


def deliver(source: EventSource, post: Post, path: str = "") -> int:
    response = Client().post(
        path or path_of(source), post.body, content_type=post.content_type, headers=post.headers
    )
    return response.status_code


def tell(source: EventSource, kind: str, data: Any) -> None:
    assert deliver(source, post_of(kind, data, url=hook_url(source))) == 200


def state_of(message: Message) -> str:
    message.refresh_from_db()
    return message.status


@pytest.mark.parametrize(("kind", "what", "expected", "suppressed"), CASES)
def test_every_event_of_every_kind_reaches_its_message(
    user: User, kind: str, what: str, expected: str, suppressed: str
) -> None:
    source = account(kind)
    message = sent_through(source, user)
    tell(source, kind, MAKERS[kind](Mail(message.pk, "1234567"), what))
    work_off_batch()
    raw = RawEvent.objects.get()
    assert (raw.status, raw.error) == ("done", "")
    event = Event.objects.get(message=message)
    assert (event.kind, event.actor) == (expected, f"provider:my {kind}")
    assert event.recipient in {"bob@example.net", ""}
    assert [each.reason for each in Suppression.objects.all()] == ([suppressed] * bool(suppressed))
    if expected == "clicked":
        assert (event.data or {})["url"] == "https://example.com/x"


@pytest.mark.parametrize("kind", [*sorted(KEYS), "unisender_go"])
def test_a_forged_post_is_refused_and_counted(user: User, kind: str) -> None:
    source = account(kind)
    message = sent_through(source, user)
    what = next(case[1] for case in CASES if case[0] == kind)
    data = MAKERS[kind](Mail(message.pk, "1234567"), what)
    post = post_of(kind, data, url=hook_url(source))
    if kind == "mailgun":
        post.body = post.body.replace(b'"signature": "', b'"signature": "0')
    elif kind == "mandrill":
        post.body += b"&more=1"
    else:
        post.body = post.body.replace(b"bob@", b"rob@")
    assert deliver(source, post) == 403
    assert deliver(source, Post(b"\xff{", post.content_type)) == 403
    assert not RawEvent.objects.exists()
    source.refresh_from_db()
    assert source.refused_count == 2


def test_the_address_is_secret_and_can_be_renewed(user: User) -> None:
    source = account("brevo")
    old = path_of(source)
    assert len(source.token) == 43
    assert Client().head(old).status_code == 200
    wrong = old[:-1] + ("A" if old[-1] != "A" else "B")
    assert deliver(source, Post(b"{}"), wrong) == 404
    assert Client().get(wrong).status_code == 404
    assert deliver(source, Post(b"{}"), f"/hooks/{uuid7()}/{source.token}") == 404
    source.refresh_from_db()
    assert source.refused_count == 1
    fresh = renew_token(source_id=source.pk)
    assert deliver(source, Post(b"{}"), old) == 404
    assert deliver(source, Post(b"{}"), path_of(fresh)) == 200


def test_a_token_of_one_account_opens_no_other(user: User) -> None:
    one, two = account("brevo"), account("mailjet")
    assert deliver(one, Post(b"{}"), f"/hooks/{two.provider_id}/{one.token}") == 404


def test_a_source_is_made_once_and_only_where_there_are_events() -> None:
    source = account("brevo")
    assert source_of(provider_id=source.provider_id).pk == source.pk
    simulator = Provider.objects.create(name="s", kind="simulator")
    with pytest.raises(InvalidInputError, match="does not post events"):
        source_of(provider_id=simulator.pk)


def test_too_large_a_post_is_refused(user: User) -> None:
    source = account("brevo")
    assert deliver(source, Post(b" " * (5 * 1024 * 1024 + 1))) == 413


def test_the_same_post_twice_is_one_event(user: User) -> None:
    source = account("brevo")
    message = sent_through(source, user)
    data = MAKERS["brevo"](Mail(message.pk, "x"), "delivered")
    for _ in range(3):
        tell(source, "brevo", data)
        work_off_batch()
    assert Event.objects.filter(message=message).count() == 1
    assert [raw.status for raw in RawEvent.objects.all()] == ["done"] * 3


@pytest.mark.parametrize("order", [("delivered", "spam"), ("spam", "delivered")])
def test_the_order_of_arrival_does_not_matter(user: User, order: tuple[str, str]) -> None:
    source = account("brevo")
    message = sent_through(source, user)
    for what in order:
        tell(source, "brevo", MAKERS["brevo"](Mail(message.pk, "x"), what))
        work_off_batch()
    assert state_of(message) == "complained"
    assert Event.objects.filter(message=message).count() == 2


def test_nobody_speaks_of_mail_that_another_account_sent(user: User) -> None:
    mine, thief = account("brevo"), account("mailjet")
    message = sent_through(mine, user)
    tell(thief, "mailjet", MAKERS["mailjet"](Mail(message.pk, "1234567"), "bounce:user unknown"))
    work_off_batch()
    raw = RawEvent.objects.get()
    assert (raw.status, raw.error) == ("new", "1 of 1 belong to no mail that this account sent")
    assert state_of(message) == "sent"
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("remote_id", ["<abc@relay.example>", "x1,<abc@relay.example>,x3"])
def test_the_providers_id_finds_the_message(user: User, remote_id: str) -> None:
    source = account("brevo")
    message = sent_through(source, user, remote_id=remote_id)
    data = MAKERS["brevo"](Mail(message.pk, "<abc@relay.example>"), "delivered")
    del data["X-Mailin-custom"]
    tell(source, "brevo", data)
    work_off_batch()
    assert state_of(message) == "delivered"


def test_our_message_id_finds_the_message(user: User) -> None:
    source = account("mailgun")
    message = sent_through(source, user, remote_id="")
    data = MAKERS["mailgun"](Mail(message.pk, ""), "delivered")
    data["event-data"]["user-variables"] = {}
    tell(source, "mailgun", data)
    work_off_batch()
    assert state_of(message) == "delivered"


def test_an_event_before_its_attempt_waits_for_it(user: User) -> None:
    source = account("brevo")
    message = queue(user)
    tell(source, "brevo", MAKERS["brevo"](Mail(message.pk, "x"), "delivered"))
    work_off_batch()
    raw = RawEvent.objects.get()
    assert (raw.status, raw.attempts) == ("new", 1)
    assert work_off_batch().posts == 0
    force_status(message, "sent", provider_id=source.provider_id)
    RawEvent.objects.update(due_at=timezone.now())
    work_off_batch()
    assert state_of(message) == "delivered"
    assert RawEvent.objects.get().status == "done"


def test_a_message_in_a_workers_hands_is_told_in_a_moment(user: User) -> None:
    source = account("brevo")
    message = sent_through(source, user)
    force_status(message, "sending", lease_id=uuid7())
    tell(source, "brevo", MAKERS["brevo"](Mail(message.pk, "x"), "delivered"))
    work_off_batch()
    raw = RawEvent.objects.get()
    assert (raw.status, raw.error) == ("new", "1 of 1 wait for a worker")
    assert raw.due_at <= timezone.now() + timedelta(seconds=2)


def test_what_stays_unmatched_is_kept_and_can_be_tried_again(user: User) -> None:
    source = account("brevo")
    tell(source, "brevo", MAKERS["brevo"](Mail(uuid7(), "x"), "delivered"))
    RawEvent.objects.update(patient_until=timezone.now())
    work_off_batch()
    raw = RawEvent.objects.get()
    assert raw.status == "unmatched"
    assert try_again(ids=[raw.pk]) == 1
    raw.refresh_from_db()
    assert (raw.status, raw.attempts) == ("new", 0)
    assert try_again(ids=[raw.pk]) == 0


@pytest.mark.parametrize("body", [b"no json", b"[]", b"[1]", b'{"event": {}}', b"\xff\xfe"])
def test_a_post_that_cannot_be_read_fails_alone(user: User, body: bytes) -> None:
    source = account("brevo")
    message = sent_through(source, user)
    assert deliver(source, Post(body)) == 200
    tell(source, "brevo", MAKERS["brevo"](Mail(message.pk, "x"), "delivered"))
    work_off_batch()
    assert state_of(message) == "delivered"
    bad = RawEvent.objects.order_by("id").first()
    assert bad is not None
    assert bad.status == "failed"
    assert bad.error.startswith("Cannot be read: ")


def test_what_the_database_cannot_hold_is_left_out(user: User) -> None:
    source = account("brevo")
    message = sent_through(source, user)
    data = MAKERS["brevo"](Mail(message.pk, "x"), "delivered")
    data |= {"reason": "nul \x00 and half \ud800 a pair", "ts_epoch": 1, "email": "Bob@Example.NET"}
    assert deliver(source, Post(json.dumps(data).encode())) == 200
    work_off_batch()
    event = Event.objects.get()
    assert (event.detail, event.recipient) == ("nul and half a pair", "bob@example.net")
    assert timezone.now() - event.at < timedelta(minutes=1)
    assert state_of(message) == "delivered"


def test_a_post_survives_whoever_dies_before_working_it_off(user: User) -> None:
    source = account("brevo")
    message = sent_through(source, user)
    tell(source, "brevo", MAKERS["brevo"](Mail(message.pk, "x"), "delivered"))
    raw = RawEvent.objects.get()
    assert (raw.status, raw.attempts) == ("new", 0)
    assert state_of(message) == "sent"
    work_off_batch()
    assert state_of(message) == "delivered"


@pytest.mark.parametrize(
    ("email_type", "scope"), [("marketing", "marketing"), ("transactional", "*")]
)
def test_an_unsubscription_holds_for_the_type_of_marketing_and_never_for_needed_mail(
    user: User, email_type: str, scope: str
) -> None:
    source = account("brevo")
    message = sent_through(source, user)
    Message.objects.update(email_type_id=email_type)
    tell(source, "brevo", MAKERS["brevo"](Mail(message.pk, "x"), "unsubscribe"))
    work_off_batch()
    entry = Suppression.objects.get()
    assert (entry.address, entry.email_type, entry.reason) == (
        "bob@example.net",
        scope,
        "unsubscribe",
    )


def test_a_full_mailbox_suppresses_nobody_whatever_the_provider_calls_it(user: User) -> None:
    source = account("brevo")
    message = sent_through(source, user)
    data = MAKERS["brevo"](Mail(message.pk, "x"), "hard_bounce")
    data["reason"] = "552 5.2.2 mailbox full"
    tell(source, "brevo", data)
    work_off_batch()
    assert Event.objects.get().kind == "soft_bounced"
    assert state_of(message) == "bounced"
    assert not Suppression.objects.exists()


def test_old_posts_are_forgotten(user: User) -> None:
    source = account("brevo")
    tell(source, "brevo", {"event": "request"})
    now = timezone.now()
    assert delete_old(now=now + timedelta(days=29)) == 0
    assert delete_old(now=now + timedelta(days=31)) == 1


@pytest.mark.parametrize(
    ("kind", "key", "words"),
    [
        ("brevo", "x", "no key of its own"),
        ("resend", "whsec_short", "no key as this provider"),
        ("sendgrid", "nonsense", "no key as this provider"),
        ("postal", "nonsense", "no key as this provider"),
        ("mailgun", "k" * 1001, "at most 1000 char"),
    ],
)
def test_a_key_that_cannot_work_is_refused(kind: str, key: str, words: str) -> None:
    source = account(kind)
    with pytest.raises(InvalidInputError, match=words):
        set_trust(source_id=source.pk, key=key)


def test_many_posts_take_few_statements(user: User, django_assert_max_num_queries: Any) -> None:
    source = account("brevo")
    messages = [sent_through(source, user, remote_id=str(n)) for n in range(10)]
    for message in messages:
        tell(source, "brevo", MAKERS["brevo"](Mail(message.pk, "x"), "delivered"))
    with django_assert_max_num_queries(15):
        assert work_off_batch().applied == 10
    assert {state_of(message) for message in messages} == {"delivered"}
