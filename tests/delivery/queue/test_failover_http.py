"""For each fault of an account at an HTTP provider: what becomes of message, account and quota."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from accounts.models import User
from delivery.email_types import forget_email_types
from delivery.models import Attempt, EmailType, Message
from delivery.queue.sweep import sweep
from delivery.states import Lane
from providers.models import Provider, ProviderUsage
from tests.support.esp.accounts import APIS
from tests.support.esp.api import Api
from tests.support.esp.server import Action, Answer, ApiServer, Drop, Stall, Torn
from tests.support.failover import (
    AUTHENTICATION,
    CONNECTION,
    TAKEN,
    THROTTLED,
    Case,
    Fate,
    breaker_of,
    check_fate,
    copied,
    drain_twice,
    figures_of,
    in_doubt,
    let_wait_pass,
    moved,
)
from tests.support.mail import drain, make_due, queue, smtp_account
from tests.support.smtp import Certificate, make_certificate
from tests.support.smtp_server import FaultyServer

pytestmark = pytest.mark.django_db

KINDS = ("postmark", "sendgrid")
BOB, CEE = "bob@example.net", "cee@example.net"
HTML = {"Content-Type": "text/html"}
ONE_SECOND = {"settings": {"timeout_seconds": 1, "connect_timeout_seconds": 1}}


@contextmanager
def nobody() -> Iterator[str]:
    """Yield the address of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/"


@contextmanager
def full_house() -> Iterator[str]:
    """Yield the address of a host that answers no more connections."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as guests:
        address = listener.getsockname()
        for _ in range(3):
            guest = guests.enter_context(socket.socket())
            guest.settimeout(0)
            guest.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}/"


@contextmanager
def deaf() -> Iterator[str]:
    """Yield the address of a host that takes connections and never reads from them."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@contextmanager
def plain_text() -> Iterator[str]:
    """Yield the https address of a server that speaks no TLS."""
    with ApiServer(lambda _: Answer(200, {})) as server:
        yield f"https://127.0.0.1:{server.port}/"
        assert server.requests == []


# --- no answer at all -----------------------------------------------------------------------------

PLACES = [
    Case("connection refused", nobody, moved(breaker=CONNECTION, says="refused")),
    Case("no connection in time", full_house, moved(breaker=CONNECTION), ONE_SECOND),
    Case("no TLS where TLS is asked for", plain_text, moved(breaker=CONNECTION, says="SSL")),
    # What the kernel has not taken, nobody can have read to its end.
    Case(
        "body never read",
        deaf,
        moved(breaker=CONNECTION),
        ONE_SECOND,
        {"text": "x" * 8_000_000},
    ),
    Case("small body, never answered", deaf, in_doubt(says="timed out"), ONE_SECOND),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", PLACES, ids=lambda case: case.name)
def test_what_it_means_that_an_api_is_out_of_reach(user: User, case: Case, kind: str) -> None:
    with case.does() as url, FaultyServer(extensions=("PIPELINING", "8BITMIME")) as second:
        account = api_account(APIS[kind](), url, **copied(case.account))
        smtp_account(second.port, position=2)
        message = queue_bulk_mail(user, **case.message)
        drain_twice()
        seen = (0, len(second.mails))
    check_fate(message, account, case.fate, seen)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_nobody_vouches_for_is_refused_before_anything_is_said(
    user: User, kind: str, certificate: Certificate
) -> None:
    api = APIS[kind]()
    with ApiServer(api, tls=certificate.context) as first, FaultyServer() as second:
        account = api_account(api, f"https://127.0.0.1:{first.port}/")
        smtp_account(second.port, position=2)
        message = queue(user, email_type="marketing")
        drain_twice()
        seen = (len(first.requests), len(second.mails))
    fate = moved(breaker=CONNECTION, says="CERTIFICATE_VERIFY_FAILED")
    check_fate(message, account, fate, seen)


# --- answers --------------------------------------------------------------------------------------


def answers(status: int, headers: dict[str, str] | None = None, body: Any = b"{}") -> Answer:
    return Answer(status, body, headers or {})


def refused(**changes: Any) -> Fate:
    values: dict[str, Any] = {"status": "failed", "figure": "refused", "seen": 1}
    return Fate(**values | changes)


WAIT = {"Retry-After": "90"}
DATED = {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}
ANSWERS: list[Case] = [
    Case("all well", None, TAKEN),
    Case("401", answers(401), moved(breaker=AUTHENTICATION, seen=1)),
    Case("403", answers(403, HTML, b"<h1>Forbidden</h1>"), moved(breaker=AUTHENTICATION, seen=1)),
    Case("429", answers(429), moved(breaker=THROTTLED, seen=1, wait_seconds=5)),
    Case(
        "429 with Retry-After",
        answers(429, WAIT),
        moved(breaker=THROTTLED, seen=1, wait_seconds=90),
    ),
    Case(
        "429 with a date far off",
        answers(429, DATED),
        moved(breaker=THROTTLED, seen=1, wait_seconds=3600),
    ),
    Case("500", answers(500), moved(breaker=CONNECTION, seen=1, wait_seconds=5)),
    Case("502", answers(502, HTML, b"<h1>Bad gateway</h1>"), in_doubt(seen=1)),
    Case("503", answers(503), moved(breaker=CONNECTION, seen=1)),
    Case(
        "503 with Retry-After",
        answers(503, WAIT),
        moved(breaker=CONNECTION, seen=1, wait_seconds=90),
    ),
    Case("504", answers(504), in_doubt(seen=1)),
    Case("silence after the body", Stall(), in_doubt(seen=1, says="timed out"), ONE_SECOND),
    Case("drop after the body", Drop(), in_doubt(seen=1)),
    Case("torn answer", Torn(answers(202, body=b"x" * 500)), in_doubt(seen=1)),
    Case("redirect", answers(302, {"Location": "/elsewhere"}), moved(breaker=CONNECTION, seen=1)),
    Case("413", answers(413), refused()),
    Case("422", answers(422), refused()),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.name)
def test_what_an_answer_means_for_message_account_and_quota(
    user: User, case: Case, kind: str
) -> None:
    with ExitStack() as stack:
        message, account, seen = offer(stack, user, APIS[kind](), case)
    check_fate(message, account, case.fate, seen)


def test_success_that_nobody_can_read_is_no_success(user: User) -> None:
    # SendGrid is no example: it says nothing with a success.
    case = Case("200", answers(200, HTML, b"<h1>Welcome</h1>"), in_doubt(seen=1))
    with ExitStack() as stack:
        message, account, seen = offer(stack, user, APIS["postmark"](), case)
    check_fate(message, account, case.fate, seen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipient_that_the_api_refuses_is_tried_nowhere_else(user: User, kind: str) -> None:
    api = APIS[kind]()
    fate = Fate("bounced", figure="rejected", seen=1, says=BOB)
    with ExitStack() as stack:
        case = Case("bad recipient", api.recipient(BOB), fate)
        message, account, seen = offer(stack, user, api, case)
    check_fate(message, account, fate, seen)


@pytest.mark.parametrize("kind", KINDS)
def test_the_others_are_sent_to_without_the_one_that_the_api_refuses(user: User, kind: str) -> None:
    api = APIS[kind]()
    case = Case("one bad", api.recipient(CEE), TAKEN, message={"to": [BOB, CEE]})
    with ExitStack() as stack:
        message, account, seen = offer(stack, user, api, case)
        # The call as a whole was refused: nobody has it, and it waits for its next attempt.
        message.refresh_from_db()
        assert (message.status, seen, api.mails) == ("retry", (1, 0), [])
        assert figures_of(account) == {"deferred": 1}
        make_due(message.pk)
        sweep()
        drain(Lane.BULK)
    message.refresh_from_db()
    assert message.status == "sent"
    fates = {one["a"]: one.get("s") for one in message.recipients}
    assert (fates[CEE], fates[BOB]) == ("bounced", "sent")
    assert [one for mail in api.mails for one in mail.recipients] == [BOB]
    assert ProviderUsage.objects.get(provider=account).hour_count == 1
    assert Attempt.objects.count() == 2


def test_what_an_api_took_for_one_recipient_is_not_sent_again_for_the_other(user: User) -> None:
    api = APIS["mandrill"]()
    partly = answers(
        200,
        body=[
            {"email": BOB, "status": "sent", "_id": "m-1"},
            {"email": CEE, "status": "rejected", "reject_reason": "hard-bounce", "_id": "m-2"},
        ],
    )
    case = Case("partly taken", partly, TAKEN, message={"to": [BOB, CEE]})
    with ExitStack() as stack:
        message, account, seen = offer(stack, user, api, case)
    check_fate(message, account, TAKEN, seen)
    fates = {one["a"]: one.get("s") for one in message.recipients}
    assert (fates[CEE], fates[BOB]) == ("bounced", "sent")


def test_doubt_about_one_call_is_not_about_the_recipients_of_the_other(user: User) -> None:
    # Scaleway takes ten recipients a call.
    people = [f"p{number}@example.net" for number in range(12)]
    api = APIS["scaleway"]()
    with ApiServer(api) as server:
        api_account(api, f"http://127.0.0.1:{server.port}/", **ONE_SECOND)
        Provider.objects.update(hourly_limit=None)
        server.then(None, Stall())
        message = queue(user, to=people)
        drain()
        message.refresh_from_db()
        assert message.status == "unknown"
        assert [one.get("s") for one in message.recipients] == ["sent"] * 10 + [None] * 2
        make_due(message.pk)
        sweep()
        assert drain().sent == 1
    message.refresh_from_db()
    assert (message.status, {one.get("s") for one in message.recipients}) == ("sent", {"sent"})
    assert set(api.mails[-1].recipients) == set(people[10:])


def test_the_account_takes_mail_again_after_its_wait(user: User) -> None:
    api = APIS["postmark"]()
    with ApiServer(api) as first, FaultyServer() as second:
        account = api_account(api, f"http://127.0.0.1:{first.port}/")
        smtp_account(second.port, position=2)
        first.then(answers(503))
        queue(user)
        drain()
        assert breaker_of(account) == CONNECTION
        let_wait_pass()
        for _ in range(4):
            queue(user)
            drain()
        assert breaker_of(account)[0] == "closed"
    assert (len(api.mails), len(second.mails)) == (4, 1)


# --- how they are made ----------------------------------------------------------------------------


def api_account(api: Api, url: str, **changes: Any) -> Provider:
    """Return the first of two accounts, at `url`."""
    settings = {**api.settings, "api_url": url + api.base.lstrip("/"), "timeout_seconds": 5}
    return Provider.objects.create(
        name=api.kind,
        kind=api.kind,
        from_email="shop@example.com",
        position=1,
        hourly_limit=10,
        max_connections=1,
        settings=settings | changes.pop("settings", {}),
        secrets=api.secrets,
        **changes,
    )


def queue_bulk_mail(user: User, **fields: Any) -> Message:
    """Accept bulk mail that is nobody's own: it may go to several recipients."""
    EmailType.objects.filter(name="marketing").update(is_marketing=False)
    forget_email_types()
    return queue(user, **{"email_type": "marketing"} | fields)


def offer(
    stack: ExitStack, user: User, api: Api, case: Case
) -> tuple[Message, Provider, tuple[int, int]]:
    """Let a case happen; return its message, the first account, and whole requests per server."""
    first = stack.enter_context(ApiServer(api))
    second = stack.enter_context(FaultyServer())
    account = api_account(api, f"http://127.0.0.1:{first.port}/", **copied(case.account))
    smtp_account(second.port, position=2)
    action: Action | None = case.does
    if action is not None:
        first.then(action)
    message = queue_bulk_mail(user, **case.message)
    drain_twice()
    return message, account, (len(first.requests), len(second.mails))
