"""Real conversations with a server that fails at every stage: one row of the contract each."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from providers.adapters.smtp.transaction import PIPELINE_DEPTH
from providers.mail_data import LargeData
from providers.ports import (
    Outcome,
    OutgoingMail,
    Reason,
    Reply,
    Scope,
    SendResult,
)
from tests.support.smtp import DATA, a_mail, an_adapter
from tests.support.smtp_server import (
    EXTENSIONS,
    Action,
    Drop,
    FaultyServer,
    Mail,
    Say,
    Script,
    Stall,
)

PLAIN = tuple(e for e in EXTENSIONS if e != "PIPELINING")
NOT_ACCEPTED, UNKNOWN = Outcome.NOT_ACCEPTED, Outcome.UNKNOWN
BIG = b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * 200_000
ROOMY = tuple(e for e in EXTENSIONS if not e.startswith("SIZE"))


def send(
    script: Script,
    mail: OutgoingMail | None = None,
    *,
    extensions: tuple[str, ...] = EXTENSIONS,
    timeout_seconds: float = 2,
) -> tuple[SendResult, FaultyServer, bool]:
    """Send one mail on a new session; return result, server and whether the session survived."""
    with FaultyServer((script,), extensions) as server:
        settings = {"timeout_seconds": timeout_seconds, "final_timeout_seconds": timeout_seconds}
        session = an_adapter(server.port, **settings).open()
        result = session.send(mail or a_mail())
        is_usable = session.is_usable
        session.close()
        assert session.is_usable is False
    return result, server, is_usable


# Accepted


@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN, ()])
def test_mail_arrives_whole_with_and_without_extensions(extensions: tuple[str, ...]) -> None:
    result, server, is_usable = send(
        {}, a_mail("b@b.example", "c@c.example"), extensions=extensions
    )
    assert result == SendResult(
        Outcome.ACCEPTED, reply=Reply(250, "2.0.0", "Ok: queued as 4T1"), remote_id="4T1"
    )
    assert [(m.recipients, m.data) for m in server.mails] == [
        (["b@b.example", "c@c.example"], DATA)
    ]
    assert is_usable


def test_parameters_of_mail_follow_the_offer_and_the_need() -> None:
    _, server, _ = send({}, a_mail(data=b"\r\nplain\r\n"))
    assert server.mails[0].sender == "FROM:<a@a.example> SIZE=9"
    _, server, _ = send({}, a_mail(data="\r\nü\r\n".encode()))
    assert server.mails[0].sender == "FROM:<a@a.example> SIZE=6 BODY=8BITMIME"
    _, server, _ = send({}, a_mail("ü@b.example"))
    assert server.mails == [
        Mail(f"FROM:<a@a.example> SIZE={len(DATA)} BODY=8BITMIME SMTPUTF8", ["ü@b.example"], DATA)
    ]
    _, server, _ = send({}, a_mail(data="\r\nü\r\n".encode()), extensions=())
    assert server.mails[0].sender == "FROM:<a@a.example>"


def test_null_return_path_is_sent_as_such() -> None:
    _, server, _ = send({}, a_mail(return_path=""))
    assert server.mails[0].sender.startswith("FROM:<> ")


def test_envelope_goes_out_in_one_packet_when_pipelining() -> None:
    """The server answers nothing before it has seen DATA: only a pipelining client gets by."""
    script: Script = {
        "MAIL": Say(b""),
        "RCPT": Say(b""),
        "DATA": Say(b"250 a\r\n250 b\r\n354 c\r\n"),
    }
    result, _, _ = send(script)
    assert result.outcome is Outcome.ACCEPTED


def test_more_recipients_than_one_packet_takes() -> None:
    recipients = [f"r{n}@b.example" for n in range(2 * PIPELINE_DEPTH + 50)]
    result, server, _ = send({}, a_mail(*recipients))
    assert result.outcome is Outcome.ACCEPTED
    assert server.mails[0].recipients == recipients


def test_replies_may_drip_in_pieces() -> None:
    script: Script = {"EHLO": Say(b"250-test\r\n250 PIPELINING\r\n", chunk_bytes=1)}
    result, _, _ = send(script)
    assert result.outcome is Outcome.ACCEPTED


# Lost, silent or nonsensical


@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN])
@pytest.mark.parametrize("cue", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("fault", [Drop(), Drop(reset=True), Stall(), Say(b"nonsense\r\n")])
def test_before_the_data_is_handed_over_nothing_was_accepted(
    cue: str, fault: Action, extensions: tuple[str, ...]
) -> None:
    handed_over: list[bool] = []
    mail = a_mail(hand_over=lambda: handed_over.append(True))
    result, server, is_usable = send({cue: fault}, mail, extensions=extensions, timeout_seconds=0.6)
    assert handed_over == []
    assert (result.outcome, result.scope, result.reason) == (
        NOT_ACCEPTED,
        Scope.PROVIDER,
        Reason.CONNECTION,
    )
    assert result.recipients == ()
    assert result.dialogue
    assert not is_usable
    assert server.mails == []


@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN])
@pytest.mark.parametrize(
    "fault",
    [Drop(), Drop(reset=True), Stall(), Say(b"nonsense\r\n"), Say(b"354 what\r\n"), Say(b"250")],
)
def test_after_the_final_dot_the_mail_is_in_doubt(
    fault: Action, extensions: tuple[str, ...]
) -> None:
    handed_over: list[bool] = []
    mail = a_mail(hand_over=lambda: handed_over.append(True))
    result, server, is_usable = send(
        {"END": fault}, mail, extensions=extensions, timeout_seconds=0.6
    )
    assert handed_over == [True]
    assert (result.outcome, result.reason) == (UNKNOWN, Reason.LOST_AFTER_DATA)
    assert result.recipients == ()
    assert "bytes of data]" in result.dialogue
    assert not is_usable
    assert len(server.mails) == 1


def test_data_cut_off_half_way_was_not_accepted() -> None:
    result, server, is_usable = send(
        {"BODY": Drop(after_bytes=1000)}, a_mail(data=BIG), extensions=ROOMY
    )
    assert (result.outcome, result.scope, result.reason) == (
        NOT_ACCEPTED,
        Scope.PROVIDER,
        Reason.CONNECTION,
    )
    assert not is_usable
    assert server.mails == []


class Unreadable:
    """A part of a mail whose second half the disk has lost."""

    def __len__(self) -> int:
        return 200_000

    def chunks(self) -> Iterator[bytes]:
        yield b"y" * 65_536
        raise OSError(errno.EIO, "Input/output error")


def test_a_large_mail_arrives_whole_in_one_conversation_with_others() -> None:
    body = (b"." * 76 + b"\r\n") * 3000
    data = LargeData((b"Subject: x\r\n\r\n", body, b"the end\r\n"))
    handed_over: list[bool] = []
    mail = a_mail(data=data, hand_over=lambda: handed_over.append(True))
    with FaultyServer() as server:
        session = an_adapter(server.port).open()
        outcomes = [session.send(one).outcome for one in (a_mail(), mail, a_mail())]
        session.close()
    assert outcomes == [Outcome.ACCEPTED] * 3
    assert handed_over == [True]
    assert [one.data for one in server.mails] == [DATA, bytes(data), DATA]
    assert [line for line in server.lines if line.startswith("MAIL")][1] == (
        f"MAIL FROM:<a@a.example> SIZE={len(data)}"
    )


def test_a_large_mail_above_the_servers_limit_is_rejected_unsent() -> None:
    result, server, _ = send({}, a_mail(data=LargeData((b"x" * 900_000, b"y" * 200_000))))
    assert (result.outcome, result.reply.enhanced_code) == (Outcome.REJECTED, "5.3.4")
    assert not any(line.startswith("MAIL") for line in server.lines)


@pytest.mark.parametrize("fault", [Drop(after_bytes=1000), Drop(after_bytes=70_000, reset=True)])
def test_a_large_mail_cut_off_half_way_was_not_accepted(fault: Action) -> None:
    handed_over: list[bool] = []
    mail = a_mail(data=LargeData((BIG, BIG)), hand_over=lambda: handed_over.append(True))
    result, server, is_usable = send({"BODY": fault}, mail, extensions=ROOMY)
    assert (result.outcome, result.scope, result.reason) == (
        NOT_ACCEPTED,
        Scope.PROVIDER,
        Reason.CONNECTION,
    )
    assert (handed_over, is_usable, server.mails) == ([True], False, [])


def test_a_mail_we_cannot_read_to_its_end_was_not_accepted_and_no_fault_of_the_account() -> None:
    mail = a_mail(data=LargeData((b"Subject: x\r\n\r\n", Unreadable(), b"\r\n")))
    result, server, is_usable = send({}, mail)
    assert (result.outcome, result.scope, result.reason) == (
        NOT_ACCEPTED,
        Scope.MESSAGE,
        Reason.OTHER,
    )
    assert result.reply.text == "the mail cannot be read: OSError"
    assert "[65550 bytes of data]" in result.dialogue
    assert (is_usable, server.mails) == (False, [])


def test_server_that_stops_reading_half_way_did_not_accept() -> None:
    result, server, _ = send(
        {"BODY": Stall()}, a_mail(data=BIG), extensions=ROOMY, timeout_seconds=0.6
    )
    assert (result.outcome, result.reason) == (NOT_ACCEPTED, Reason.CONNECTION)
    assert server.mails == []


def test_data_refused_half_way_with_a_reply_is_judged_by_it() -> None:
    with FaultyServer(({"BODY": "552 5.3.4 Too big"},), ROOMY) as server:
        session = an_adapter(server.port).open()
        result = session.send(a_mail(data=b"\r\nx\r\n"))
        session.close()
    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.CONTENT)


def test_success_before_the_data_is_complete_counts_for_nothing() -> None:
    result, _, _ = send(
        {"BODY": Say(b"250 Ok\r\n", hang_up=True)}, a_mail(data=BIG), extensions=ROOMY
    )
    assert (result.outcome, result.reason) == (NOT_ACCEPTED, Reason.CONNECTION)


def test_endless_reply_ends_the_conversation() -> None:
    result, _, is_usable = send({"MAIL": Say(b"250 " + b"x" * 10_000)})
    assert (result.outcome, result.reason) == (NOT_ACCEPTED, Reason.CONNECTION)
    assert "more than 2048 bytes" in result.reply.text
    assert not is_usable


def test_server_that_drips_one_reply_is_given_up() -> None:
    result, _, _ = send(
        {"END": Say(b"250-" + b"x" * 1000 + b"\r\n")},
        timeout_seconds=0.6,
    )
    assert result.outcome is UNKNOWN


# Refusals


@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN])
@pytest.mark.parametrize(
    ("script", "outcome", "scope", "reason", "is_usable"),
    [
        ({"MAIL": "550 5.7.1 no"}, "not_accepted", "provider", "content", True),
        ({"MAIL": "530 5.7.0 login"}, "not_accepted", "provider", "authentication", False),
        ({"MAIL": "503 5.5.1 order"}, "not_accepted", "provider", "connection", False),
        ({"MAIL": "450 4.7.1 rate limit"}, "not_accepted", "provider", "throttled", True),
        ({"MAIL": "421 4.7.0 slow down"}, "not_accepted", "provider", "throttled", False),
        ({"RCPT": "550 5.1.1 who"}, "rejected", "message", "bad_recipient", True),
        ({"RCPT": "552 5.2.2 full"}, "rejected", "message", "mailbox", True),
        ({"RCPT": "450 4.7.1 greylisted"}, "not_accepted", "message", "greylisted", True),
        ({"RCPT": "421 4.3.2 shutting down"}, "not_accepted", "provider", "connection", False),
        ({"DATA": "554 5.7.1 spam"}, "rejected", "message", "content", True),
        ({"DATA": "451 4.3.0 later"}, "not_accepted", "message", "other", True),
        ({"DATA": "250 what"}, "not_accepted", "provider", "connection", False),
        ({"DATA": "421 bye"}, "not_accepted", "provider", "throttled", False),
        ({"END": "554 5.7.1 spam"}, "rejected", "message", "content", True),
        ({"END": "451 4.7.1 greylisted"}, "not_accepted", "message", "greylisted", True),
        ({"END": "421 4.7.0 slow down"}, "not_accepted", "provider", "throttled", False),
    ],
)
def test_refusal_at_each_stage(
    script: Script,
    outcome: str,
    scope: str,
    reason: str,
    extensions: tuple[str, ...],
    *,
    is_usable: bool,
) -> None:
    result, _, survived = send(script, extensions=extensions)
    assert (result.outcome, result.scope, result.reason) == (outcome, scope, reason)
    assert (result.recipients, survived) == ((), is_usable)


@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN])
@pytest.mark.parametrize("cue", ["MAIL", "RCPT", "DATA", "END"])
def test_connection_serves_the_next_mail_after_a_refusal(
    cue: str, extensions: tuple[str, ...]
) -> None:
    with FaultyServer(({cue: ["550 5.7.1 no"]},), extensions) as server:
        session = an_adapter(server.port).open()
        first, second, third = (session.send(a_mail()) for _ in range(3))
        session.close()
    # Of the sender another account may think otherwise.
    assert first.outcome is (Outcome.NOT_ACCEPTED if cue == "MAIL" else Outcome.REJECTED)
    assert (second.outcome, third.outcome) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
    assert len(server.conversations) == 1
    assert len(server.mails) == (3 if cue == "END" else 2)
    assert server.lines.count("RSET") == (1 if cue in ("RCPT", "DATA") else 0)


def test_server_that_wants_data_for_nobody_gets_a_lone_dot() -> None:
    with FaultyServer(({"RCPT": ["550 5.1.1 who"], "DATA": ["354 Go on"]},)) as server:
        session = an_adapter(server.port).open()
        first, second = session.send(a_mail()), session.send(a_mail())
        session.close()
    assert (first.outcome, first.reason) == (Outcome.REJECTED, Reason.BAD_RECIPIENT)
    assert second.outcome is Outcome.ACCEPTED
    assert [mail.data for mail in server.mails] == [DATA]
    assert "RSET" not in server.lines


def test_server_that_goes_on_after_refusing_the_sender_gets_no_data() -> None:
    script: Script = {"MAIL": ["550 5.7.1 no"], "RCPT": "250 Ok", "DATA": ["354 Go on"]}
    result, server, is_usable = send(script)
    assert (result.outcome, result.reason) == (Outcome.NOT_ACCEPTED, Reason.CONTENT)
    assert server.mails == []
    assert not is_usable


# Several recipients


def test_accepted_for_some_names_the_others() -> None:
    script: Script = {
        "RCPT bad@b.example": "550 5.1.1 who",
        "RCPT grey@b.example": "450 4.7.1 greylisted",
    }
    mail = a_mail("ok@b.example", "bad@b.example", "grey@b.example")
    result, server, is_usable = send(script, mail)
    assert (result.outcome, result.reply.code, result.remote_id) == (Outcome.ACCEPTED, 250, "4T1")
    assert [(r.address, r.outcome, r.reason, r.reply) for r in result.recipients] == [
        ("bad@b.example", Outcome.REJECTED, Reason.BAD_RECIPIENT, Reply(550, "5.1.1", "who")),
        ("grey@b.example", NOT_ACCEPTED, Reason.GREYLISTED, Reply(450, "4.7.1", "greylisted")),
    ]
    assert server.mails[0].recipients == ["ok@b.example"]
    assert "S: 550 5.1.1 who" in result.dialogue
    assert is_usable


@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN])
def test_accepted_for_none_but_put_off_for_some_is_put_off(extensions: tuple[str, ...]) -> None:
    script: Script = {
        "RCPT bad@b.example": "550 5.1.1 who",
        "RCPT grey@b.example": "450 4.7.1 greylisted",
    }
    result, _, _ = send(script, a_mail("bad@b.example", "grey@b.example"), extensions=extensions)
    assert (result.outcome, result.scope, result.reason) == (
        NOT_ACCEPTED,
        Scope.MESSAGE,
        Reason.GREYLISTED,
    )
    assert [(r.address, r.outcome) for r in result.recipients] == [
        ("bad@b.example", Outcome.REJECTED),
        ("grey@b.example", NOT_ACCEPTED),
    ]


def test_refused_for_all_alike_names_nobody() -> None:
    result, _, _ = send({"RCPT": "550 5.1.1 who"}, a_mail("x@b.example", "y@b.example"))
    assert (result.outcome, result.reason, result.recipients) == (
        Outcome.REJECTED,
        Reason.BAD_RECIPIENT,
        (),
    )


def test_data_refused_concerns_only_recipients_that_were_accepted() -> None:
    script: Script = {"RCPT bad@b.example": "550 5.1.1 who", "END": "554 5.7.1 spam"}
    result, _, _ = send(script, a_mail("ok@b.example", "bad@b.example"))
    assert result.outcome is Outcome.REJECTED
    assert [(r.address, r.reason) for r in result.recipients] == [
        ("ok@b.example", Reason.CONTENT),
        ("bad@b.example", Reason.BAD_RECIPIENT),
    ]


def test_doubt_concerns_only_recipients_that_were_accepted() -> None:
    script: Script = {"RCPT bad@b.example": "550 5.1.1 who", "END": Drop()}
    result, _, _ = send(script, a_mail("ok@b.example", "bad@b.example"))
    assert (result.outcome, result.reason) == (UNKNOWN, Reason.LOST_AFTER_DATA)
    assert [(r.address, r.outcome) for r in result.recipients] == [
        ("ok@b.example", UNKNOWN),
        ("bad@b.example", Outcome.REJECTED),
    ]


def test_data_refused_for_a_mailbox_blames_none_of_several() -> None:
    script: Script = {"END": "550 5.1.1 who"}
    one, _, _ = send(script, a_mail("x@b.example"))
    two, _, _ = send(script, a_mail("x@b.example", "y@b.example"))
    assert (one.reason, two.reason) == (Reason.BAD_RECIPIENT, Reason.OTHER)


def test_lost_among_the_recipients_keeps_the_verdicts_already_given() -> None:
    script: Script = {"RCPT bad@b.example": "550 5.1.1 who", "RCPT ok@b.example": Drop()}
    result, _, _ = send(script, a_mail("bad@b.example", "ok@b.example"), extensions=PLAIN)
    assert (result.outcome, result.scope) == (NOT_ACCEPTED, Scope.PROVIDER)
    assert [(r.address, r.outcome) for r in result.recipients] == [
        ("bad@b.example", Outcome.REJECTED),
        ("ok@b.example", NOT_ACCEPTED),
    ]


def test_server_that_leaves_after_refusing_everybody_has_given_its_verdict() -> None:
    script: Script = {"RCPT": "550 5.1.1 who", "DATA": Drop()}
    result, _, is_usable = send(script)
    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.BAD_RECIPIENT)
    assert not is_usable


# Never offered


@pytest.mark.parametrize(
    "address",
    ["a\r\nRSET@b.example", "a\n@b.example", "a b@b.example", "a>@b.example", "<a@b.example",
     "a\0@b", "\ud800@b.example", ""],
)  # fmt: skip
def test_address_that_could_break_out_never_reaches_the_wire(address: str) -> None:
    result, server, is_usable = send({}, a_mail(address))
    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.BAD_RECIPIENT)
    assert [line.split()[0] for line in server.lines] == ["EHLO", "QUIT"]
    assert is_usable


def test_unsafe_address_among_safe_ones_is_left_out() -> None:
    result, server, _ = send({}, a_mail("ok@b.example", "a\r\nRSET@b.example"))
    assert result.outcome is Outcome.ACCEPTED
    assert [(r.address, r.outcome) for r in result.recipients] == [
        ("a\r\nRSET@b.example", Outcome.REJECTED)
    ]
    assert server.mails[0].recipients == ["ok@b.example"]


def test_unsafe_return_path_blames_no_recipient() -> None:
    result, server, _ = send({}, a_mail(return_path="a>\r\nRCPT TO:<x@x.example"))
    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.OTHER)
    assert [line.split()[0] for line in server.lines] == ["EHLO", "QUIT"]


def test_mail_without_recipients_is_refused() -> None:
    result, _, _ = send({}, a_mail(recipients=()))
    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.OTHER)


def test_mail_above_the_offered_size_is_not_sent() -> None:
    result, server, is_usable = send({}, a_mail(data=b"x" * 31), extensions=("SIZE 30",))
    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.CONTENT)
    assert result.reply == Reply(0, "5.3.4", "31 bytes exceed the server's limit of 30")
    assert [line.split()[0] for line in server.lines] == ["EHLO", "QUIT"]
    assert is_usable
    for offer in ("SIZE 31", "SIZE 0", "SIZE", "SIZE many"):
        result, _, _ = send({}, a_mail(data=b"x" * 31), extensions=(offer,))
        assert result.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    "changes", [{"needs_smtputf8": True}, {"return_path": "ü@a.example"}, {"recipients": ("ü@b",)}]
)
def test_mail_that_needs_smtputf8_is_left_to_another_provider(changes: dict[str, object]) -> None:
    result, server, is_usable = send({}, a_mail(**changes), extensions=("PIPELINING",))
    assert (result.outcome, result.scope, result.reason) == (
        NOT_ACCEPTED,
        Scope.PROVIDER,
        Reason.CONTENT,
    )
    assert [line.split()[0] for line in server.lines] == ["EHLO", "QUIT"]
    assert is_usable


# The record of the conversation


def test_clean_acceptance_keeps_no_dialogue() -> None:
    result, _, _ = send({})
    assert result.dialogue == ""


def test_dialogue_tells_commands_and_replies_without_the_body() -> None:
    result, _, _ = send({"END": "554-5.7.1 spam\r\n554 5.7.1 surely"})
    assert result.dialogue.splitlines() == [
        f"C: MAIL FROM:<a@a.example> SIZE={len(DATA)}",
        "S: 250 2.1.0 Ok",
        "C: RCPT TO:<b@b.example>",
        "S: 250 2.1.5 Ok",
        "C: DATA",
        "S: 354 Go on",
        f"C: [{len(DATA) + 3} bytes of data]",
        "S: 554 5.7.1 spam",
        "S: 554 5.7.1 surely",
    ]
    assert "Hello" not in result.dialogue


def test_dialogue_shows_where_it_broke_off() -> None:
    result, _, _ = send({"DATA": Drop()})
    assert result.dialogue.splitlines()[-2:] == ["C: DATA", "-- the server closed the connection"]
