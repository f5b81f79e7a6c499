"""The counting sink of the benchmarks: what it says it received is what was sent."""

from __future__ import annotations

import json
import signal
import smtplib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.sink import Sink, SinkOptions, statistics
from providers.ports import Outcome, Reason
from tests.support.smtp import a_mail, an_adapter

ROOT = Path(__file__).resolve().parents[3]


def numbered(number: int) -> bytes:
    return b"Message-ID: <%d@a.example>\r\n\r\nx\r\n" % number


def test_every_mail_is_counted_with_its_message_id_and_recipients() -> None:
    with Sink() as sink:
        session = an_adapter(sink.port).open()
        for number in (1, 2, 2):
            mail = a_mail("b@b.example", "c@c.example", data=numbered(number))
            assert session.send(mail).outcome is Outcome.ACCEPTED
        session.close()
        assert statistics(sink.port) == (3, 2)
    assert [(mail.message_id, mail.recipients) for mail in sink.mails] == [
        (f"<{number}@a.example>", ("b@b.example", "c@c.example")) for number in (1, 2, 2)
    ]


def test_step_by_step_client_is_served_too() -> None:
    with Sink(SinkOptions(pipelining=False)) as sink:
        with smtplib.SMTP("127.0.0.1", sink.port) as client:
            client.sendmail(
                "a@a", ["b@b"], b"subject: x\r\nMESSAGE-id:\r\n <f@x>\r\n\r\n.\r\n..x\r\n"
            )
            client.rset()
            client.noop()
        session = an_adapter(sink.port).open()
        assert session.send(a_mail()).outcome is Outcome.ACCEPTED
        session.close()
    assert [mail.message_id for mail in sink.mails] == ["<f@x>", "<1@a.example>"]


def test_message_id_in_the_body_does_not_count() -> None:
    with Sink() as sink:
        session = an_adapter(sink.port).open()
        session.send(a_mail(data=b"Subject: x\r\n\r\nMessage-ID: <no@x>\r\n"))
        session.close()
    assert [mail.message_id for mail in sink.mails] == [""]


def test_large_mail_arrives_in_pieces() -> None:
    data = numbered(1) + (b"." * 76 + b"\r\n") * 20_000
    with Sink() as sink:
        session = an_adapter(sink.port).open()
        assert session.send(a_mail(data=data)).outcome is Outcome.ACCEPTED
        session.close()
    assert sink.received == 1


def test_recipients_are_answered_by_pattern() -> None:
    options = SinkOptions(recipient_replies=(("*@bad.example", "550 5.1.1 who"),))
    with Sink(options) as sink:
        session = an_adapter(sink.port).open()
        some = session.send(a_mail("ok@b.example", "X@Bad.example"))
        none = session.send(a_mail("x@bad.example"))
        after = session.send(a_mail())
        session.close()
    assert [r.address for r in some.recipients] == ["X@Bad.example"]
    assert (none.outcome, none.reason) == (Outcome.REJECTED, Reason.BAD_RECIPIENT)
    assert after.outcome is Outcome.ACCEPTED
    assert sink.received == 2


def test_every_nth_mail_is_taken_without_an_answer() -> None:
    with Sink(SinkOptions(drop_after_data=2)) as sink:
        session = an_adapter(sink.port).open()
        outcomes = [session.send(a_mail()).outcome for _ in range(2)]
        assert not session.is_usable
        session.close()
    assert outcomes == [Outcome.ACCEPTED, Outcome.UNKNOWN]
    assert sink.received == 2


def test_connections_end_after_so_many_mails() -> None:
    with Sink(SinkOptions(max_per_connection=2)) as sink:
        session = an_adapter(sink.port).open()
        outcomes = [session.send(a_mail()).outcome for _ in range(5)]
        session.close()
    assert outcomes == [Outcome.ACCEPTED] * 5
    assert sink.received == 5


@pytest.mark.parametrize("pipelining", [True, False])
def test_answers_are_delayed_in_order(*, pipelining: bool) -> None:
    options = SinkOptions(reply_delay_seconds=0.01, final_delay_seconds=0.03, pipelining=pipelining)
    with Sink(options) as sink:
        session = an_adapter(sink.port).open()
        started = time.monotonic()
        assert session.send(a_mail()).outcome is Outcome.ACCEPTED
        took = time.monotonic() - started
        session.close()
    assert took >= (0.04 if pipelining else 0.06)


def test_process_tells_its_port_logs_in_time_and_finishes_on_sigterm(tmp_path: Path) -> None:
    log = tmp_path / "mails.tsv"
    command = [sys.executable, str(ROOT / "bench/sink.py"), "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        session = an_adapter(port).open()
        session.send(a_mail("b@b.example", "c@c.example", data=numbered(1)))
        deadline = time.monotonic() + 5
        while not (log.exists() and log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        first = log.read_text().rstrip("\n").split("\t")
        session.send(a_mail(data=numbered(2)))
        session.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert first[:2] == ["<1@a.example>", "2"]
    assert time.time() - float(first[2]) < 60
    assert [line.split("\t")[0] for line in log.read_text().splitlines()] == [
        "<1@a.example>",
        "<2@a.example>",
    ]
