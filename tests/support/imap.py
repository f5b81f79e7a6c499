"""A small IMAP server in a thread: enough of RFC 9051 for one client, faults on cue."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import BinaryIO, Self

#: What a client that speaks no IMAP makes of us.
_ODD = (UnicodeDecodeError, IndexError, AttributeError)
_WORDS = re.compile(rb'"((?:[^"\\]|\\.)*)"|(\([^)]*\))|(\S+)')


@dataclass
class StoredMail:
    uid: int
    raw: bytes
    flags: set[str] = field(default_factory=set)


@dataclass
class ImapServer:
    """Serves until the `with` ends. `hang_up_at` drops the line at a command, `stall_at` waits."""

    username: str = "bounces"
    password: str = "secret"
    capabilities: str = "IMAP4rev1 UIDPLUS MOVE AUTH=PLAIN"
    #: TLS from the start, if `tls` is given and `is_starttls` is not.
    tls: ssl.SSLContext | None = None
    is_starttls: bool = False
    hang_up_at: str = ""
    stall_at: str = ""
    #: Sent before the answer to a command.
    noise: dict[str, bytes] = field(default_factory=dict)
    greeting: bytes = b"* OK ready\r\n"
    validity: int = 7
    folders: dict[str, list[StoredMail]] = field(default_factory=lambda: {"INBOX": []})
    commands: list[str] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._next_uid = 1
        self._stop = threading.Event()

    def add(self, *mails: bytes, folder: str = "INBOX") -> None:
        for raw in mails:
            self.folders.setdefault(folder, []).append(StoredMail(self._next_uid, raw))
            self._next_uid += 1

    def mails(self, folder: str = "INBOX") -> list[bytes]:
        return [mail.raw for mail in self.folders.get(folder, [])]

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=[sock], daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, *_ODD), contextlib.ExitStack() as stack:
            if self.tls is not None and not self.is_starttls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            session = _Session(self, sock, self._stop)
            stack.callback(session.close)
            session.run()


class _Session:
    """One client's conversation."""

    def __init__(self, server: ImapServer, sock: socket.socket, stop: threading.Event) -> None:
        self._server, self._sock, self._stop = server, sock, stop
        self._file: BinaryIO = sock.makefile("rb")
        self._folder = ""

    def run(self) -> None:
        self._say(self._server.greeting)
        while line := self._file.readline():
            tag, _, rest = line.rstrip(b"\r\n").partition(b" ")
            words = [one or two or three for one, two, three in _WORDS.findall(rest)]
            name = words[0].decode().upper()
            if name == "UID":
                words = words[1:]
                name = f"UID {words[0].decode().upper()}"
            self._server.commands.append(name)
            if name == self._server.hang_up_at:
                return
            if name == self._server.stall_at:
                self._stop.wait(30)
                return
            self._say(self._server.noise.get(name, b""))
            answer = getattr(self, f"_do_{name.lower().replace(' ', '_')}")(tag, words[1:])
            self._say(tag + b" " + answer + b"\r\n")
            if name == "STARTTLS" and self._server.tls is not None:
                self._file.close()
                self._sock = self._server.tls.wrap_socket(self._sock, server_side=True)
                self._file = self._sock.makefile("rb")
            if name == "LOGOUT":
                return

    def close(self) -> None:
        self._file.close()
        self._sock.close()

    def _say(self, data: bytes) -> None:
        if data:
            self._sock.sendall(data)

    @property
    def _mails(self) -> list[StoredMail]:
        return self._server.folders[self._folder]

    def _chosen(self, uids: bytes) -> list[StoredMail]:
        wanted = {int(part) for part in uids.split(b",")}
        return [mail for mail in self._mails if mail.uid in wanted]

    def _do_capability(self, _tag: bytes, _words: list[bytes]) -> bytes:
        extra = " STARTTLS" if self._server.is_starttls else ""
        self._say(f"* CAPABILITY {self._server.capabilities}{extra}\r\n".encode())
        return b"OK done"

    def _do_starttls(self, _tag: bytes, _words: list[bytes]) -> bytes:
        return b"OK begin"

    def _do_login(self, _tag: bytes, words: list[bytes]) -> bytes:
        username, password = (re.sub(rb"\\(.)", rb"\1", word).decode() for word in words)
        return self._verdict(username, password)

    def _do_authenticate(self, _tag: bytes, _words: list[bytes]) -> bytes:
        self._say(b"+ \r\n")
        _, username, password = base64.b64decode(self._file.readline()).decode().split("\0")
        return self._verdict(username, password)

    def _verdict(self, username: str, password: str) -> bytes:
        if (username, password) == (self._server.username, self._server.password):
            return b"OK welcome"
        return f"NO [AUTHENTICATIONFAILED] {password} is wrong".encode()

    def _do_select(self, _tag: bytes, words: list[bytes]) -> bytes:
        folder = words[0].decode()
        if folder not in self._server.folders:
            return b"NO no such mailbox"
        self._folder = folder
        self._say(b"* %d EXISTS\r\n* 0 RECENT\r\n" % len(self._mails))
        self._say(b"* FLAGS (\\Deleted)\r\n* OK [UIDVALIDITY %d] ok\r\n" % self._server.validity)
        return b"OK [READ-WRITE] selected"

    def _do_list(self, _tag: bytes, _words: list[bytes]) -> bytes:
        for name in self._server.folders:
            self._say(f'* LIST (\\HasNoChildren) "/" "{name}"\r\n'.encode())
        return b"OK done"

    def _do_status(self, _tag: bytes, words: list[bytes]) -> bytes:
        if words[0].decode() not in self._server.folders:
            return b"NO no such mailbox"
        self._say(b'* STATUS "x" (UIDVALIDITY 1)\r\n')
        return b"OK done"

    def _do_create(self, _tag: bytes, words: list[bytes]) -> bytes:
        self._server.folders[words[0].decode()] = []
        return b"OK made"

    def _do_uid_search(self, _tag: bytes, words: list[bytes]) -> bytes:
        within = self._mails
        if b":" in words[0]:
            first, _, last = words[0].partition(b":")
            within = within[int(first) - 1 : int(last)]
        uids = [str(mail.uid) for mail in within if r"\Deleted" not in mail.flags]
        self._say(f"* SEARCH {' '.join(uids)}\r\n".encode())
        return b"OK done"

    def _do_uid_fetch(self, _tag: bytes, words: list[bytes]) -> bytes:
        cut = re.search(rb"<0\.(\d+)>", words[1])
        assert cut is not None
        for mail in self._chosen(words[0]):
            part = mail.raw[: int(cut[1])]
            head = f"* 1 FETCH (UID {mail.uid} RFC822.SIZE {len(mail.raw)} BODY[]<0> "
            self._say(head.encode() + b"{%d}\r\n" % len(part) + part + b")\r\n")
        return b"OK done"

    def _do_uid_store(self, _tag: bytes, words: list[bytes]) -> bytes:
        for mail in self._chosen(words[0]):
            mail.flags.add(words[2].decode().strip("()"))
        return b"OK done"

    def _do_uid_expunge(self, _tag: bytes, words: list[bytes]) -> bytes:
        for mail in self._chosen(words[0]):
            self._mails.remove(mail)
        return b"OK done"

    def _do_expunge(self, _tag: bytes, _words: list[bytes]) -> bytes:
        self._mails[:] = [mail for mail in self._mails if r"\Deleted" not in mail.flags]
        return b"OK done"

    def _do_uid_copy(self, _tag: bytes, words: list[bytes]) -> bytes:
        self._server.add(*[mail.raw for mail in self._chosen(words[0])], folder=words[1].decode())
        return b"OK done"

    def _do_uid_move(self, tag: bytes, words: list[bytes]) -> bytes:
        self._do_uid_copy(tag, words)
        return self._do_uid_expunge(tag, words)

    def _do_logout(self, _tag: bytes, _words: list[bytes]) -> bytes:
        self._say(b"* BYE\r\n")
        return b"OK bye"
