"""Accounts that cannot be used or refuse us: their mail waits or goes elsewhere; others' flows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from alerts.models import Alert
from delivery.models import Attempt, Event, Message
from delivery.queue.sweep import sweep
from delivery.selectors import message_history
from providers.models import Provider, ProviderHealth
from providers.selectors import forget_snapshot
from tests.support.api import Api, mail
from tests.support.failover import breaker_of, let_wait_pass
from tests.support.mail import drain, make_due, queue, simulator, smtp_account
from tests.support.smtp_server import Drop, FaultyServer

pytestmark = pytest.mark.django_db

UNREADABLE = "No configured encryption key can read this secret."


def spoil_secrets(account: Provider) -> None:
    """Leave a token that no key of ours reads, as a restored dump might."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE providers_provider SET secrets = 'gAAAAAnonsense' WHERE id = %s", [account.pk]
        )
    forget_snapshot()


def spoil_settings(account: Provider) -> None:
    Provider.objects.filter(pk=account.pk).update(settings={"rules": "x"})
    forget_snapshot()


@pytest.mark.parametrize("spoil", [spoil_secrets, spoil_settings])
@pytest.mark.parametrize("rate", [None, 100])
def test_an_account_that_cannot_be_set_up_stops_nobody_elses_mail(
    user: User, spoil: Any, rate: float | None
) -> None:
    broken = simulator(name="broken", position=1, rate_per_second=rate, hourly_limit=100)
    sound = simulator(name="sound", position=2)
    spoil(broken)
    anyones = queue(user, from_email="me@example.com")
    pinned = queue(user, from_email="me@example.com", provider_id=str(broken.pk))
    assert drain().sent == 1
    anyones.refresh_from_db()
    pinned.refresh_from_db()
    assert (anyones.status, anyones.provider_id) == ("sent", sound.pk)
    assert (pinned.status, pinned.attempt_count) == ("retry", 0)
    assert breaker_of(broken) == ("open", "setup")
    assert not Attempt.objects.filter(provider=broken).exists()
    alert = Alert.objects.get()
    assert (alert.kind, alert.title) == ("provider.refused", "broken cannot be used")


def test_it_is_looked_at_again_and_used_once_it_can_be(user: User) -> None:
    account = simulator()
    spoil_secrets(account)
    message = queue(user)
    drain()
    assert ProviderHealth.objects.get().detail == UNREADABLE
    for _ in range(2):
        let_wait_pass()
        make_due(message.pk)
        sweep()
        drain()
    health = ProviderHealth.objects.get()
    assert (health.state, health.failures) == ("open", 3)
    Provider.objects.update(secrets=None, updated_at=timezone.now())
    let_wait_pass()
    make_due(message.pk)
    sweep()
    assert drain().sent == 1
    assert breaker_of(account)[0] == "closed"


def test_mail_without_from_is_taken_though_an_accounts_credentials_cannot_be_read(
    api_key: Any, user: User
) -> None:
    spoil_secrets(simulator(from_email="shop@company.example"))
    body = mail()
    del body["from"]
    answer = Api(api_key.secret).post("/emails", body)
    assert answer.status_code == 202
    assert Message.objects.get().content.from_email == "shop@company.example"


@pytest.mark.parametrize("closed_by", ["breaker", "quota"])
def test_mail_without_from_gets_that_of_the_account_it_waits_for(
    api_key: Any, user: User, closed_by: str
) -> None:
    account = simulator(from_email="shop@company.example", hourly_limit=1, priority_reserve=0)
    if closed_by == "breaker":
        ProviderHealth.objects.create(
            provider=account,
            state="open",
            since=timezone.now(),
            retry_at=timezone.now() + timedelta(minutes=5),
        )
    else:
        queue(user)
        assert drain().sent == 1
    forget_snapshot()
    body = mail()
    del body["from"]
    answer = Api(api_key.secret).post("/emails", body)
    accepted = Message.objects.get(pk=answer.json()["id"])
    assert accepted.content.from_email == "shop@company.example"


def test_mail_without_from_gets_that_of_an_account_that_can_take_it(
    api_key: Any, user: User
) -> None:
    simulator(name="small", from_email="a@small.example", position=1, max_message_bytes=5_000)
    simulator(name="few", from_email="b@few.example", position=2, hourly_limit=1)
    simulator(name="roomy", from_email="c@roomy.example", position=3)
    body = mail(to=["a@example.net", "b@example.net"], text="x" * 9_000)
    del body["from"]
    Api(api_key.secret).post("/emails", body)
    assert Message.objects.get().content.from_email == "c@roomy.example"


# --- accounts that refuse us ----------------------------------------------------------------------


def test_refusals_by_the_account_neither_count_nor_lengthen_a_mails_wait(user: User) -> None:
    with FaultyServer(({"CONNECT": "421 4.3.2 busy"},) * 12 + ({},)) as server:
        account = smtp_account(server.port, max_connections=1)
        message = queue(user)
        for _ in range(12):
            drain()
            message.refresh_from_db()
            health = ProviderHealth.objects.get()
            assert health.retry_at is not None
            assert (message.status, message.attempt_count) == ("retry", 0)
            assert message.error.startswith("421 4.3.2 busy")
            assert abs(message.due_at - health.retry_at) < timedelta(seconds=2)
            let_wait_pass()
            make_due(message.pk)
            sweep()
        assert drain().sent == 1
    message.refresh_from_db()
    assert (message.status, message.attempt_count) == ("sent", 1)
    assert Attempt.objects.filter(message=message).count() == 13
    assert breaker_of(account)[0] == "closed"


@pytest.mark.parametrize("script", [{"RCPT": Drop()}, {"RCPT": "554 5.7.1 Relay access denied"}])
def test_a_fault_in_the_midst_of_a_mail_may_be_the_mails_and_counts(
    user: User, script: dict[str, Any]
) -> None:
    with FaultyServer((script,)) as server:
        account = smtp_account(server.port)
        message = queue(user)
        drain()
    message.refresh_from_db()
    assert (message.status, message.attempt_count) == ("retry", 1)
    assert breaker_of(account)[0] == "open"


def test_a_mail_that_was_never_let_in_is_not_given_up_and_expires_in_time(user: User) -> None:
    with FaultyServer(({"CONNECT": Drop()},)) as server:
        smtp_account(server.port)
        old = queue(user)
        Message.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=9))
        short = queue(user, expires_at=(timezone.now() + timedelta(minutes=1)).isoformat())
        ProviderHealth.objects.all().delete()
        drain()
    old.refresh_from_db()
    short.refresh_from_db()
    assert (old.status, short.status) == ("retry", "retry")
    assert short.expires_at is not None
    assert short.due_at <= short.expires_at


# --- why no account takes it ----------------------------------------------------------------------


def test_a_mail_that_no_account_may_take_says_why_each_does_not(user: User, api_key: Any) -> None:
    simulator(name="other", position=1, from_domains=["other.example"])
    simulator(name="small", position=2, max_message_bytes=1_000)
    message = queue(user, from_email="me@example.com")
    drain()
    message.refresh_from_db()
    assert message.error == (
        "Waiting: no account may take this mail: other (may not send for this From domain), "
        "small (takes no mail of this size)."
    )
    history = message_history(message.pk)
    (event,) = history.events
    assert event.decision_id is not None
    decision = history.decisions[event.decision_id]
    assert [each["skipped"] for each in decision["candidates"]] == [
        "may not send for this From domain",
        "takes no mail of this size",
    ]
    shown = Api(api_key.secret).get(f"/emails/{message.pk}").json()["events"][-1]
    assert (shown["type"], shown["data"]) == ("deferred", None)
    assert shown["routing"]["candidates"][0]["name"] == "other"
    # Looking again writes nothing more.
    make_due(message.pk)
    sweep()
    drain()
    assert Event.objects.count() == 1


# --- sent again although nobody knows -------------------------------------------------------------


def in_doubt_at(user: User, server: FaultyServer, **fields: Any) -> tuple[Provider, Message]:
    first = smtp_account(server.port, position=1, **fields)
    message = queue(user)
    drain()
    message.refresh_from_db()
    assert (message.status, message.provider_id) == ("unknown", first.pk)
    # Since then another goes before it.
    Provider.objects.filter(pk=first.pk).update(position=9)
    ProviderHealth.objects.all().delete()
    make_due(message.pk)
    forget_snapshot()
    return first, message


def test_what_is_sent_again_goes_to_the_account_that_may_have_it(user: User) -> None:
    with FaultyServer(({"END": Drop()}, {})) as first, FaultyServer() as second:
        _, message = in_doubt_at(user, first)
        smtp_account(second.port, position=2)
        sweep()
        assert drain().sent == 1
        assert (len(first.mails), second.mails) == (2, [])
    decision = Attempt.objects.filter(message=message).latest("pk").decision_id
    assert decision is not None
    reason = message_history(message.pk).decisions[decision]["reason"]
    assert reason == "it may have this mail already, and knows it again at best"


def test_what_is_sent_again_goes_elsewhere_while_that_account_is_closed(user: User) -> None:
    with FaultyServer(({"END": Drop()}, {})) as first, FaultyServer() as second:
        account, message = in_doubt_at(user, first)
        smtp_account(second.port, position=2)
        Provider.objects.filter(pk=account.pk).update(is_active=False)
        forget_snapshot()
        sweep()
        assert drain().sent == 1
        assert len(second.mails) == 1
    message.refresh_from_db()
    assert message.status == "sent"
