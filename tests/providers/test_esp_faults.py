"""What every provider's refusals and faults come to, and that no secret shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.addresses import Address
from providers.adapters import adapter_for, check_connection
from providers.adapters.esp import KINDS
from providers.ports import ConnectError, Outcome, PartsAdapter, Reason, Scope, Session
from tests.support.esp.accounts import APIS, account_at, adapter_at, mail_of, running, some_parts
from tests.support.esp.sending import Stand, enlarged, send, verdict
from tests.support.esp.server import Action, Answer, Drop, Stall

BOB, CEE = "bob@b.example", "cee@c.example"


# --- refusals in the provider's words -------------------------------------------------------------

ACCOUNT_FAULT = (Outcome.NOT_ACCEPTED, Reason.AUTHENTICATION, Scope.PROVIDER)
TOO_MUCH = (Outcome.NOT_ACCEPTED, Reason.THROTTLED, Scope.PROVIDER)
ELSEWHERE = (Outcome.NOT_ACCEPTED, Reason.CONTENT, Scope.PROVIDER)
REFUSED = (Outcome.REJECTED, Reason.CONTENT, Scope.MESSAGE)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("refused", ACCOUNT_FAULT),
        ("quota", TOO_MUCH),
        ("sender", ELSEWHERE),
        ("content", REFUSED),
    ],
)
def test_real_refusals_are_understood(
    stand: Stand, what: str, expected: tuple[Outcome, Reason, Scope]
) -> None:
    api, server = stand
    server.then(getattr(api, what))
    result = send(stand)
    assert verdict(result) == expected
    assert result.reply.text
    assert api.mails == []


def test_a_bad_address_is_rejected(stand: Stand) -> None:
    api, server = stand
    server.then(api.recipient(BOB))
    result = send(stand)
    assert verdict(result) == (Outcome.REJECTED, Reason.BAD_RECIPIENT, Scope.MESSAGE)


def test_one_bad_address_does_not_condemn_the_others(stand: Stand) -> None:
    api, server = stand
    server.then(api.recipient(CEE))
    result = send(stand, to=(Address(BOB), Address(CEE)))
    fates = {one.address: one for one in result.recipients}
    assert fates[CEE].outcome is Outcome.REJECTED
    assert fates[CEE].reason is Reason.BAD_RECIPIENT
    if api.kind == "mandrill":
        # It answers per recipient; one that it does not mention is in doubt.
        assert result.outcome is Outcome.UNKNOWN
    else:
        assert verdict(result) == (Outcome.NOT_ACCEPTED, Reason.OTHER, Scope.MESSAGE)
        assert fates[BOB].outcome is Outcome.NOT_ACCEPTED


# --- faults of HTTP and below ---------------------------------------------------------------------

DOWN = (Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER)
IN_DOUBT = (Outcome.UNKNOWN, Reason.LOST_AFTER_DATA, Scope.MESSAGE)
HTML = {"Content-Type": "text/html"}


FAULTS: list[tuple[Action, tuple[Outcome, Reason, Scope]]] = [
    (Answer(400, b"{}"), REFUSED),
    (Answer(401, b"{}"), ACCOUNT_FAULT),
    (Answer(402, b"{}"), TOO_MUCH),
    (Answer(403, b"<h1>Forbidden</h1>", HTML), ACCOUNT_FAULT),
    (Answer(404, b"<h1>Not here</h1>", HTML), DOWN),
    (Answer(413, b"<h1>Too large</h1>", HTML), REFUSED),
    (Answer(429, b"{}"), TOO_MUCH),
    (Answer(500, b"{}"), DOWN),
    (Answer(500, b"<h1>Oh no</h1>", HTML), DOWN),
    (Answer(502, b"<h1>Bad gateway</h1>", HTML), IN_DOUBT),
    (Answer(503, b"<h1>Busy</h1>", HTML), DOWN),
    (Answer(504, b"", HTML), IN_DOUBT),
    (Answer(302, b"", {"Location": "/elsewhere"}), DOWN),
    (Answer(200, b"\x00\xffgarbage"), IN_DOUBT),
    (Answer(200, b"[[1], null]"), IN_DOUBT),
    (Answer(200, b'{"status": "success"}'), IN_DOUBT),
    (Drop(), IN_DOUBT),
]


def test_faults_are_told_apart(stand: Stand, reopening: Callable[[], Session]) -> None:
    api, server = stand
    found = []
    for action, _ in FAULTS:
        server.then(action)
        found.append((action, verdict(reopening().send(mail_of(some_parts())))))
    # SendGrid says nothing with a success: no answer of status 200 is odd.
    taken = (Outcome.ACCEPTED, Reason.NONE, Scope.MESSAGE)
    is_mute = api.kind == "sendgrid"
    assert found == [
        (action, taken if is_mute and getattr(action, "status", 0) == 200 else expected)
        for action, expected in FAULTS
    ]
    assert len(server.requests) == len(FAULTS)


def test_a_connection_cut_before_the_body_is_read_is_never_taken_for_a_refusal(
    stand: Stand,
) -> None:
    _, server = stand
    server.then(Drop(before_body=True))
    session = adapter_at(*stand).open()
    result = session.send(enlarged(mail_of(some_parts()), 8_000_000))
    session.close()
    if stand[0].kind == "amazon_ses":
        assert verdict(result) in (DOWN, IN_DOUBT)
    elif result.reason is not Reason.CONTENT:
        assert verdict(result) == DOWN
    assert server.requests == []


def test_silence_after_the_body_leaves_the_mail_in_doubt() -> None:
    def wait(kind: str) -> tuple[Outcome, Reason, Scope]:
        with running(kind) as (api, server):
            server.then(Stall())
            return verdict(send((api, server), account={"settings": {"timeout_seconds": 1}}))

    with ThreadPoolExecutor(len(APIS)) as pool:
        assert dict(zip(APIS, pool.map(wait, APIS), strict=True)) == dict.fromkeys(APIS, IN_DOUBT)


BODIES = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 999) | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["id", "messageId", "Messages", "emails", "data", "errors", "results", "status"]
                )
                | st.text(max_size=5),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    ),
)


@hypothesis.settings(max_examples=25, deadline=None)
@given(status=st.sampled_from([200, 202, 400, 404, 422, 429, 500, 502]), body=BODIES)
def test_no_answer_whatever_breaks_a_session(
    running_stand: Stand, reopening: Callable[[], Session], status: int, body: object
) -> None:
    api, server = running_stand
    server.then(Answer(status, body))
    result = reopening().send(mail_of(some_parts()))
    # SendGrid says nothing with a success; a status of the 2xx is all there is to go by.
    if status not in {200, 202}:
        assert result.outcome is not Outcome.ACCEPTED
    # botocore hides the status of an answer that it cannot read.
    if 400 <= status < 502 and api.kind != "amazon_ses":
        assert result.outcome is not Outcome.UNKNOWN


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_that_is_asked_for_is_passed_on(stand: Stand, status: int) -> None:
    _, server = stand
    server.then(Answer(status, b"{}", {"Retry-After": "17"}))
    assert send(stand).retry_after_seconds == 17


def test_after_an_account_fault_the_session_goes_on(stand: Stand) -> None:
    api, server = stand
    session = adapter_at(api, server).open()
    server.then(Answer(500, b"{}"))
    assert session.send(mail_of(some_parts())).outcome is Outcome.NOT_ACCEPTED
    assert session.send(mail_of(some_parts())).outcome is Outcome.ACCEPTED
    session.close()


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_secrets_appear_nowhere(
    stand: Stand, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    api, server = stand
    echo = {"message": f"bad key {' '.join(api.secrets.values())}", "raw": api.secrets, "code": 5}
    echoes = [
        Answer(status, echo, {"X-Echo": " ".join(api.secrets.values())}),
        Answer(status, json.dumps(echo).encode() + b"<p>", HTML),
    ]
    told: list[str] = []
    for answer in echoes:
        server.then(answer, answer)
        config = account_at(api, server.port)
        adapter = adapter_for(config)
        session = adapter.open()
        result = session.send(mail_of(some_parts()))
        told += [repr(result), repr(adapter), repr(session), repr(config)]
        session.close()
        try:
            told.append(check_connection(config))
        except ConnectError as error:
            told += [str(error), repr(error), repr(error.result), repr(error.__cause__)]
    everything = "\n".join([*told, caplog.text])
    for value in api.secrets.values():
        assert value not in everything
        assert value[:12] not in everything


def test_adapters_that_take_parts_say_so(stand: Stand) -> None:
    api, server = stand
    assert isinstance(adapter_at(api, server), PartsAdapter) is (api.kind != "amazon_ses")


def test_a_mail_for_nobody_is_refused_without_a_call(stand: Stand) -> None:
    api, server = stand
    session = adapter_at(api, server).open()
    mail = replace(mail_of(some_parts()), recipients=())
    assert session.send(mail).outcome is Outcome.REJECTED
    session.close()
    assert server.requests == []


def test_a_mail_too_large_or_beyond_ascii_is_left_to_another_provider(stand: Stand) -> None:
    api, server = stand
    capabilities = KINDS[api.kind].capabilities
    session = adapter_at(api, server).open()
    mail = mail_of(some_parts())
    assert verdict(session.send(enlarged(mail, capabilities.max_bytes + 1))) == ELSEWHERE
    if not capabilities.has_smtputf8:
        assert verdict(session.send(replace(mail, needs_smtputf8=True))) == ELSEWHERE
    session.close()
    assert server.requests == []
