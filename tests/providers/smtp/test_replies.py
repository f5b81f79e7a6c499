"""The reply parser: same replies whatever the chunking, bounded whatever the peer."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters.smtp.replies import (
    MAX_LINE_BYTES,
    MAX_LINES,
    ProtocolError,
    ReplyParser,
    WireReply,
    remote_id,
    to_reply,
)
from providers.ports import Reply

LINES = st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"").rstrip(b"\r"))
REPLIES = st.lists(
    st.builds(
        WireReply,
        st.integers(200, 599),
        st.lists(LINES, min_size=1, max_size=4).map(tuple),
    ),
    max_size=6,
)


def encode(reply: WireReply) -> bytes:
    *head, last = reply.lines
    lines = [b"%d-%s\r\n" % (reply.code, line) for line in head]
    return b"".join([*lines, b"%d %s\r\n" % (reply.code, last)])


def parse_all(chunks: list[bytes]) -> list[WireReply]:
    parser = ReplyParser()
    replies = []
    for chunk in chunks:
        parser.feed(chunk)
        while (reply := parser.next_reply()) is not None:
            replies.append(reply)
    return replies


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(position % (len(data) + 1) for position in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(REPLIES, st.lists(st.integers(0, 2000), max_size=30))
def test_replies_are_the_same_in_any_chunking(replies: list[WireReply], cuts: list[int]) -> None:
    data = b"".join(map(encode, replies))
    assert parse_all(cut(data, cuts)) == replies


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
def test_garbage_is_an_error_or_a_reply_in_any_chunking(data: bytes, cuts: list[int]) -> None:
    def outcome(chunks: list[bytes]) -> list[WireReply] | str:
        try:
            return parse_all(chunks)
        except ProtocolError as error:
            return str(error)

    assert outcome(cut(data, cuts)) == outcome([data])


def test_bare_line_feeds_and_codes_without_text_are_replies() -> None:
    assert parse_all([b"250\n250-a\n250\r\n"]) == [
        WireReply(250, (b"",)),
        WireReply(250, (b"a", b"")),
    ]


def test_multi_line_reply_has_the_code_of_its_last_line() -> None:
    assert parse_all([b"451-a\r\n550 b\r\n"]) == [WireReply(550, (b"a", b"b"))]


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"25 x\r\n",
        b"250x\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"\r\n",
        b"HTTP/1.1 400\r\n",
    ],
)
def test_what_is_not_a_reply_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_all([data])


def test_endless_line_is_cut_off_before_it_fills_memory() -> None:
    parser = ReplyParser()
    parser.feed(b"250 " + b"x" * MAX_LINE_BYTES)
    with pytest.raises(ProtocolError, match="2048 bytes"):
        parser.next_reply()


def test_endless_reply_is_cut_off() -> None:
    parser = ReplyParser()
    parser.feed(b"250-x\r\n" * (MAX_LINES - 1))
    assert parser.next_reply() is None
    parser.feed(b"250-x\r\n")
    with pytest.raises(ProtocolError, match="128 lines"):
        parser.next_reply()


def test_pending_bytes_are_noticed() -> None:
    parser = ReplyParser()
    parser.feed(b"220 Go\r\n250 injected\r\n")
    pending = []
    for _ in range(2):
        parser.next_reply()
        pending.append(parser.has_pending)
    parser.feed(b"250-a\r\n")
    parser.next_reply()
    pending.append(parser.has_pending)
    assert pending == [True, False, True]


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        ((250, b"2.1.5 Ok"), Reply(250, "2.1.5", "Ok")),
        ((550, b"5.1.1 No", b"5.1.1 such user"), Reply(550, "5.1.1", "No such user")),
        ((550, b"4.1.1 odd"), Reply(550, "", "4.1.1 odd")),
        ((550, b"5.1.1"), Reply(550, "5.1.1", "")),
        ((250, b"5.1.10.2 is no status"), Reply(250, "", "5.1.10.2 is no status")),
        ((450, b"a\0b\tc\x1b[31m"), Reply(450, "", "a b c [31m")),
        ((550, "zu groß".encode()), Reply(550, "", "zu groß")),
        ((550, b"caf\xe9"), Reply(550, "", "caf\ufffd")),
    ],
)
def test_reply_is_split_into_code_enhanced_code_and_one_line(
    wire: tuple[int, bytes], reply: Reply
) -> None:
    code, *lines = wire
    assert to_reply(WireReply(code, tuple(lines))) == reply


def test_text_of_a_reply_is_at_most_500_characters() -> None:
    assert len(to_reply(WireReply(550, (b"x" * 400, b"y" * 400, b"z" * 400))).text) == 500


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ok: queued as 4XyZ12abc", "4XyZ12abc"),
        ("OK id=1rAbCd-0001Xy-2z", "1rAbCd-0001Xy-2z"),
        (
            "Ok 0102018f-2b3c-4d5e-8f00-a1b2c3d4e5f6-000000",
            "0102018f-2b3c-4d5e-8f00-a1b2c3d4e5f6-000000",
        ),
        ("Message accepted", ""),
    ],
)
def test_remote_id_is_found_in_the_final_reply(text: str, expected: str) -> None:
    assert remote_id(Reply(250, "2.0.0", text)) == expected
