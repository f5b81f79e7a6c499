"""SMTP accounts as the delivery pipeline sees them: the port, on top of the client.

A warm connection that the server closed meanwhile (idle time, a restart, its own cap) costs no
attempt: `is_usable` notices what has already arrived, and `send` opens a new connection once if the
old one turns out to be gone before the mail's first reply, or says 421 goodbye before the data.
Neither can double a mail, since no data was handed over.
"""

from __future__ import annotations

from dataclasses import replace

from providers.adapters.outcomes import Verdict
from providers.adapters.smtp.classify import Stage, classify, is_worn_connection, without_verdict
from providers.adapters.smtp.client import Extensions, SmtpClient, connect
from providers.adapters.smtp.connection import WIRE_ERRORS, LostError
from providers.adapters.smtp.replies import to_reply
from providers.adapters.smtp.settings import SmtpSettings
from providers.adapters.smtp.transaction import Transaction, is_safe_address, transact, verdict
from providers.ports import (
    AccountConfig,
    ConnectError,
    Outcome,
    OutgoingMail,
    Reason,
    Reply,
    Scope,
    SendResult,
)

_UNSAFE_ADDRESS = Reply(text="the address holds characters that SMTP does not allow")
_UNSAFE_SENDER = Reply(text="the return path holds characters that SMTP does not allow")
_NO_RECIPIENT = Reply(text="the mail names no recipient")
_NO_SMTPUTF8 = Reply(
    0, "5.6.7", "the server does not offer SMTPUTF8, which this mail's addresses or headers need"
)


class SmtpAdapter:
    """One SMTP account. Raises `SettingsError` if its settings are wrong."""

    def __init__(self, config: AccountConfig) -> None:
        self._settings = SmtpSettings.from_config(config)

    def open(self) -> SmtpSession:
        """Connect, secure and log in. Raises `ConnectError`."""
        return SmtpSession(self._settings, connect(self._settings))

    def check(self) -> str:
        """Connect, log in, ask for a sign of life, leave; report it in a few lines.

        Raises `ConnectError`.
        """
        client = connect(self._settings)
        try:
            reply = client.no_op()
            if reply.code // 100 != 2:  # noqa: PLR2004 - reply classes
                raise ConnectError(classify(Stage.CONNECT, reply).as_result())
            return _report(self._settings, client, reply)
        except WIRE_ERRORS as error:
            lost = without_verdict(str(error), is_handed_over=False)
            raise ConnectError(lost.as_result()) from error
        finally:
            client.close()


class SmtpSession:
    """One warm connection to an SMTP account; see the module on how it is replaced."""

    __slots__ = ("_client", "_is_alive", "_is_reset_needed", "_sent_count", "_settings")

    def __init__(self, settings: SmtpSettings, client: SmtpClient) -> None:
        self._settings = settings
        self._is_reset_needed = False
        self._sent_count = 0
        self._take(client)

    @property
    def is_usable(self) -> bool:
        """False once the connection is lost, worn out or past its cap. Costs one poll(2)."""
        cap = self._settings.max_messages_per_connection
        is_below_cap = not cap or self._sent_count < cap
        return self._is_alive and is_below_cap and self._client.connection.is_quiet()

    def send(self, mail: OutgoingMail) -> SendResult:
        """Send one mail. Never raises for what the network or the server does.

        Decided without asking the server: a mail above the size it offered is rejected, as the
        server would do (552, RFC 1870); one that needs SMTPUTF8 where it is missing is left to
        another provider (reason `CONTENT`, scope `PROVIDER`; the account is not at fault).
        Recipients that would break out of their command line are rejected and never sent.
        """
        refused = tuple(
            (address, Verdict(Outcome.REJECTED, Reason.BAD_RECIPIENT, reply=_UNSAFE_ADDRESS))
            for address in mail.recipients
            if not address or not is_safe_address(address)
        )
        if refused:
            unsafe = {address for address, _ in refused}
            safe = tuple(address for address in mail.recipients if address not in unsafe)
            if not safe:
                return refused[0][1].as_result()
            mail = replace(mail, recipients=safe)
        if not mail.needs_smtputf8 and not _has_ascii_envelope(mail):
            mail = replace(mail, needs_smtputf8=True)
        return self._send(mail, refused)

    def close(self) -> None:
        """Say goodbye if the connection still stands, and release it. Never raises."""
        if self._is_alive:
            self._client.close()
        self._drop()

    def _send(self, mail: OutgoingMail, refused: tuple[tuple[str, Verdict], ...]) -> SendResult:
        if not self._is_alive:
            lost = without_verdict("the connection is closed", is_handed_over=False)
            return lost.as_result()
        refusal = _refusal(mail, self._client.extensions)
        if refusal is not None:
            return refusal.as_result()
        said = self._transact(mail)
        if self._sent_count > 1 and _is_stale(said):
            try:
                self._reopen()
            except ConnectError as error:
                return error.result
            return self._send(mail, refused)
        result = verdict(mail.recipients, said, refused=refused)
        if said.fault is not None or said.closing_reply is not None or _is_spoilt(result):
            self._drop()
        return result

    def _transact(self, mail: OutgoingMail) -> Transaction:
        said = transact(
            self._client,
            mail,
            is_reset_needed=self._is_reset_needed,
            final_timeout_seconds=self._settings.final_timeout_seconds,
        )
        self._sent_count += 1
        self._is_reset_needed = said.is_reset_needed
        return said

    def _take(self, client: SmtpClient) -> None:
        self._client = client
        self._is_alive = True
        self._is_reset_needed = False
        self._sent_count = 0

    def _reopen(self) -> None:
        self._drop()
        self._take(connect(self._settings))

    def _drop(self) -> None:
        self._is_alive = False
        self._client.connection.close()


def _has_ascii_envelope(mail: OutgoingMail) -> bool:
    return mail.return_path.isascii() and all(address.isascii() for address in mail.recipients)


def _refusal(mail: OutgoingMail, extensions: Extensions) -> Verdict | None:
    """Return why `mail` cannot be offered to this server at all, or None."""
    if not mail.recipients:
        return Verdict(Outcome.REJECTED, Reason.OTHER, reply=_NO_RECIPIENT)
    if not is_safe_address(mail.return_path):
        return Verdict(Outcome.REJECTED, Reason.OTHER, reply=_UNSAFE_SENDER)
    if 0 < extensions.max_bytes < len(mail.data):
        text = f"{len(mail.data)} bytes exceed the server's limit of {extensions.max_bytes}"
        return Verdict(Outcome.REJECTED, Reason.CONTENT, reply=Reply(0, "5.3.4", text))
    if mail.needs_smtputf8 and not extensions.has_smtputf8:
        return Verdict(Outcome.NOT_ACCEPTED, Reason.CONTENT, Scope.PROVIDER, _NO_SMTPUTF8)
    return None


def _is_stale(said: Transaction) -> bool:
    """Return whether the connection was already gone, or leaving, when this mail came."""
    if said.data_bytes:
        return False
    if said.closing_reply is not None:
        return is_worn_connection(to_reply(said.closing_reply))
    return isinstance(said.fault, LostError) and not said.replies


def _is_spoilt(result: SendResult) -> bool:
    """Return whether the two ends may disagree on where they stand, or on who we are."""
    spoilers = (Reason.CONNECTION, Reason.AUTHENTICATION, Reason.LOST_AFTER_DATA)
    return result.reason in spoilers or any(r.reason in spoilers for r in result.recipients)


def _report(settings: SmtpSettings, client: SmtpClient, reply: Reply) -> str:
    extensions = client.extensions
    tls = client.connection.tls_version
    trust = "certificate verified" if settings.verify_certificate else "certificate not verified"
    login = f"{client.mechanism} as {settings.username}" if client.mechanism else "none"
    return "\n".join(
        [
            f"Server: {settings.host}:{settings.port}",
            f"TLS: {tls}, {trust}" if tls else "TLS: none",
            f"Login: {login}",
            f"Extensions: {', '.join(sorted(extensions.offered)) or 'none'}",
            f"Largest message: {extensions.max_bytes or 'not stated'}",
            f"NOOP: {reply.code} {reply.text}".rstrip(),
        ]
    )
