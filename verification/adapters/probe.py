"""Asks a mail server whether it would take mail for a mailbox, and hangs up: RCPT, never DATA.

A server's "yes" is compared with its answer about a mailbox that cannot exist. Refusals count
only where they name the mailbox as the reason; everything else (greylisting, blocks, silence) is
unknown.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

from verification.adapters.resolver import find_addresses
from verification.validation.results import ProbeAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What a server may say in all: a greeting without end must not hold us.
_MAX_BYTES = 32_768
_READ_BYTES = 4_096
_ACCEPTED = range(200, 300)
_REFUSED = range(500, 600)
#: RFC 3463 §3.2: the mailbox does not exist, has moved, is not valid (and RFC 7505 §4.2).
_NO_MAILBOX = re.compile(r"\b5\.1\.(?:1|6|10)\b")
_ENHANCED = re.compile(r"\A5\.\d{1,3}\.\d{1,3}\b")
_WORDS = re.compile(
    r"(?:user|mailbox|recipient|address|account)\b.{0,40}"
    r"(?:unknown|not found|does(?: not|n't) exist|no such|invalid)"
    r"|(?:unknown|no such|invalid)\b.{0,20}(?:user|mailbox|recipient|address|account)",
    re.IGNORECASE,
)
_MAILBOX_CODES = frozenset({550, 551, 553})


@dataclass(frozen=True, slots=True)
class Manners:
    """Who we say we are, and how long we listen."""

    helo: str
    #: Empty for the null sender.
    sender: str
    port: int
    seconds: float
    #: False refuses hosts inside our own network: a stranger's MX record must not lead us there.
    allows_private: bool = False


class _SilenceError(Exception):
    """The server hung up, talked nonsense, or took too long."""


def probe_mailbox(
    email: str, hosts: Sequence[str], *, resolvers: Sequence[str], manners: Manners
) -> ProbeAnswer:
    """Return what the first reachable of the domain's mail hosts says of a mailbox; never raises.

    `email` is in wire form.
    """
    if not email.isascii():  # needs SMTPUTF8, and with it a server that says so
        return ProbeAnswer.UNKNOWN
    deadline = time.monotonic() + manners.seconds
    for host in hosts[:2]:
        for address in find_addresses(host, resolvers=resolvers, seconds=manners.seconds)[:2]:
            if not (manners.allows_private or ip_address(address).is_global):
                continue
            try:
                with _Conversation(address, manners.port, deadline) as conversation:
                    return _ask(conversation, email, manners)
            except (_SilenceError, OSError):
                continue
    return ProbeAnswer.UNKNOWN


def _ask(conversation: _Conversation, email: str, manners: Manners) -> ProbeAnswer:
    domain = email.rpartition("@")[2]
    for line in ("", f"EHLO {manners.helo}", f"MAIL FROM:<{manners.sender}>"):
        code, _ = conversation.say(line)
        if code not in _ACCEPTED:
            return ProbeAnswer.UNKNOWN
    code, text = conversation.say(f"RCPT TO:<{email}>")
    if code in _REFUSED:
        return ProbeAnswer.REJECTED if is_about_mailbox(code, text) else ProbeAnswer.UNKNOWN
    if code not in _ACCEPTED:
        return ProbeAnswer.UNKNOWN
    code, _ = conversation.say(f"RCPT TO:<{secrets.token_hex(12)}@{domain}>")
    if code in _ACCEPTED:
        return ProbeAnswer.CATCH_ALL
    return ProbeAnswer.ACCEPTED if code in _REFUSED else ProbeAnswer.UNKNOWN


def is_about_mailbox(code: int, text: str) -> bool:
    """Tell whether a refusal says that there is no such mailbox, not that we are unwelcome."""
    if _ENHANCED.search(text):
        return _NO_MAILBOX.search(text) is not None
    return code in _MAILBOX_CODES and _WORDS.search(text) is not None


class _Conversation:
    """One connection that ends at a deadline."""

    def __init__(self, address: str, port: int, deadline: float) -> None:
        self._deadline = deadline
        self._left_bytes = _MAX_BYTES
        self._buffer = b""
        self._socket = socket.create_connection((address, port), timeout=self._left_seconds())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self._socket.settimeout(0.2)
            self._socket.sendall(b"QUIT\r\n")
        except OSError:
            pass
        self._socket.close()

    def say(self, line: str) -> tuple[int, str]:
        """Send a line (none for an empty one) and return code and text of the reply."""
        self._socket.settimeout(self._left_seconds())
        if line:
            self._socket.sendall(line.encode("ascii") + b"\r\n")
        texts = []
        while True:
            reply = self._line()
            if not reply[:3].isdigit():
                raise _SilenceError(reply)
            texts.append(reply[4:])
            if reply[3:4] != "-":
                return int(reply[:3]), " ".join(texts)

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            self._socket.settimeout(self._left_seconds())
            data = self._socket.recv(min(_READ_BYTES, self._left_bytes))
            self._left_bytes -= len(data)
            if not data or self._left_bytes <= 0:
                raise _SilenceError("The server hung up or would not stop.")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("ascii", "replace")

    def _left_seconds(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _SilenceError("The server took too long.")
        return left
