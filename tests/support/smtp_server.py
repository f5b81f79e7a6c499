"""A scriptable, faulty SMTP server in a thread: every way a conversation can go wrong, on cue.

A script maps a cue to one action, or to a list of actions used up one per occurrence (then the
server behaves again). Cues: `CONNECT`, the verbs (`EHLO`, `MAIL`, `RCPT`, `DATA` ...),
`RCPT <address>`, `BODY` (while the data arrives) and `END` (after its final dot). Each further
script is for the next connection; the last serves all that follow.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Self


@dataclass(frozen=True)
class Say:
    """Send these bytes as they are; then hang up or go on."""

    data: bytes
    hang_up: bool = False
    #: Send in pieces of this size; 0 sends at once.
    chunk_bytes: int = 0


@dataclass(frozen=True)
class Drop:
    """Hang up; `reset` sends RST. At `BODY`, hang up after so many bytes of data."""

    after_bytes: int = 0
    reset: bool = False


@dataclass(frozen=True)
class Stall:
    """Say nothing until the client gives up."""


Action = str | Say | Drop | Stall
Script = Mapping[str, Action | list[Action]]

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 1000000", "ENHANCEDSTATUSCODES")


@dataclass
class Mail:
    """What arrived whole, whatever was answered: envelope as commanded, dots unstuffed."""

    sender: str
    recipients: list[str]
    data: bytes


@dataclass
class FaultyServer:
    """Serves on 127.0.0.1 while used as a context manager; keeps what was said."""

    scripts: tuple[Script, ...] = ({},)
    extensions: tuple[str, ...] = EXTENSIONS
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    mails: list[Mail] = field(default_factory=list)
    #: Per connection, every line received outside of data.
    conversations: list[list[str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._socks: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)

    def hang_up(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    @property
    def lines(self) -> list[str]:
        """Every line received, over all connections."""
        return [line for conversation in self.conversations for line in conversation]

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socks.append(sock)
            script = self.scripts[min(len(self.conversations), len(self.scripts) - 1)]
            self.conversations.append([])
            thread = threading.Thread(
                target=self._serve, args=(sock, script, self.conversations[-1]), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, script: Script, lines: list[str]) -> None:
        conversation = _Conversation(self, sock, script, lines)
        with contextlib.suppress(OSError, ssl.SSLError, _HangUpError, ValueError):
            conversation.run()
        conversation.close()


class _HangUpError(Exception):
    """The conversation is over."""


class _Conversation:
    def __init__(
        self, server: FaultyServer, sock: socket.socket, script: Script, lines: list[str]
    ) -> None:
        self.server = server
        self.sock = sock
        self.actions = {cue: list(a) if isinstance(a, list) else a for cue, a in script.items()}
        self.lines = lines
        self.sender = ""
        self.recipients: list[str] = []
        self.reader: BinaryIO

    def run(self) -> None:
        if self.server.implicit_tls:
            self.start_tls()
        self.reader = self.sock.makefile("rb")
        self.perform("CONNECT", "220 test ESMTP")
        while line := self.reader.readline():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            self.lines.append(text)
            verb, _, argument = text.partition(" ")
            self.answer(verb.upper(), argument)

    def answer(self, verb: str, argument: str) -> None:
        handler = getattr(self, f"on_{verb.lower()}", None)
        if handler is None:
            self.perform(verb, "500 5.5.1 What?")
        else:
            handler(argument)

    def on_ehlo(self, _argument: str) -> None:
        lines = ["test", *self.server.extensions]
        if self.server.tls and not isinstance(self.sock, ssl.SSLSocket):
            lines.append("STARTTLS")
        replies = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        self.perform("EHLO", "\r\n".join(replies))

    def on_helo(self, _argument: str) -> None:
        self.perform("HELO", "250 test")

    def on_starttls(self, _argument: str) -> None:
        self.perform("STARTTLS", "220 Go")
        self.start_tls()
        self.reader = self.sock.makefile("rb")

    def on_auth(self, argument: str) -> None:
        if argument.upper() == "LOGIN":
            for prompt in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"):
                self.say(prompt)
                self.lines.append(self.reader.readline().decode().rstrip("\r\n"))
        self.perform("AUTH", "235 2.7.0 Welcome")

    def on_mail(self, argument: str) -> None:
        self.recipients = []
        is_accepted = self.perform("MAIL", "250 2.1.0 Ok")[:1] in ("2", "")
        self.sender = argument if is_accepted else ""

    def on_rcpt(self, argument: str) -> None:
        address = re.sub(r"^TO:<(.*)>.*$", r"\1", argument)
        cue = f"RCPT {address}" if f"RCPT {address}" in self.actions else "RCPT"
        default = "250 2.1.5 Ok" if self.sender else "503 5.5.1 MAIL first"
        if self.perform(cue, default)[:1] in ("2", ""):
            self.recipients.append(address)

    def on_data(self, _argument: str) -> None:
        default = "354 Go on" if self.recipients else "554 5.5.1 No valid recipients"
        if "354" in self.perform("DATA", default):
            data = self.read_data()
            if self.recipients:
                self.server.mails.append(Mail(self.sender, self.recipients, data))
            self.sender, self.recipients = "", []
            self.perform("END", "250 2.0.0 Ok: queued as 4T1")

    def on_rset(self, _argument: str) -> None:
        self.recipients = []
        self.perform("RSET", "250 2.0.0 Ok")

    def on_noop(self, _argument: str) -> None:
        self.perform("NOOP", "250 2.0.0 Ok")

    def on_quit(self, _argument: str) -> None:
        self.say("221 2.0.0 Bye")
        raise _HangUpError

    def read_data(self) -> bytes:
        action = self.next_action("BODY")
        if isinstance(action, Drop):
            self.reader.read(action.after_bytes)
        if action is not None:
            self.act(action)
        lines = []
        while (line := self.reader.readline()) != b".\r\n":
            if not line:
                raise _HangUpError
            lines.append(line.removeprefix(b".") if line.startswith(b".") else line)
        return b"".join(lines)

    def next_action(self, cue: str) -> Action | None:
        scripted = self.actions.get(cue)
        if isinstance(scripted, list):
            return scripted.pop(0) if scripted else None
        return scripted

    def perform(self, cue: str, default: str) -> str:
        action = self.next_action(cue)
        return self.act(default if action is None else action)

    def act(self, action: Action) -> str:
        if isinstance(action, Stall):
            self.server._stopping.wait(20)
            raise _HangUpError
        if isinstance(action, Drop):
            if action.reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raise _HangUpError
        if isinstance(action, Say):
            step = action.chunk_bytes or len(action.data) or 1
            for start in range(0, len(action.data), step):
                self.sock.sendall(action.data[start : start + step])
            if action.hang_up:
                raise _HangUpError
            return action.data.decode("utf-8", "replace")
        self.say(action)
        if action.startswith("421"):
            raise _HangUpError
        return action

    def say(self, reply: str) -> None:
        self.sock.sendall(f"{reply}\r\n".encode())

    def start_tls(self) -> None:
        context = self.server.tls
        if context is None:
            raise _HangUpError
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self.server._socks.append(self.sock)

    def close(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            self.reader.close()
        with contextlib.suppress(OSError):
            self.sock.close()
