"""Replies as they come off the wire: parsing (RFC 5321 §4.2), bounded, whatever the chunking."""

from __future__ import annotations

import re
from typing import NamedTuple

from providers.ports import Reply

#: RFC 5321 §4.5.3.1.5 allows 512 octets; servers with long policy texts exceed it.
MAX_LINE_BYTES = 2048
MAX_LINES = 128
MAX_TEXT_CHARS = 500

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)\s*")
_REMOTE_ID = re.compile(
    r"queued as (?P<queued>[\w.\-]+)|\bid=(?P<id>[\w.\-]+)|^ok:? (?P<bare>[\w\-]{12,})$",
    re.IGNORECASE,
)

_SEPARATORS = (b" ", b"-", b"")


class ProtocolError(Exception):
    """The peer does not speak SMTP; nothing it sends from here on can be trusted."""


class WireReply(NamedTuple):
    """One complete reply: its code, and its lines without codes and line ends."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def is_positive(self) -> bool:
        """True for 2yz."""
        return 200 <= self.code < 300  # noqa: PLR2004 - reply classes


class ReplyParser:
    """Turns chunks of bytes into replies; holds at most one reply's worth of limits in memory."""

    __slots__ = ("_buffer", "_hidden", "_lines", "_position")

    def __init__(self) -> None:
        self._buffer = b""
        self._hidden: tuple[bytes, ...] = ()
        self._position = 0
        self._lines: list[bytes] = []

    @property
    def has_pending(self) -> bool:
        """True if bytes were fed that no returned reply has used up."""
        return self._position < len(self._buffer) or bool(self._lines)

    def hide(self, secrets: tuple[bytes, ...]) -> None:
        """Put `***` in the place of these in every reply from now on: some servers echo them."""
        self._hidden = secrets

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the peer."""
        if self._position == len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._position :] + data
        self._position = 0

    def next_reply(self) -> WireReply | None:
        """Return the next complete reply, or None until more is fed.

        The code of a multi-line reply is that of its last line. Raises `ProtocolError` on anything
        that is not a reply or exceeds the limits.
        """
        while (line := self._next_line()) is not None:
            code, separator = line[:3], line[3:4]
            if not (code.isdigit() and b"2" <= code < b"6" and separator in _SEPARATORS):
                raise ProtocolError(f"not an SMTP reply: {printable(line[:80])}")
            if separator != b"-":
                lines = (*self._lines, line[4:])
                self._lines.clear()
                return WireReply(int(code), lines)
            self._lines.append(line[4:])
            if len(self._lines) >= MAX_LINES:
                raise ProtocolError(f"reply of more than {MAX_LINES} lines")
        return None

    def _next_line(self) -> bytes | None:
        start = self._position
        end = self._buffer.find(b"\n", start)
        length = (len(self._buffer) if end < 0 else end) - start
        if length > MAX_LINE_BYTES:
            raise ProtocolError(f"reply line of more than {MAX_LINE_BYTES} bytes")
        if end < 0:
            return None
        self._position = end + 1
        line = self._buffer[start:end].removesuffix(b"\r")
        for secret in self._hidden:
            if secret in line:
                line = line.replace(secret, b"***")
        return line


def printable(raw: bytes) -> str:
    """Return what a peer sent as text fit for a log or a database: no control characters."""
    text = raw.decode("utf-8", "replace")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def to_reply(wire: WireReply) -> Reply:
    """Return a wire reply in the words of the port: enhanced code split off, one line of text."""
    enhanced = ""
    texts: list[str] = []
    size = 0
    for raw in wire.lines:
        text = printable(raw)
        match = _ENHANCED.match(text)
        if match and match[1] == str(wire.code)[0]:
            enhanced = enhanced or match[0].strip()
            text = text[match.end() :]
        texts.append(text.strip())
        size += len(text)
        if size > MAX_TEXT_CHARS:
            break
    return Reply(wire.code, enhanced, " ".join(filter(None, texts))[:MAX_TEXT_CHARS])


def remote_id(reply: Reply) -> str:
    """Return the queue id in a final reply (`queued as …` Postfix, `id=…` Exim, `Ok …` SES)."""
    match = _REMOTE_ID.search(reply.text)
    return next(filter(None, match.groups()), "") if match else ""
