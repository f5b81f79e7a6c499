"""From the queue to a provider's API and back: what the drain does with an HTTP account."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from delivery.models import Attempt, Message
from mailservice.core.addresses import Address
from providers.models import Provider
from providers.services import create_provider
from tests.support.esp.accounts import account_at, running
from tests.support.esp.api import Api
from tests.support.esp.server import Answer, Drop
from tests.support.mail import drain, make_due, queue

pytestmark = pytest.mark.django_db(transaction=True)


def account(api: Api, port: int, **fields: Any) -> Provider:
    config = account_at(api, port)
    return create_provider(
        owner_id=None,
        name=api.kind,
        kind=api.kind,
        settings=config.settings,
        secrets=config.secrets,
        from_email="shop@example.com",
        **fields,
    )


@pytest.mark.parametrize("kind", ["sendgrid", "mailgun", "amazon_ses"])
def test_a_queued_mail_reaches_the_provider(user: User, kind: str) -> None:
    with running(kind) as (api, server):
        account(api, server.port)
        message = queue(user, to=[{"email": "bob@example.net", "name": "Bob"}], html="<p>Hi</p>")
        drain()
        (seen,) = api.mails
        ids = list(api.ids)
    message.refresh_from_db()
    assert message.status == "sent"
    assert Attempt.objects.get().remote_id == ids[0]
    assert seen.to == [Address("bob@example.net", "Bob")]
    assert (seen.subject, seen.html.rstrip()) == ("Hello", "<p>Hi</p>")
    assert seen.metadata["mailservice_id"] == message.pk.hex
    assert seen.tags == ([] if kind == "amazon_ses" else [message.email_type_id])


def test_the_others_are_served_without_the_bad_address(user: User) -> None:
    with running("mailgun") as (api, server):
        account(api, server.port)
        message = queue(user, to=["bob@example.net"], cc=["cee@example.net"])
        server.then(api.recipient("cee@example.net"))
        drain()
        assert api.mails == []
        message.refresh_from_db()
        assert message.status == "retry"
        make_due(message.pk)
        Message.objects.filter(pk=message.pk).update(status="queued")
        drain()
        (seen,) = api.mails
    message.refresh_from_db()
    assert seen.recipients == ["bob@example.net"]
    assert {one["a"]: one.get("s") for one in message.recipients} == {
        "bob@example.net": "sent",
        "cee@example.net": "bounced",
    }


def test_an_account_fault_moves_the_mail_to_the_next_provider(user: User) -> None:
    with running("postmark") as (first, bad), running("resend") as (second, good):
        account(first, bad.port, position=1)
        account(second, good.port, position=2)
        bad.then(Answer(503, b"{}"))
        queue(user)
        drain()
        assert (len(first.mails), len(second.mails)) == (0, 1)


def test_a_mail_in_doubt_moves_nowhere(user: User) -> None:
    with running("postmark") as (first, bad), running("resend") as (second, good):
        account(first, bad.port, position=1)
        account(second, good.port, position=2)
        bad.then(Drop())
        message = queue(user)
        drain()
        assert (len(bad.requests), len(second.mails)) == (1, 0)
    message.refresh_from_db()
    assert message.status == "unknown"
