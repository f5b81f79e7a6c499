"""Returned mails read: what each form says, and that nothing can hold the reader up."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbound.bounces import Kind, Returned, Told, read
from inbound.bounces.mime import MAX_BYTES
from tests.support.returned import arf, dsn, plain

OUR_ID = "<01890000000070008000000000000002@example.com>"
ID = UUID("01890000-0000-7000-8000-000000000002")


def only(returned: Returned) -> tuple[Kind, Told, tuple[str, ...], int, str, bool]:
    """Return kind and the facts of the only report."""
    [report] = returned.reports
    return (
        returned.kind,
        report.told,
        report.final,
        report.code,
        report.enhanced,
        report.is_permanent,
    )


# --- delivery reports -----------------------------------------------------------------------------


def test_a_delivery_report_of_postfix() -> None:
    returned = read(dsn(message_id=OUR_ID, original="Bob@example.net"), "b@example.com")
    assert only(returned) == (
        Kind.DSN,
        Told.FAILED,
        ("bob@example.net",),
        550,
        "5.1.1",
        True,
    )
    report = returned.reports[0]
    assert report.original == ("bob@example.net",)
    assert report.text == ("550 5.1.1 <bob@example.net>: Recipient address rejected: User unknown")
    assert returned.message_ids == (ID,)
    assert returned.identity == "<dsn-1@mx.example.net>"
    assert returned.paths == ("b@example.com", "bounces@example.com")


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("failed", Told.FAILED),
        ("Failed (permanently)", Told.FAILED),
        ("error", Told.FAILED),
        ("delayed", Told.DELAYED),
        ("delivered", Told.DELIVERED),
        ("relayed", Told.PASSED_ON),
        ("expanded", Told.PASSED_ON),
    ],
)
def test_every_action_is_understood(action: str, told: Told) -> None:
    assert only(read(dsn(action=action)))[1] is told


def test_an_action_nobody_defined_says_nothing() -> None:
    returned = read(dsn(action="exploded"))
    assert (returned.kind, [report.final for report in returned.reports]) == (Kind.BOUNCE, [()])


@pytest.mark.parametrize(
    ("status", "diagnostic", "code", "enhanced", "is_permanent"),
    [
        ("5.1.1", "smtp; 550 5.1.1 no such user", 550, "5.1.1", True),
        ("5.0.0", "smtp; 550 5.2.2 mailbox full", 550, "5.2.2", True),
        ("5.4.4", "X-Postfix; Host or domain name not found", 0, "5.4.4", True),
        ("4.4.7", "smtp; 451 greylisted", 451, "4.4.7", False),
        ("5.2.1", "550-5.1.1 The email account that you tried to reach does not exist", 550,
         "5.1.1", True),
        ("5.7.1 (delivery not authorized)", "smtp; blocked", 0, "5.7.1", True),
        ("nonsense", "smtp; 452 try later", 452, "", False),
    ],
)  # fmt: skip
def test_code_and_status_of_a_report(
    status: str, diagnostic: str, code: int, enhanced: str, *, is_permanent: bool
) -> None:
    returned = read(dsn(status=status, diagnostic=diagnostic))
    assert only(returned)[3:] == (code, enhanced, is_permanent)


@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("rfc822; bob@example.net", "bob@example.net"),
        ("RFC822;<Bob@Example.Net>", "bob@example.net"),
        ("<bob@example.net>", "bob@example.net"),
        ("bob@example.net", "bob@example.net"),
        ("rfc822;bob+40example.net", "bob@example.net"),
        ("utf-8; b\\x{F6}b@example.net", "böb@example.net"),
        ("utf-8; böb@exämple.net", "böb@xn--exmple-cua.net"),
    ],
)
def test_addresses_of_all_types(field: str, address: str) -> None:
    raw = dsn().decode().replace("rfc822; bob@example.net", field).encode()
    assert address in read(raw).reports[0].final


def test_a_report_about_several_recipients() -> None:
    more = (
        "\r\nFinal-Recipient: rfc822; eve@example.net\r\nAction: delayed\r\nStatus: 4.2.2\r\n"
        "\r\nReporting nonsense\r\n\r\n--A1B2.1"
    )
    raw = dsn().decode().replace("\r\n--A1B2.1", "\r\n--A1B2.1", 1)
    head, marker, tail = raw.partition("Diagnostic-Code:")
    line, _, rest = tail.partition("\r\n")
    raw = head + marker + line + "\r\n" + more + rest.partition("--A1B2.1")[2]
    found = [(report.told, report.final) for report in read(raw.encode()).reports]
    assert found == [
        (Told.FAILED, ("bob@example.net",)),
        (Told.DELAYED, ("eve@example.net",)),
    ]


def test_a_report_in_base64_of_an_internationalised_server() -> None:
    status = base64.encodebytes(
        "Reporting-MTA: dns; mx.example\n\nFinal-Recipient: utf-8; böb@example.net\n"
        "Action: failed\nStatus: 5.1.1\n".encode()
    ).decode()
    raw = f"""Content-Type: multipart/report; boundary="x"; report-type=delivery-status

--x
Content-Type: message/global-delivery-status
Content-Transfer-Encoding: base64

{status}
--x
Content-Type: message/global-headers

Message-ID: {OUR_ID}
--x--
"""
    returned = read(raw.encode())
    assert only(returned)[:3] == (Kind.DSN, Told.FAILED, ("böb@example.net",))
    assert returned.message_ids == (ID,)


def test_a_report_without_diagnostic_code_is_read_from_the_words() -> None:
    raw = (
        dsn(diagnostic="")
        .decode()
        .replace(
            "I'm sorry", "<bob@example.net>: host x said: 552-5.2.2 mailbox is full. I'm sorry"
        )
    )
    assert only(read(raw.encode()))[3:5] == (552, "5.2.2")


def test_a_report_inside_another_mail_is_found() -> None:
    inner = dsn().decode()
    raw = f"Content-Type: multipart/mixed; boundary=out\n\n--out\n{inner}\n--out--\n"
    assert read(raw.encode()).kind is Kind.DSN


def test_a_report_that_was_cut_is_read() -> None:
    raw = dsn()
    cut = raw[: raw.index(b"Content-Description: Undelivered")]
    assert only(read(cut))[:3] == (Kind.DSN, Told.FAILED, ("bob@example.net",))


def test_when_it_was_written() -> None:
    raw = dsn(date="Fri, 20 Nov 2026 10:00:00 +0100")
    assert read(raw).at == datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert read(dsn(date="yesterday")).at is None
    assert read(dsn(date="Fri, 99 Nov 99999 10:00:00 +9999")).at is None


# --- complaints -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("abuse", Told.COMPLAINED),
        ("fraud", Told.COMPLAINED),
        ("opt-out", Told.COMPLAINED),
        ("not-spam", Told.NO_COMPLAINT),
        ("virus", Told.NO_COMPLAINT),
        ("auth-failure", Told.NO_COMPLAINT),
        ("", Told.NO_COMPLAINT),
    ],
)
def test_types_of_feedback(kind: str, told: Told) -> None:
    returned = read(arf(type=kind, message_id=OUR_ID, mail_from="b-x@example.com"))
    assert only(returned)[:3] == (Kind.FEEDBACK, told, ("bob@example.net",))
    assert returned.message_ids == (ID,)
    assert "b-x@example.com" in returned.paths[1]


def test_a_complaint_of_outlook_com() -> None:
    raw = f"""From: staff@hotmail.com
Subject: complaint about message from 192.0.2.1
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: message/rfc822

X-HmXmrOriginalRecipient: bob@outlook.example
Return-Path: b-token@bounces.example.com
Message-ID: {OUR_ID}

Hi
--x--
"""
    returned = read(raw.encode())
    assert only(returned)[:3] == (Kind.FEEDBACK, Told.COMPLAINED, ("bob@outlook.example",))
    assert returned.paths == ("b-token@bounces.example.com",)


# --- bounces in words -----------------------------------------------------------------------------

QMAIL = """Hi. This is the qmail-send program at mx.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<bob@example.net>:
Remote host said: 550 5.1.1 No such user here

--- Below this line is a copy of the message.

Return-Path: <b@example.com>
Message-ID: {id}
"""
EXIM = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  bob@example.net
    SMTP error from remote mail server after RCPT TO:<bob@example.net>:
    host mx.example.net [192.0.2.1]: 550 5.1.1 User unknown

------ This is a copy of the message, including all the headers. ------

Message-ID: {id}
"""
WARNING = """This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.example.net.

The address to which the message has not yet been delivered is:

  bob@example.net
    Delay reason: 451 4.7.1 greylisted, try later

No action is required on your part. Delivery attempts will continue for
some time.
"""


@pytest.mark.parametrize(
    ("sender", "subject", "text", "told", "code", "enhanced"),
    [
        ("MAILER-DAEMON@x.example", "failure notice", QMAIL, Told.FAILED, 550, "5.1.1"),
        ("Mail Delivery System <Mailer-Daemon@x.example>", "Mail delivery failed", EXIM,
         Told.FAILED, 550, "5.1.1"),
        ("Mailer-Daemon@x.example", "Warning: message 1 delayed 24 hours", WARNING, Told.DELAYED,
         451, "4.7.1"),
    ],
)  # fmt: skip
def test_bounces_in_words(
    sender: str, subject: str, text: str, told: Told, code: int, enhanced: str
) -> None:
    returned = read(plain(From=sender, Subject=subject, text=text.format(id=OUR_ID)))
    [report] = returned.reports
    assert (returned.kind, report.told, report.code, report.enhanced) == (
        Kind.BOUNCE,
        told,
        code,
        enhanced,
    )
    if told is Told.FAILED:
        assert report.final == ("bob@example.net",)
        assert returned.message_ids == (ID,)


@pytest.mark.parametrize(
    "subject",
    [
        "Undeliverable: Hello",
        "Unzustellbar: Hallo",
        "Non remis : Bonjour",
        "No se pudo entregar: Hola",
        "=?utf-8?b?0J3QtSDQtNC+0YHRgtCw0LLQu9C10L3Qvg==?=",
        "=?utf-8?b?6YCA5L+h?=",
    ],
)
def test_a_bounce_is_known_by_its_subject_in_many_languages(subject: str) -> None:
    assert read(plain(Subject=subject, text="550 5.1.1 no")).kind is Kind.BOUNCE


@pytest.mark.parametrize(
    ("headers", "text", "kind"),
    [
        ({"Subject": "Automatic reply: Undeliverable parcel"}, "550 5.1.1", Kind.AUTO_REPLY),
        ({"Subject": "Re: Returned mail"}, "550 5.1.1 is my room", Kind.OTHER),
        ({"From": "MAILER-DAEMON@x.example", "Subject": "Welcome"}, "Hello", Kind.OTHER),
        ({"From": "postmaster@x.example", "Subject": "Hi"}, "550 no such user", Kind.BOUNCE),
    ],
)
def test_not_all_that_sounds_so_is_a_bounce(headers: dict[str, str], text: str, kind: Kind) -> None:
    assert read(plain(text=text, **headers)).kind is kind


def test_a_bounce_in_html_is_read() -> None:
    raw = (
        b"From: postmaster@x.example\nSubject: Undeliverable: Hello\nContent-Type: text/html\n\n"
        b"<p>&lt;bob@example.net&gt;: <b>550</b> 5.1.1 no&nbsp;such user</p>"
    )
    [report] = read(raw).reports
    assert (report.enhanced, "no such user" in report.text) == ("5.1.1", True)


# --- machines that answer -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-replied (vacation)"},
        {"X_Autoreply": "yes"},
        {"Precedence": "auto_reply"},
        {"Precedence": "bulk", "In_Reply_To": OUR_ID},
        {"Subject": "Out of Office: Hello"},
        {"Subject": "Re: Automatic reply: Hello"},
        {"Subject": "Automatische Antwort: Hallo"},
        {"Subject": "Abwesenheitsnotiz"},
        {"Subject": "Réponse automatique : Bonjour"},
        {"Subject": "Respuesta automática: Hola"},
        {"Subject": "Risposta automatica: Ciao"},
        {"Subject": "=?utf-8?b?6Ieq5YqI5Zue5aSNOiBoaQ==?=", "X_Autoreply": "yes"},
        {"Subject": "自動返信: こんにちは"},
        {"Subject": "Автоответ: Привет"},
        {"Subject": "پاسخ خودکار: سلام"},
    ],
)
def test_automatic_answers(headers: dict[str, str]) -> None:
    returned = read(plain(**{"In_Reply_To": OUR_ID} | headers))
    assert only(returned)[:3] == (Kind.AUTO_REPLY, Told.ANSWERED, ("bob@example.net",))
    assert returned.message_ids == (ID,)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_Auto_Response_Suppress": "All"},
        {"Auto_Submitted": "no"},
        {"Precedence": "bulk"},
        {"Subject": "Re: when are you out of office?"},
        {"Subject": "Automobile"},
    ],
)
def test_what_a_person_wrote_is_nothing(headers: dict[str, str]) -> None:
    returned = read(plain(text="Thanks!", **headers))
    assert (returned.kind, returned.reports) == (Kind.OTHER, ())


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"From": "Boxbe <noreply@boxbe.com>"}, "Hello"),
        ({"From": "a@spamarrest.com", "Subject": "Re: Hi (verification)"}, "x"),
        ({"Subject": "Please confirm that you sent this"}, ""),
        ({}, "To verify that you are a human, click here. Please confirm you sent the message."),
        ({"Subject": "Sender verification required"}, ""),
    ],
)
def test_challenges(headers: dict[str, str], text: str) -> None:
    assert read(plain(text=text, **headers)).kind is Kind.CHALLENGE


def test_a_rejection_that_calls_itself_a_receipt_is_a_bounce() -> None:
    raw = f"""From: Mail Delivery Subsystem <postmaster@example.net>
Subject: Automatically rejected mail
Auto-Submitted: auto-replied (rejected)
Content-Type: multipart/report; report-type=disposition-notification; boundary=x

--x
Content-Type: text/plain

Your message to <bob@example.net> was automatically rejected:
Quota exceeded
--x
Content-Type: message/disposition-notification

Final-Recipient: rfc822; bob@example.net
Disposition: automatic-action/MDN-sent-automatically; deleted

--x
Content-Type: message/rfc822

Message-ID: {OUR_ID}

--x--
"""
    returned = read(raw.encode())
    assert only(returned)[:3] == (Kind.BOUNCE, Told.FAILED, ("bob@example.net",))
    assert returned.reports[0].text.endswith("rejected: Quota exceeded")
    assert returned.message_ids == (ID,)


def test_the_words_before_an_address_count_if_there_is_no_reply() -> None:
    text = "User mailbox exceeds allowed size: bob@example.net\n\nOriginal message follows."
    raw = plain(From="Postmaster <postmaster@x.example>", Subject="Undeliverable Mail", text=text)
    [report] = read(raw).reports
    assert report.text.startswith("User mailbox exceeds allowed size: bob@example.net")


def test_a_receipt_is_nothing() -> None:
    raw = b"Content-Type: multipart/report; report-type=disposition-notification; boundary=x\n\n"
    assert read(raw + b"--x\n\nread\n--x--\n").kind is Kind.OTHER


# --- hostile input --------------------------------------------------------------------------------

_FROM = b"From: mailer-daemon\n"
BOMBS = {
    "nested": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(5000)
    ),
    "parts": b"Content-Type: multipart/mixed; boundary=b\n" + _FROM + b"\n" + b"--b\n\n" * 50_000,
    "blank": b"Content-Type: message/delivery-status\n\n" + b"\n" * 262_000,
    "blocks": b"Content-Type: message/delivery-status\n\n" + b"Action: failed\n\n" * 16_000,
    "line": _FROM + b"\n" + b"a" * 262_000,
    "at": _FROM + b"\n" + b"@" * 262_000,
    "tags": _FROM + b"Content-Type: text/html\n\n" + b"<" * 262_000,
    "spaces": _FROM + b"\n" + b" " * 262_000,
    "folded": b"Subject: x\n" + b" y\n" * 85_000,
    "parameter": b'Content-Type: multipart/mixed; a="' + b";" * 200_000,
    "dashes": _FROM + b"\n" + (b"-" * 60 + b"\n") * 4_000,
    "words": b"Subject: " + b"=?utf-8?q?a?= " * 10_000 + b"\n\n",
    "recipients": _FROM + b"X-Failed-Recipients: " + b"a@b," * 60_000 + b"\n\n",
    "punycode": b"Content-Type: text/plain; charset=punycode\n\n" + b"a-" * 100_000,
    "digits": _FROM + b"\n" + b"550 " * 60_000,
    "qmail": _FROM + b"\nHi. This is the qmail\n" + b"<a@b>:\n" * 40_000,
    "exim": _FROM + b"\nmail delivery software\n" + b"rcpt to: <" * 20_000,
    "ids": _FROM + b"\n" + b"message-id: <" * 20_000,
    "huge": dsn() + b"\r\nx" * 17_000_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_mail_holds_the_reader_up(bomb: str) -> None:
    started = time.process_time()
    returned = read(BOMBS[bomb])
    assert time.process_time() - started < 2
    assert len(returned.reports) <= 200
    assert len(returned.paths) <= 12


@given(st.binary(max_size=2_000), st.text(max_size=50))
def test_no_octets_make_it_raise(data: bytes, envelope_to: str) -> None:
    for raw in (data, _FROM + b"\n" + data, b"Content-Type: message/delivery-status\n\n" + data):
        returned = read(raw, envelope_to)
        assert isinstance(returned.kind, Kind)


_VALUES = st.text(st.characters(codec="utf-8"), max_size=80) | st.sampled_from(
    [
        "multipart/report; boundary=x",
        'multipart/mixed; boundary="x"',
        "message/delivery-status",
        "message/feedback-report; charset=utf-7",
        "base64",
        "quoted-printable",
        "=?utf-8?b?w7Y?=",
        "=?utf-8?q?=?=",
        "Mon, 31 Feb 0000 99:99:99 +9999",
        "Fri, 20 Nov 2026 10:00:00 -2400",
        "<<>>@[]",
    ]
)


@given(st.lists(st.tuples(st.sampled_from(
    ["Date", "Subject", "From", "To", "Message-ID", "Content-Type", "Auto-Submitted", "Precedence",
     "Content-Transfer-Encoding", "Final-Recipient", "Action", "Status", "Diagnostic-Code", "",
     "--x", "--x--", "Feedback-Type", "Original-Rcpt-To", "Disposition"]
), _VALUES), max_size=25))  # fmt: skip
def test_no_lines_make_it_raise(lines: list[tuple[str, str]]) -> None:
    raw = "\n".join(f"{name}: {value}" if name.strip("-x") else name for name, value in lines)
    returned = read(raw.encode("utf-8", "replace"))
    for report in returned.reports:
        assert len(report.text) <= 500


@given(st.data())
def test_no_damage_to_a_report_makes_it_raise(data: st.DataObject) -> None:
    raw = bytearray(dsn(message_id=OUR_ID))
    for _ in range(data.draw(st.integers(1, 30))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for report in read(bytes(raw), "x@y").reports:
        report.text.encode()
        assert "\x00" not in report.text
        assert "\n" not in report.text


def test_only_the_start_of_a_mail_counts() -> None:
    raw = _FROM + b"\n" + b"x\n" * (MAX_BYTES // 2)
    late = raw + b"message-id: " + OUR_ID.encode()
    assert read(late).message_ids == ()


@pytest.mark.parametrize("charset", ["punycode", "idna", "zip", "no-such", "utf-16", "hex", "\xff"])
def test_bad_charsets_are_no_matter(charset: str) -> None:
    raw = f"Subject: failure notice\nContent-Type: text/plain; charset={charset}\n\n550 5.1.1 no\n"
    assert read(raw.encode("latin-1")).kind is Kind.BOUNCE
