"""The counting SMTP sink as a class: one thread, non-blocking sockets, standard library only."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import re
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self, TextIO

from bench.sink_options import DROP, HANG, Fault, Faults, Mail, SinkOptions, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

FLUSH_SECONDS = 0.1
_RECV_BYTES = 65_536
_MAX_HEADER_BYTES = 65_536
_MAX_LINE_BYTES = 4_096
_END = b"\r\n.\r\n"
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_PATH = re.compile(rb"<([^>]*)>")


@dataclass(slots=True, eq=False)
class Peer:
    """One client: what it sent and we have not used, its envelope, and what we owe it."""

    sock: socket.socket
    inbox: bytes = b""
    outbox: bytes = b""
    #: The sender was accepted: its recipients so far.
    envelope: list[str] | None = None
    #: The mail so far, once DATA was accepted.
    data: bytearray | None = None
    count: int = 0
    is_closing: bool = False
    #: An answer is on its way but delayed; nothing more is read from the inbox before it.
    is_owed: bool = False
    #: It is to hear nothing more.
    is_mute: bool = False
    events: int = selectors.EVENT_READ


@dataclass(slots=True)
class Sink:
    """The server. `start()` runs it in a thread, `serve()` in this one."""

    options: SinkOptions = field(default_factory=SinkOptions)
    received: int = 0
    message_ids: set[str] = field(default_factory=set)
    #: Every mail taken, for tests; the command line keeps only what is not in the log yet.
    mails: list[Mail] = field(default_factory=list)
    keeps_mails: bool = True
    port: int = 0
    _listener: socket.socket | None = None
    _wake: tuple[socket.socket, socket.socket] | None = None
    _selector: selectors.BaseSelector | None = None
    _thread: threading.Thread | None = None
    _timers: list[tuple[float, int, Peer, bytes]] = field(default_factory=list)
    _sequence: Iterator[int] = field(default_factory=itertools.count)
    _unlogged: list[Mail] = field(default_factory=list)
    _peers: set[Peer] = field(default_factory=set)
    _faults: Faults = field(default_factory=Faults)

    def bind(self) -> int:
        """Start to listen; return the port."""
        self._listener = socket.create_server((self.options.host, self.options.port), backlog=1024)
        self._listener.settimeout(0)
        self._wake = socket.socketpair()
        self._faults = Faults(self.options.faults)
        self.port = int(self._listener.getsockname()[1])
        return self.port

    def start(self) -> Sink:
        """Bind and serve in a thread."""
        self.bind()
        self._thread = threading.Thread(target=self.serve, name="smtp-sink", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End `serve`, from any thread or a signal handler."""
        if self._wake is not None:
            with contextlib.suppress(OSError):
                self._wake[1].send(b"x")
        if self._thread is not None:
            self._thread.join(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def serve(self) -> None:
        """Serve until `stop` is called."""
        if self._listener is None or self._wake is None:
            raise RuntimeError("bind() first")
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, "listener")
        self._selector.register(self._wake[0], selectors.EVENT_READ, "wake")
        log = self.options.log.open("a", encoding="utf-8") if self.options.log else None
        try:
            self._loop(self._selector, log)
        finally:
            self._release(log)

    def _loop(self, selector: selectors.BaseSelector, log: TextIO | None) -> None:
        flush_at = 0.0
        while True:
            for key, mask in selector.select(self._patience()):
                if isinstance(key.data, Peer):
                    self._serve_peer(key.data, mask)
                elif key.data == "listener":
                    self._accept(selector)
                else:
                    return
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, _, peer, reply = heapq.heappop(self._timers)
                peer.is_owed = False
                self._answer(peer, reply)
                self._use_inbox(peer)
            if log is not None and self._unlogged and now >= flush_at:
                self._write_log(log)
                flush_at = now + FLUSH_SECONDS

    def _patience(self) -> float | None:
        waits = [FLUSH_SECONDS] if self._unlogged else []
        if self._timers:
            waits.append(max(0.0, self._timers[0][0] - time.monotonic()))
        return min(waits) if waits else None

    def _release(self, log: TextIO | None) -> None:
        for peer in list(self._peers):
            self._hang_up(peer)
        if log is not None:
            self._write_log(log)
            log.close()
        for thing in (self._selector, self._listener, *(self._wake or ())):
            if thing is not None:
                thing.close()

    def _write_log(self, log: TextIO) -> None:
        shows = self.options.log_recipients
        log.write("".join(mail.log_line(shows_recipients=shows) for mail in self._unlogged))
        log.flush()
        self._unlogged.clear()

    # Peers

    def _accept(self, selector: selectors.BaseSelector) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()  # type: ignore[union-attr]  # bound in bind()
                sock.settimeout(0)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer = Peer(sock)
                self._peers.add(peer)
                selector.register(sock, selectors.EVENT_READ, peer)
                fault = self._strike(peer, Stage.GREET)
                self._answer(peer, fault.reply if fault else b"220 sink ESMTP\r\n")

    def _serve_peer(self, peer: Peer, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._answer(peer, b"")
        if not mask & selectors.EVENT_READ or peer not in self._peers:
            return
        try:
            chunk = peer.sock.recv(_RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._hang_up(peer)
            return
        peer.inbox = peer.inbox + chunk if peer.inbox else chunk
        self._use_inbox(peer)

    def _use_inbox(self, peer: Peer) -> None:
        """Work through what the peer sent until it ends or an answer has to wait."""
        while peer.inbox and not (peer.is_closing or peer.is_owed or peer.is_mute):
            if peer.data is None:
                reply, delay = self._use_lines(peer), self.options.reply_delay_seconds
            else:
                reply, delay = self._use_data(peer), self.options.final_delay_seconds
            if not reply:
                return
            if delay:
                peer.is_owed = True
                due_at = time.monotonic() + delay
                heapq.heappush(self._timers, (due_at, next(self._sequence), peer, reply))
            else:
                self._answer(peer, reply)

    def _use_lines(self, peer: Peer) -> bytes:
        """Return the answers to the complete command lines up to DATA or QUIT."""
        replies: list[bytes] = []
        while peer.data is None and not (peer.is_closing or peer.is_mute):
            line, found, rest = peer.inbox.partition(b"\n")
            if not found:
                if len(line) > _MAX_LINE_BYTES:
                    self._hang_up(peer)
                break
            peer.inbox = rest
            replies.append(self._reply_to(peer, line.rstrip(b"\r")))
        return b"".join(replies)

    def _use_data(self, peer: Peer) -> bytes:
        """Return the answer to the mail if it is complete and the peer is to get one."""
        if not peer.data and (fault := self._strike(peer, Stage.BODY)):
            return fault.reply
        return self._finish_mail(peer) if self._take_data(peer) else b""

    def _answer(self, peer: Peer, reply: bytes) -> None:
        if peer not in self._peers:
            return
        peer.outbox += reply
        try:
            sent = peer.sock.send(peer.outbox) if peer.outbox else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hang_up(peer)
            return
        peer.outbox = peer.outbox[sent:]
        if peer.is_closing and not peer.outbox:
            self._hang_up(peer)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.outbox else 0)
        if events != peer.events and self._selector is not None:
            peer.events = events
            self._selector.modify(peer.sock, events, peer)

    def _hang_up(self, peer: Peer) -> None:
        if peer not in self._peers:
            return
        self._peers.discard(peer)
        peer.inbox = b""
        if self._selector is not None:
            self._selector.unregister(peer.sock)
        peer.sock.close()

    # The conversation

    def _strike(self, peer: Peer, stage: Stage) -> Fault | None:
        """Return the fault that strikes now, after doing to the connection what it does."""
        fault = self._faults.next(stage)
        if fault is None:
            return None
        peer.is_mute = peer.is_mute or fault.action == HANG
        peer.is_closing = peer.is_closing or fault.is_closing
        if fault.action == DROP:
            self._hang_up(peer)
        return fault

    def _reply_to(self, peer: Peer, line: bytes) -> bytes:
        verb, _, argument = line.partition(b" ")
        handler = _VERBS.get(verb.upper())
        if handler is None:
            return b"500 5.5.1 Unknown command\r\n"
        return handler(self, peer, argument)

    def hello(self, _peer: Peer, _argument: bytes) -> bytes:
        """EHLO, HELO."""
        pipelining = b"250-PIPELINING\r\n" if self.options.pipelining else b""
        return (
            b"250-sink\r\n" + pipelining + b"250-8BITMIME\r\n250-SMTPUTF8\r\n"
            b"250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600\r\n"
        )

    def mail(self, peer: Peer, _argument: bytes) -> bytes:
        """MAIL FROM."""
        if 0 < self.options.max_per_connection <= peer.count:
            peer.is_closing = True
            return b"421 4.3.2 Too many messages in this connection\r\n"
        if peer.envelope is not None:
            return b"503 5.5.1 Nested MAIL\r\n"
        if fault := self._strike(peer, Stage.MAIL):
            return fault.reply
        peer.envelope = []
        return b"250 2.1.0 Ok\r\n"

    def rcpt(self, peer: Peer, argument: bytes) -> bytes:
        """RCPT TO."""
        path = _PATH.search(argument)
        if peer.envelope is None or path is None:
            return b"503 5.5.1 MAIL first\r\n"
        address = path[1].decode("utf-8", "replace")
        for pattern, reply in self.options.recipient_replies:
            if fnmatchcase(address.lower(), pattern):
                return f"{reply}\r\n".encode()
        if fault := self._strike(peer, Stage.RCPT):
            return fault.reply
        peer.envelope.append(address)
        return b"250 2.1.5 Ok\r\n"

    def data(self, peer: Peer, _argument: bytes) -> bytes:
        """Answer DATA."""
        if not peer.envelope:
            return b"554 5.5.1 No valid recipients\r\n"
        if fault := self._strike(peer, Stage.DATA):
            return fault.reply
        peer.data = bytearray()
        return b"354 Go on\r\n"

    def reset(self, peer: Peer, _argument: bytes) -> bytes:
        """RSET."""
        peer.envelope = None
        return b"250 2.0.0 Ok\r\n"

    def no_op(self, _peer: Peer, _argument: bytes) -> bytes:
        """NOOP."""
        return b"250 2.0.0 Ok\r\n"

    def quit(self, peer: Peer, _argument: bytes) -> bytes:
        """QUIT."""
        peer.is_closing = True
        return b"221 2.0.0 Bye\r\n"

    def statistics(self, _peer: Peer, _argument: bytes) -> bytes:
        """XSTAT: how many mails were taken, and how many distinct Message-IDs they had."""
        return f"250 received={self.received} unique={len(self.message_ids)}\r\n".encode()

    def _take_data(self, peer: Peer) -> bool:
        """Move the inbox into the mail; true if the mail is complete."""
        data = peer.data
        if data is None:
            return False
        if not data and peer.inbox.startswith(b".\r\n"):
            peer.inbox = peer.inbox[3:]
            return True
        start = max(0, len(data) - len(_END) + 1)
        before = len(data)
        data += peer.inbox
        end = data.find(_END, start)
        if end < 0:
            is_short = bytes(data[:3]) in (b".", b".\r")
            peer.inbox = bytes(data) if is_short else b""
            if is_short:
                data.clear()
            return False
        peer.inbox = peer.inbox[end + len(_END) - before :]
        del data[end:]
        return True

    def _finish_mail(self, peer: Peer) -> bytes:
        """Record the mail; return the reply, empty if the peer was dropped instead."""
        data, recipients = peer.data or bytearray(), tuple(peer.envelope or ())
        peer.data = peer.envelope = None
        peer.count += 1
        if fault := self._strike(peer, Stage.END):
            return fault.reply
        head = bytes(data[:_MAX_HEADER_BYTES]).partition(b"\r\n\r\n")[0]
        found = _MESSAGE_ID.search(head)
        message_id = found[1].decode("utf-8", "replace") if found else ""
        mail = Mail(message_id, recipients, time.time())
        self.received += 1
        self.message_ids.add(message_id)
        if self.keeps_mails:
            self.mails.append(mail)
        if self.options.log is not None:
            self._unlogged.append(mail)
        every = self.options.drop_after_data
        if every and self.received % every == 0:
            self._hang_up(peer)
            return b""
        if fault := self._strike(peer, Stage.TAKEN):
            return fault.reply
        return b"250 2.0.0 Ok: queued as %x\r\n" % self.received


_VERBS = {
    b"EHLO": Sink.hello,
    b"HELO": Sink.hello,
    b"MAIL": Sink.mail,
    b"RCPT": Sink.rcpt,
    b"DATA": Sink.data,
    b"RSET": Sink.reset,
    b"NOOP": Sink.no_op,
    b"QUIT": Sink.quit,
    b"XSTAT": Sink.statistics,
}
