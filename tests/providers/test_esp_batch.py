"""Several mails with one call, where an API takes them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from mailservice.core.addresses import Address
from providers.adapters.esp import KINDS
from providers.adapters.esp.batch import BATCHES, BatchingSession
from providers.ports import BatchSession, Outcome, OutgoingMail, Reason, Scope, SendResult
from tests.support.esp.accounts import APIS, a_file, adapter_at, mail_of, running, some_parts
from tests.support.esp.server import Answer, ApiServer, Drop

TAKEN = {
    "mailjet": lambda number: {
        "Status": "success",
        "To": [{"Email": f"r{number}@b.example", "MessageID": f"id-{number}"}],
    },
    "mailtrap": lambda number: {"success": True, "message_ids": [f"id-{number}"]},
    "postmark": lambda number: {
        "ErrorCode": 0,
        "Message": "OK",
        "MessageID": f"id-{number}",
        "To": f"r{number}@b.example",
    },
    "resend": lambda number: {"id": f"id-{number}"},
}
REFUSED: dict[str, Any] = {
    "mailjet": {
        "Status": "error",
        "Errors": [
            {
                "ErrorCode": "mj-0013",
                "StatusCode": 400,
                "ErrorMessage": '"r1@b.example" is an invalid email address.',
                "ErrorRelatedTo": ["To[0].Email"],
            }
        ],
    },
    "mailtrap": {"success": False, "errors": ["'to' address is invalid"]},
    "postmark": {
        "ErrorCode": 406,
        "Message": "Found inactive addresses: r1@b.example.\nInactive recipients are ones",
    },
}
PATHS = {
    "mailjet": "/v3.1/send",
    "mailtrap": "/api/batch",
    "postmark": "/email/batch",
    "resend": "/emails/batch",
}


def wrapped(kind: str, parts: list[Any]) -> Any:
    names = {"mailjet": "Messages", "mailtrap": "responses", "resend": "data"}
    return {names[kind]: parts} if kind in names else parts


def mails(count: int, **parts: Any) -> list[OutgoingMail]:
    made = (
        mail_of(some_parts(subject=f"No. {n}", to=(Address(f"r{n}@b.example"),), **parts))
        for n in range(count)
    )
    return [replace(mail, message_id=UUID(int=n)) for n, mail in enumerate(made)]


def send(kind: str, server: ApiServer, batch: list[OutgoingMail]) -> list[SendResult]:
    session = adapter_at(APIS[kind](), server).open()
    assert isinstance(session, BatchingSession)
    try:
        return session.send_many(batch)
    finally:
        session.close()


def test_the_table_and_the_sessions_agree() -> None:
    assert {name for name, one in KINDS.items() if one.capabilities.max_batch > 1} == set(BATCHES)
    for kind in APIS:
        with running(kind) as (api, server):
            session = adapter_at(api, server).open()
            assert isinstance(session, BatchSession) is (kind in BATCHES)
            session.close()


@pytest.mark.parametrize("kind", sorted(BATCHES))
def test_different_mails_go_with_one_call(kind: str) -> None:
    order: list[int] = []
    with running(kind) as (_, server):
        server.then(Answer(200, wrapped(kind, [TAKEN[kind](n) for n in range(3)])))
        batch = [
            replace(mail, hand_over=partial(order.append, n)) for n, mail in enumerate(mails(3))
        ]
        results = send(kind, server, batch)
        (request,) = server.requests
    assert request.path == PATHS[kind]
    assert [one.outcome for one in results] == [Outcome.ACCEPTED] * 3
    assert [one.remote_id for one in results] == ["id-0", "id-1", "id-2"]
    assert order == [0, 1, 2]
    text = request.body.decode()
    assert [text.count(f"No. {n}") for n in range(3)] == [1, 1, 1]
    assert text.index("No. 0") < text.index("No. 1") < text.index("No. 2")


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_each_mail_has_its_own_verdict(kind: str) -> None:
    parts = [TAKEN[kind](0), REFUSED[kind], TAKEN[kind](2)]
    # Mailjet answers 400 as soon as one mail is refused.
    status = 400 if kind == "mailjet" else 200
    with running(kind) as (_, server):
        server.then(Answer(status, wrapped(kind, parts)))
        results = send(kind, server, mails(3))
    assert [one.outcome for one in results] == [
        Outcome.ACCEPTED,
        Outcome.REJECTED,
        Outcome.ACCEPTED,
    ]
    assert results[1].reason is Reason.BAD_RECIPIENT


@pytest.mark.parametrize("kind", sorted(BATCHES))
def test_after_a_refused_call_each_mail_goes_alone(kind: str) -> None:
    with running(kind) as (api, server):
        server.then(
            Answer(422, {"message": "Invalid `to` field", "errors": ["bad"]}), Answer(400, b"{}")
        )
        results = send(kind, server, mails(2))
        assert [seen.subject for seen in api.mails] == ["No. 1"]
    assert [one.outcome for one in results] == [Outcome.REJECTED, Outcome.ACCEPTED]


@pytest.mark.parametrize("kind", sorted(BATCHES))
@pytest.mark.parametrize(
    ("action", "outcome", "scope"),
    [
        (Answer(401, b"{}"), Outcome.NOT_ACCEPTED, Scope.PROVIDER),
        (Answer(429, b"{}"), Outcome.NOT_ACCEPTED, Scope.PROVIDER),
        (Answer(500, b"{}"), Outcome.NOT_ACCEPTED, Scope.PROVIDER),
        (Answer(504, b""), Outcome.UNKNOWN, Scope.MESSAGE),
        (Answer(200, b"garbage"), Outcome.UNKNOWN, Scope.MESSAGE),
        (Answer(200, b"[]"), Outcome.UNKNOWN, Scope.MESSAGE),
        (Drop(), Outcome.UNKNOWN, Scope.MESSAGE),
    ],
    ids=str,
)
def test_a_fault_of_the_call_concerns_all(
    kind: str, action: Any, outcome: Outcome, scope: Scope
) -> None:
    with running(kind) as (_, server):
        server.then(action)
        results = send(kind, server, mails(2))
        assert len(server.requests) == 1
    assert [(one.outcome, one.scope) for one in results] == [(outcome, scope)] * 2


def test_what_does_not_fit_goes_alone() -> None:
    with running("resend") as (api, server):
        batch = [*mails(1), *mails(1, files=(a_file("a.pdf", b"x"),))]
        results = send("resend", server, batch)
        assert [request.path for request in server.requests] == ["/emails", "/emails"]
        assert [seen.files for seen in api.mails] == [{}, {"a.pdf": b"x"}]
    assert [one.outcome for one in results] == [Outcome.ACCEPTED] * 2


def test_a_repeated_call_bears_the_same_key() -> None:
    with running("resend") as (_, server):
        for batch in (mails(2), mails(2), mails(3)):
            server.then(Answer(200, {"data": [{"id": "x"} for _ in batch]}))
            send("resend", server, batch)
        keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys[0] == keys[1] != keys[2]
