"""The data on the wire: dots stuffed, ended once, arriving as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters.smtp.wire import stuffed, wire_chunks, wire_data
from providers.mail_data import LargeData
from providers.ports import Outcome
from tests.support.smtp import AnyPortController, a_mail, an_adapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.adapters.smtp.adapter import SmtpSession

LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b".", b"..", b".x", b"x."]),
        st.binary(max_size=30).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    ),
    min_size=1,
    max_size=12,
)


class Keeper:
    """Keeps the data of the last mail."""

    data = b""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.data = envelope.original_content
        return "250 Ok"


@pytest.fixture(scope="module")
def conversation() -> Iterator[tuple[SmtpSession, Keeper]]:
    keeper = Keeper()
    controller = AnyPortController(keeper)
    controller.start()
    session = an_adapter(controller.port).open()
    yield session, keeper
    session.close()
    controller.stop()


@settings(max_examples=60)
@given(LINES)
def test_any_message_arrives_as_it_was_at_a_real_server(
    conversation: tuple[SmtpSession, Keeper], lines: list[bytes]
) -> None:
    session, keeper = conversation
    data = b"Subject: x\r\n\r\n" + b"".join(line + b"\r\n" for line in lines)
    assert session.send(a_mail(data=data)).outcome is Outcome.ACCEPTED
    assert keeper.data == data


@given(LINES)
def test_stuffing_is_undone_by_removing_one_leading_dot(lines: list[bytes]) -> None:
    wire = wire_data(b"".join(line + b"\r\n" for line in lines))
    assert wire.endswith(b".\r\n")
    received = [line.removeprefix(b".") for line in wire.removesuffix(b".\r\n").split(b"\r\n")]
    assert received == [*lines, b""]


PIECES = st.lists(
    st.one_of(
        st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\r\n.", b"x"]), st.binary(max_size=5)
    ),
    max_size=30,
)


@given(PIECES)
def test_stuffing_is_the_same_wherever_the_data_is_cut(pieces: list[bytes]) -> None:
    assert b"".join(stuffed(iter(pieces))) == wire_data(b"".join(pieces))


@settings(max_examples=30)
@given(LINES, st.integers(0, 3))
def test_a_large_mail_is_stuffed_like_a_small_one(lines: list[bytes], shift: int) -> None:
    data = b"x" * shift + b"".join(line + b"\r\n" for line in lines) * 4000
    assert b"".join(wire_chunks(data)) == wire_data(data)
    assert b"".join(wire_chunks(LargeData((data, b".\r\n")))) == wire_data(data + b".\r\n")


def test_a_small_mail_is_one_piece() -> None:
    assert list(wire_chunks(b".a\r\n")) == [b"..a\r\n.\r\n"]


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"", b"\r\n.\r\n"),
        (b"a\n.\nb\r\n", b"a\n..\nb\r\n.\r\n"),
        (b"a\n.\r\nb\r\n", b"a\n..\r\nb\r\n.\r\n"),
    ],
)
def test_data_on_the_wire(data: bytes, wire: bytes) -> None:
    assert wire_data(data) == wire


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"x"]), max_size=40).map(b"".join))
def test_data_never_ends_before_its_end(data: bytes) -> None:
    """Neither by the rule nor for servers that take a bare LF for a line end (smuggling)."""
    body = b"\n" + wire_data(data).removesuffix(b".\r\n")
    assert b"\n.\n" not in body
    assert b"\n.\r\n" not in body
