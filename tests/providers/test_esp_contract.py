"""What every provider's adapter does, against stand-ins that speak the providers' own APIs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailservice.core.addresses import Address
from providers.adapters import adapter_for, check_connection, kinds
from providers.adapters.esp import KINDS
from providers.models import ProviderKind
from providers.ports import ConnectError, Outcome, Reason, Scope
from tests.support.esp.accounts import (
    APIS,
    MESSAGE_ID,
    a_file,
    account_at,
    adapter_at,
    mail_of,
    some_parts,
)
from tests.support.esp.sending import Stand, send, verdict
from tests.support.esp.server import Answer

BOB, CEE, DAN, EVE = "bob@b.example", "cee@c.example", "dan@d.example", "eve@e.example"
PDF = b"%PDF-1.7 \x00\xff binary"
PNG = b"\x89PNG\r\n\x1a\n\x00\x01"


# --- the table of kinds ---------------------------------------------------------------------------


def test_every_kind_has_a_stand_in_and_is_offered_everywhere() -> None:
    assert set(KINDS) == set(APIS) <= set(kinds())
    labels = {kind.value: kind.label for kind in ProviderKind}
    assert {name: kind.label for name, kind in KINDS.items()} == {
        name: labels[name] for name in KINDS
    }


# --- a mail arrives -------------------------------------------------------------------------------


def test_mail_arrives_as_it_was_composed(stand: Stand) -> None:
    api, _ = stand
    result = send(
        stand,
        BOB,
        CEE,
        DAN,
        to=(Address(BOB, 'Bob "B", Jr.'),),
        cc=(Address(CEE, "Cee"),),
        reply_to=(Address("help@a.example", "Help"),),
        tags=("newsletter",),
    )
    (seen,) = api.mails
    assert verdict(result) == (Outcome.ACCEPTED, Reason.NONE, Scope.MESSAGE)
    assert result.recipients == ()
    assert result.dialogue == ""
    assert seen.sender == Address("a@a.example", "Anna, née Å")
    assert seen.subject == "Grüße, hello"
    assert seen.text.replace("\r\n", "\n") == "Hello Bob ✓ text\n"
    assert seen.html.replace("\r\n", "\n") == "<p>Hello <b>Bob</b> ✓ html</p>\n"
    assert seen.to == [Address(BOB, 'Bob "B", Jr.')]
    assert seen.cc == [Address(CEE, "Cee")]
    assert seen.bcc == [Address(DAN)]
    assert seen.reply_to == [Address("help@a.example", "Help")]


def test_the_provider_s_id_comes_back(stand: Stand) -> None:
    api, _ = stand
    assert send(stand).remote_id == api.ids[0]


def test_our_id_is_what_events_will_name(stand: Stand) -> None:
    api, _ = stand
    send(stand)
    if KINDS[api.kind].capabilities.has_metadata:
        assert api.mails[0].metadata["mailservice_id"] == MESSAGE_ID.hex


def test_message_id_is_kept_where_the_table_says_so(stand: Stand) -> None:
    api, _ = stand
    send(stand)
    headers = {name.lower(): value for name, value in api.mails[0].headers.items()}
    is_given = headers.get("message-id") == f"<{MESSAGE_ID.hex}@a.example>"
    is_ours = KINDS[api.kind].capabilities.has_own_message_id
    # Amazon SES gets it with the mail and writes its own.
    assert is_given is (is_ours or api.kind == "amazon_ses")


def test_tags_are_passed_on(stand: Stand) -> None:
    api, _ = stand
    send(stand, tags=("newsletter",))
    # Amazon SES is told our id only: its tags allow few characters.
    assert api.mails[0].tags == ([] if api.kind == "amazon_ses" else ["newsletter"])


def test_headers_and_files_arrive_or_the_mail_is_left_to_another_provider(stand: Stand) -> None:
    api, server = stand
    parts: dict[str, Any] = {
        "headers": {"X-Order": "17", "List-Unsubscribe": "<https://a.example/u>"},
        "files": (a_file("Ümlaut.pdf", PDF), a_file("latin.dat", b"a;\xfc\n", "text/plain")),
    }
    result = send(stand, **parts)
    if api.kind == "mailersend":
        assert verdict(result) == (Outcome.NOT_ACCEPTED, Reason.CONTENT, Scope.PROVIDER)
        assert result.reply.text == "MailerSend does not take the header X-Order"
        assert server.requests == []
        return
    (seen,) = api.mails
    headers = {name.lower(): value for name, value in seen.headers.items()}
    assert headers["x-order"] == "17"
    assert headers["list-unsubscribe"] == "<https://a.example/u>"
    assert seen.files == {"Ümlaut.pdf": PDF, "latin.dat": b"a;\xfc\n"}


def test_inline_images_arrive_or_the_mail_is_left_to_another_provider(stand: Stand) -> None:
    api, server = stand
    result = send(
        stand, html='<img src="cid:logo">\n', files=(a_file("l.png", PNG, "image/png", "logo"),)
    )
    if KINDS[api.kind].capabilities.has_inline_images:
        assert api.mails[0].inline == {"logo": PNG}
        return
    assert verdict(result) == (Outcome.NOT_ACCEPTED, Reason.CONTENT, Scope.PROVIDER)
    assert server.requests == []


def test_only_those_still_to_be_served_are_sent_to(stand: Stand) -> None:
    api, _ = stand
    send(stand, DAN, to=(Address(BOB), Address(DAN)), cc=(Address(CEE),))
    send(stand, CEE, to=(Address(BOB),), cc=(Address(CEE),))
    assert [seen.recipients for seen in api.mails] == [[DAN], [CEE]]


def test_blind_recipients_never_see_each_other(stand: Stand) -> None:
    api, _ = stand
    result = send(stand, DAN, EVE, to=(), cc=())
    assert result.outcome is Outcome.ACCEPTED
    assert sorted(one for seen in api.mails for one in seen.recipients) == [DAN, EVE]
    assert all(len([*seen.to, *seen.cc]) <= 1 for seen in api.mails)


def test_more_recipients_than_one_call_takes_are_served_by_several(stand: Stand) -> None:
    api, _ = stand
    most = KINDS[api.kind].capabilities.max_recipients
    people = tuple(Address(f"r{number}@b.example") for number in range(most + 1))
    result = send(stand, to=people)
    assert (result.outcome, result.recipients) == (Outcome.ACCEPTED, ())
    assert [len(seen.recipients) for seen in api.mails] == [most, 1]
    assert len(result.remote_id) <= 200


def test_a_repeat_bears_the_same_key_and_another_mail_another_one(stand: Stand) -> None:
    api, _ = stand
    send(stand, BOB)
    send(stand, BOB)
    send(stand, CEE, to=(Address(CEE),))
    keys = [seen.repeat_key for seen in api.mails]
    if KINDS[api.kind].capabilities.repeat:
        assert keys[0] == keys[1] != keys[2]
        assert all(len(key) == 36 for key in keys)
    else:
        assert keys == ["", "", ""]


# --- sessions -------------------------------------------------------------------------------------


def test_one_connection_serves_many_mails(stand: Stand) -> None:
    api, server = stand
    session = adapter_at(api, server).open()
    for _ in range(3):
        assert session.send(mail_of(some_parts())).outcome is Outcome.ACCEPTED
    assert session.is_usable
    session.close()
    assert len({request.peer for request in server.requests}) == 1
    assert not session.is_usable
    assert session.send(mail_of(some_parts())).outcome is Outcome.NOT_ACCEPTED


def test_a_session_wears_out_at_its_cap(stand: Stand) -> None:
    api, server = stand
    session = adapter_at(api, server, max_messages_per_connection=1).open()
    assert session.is_usable
    session.send(mail_of(some_parts()))
    assert not session.is_usable
    session.close()


def test_two_accounts_keep_their_own_credentials(stand: Stand, settings: Any) -> None:
    api, server = stand
    names = list(api.secrets)
    settings.ANYMAIL = _Hostile()
    for name in names:
        setattr(settings, f"{api.kind.upper()}_{name.upper()}", "from the project's settings")
    good = adapter_at(api, server).open()
    bad = adapter_at(api, server, secrets={names[-1]: "another-key-123"}).open()
    assert good.send(mail_of(some_parts())).outcome is Outcome.ACCEPTED
    assert bad.send(mail_of(some_parts())).reason is Reason.AUTHENTICATION
    assert good.send(mail_of(some_parts())).outcome is Outcome.ACCEPTED
    good.close()
    bad.close()
    assert [(seen.subject, seen.tags) for seen in api.mails] == [("Grüße, hello", [])] * 2


class _Hostile(dict[str, Any]):
    """Settings that would be noticed if a backend read any."""

    def __missing__(self, key: str) -> Any:
        if key == "SEND_DEFAULTS":
            return {"subject": "leaked", "tags": ["leaked"]}
        raise AssertionError(f"ANYMAIL[{key!r}] was read")


def test_hand_over_is_called_once_and_before_the_provider_has_the_mail(stand: Stand) -> None:
    api, server = stand
    calls: list[int] = []
    session = adapter_at(api, server).open()
    session.send(mail_of(some_parts(), hand_over=lambda: calls.append(len(server.requests))))
    session.close()
    assert calls == [0]


def test_nothing_is_handed_over_without_a_connection(stand: Stand) -> None:
    api, server = stand
    calls: list[int] = []
    config = account_at(api, server.port)
    settings = {**config.settings, "api_url": "http://127.0.0.1:9/"}
    session = adapter_for(replace(config, settings=settings)).open()
    result = session.send(mail_of(some_parts(), hand_over=lambda: calls.append(1)))
    assert verdict(result) == (Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER)
    assert "refused" in result.reply.text
    assert not session.is_usable
    # boto3 has no moment between connecting and sending: a note too early is the safe one.
    assert calls == ([1] if api.kind == "amazon_ses" else [])


# --- trial connections ----------------------------------------------------------------------------


def test_good_credentials_pass_the_check_and_nothing_is_sent(stand: Stand) -> None:
    api, server = stand
    assert check_connection(account_at(api, server.port))
    assert api.mails == []
    assert len(server.requests) == 1


def test_bad_credentials_fail_the_check(stand: Stand) -> None:
    api, server = stand
    name = list(api.secrets)[-1]
    with pytest.raises(ConnectError) as caught:
        check_connection(account_at(api, server.port, secrets={name: "another-key-123"}))
    assert verdict(caught.value.result) == (
        Outcome.NOT_ACCEPTED,
        Reason.AUTHENTICATION,
        Scope.PROVIDER,
    )


@pytest.mark.parametrize("status", [301, 404, 500, 503])
def test_an_address_without_an_api_fails_the_check(stand: Stand, status: int) -> None:
    api, server = stand
    server.then(Answer(status, b"<html>nothing here</html>", {"Content-Type": "text/html"}))
    with pytest.raises(ConnectError) as caught:
        check_connection(account_at(api, server.port))
    assert caught.value.result.reason is Reason.CONNECTION
