"""From a socket to a client that may send: greeting, EHLO, STARTTLS, login (RFC 5321, 3207, 4954).

Every refusal or fault on the way is a `ConnectError` whose result holds for each mail that waits
for this account. Credentials never reach a result: commands with them read `***`, and so does what
a server repeats of them, at the login or later.
"""

from __future__ import annotations

import contextlib
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from providers.adapters.smtp.classify import Stage, classify, without_verdict
from providers.adapters.smtp.connection import WIRE_ERRORS, Connection
from providers.adapters.smtp.replies import WireReply, printable, to_reply
from providers.ports import ConnectError, Outcome, Reason, Reply, Scope, SendResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.adapters.smtp.settings import SmtpSettings

_READY, _OK, _LOGGED_IN, _GO_ON = 220, 250, 235, 334
_SHORTEST_SECRET = 4
_NO_SUCH_COMMAND = frozenset({500, 501, 502, 504, 550})


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the server offers beyond plain SMTP, from its answer to EHLO."""

    #: Keyword, upper case, to its parameters as sent.
    offered: Mapping[str, str] = field(default_factory=dict)
    has_pipelining: bool = False
    has_8bitmime: bool = False
    has_smtputf8: bool = False
    has_size: bool = False
    #: The largest message the server takes, RFC 1870; 0 if it does not say.
    max_bytes: int = 0

    @classmethod
    def parse(cls, reply: WireReply) -> Extensions:
        """Read the lines of an EHLO reply after its greeting line."""
        offered: dict[str, str] = {}
        for line in reply.lines[1:]:
            # "AUTH=LOGIN" instead of "AUTH LOGIN" is an old habit some servers keep.
            keyword, _, rest = printable(line).replace("AUTH=", "AUTH ", 1).strip().partition(" ")
            key = keyword.upper()
            offered[key] = f"{offered[key]} {rest}".strip() if key in offered else rest.strip()
        size = offered.get("SIZE", "")
        return cls(
            offered=offered,
            has_pipelining="PIPELINING" in offered,
            has_8bitmime="8BITMIME" in offered,
            has_smtputf8="SMTPUTF8" in offered,
            has_size="SIZE" in offered,
            max_bytes=int(size) if size.isascii() and size.isdigit() else 0,
        )

    @property
    def login_mechanisms(self) -> tuple[str, ...]:
        """The mechanisms the server offers, upper case."""
        return tuple(self.offered.get("AUTH", "").upper().split())


@dataclass(slots=True)
class SmtpClient:
    """A connection on which mail may be sent."""

    connection: Connection
    extensions: Extensions
    #: The mechanism logged in with; empty without login.
    mechanism: str = ""

    def no_op(self) -> Reply:
        """Ask whether the server is still there. Raises one of `WIRE_ERRORS`."""
        self.connection.write(b"NOOP\r\n")
        return to_reply(self.connection.read_reply())

    def close(self) -> None:
        """Say goodbye without waiting for the answer. Never raises."""
        with contextlib.suppress(*WIRE_ERRORS):
            self.connection.write(b"QUIT\r\n")
        self.connection.close()


def connect(settings: SmtpSettings) -> SmtpClient:
    """Return a client that is connected, secured and logged in. Raises `ConnectError`."""
    handshake = _Handshake(settings)
    return handshake.on(handshake.dial())


def log_on(settings: SmtpSettings, connection: Connection) -> SmtpClient:
    """Return a client on a connection just made; closes it on failure. Raises `ConnectError`."""
    return _Handshake(settings).on(connection)


class _Handshake:
    """The conversation before the first mail, and its transcript."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._transcript: list[str] = []
        self._stage = Stage.CONNECT

    def dial(self) -> Connection:
        settings = self._settings
        try:
            return Connection.to(
                settings.host,
                settings.port,
                timeout_seconds=settings.timeout_seconds,
                is_confined=settings.is_confined,
            )
        except WIRE_ERRORS as error:
            raise self._lost(error) from error

    def on(self, connection: Connection) -> SmtpClient:
        try:
            return self._converse(connection)
        except WIRE_ERRORS as error:
            connection.close()
            raise self._lost(error) from error
        except BaseException:
            connection.close()
            raise

    def _converse(self, connection: Connection) -> SmtpClient:
        settings = self._settings
        if settings.use_ssl:
            connection.start_tls(settings.host, verify=settings.verify_certificate)
        self._require(self._heard(connection), _READY)
        extensions = self._hello(connection)
        if settings.use_tls:
            extensions = self._secure(connection, extensions)
        mechanism = self._log_in(connection, extensions) if settings.username else ""
        return SmtpClient(connection, extensions, mechanism)

    def _hello(self, connection: Connection) -> Extensions:
        name = self._settings.ehlo_name or connection.own_address_literal()
        reply = self._ask(connection, f"EHLO {name}")
        if reply.code == _OK:
            return Extensions.parse(reply)
        if reply.code not in _NO_SUCH_COMMAND:
            raise self._refused(reply)
        self._require(self._ask(connection, f"HELO {name}"), _OK)
        return Extensions()

    def _secure(self, connection: Connection, extensions: Extensions) -> Extensions:
        if "STARTTLS" not in extensions.offered:
            raise self._failed(Reason.CONNECTION, "STARTTLS is required but not offered")
        self._require(self._ask(connection, "STARTTLS"), _READY)
        connection.start_tls(self._settings.host, verify=self._settings.verify_certificate)
        # RFC 3207 §4.2: forget what was said in plain text and ask again.
        return self._hello(connection)

    def _log_in(self, connection: Connection, extensions: Extensions) -> str:
        settings = self._settings
        self._stage = Stage.AUTH
        is_private = connection.tls_version or connection.is_loopback
        if not is_private and not settings.allow_plaintext_auth:
            raise self._failed(Reason.AUTHENTICATION, "refusing to send credentials without TLS")
        user, password = settings.username.encode(), settings.password.encode()
        connection.hide(_echoes_of(user, password))
        if "PLAIN" in extensions.login_mechanisms:
            mechanism, answers = "PLAIN", [b"\0" + user + b"\0" + password]
        elif "LOGIN" in extensions.login_mechanisms:
            mechanism, answers = "LOGIN", [user, password]
        else:
            offered = " ".join(extensions.login_mechanisms) or "none"
            text = f"the server offers no login we know (PLAIN, LOGIN); offered: {offered}"
            raise self._failed(Reason.AUTHENTICATION, text)
        self._require(self._answer(connection, f"AUTH {mechanism}", answers), _LOGGED_IN)
        return mechanism

    def _answer(self, connection: Connection, command: str, answers: list[bytes]) -> WireReply:
        """Log in; a single answer goes with the command (RFC 4954 §4), and again if asked for."""
        encoded = [b64encode(answer).decode() for answer in answers]
        if len(encoded) == 1:
            reply = self._ask(connection, f"{command} {encoded[0]}", shown=f"{command} ***")
        else:
            reply = self._ask(connection, command)
        for answer in encoded:
            if reply.code != _GO_ON:
                break
            reply = self._ask(connection, answer, shown="***")
        return reply

    def _ask(self, connection: Connection, command: str, *, shown: str = "") -> WireReply:
        self._transcript.append(f"C: {shown or command}")
        connection.write(f"{command}\r\n".encode())
        return self._heard(connection)

    def _heard(self, connection: Connection) -> WireReply:
        reply = connection.read_reply()
        self._transcript.extend(f"S: {reply.code} {printable(line)}" for line in reply.lines)
        return reply

    def _require(self, reply: WireReply, code: int) -> None:
        if reply.code != code:
            raise self._refused(reply)

    def _refused(self, reply: WireReply) -> ConnectError:
        verdict = classify(self._stage, to_reply(reply))
        return ConnectError(verdict.as_result(dialogue=self._dialogue()))

    def _failed(self, reason: Reason, text: str) -> ConnectError:
        reply = Reply(text=text)
        return ConnectError(
            SendResult(
                Outcome.NOT_ACCEPTED, reason, Scope.PROVIDER, reply, dialogue=self._dialogue(text)
            )
        )

    def _lost(self, error: Exception) -> ConnectError:
        verdict = without_verdict(str(error), is_handed_over=False)
        return ConnectError(verdict.as_result(dialogue=self._dialogue(str(error))))

    def _dialogue(self, remark: str = "") -> str:
        settings = self._settings
        head = f"-- {settings.host}:{settings.port}"
        return "\n".join([head, *self._transcript, *([f"-- {remark}"] if remark else [])])


def _echoes_of(user: bytes, password: bytes) -> tuple[bytes, ...]:
    """Return what a server may repeat of a login: what was sent for it, and the password."""
    sent = (b64encode(one) for one in (b"\0" + user + b"\0" + password, password, user))
    return tuple(one for one in (*sent, password) if len(one) >= _SHORTEST_SECRET)
