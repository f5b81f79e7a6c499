"""Mailboxes read by IMAP (RFC 9051): bounded in time and size, and each failure named.

A mail is fetched without a mark on it and removed by a call of its own, so that whoever calls can
store it in between.
"""

from __future__ import annotations

import base64
import imaplib
import re
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inbound.bounces.mime import one_line
from providers.adapters.smtp.connection import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECT_SECONDS = 10.0
#: Each wait for the server.
ANSWER_SECONDS = 20.0
#: All of a conversation; then the connection is cut.
MAX_SECONDS = 45.0
#: Of one conversation so much is read.
_MAX_BYTES = 64 * 1024 * 1024
#: The answer to a search is one line, and imaplib takes no line of more than a million octets. In a
#: folder with more mails only the oldest are looked for; some servers mistake what that asks.
_SEARCHED = 50_000
_ERROR_CHARS = 300
#: Ids and validities are 32 bits.
_MAX_UID_DIGITS, _MAX_NUMBER = 10, (1 << 32) - 1

_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,15})")
_LISTED = re.compile(rb'\([^)]*\) (?:"[^"]*"|NIL) (?:"((?:[^"\\]|\\.)*)"|(\S+))\s*\Z')
_NOT_ASCII = re.compile(r"[^ -~]+")
_TLS_FAULTS = {"WRONG_VERSION_NUMBER": "the server speaks no TLS at this port"}
#: What imaplib raises for a server that breaks the protocol.
_ODD = (ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)


class MailboxError(Exception):
    """A mailbox that cannot be read; the message tells people what failed, never the password."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class MailboxAccess:
    """Where a mailbox is and how to get in."""

    host: str
    port: int
    #: `tls`, `starttls` or `none`.
    security: str
    username: str
    password: str = field(repr=False)
    folder: str = "INBOX"
    #: Where mail goes that is done with; empty: it is deleted.
    move_to: str = ""


@dataclass(frozen=True, slots=True)
class FetchedMail:
    """A mail in the folder."""

    #: Its start.
    raw: bytes
    size_bytes: int


class _Client(imaplib.IMAP4):
    """imaplib over a connection that is there already, with a bound on what it reads."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self._given = sock
        self._left = _MAX_BYTES
        super().__init__(host)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        del timeout
        return self._given

    def read(self, size: int) -> bytes:
        self._count(size)
        return super().read(size)

    def readline(self) -> bytes:
        line = super().readline()
        self._count(len(line))
        return line

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self.abort("the server sends too much")


class OpenMailbox:
    """A folder in use. Everything raises `MailboxError`. Not safe to share between threads."""

    def __init__(self, client: _Client, access: MailboxAccess) -> None:
        self._client = client
        self._access = access
        with _named("The folder cannot be opened", access):
            self.count = self._select()
            self.validity = _number(client.response("UIDVALIDITY")[1])
        if access.move_to:
            self._have_target()

    def oldest(self) -> list[str]:
        """Return the ids (UIDs) of the oldest mails that are not marked as deleted."""
        if not self.count:
            return []
        with _named("The folder cannot be searched", self._access):
            oldest = [f"1:{_SEARCHED}"] if self.count > _SEARCHED else []
            status, data = self._client.uid("SEARCH", *oldest, "UNDELETED")
            _insist(status, data)
            found = (data[0] or b"").decode("ascii").split()
            return [uid for uid in found if uid.isdigit() and len(uid) <= _MAX_UID_DIGITS]

    def fetch(self, uid: str, *, max_bytes: int) -> FetchedMail | None:
        """Return the start of a mail; None if it is gone. Leaves no mark on it."""
        with _named("A mail cannot be fetched", self._access):
            wanted = f"(RFC822.SIZE BODY.PEEK[]<0.{max_bytes}>)"
            status, data = self._client.uid("FETCH", uid, wanted)
            _insist(status, data)
            parts = [item for item in data if isinstance(item, tuple)]
            if not parts:
                return None
            meta = b" ".join(item if isinstance(item, bytes) else item[0] for item in data if item)
            size = _SIZE.search(meta)
            raw = bytes(parts[0][1])[:max_bytes]
            return FetchedMail(raw, max(len(raw), int(size[1]) if size else 0))

    def remove(self, uids: Sequence[str]) -> None:
        """Delete mails, or move them where the mailbox says."""
        if not uids:
            return
        wanted = ",".join(uids)
        capabilities = self._client.capabilities
        with _named("Mail cannot be removed", self._access):
            if self._access.move_to:
                target = _quoted(self._access.move_to)
                if "MOVE" in capabilities:
                    _insist(*self._client.uid("MOVE", wanted, target))
                    return
                _insist(*self._client.uid("COPY", wanted, target))
            _insist(*self._client.uid("STORE", wanted, "+FLAGS.SILENT", r"(\Deleted)"))
            if "UIDPLUS" in capabilities:
                _insist(*self._client.uid("EXPUNGE", wanted))
            else:
                _insist(*self._client.expunge())

    def refresh(self) -> None:
        """Look how many mails there are now."""
        with _named("The folder cannot be opened", self._access):
            self.count = self._select()

    def _select(self) -> int:
        status, data = self._client.select(_quoted(self._access.folder))
        if status != "OK":
            raise MailboxError(
                f"There is no folder “{self._access.folder}”, or it cannot be opened"
                f"{_hint(self._folders())}."
            )
        return _number(data)

    def _folders(self) -> list[str]:
        with suppress(imaplib.IMAP4.error, OSError, *_ODD):
            _, data = self._client.list()
            found = [_LISTED.match(line) for line in data if isinstance(line, bytes)]
            names = [match[1] or match[2] for match in found if match]
            return [name.decode("ascii", "replace") for name in names]
        return []

    def _have_target(self) -> None:
        target = _quoted(self._access.move_to)
        with _named("The folder to move mail to cannot be used", self._access):
            status, _ = self._client.status(target, "(UIDVALIDITY)")
            if status != "OK":
                _insist(*self._client.create(target))


@contextmanager
def opened(access: MailboxAccess) -> Iterator[OpenMailbox]:
    """Open a mailbox for `MAX_SECONDS` at most. Raises `MailboxError`."""
    sock = _connected(access)
    cutter: threading.Timer | None = None
    client: _Client | None = None
    try:
        if access.security == "tls":
            sock = _secured(sock, access)
        holder = [sock]
        cutter = threading.Timer(MAX_SECONDS, _cut, [holder])
        cutter.daemon = True
        cutter.start()
        with _named(f"{_place(access)} does not answer like an IMAP server", access):
            client = _Client(sock, access.host)
        if access.security == "starttls":
            _start_tls(client, access)
            holder[0] = client.sock
        _log_in(client, access)
        yield OpenMailbox(client, access)
    finally:
        if cutter is not None:
            cutter.cancel()
        _close(client, sock)


def _connected(access: MailboxAccess) -> socket.socket:
    try:
        sock = socket.create_connection((access.host, access.port), timeout=CONNECT_SECONDS)
    except TimeoutError:
        raise MailboxError(
            f"{_place(access)} does not answer within {CONNECT_SECONDS:g} seconds."
        ) from None
    except (OSError, UnicodeError) as error:
        raise MailboxError(f"Cannot connect to {_place(access)}: {_in_words(error)}.") from error
    sock.settimeout(ANSWER_SECONDS)
    return sock


def _secured(sock: socket.socket, access: MailboxAccess) -> socket.socket:
    try:
        return tls_context(verify=True).wrap_socket(sock, server_hostname=access.host)
    except (OSError, ValueError) as error:
        raise MailboxError(f"TLS with {_place(access)} failed: {_in_words(error)}.") from error


def _start_tls(client: _Client, access: MailboxAccess) -> None:
    if "STARTTLS" not in client.capabilities:
        raise MailboxError(f"{_place(access)} does not offer STARTTLS.")
    with _named(f"TLS with {_place(access)} failed", access):
        client.starttls(ssl_context=tls_context(verify=True))


def _log_in(client: _Client, access: MailboxAccess) -> None:
    if client.state == "AUTH":
        return
    has_plain = "AUTH=PLAIN" in client.capabilities
    if not has_plain and "LOGINDISABLED" in client.capabilities:
        raise MailboxError("The server takes no login without TLS.")
    if not has_plain and not (access.username + access.password).isascii():
        raise MailboxError("This server takes user names and passwords in ASCII only.")
    with _named("The server refuses the login", access):
        if has_plain:
            secret = f"\0{access.username}\0{access.password}".encode()
            client.authenticate("PLAIN", lambda _challenge: secret)
        else:
            client.login(_quoted(access.username, encode=False), access.password)


def _close(client: _Client | None, sock: socket.socket) -> None:
    if client is None:
        sock.close()
        return
    with suppress(imaplib.IMAP4.error, OSError, *_ODD):
        client.sock.settimeout(2)
        client.logout()
    with suppress(OSError):
        client.sock.close()


def _cut(holder: list[socket.socket]) -> None:
    """End a conversation that takes too long; its reader then finds the line broken."""
    with suppress(OSError):
        # Of the plain socket: TLS has a state that only its reader may touch.
        socket.socket.shutdown(holder[0], socket.SHUT_RDWR)


@contextmanager
def _named(what: str, access: MailboxAccess) -> Iterator[None]:
    """Turn whatever goes wrong into a `MailboxError` that says what it was."""
    try:
        yield
    except TimeoutError as error:
        raise MailboxError(f"{what}: no answer within {ANSWER_SECONDS:g} seconds.") from error
    except (imaplib.IMAP4.error, OSError, *_ODD) as error:
        raise MailboxError(f"{what}: {_hidden(_in_words(error), access)}.") from None


def _in_words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is refused ({error.verify_message.rstrip('.')})"
    if isinstance(error, ssl.SSLError):
        return _TLS_FAULTS.get(error.reason) or error.reason.replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return "there is no such host, or it cannot be found"
    if isinstance(error, imaplib.IMAP4.abort | ConnectionResetError | BrokenPipeError):
        said = "" if isinstance(error, OSError) else _text(error)
        return f"the connection broke ({said or type(error).__name__})"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return _text(error) or type(error).__name__


def _text(error: BaseException) -> str:
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return one_line(text, _ERROR_CHARS).rstrip(".")


def _hidden(text: str, access: MailboxAccess) -> str:
    """Return a server's words without the password, however it repeats it."""
    plain = f"\0{access.username}\0{access.password}".encode()
    shown = text
    for secret in (base64.b64encode(plain).decode(), access.password):
        shown = shown.replace(secret, "***") if secret else shown
    return shown


def _insist(status: str, data: Sequence[Any]) -> None:
    if status != "OK":
        raise imaplib.IMAP4.error(data[0] if data and data[0] else status)


def _number(data: Sequence[Any] | None) -> int:
    return min(int(data[-1]), _MAX_NUMBER) if data and data[-1] else 0


def _hint(folders: Sequence[str]) -> str:
    shown = ", ".join(folders[:10])
    return f"; there are: {one_line(shown, _ERROR_CHARS)}" if shown else ""


def _place(access: MailboxAccess) -> str:
    return f"{access.host}:{access.port}"


def _quoted(name: str, *, encode: bool = True) -> str:
    """Return a name as a quoted string, folders in modified UTF-7 (RFC 3501 §5.1.3)."""
    text = _NOT_ASCII.sub(_shifted, name.replace("&", "&-")) if encode else name
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shifted(match: re.Match[str]) -> str:
    packed = base64.b64encode(match[0].encode("utf-16-be")).rstrip(b"=").decode()
    return f"&{packed.replace('/', ',')}-"
