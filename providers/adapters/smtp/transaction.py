"""One mail on a ready connection: the envelope in as few packets as allowed, then the data.

With PIPELINING (RFC 2920) the envelope and DATA travel together and the mail costs two round
trips. What was said is kept as plain facts (`Transaction`); `verdict` turns them into the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from providers.adapters.outcomes import Verdict, combine
from providers.adapters.smtp.classify import Stage, classify, without_verdict
from providers.adapters.smtp.connection import WIRE_ERRORS, LostError, WireError
from providers.adapters.smtp.replies import (
    ProtocolError,
    WireReply,
    printable,
    remote_id,
    to_reply,
)
from providers.adapters.smtp.wire import wire_chunks
from providers.ports import Outcome, OutgoingMail, Reason, Reply, Scope, SendResult

if TYPE_CHECKING:
    from providers.adapters.smtp.client import Extensions, SmtpClient

#: Commands sent before their replies are read: more could fill both directions and block for good.
PIPELINE_DEPTH = 100
_CLOSING, _SEND_DATA = 421, 354
_MAX_DIALOGUE_CHARS = 16_000
#: RFC 5321 never allows these between the angle brackets; they would break out of the command.
_UNSAFE = re.compile(r"[\x00-\x20<>\x7f]")


class UnreadableError(LostError):
    """A part of the mail could not be read: we broke off, the server is not at fault."""


def is_safe_address(address: str) -> bool:
    """Return whether `address` cannot break out of its command line."""
    if _UNSAFE.search(address):
        return False
    try:
        address.encode()
    except UnicodeEncodeError:
        return False
    return True


def envelope_commands(
    mail: OutgoingMail, extensions: Extensions, *, is_reset_needed: bool = False
) -> list[bytes]:
    """Return RSET if needed, MAIL, one RCPT per recipient, and DATA."""
    parameters = ""
    if extensions.has_size:
        parameters += f" SIZE={len(mail.data)}"
    if extensions.has_8bitmime and (mail.needs_smtputf8 or not mail.data.isascii()):
        parameters += " BODY=8BITMIME"
    if mail.needs_smtputf8:
        parameters += " SMTPUTF8"
    commands = [b"RSET\r\n"] if is_reset_needed else []
    commands.append(f"MAIL FROM:<{mail.return_path}>{parameters}\r\n".encode())
    commands.extend([f"RCPT TO:<{address}>\r\n".encode() for address in mail.recipients])
    commands.append(b"DATA\r\n")
    return commands


@dataclass(slots=True)
class Transaction:
    """What was said about one mail; `replies` answer `commands` in order, as far as they came."""

    commands: list[bytes]
    recipient_count: int
    #: Where MAIL is among the commands.
    mail_index: int = 0
    replies: list[WireReply] = field(default_factory=list)
    #: The reply to the data; None if it was not sent or not answered.
    final: WireReply | None = None
    #: Octets of data given to the kernel to send, final dot included; 0 if it was not asked for.
    data_bytes: int = 0
    #: True once the kernel took the whole of the data.
    is_handed_over: bool = False
    #: What ended the conversation early.
    fault: WireError | None = None

    @property
    def mail_reply(self) -> WireReply | None:
        """The reply to MAIL."""
        return self.replies[self.mail_index] if len(self.replies) > self.mail_index else None

    @property
    def is_sender_accepted(self) -> bool:
        """True if MAIL was accepted."""
        mail_reply = self.mail_reply
        return mail_reply is not None and mail_reply.is_positive

    @property
    def recipient_replies(self) -> list[WireReply]:
        """The replies to RCPT, in order; fewer than recipients if the conversation broke off."""
        return self.replies[self.mail_index + 1 : self.mail_index + 1 + self.recipient_count]

    @property
    def data_reply(self) -> WireReply | None:
        """The reply to DATA."""
        return self.replies[-1] if len(self.replies) == len(self.commands) else None

    @property
    def has_recipient(self) -> bool:
        """True if a recipient was accepted so far."""
        return self.is_sender_accepted and any(r.is_positive for r in self.recipient_replies)

    @property
    def closing_reply(self) -> WireReply | None:
        """The 421 with which the server announced that it leaves."""
        last = self.final or (self.replies[-1] if self.replies else None)
        return last if last is not None and last.code == _CLOSING else None

    @property
    def is_reset_needed(self) -> bool:
        """True if the server still holds an envelope that a next MAIL would collide with."""
        data_reply = self.data_reply
        is_data_asked_for = data_reply is not None and data_reply.code == _SEND_DATA
        return self.is_sender_accepted and not is_data_asked_for


def transact(
    client: SmtpClient, mail: OutgoingMail, *, is_reset_needed: bool, final_timeout_seconds: float
) -> Transaction:
    """Offer `mail` to the server. Never raises for what the network or the server does."""
    commands = envelope_commands(mail, client.extensions, is_reset_needed=is_reset_needed)
    said = Transaction(commands, len(mail.recipients), mail_index=int(is_reset_needed))
    try:
        _offer_envelope(client, said)
        data_reply = said.data_reply
        if data_reply is not None and data_reply.code == _SEND_DATA:
            _send_data(client, said, mail, final_timeout_seconds)
    except WIRE_ERRORS as error:
        said.fault = error
    return said


def _offer_envelope(client: SmtpClient, said: Transaction) -> None:
    connection, replies = client.connection, said.replies
    depth = PIPELINE_DEPTH if client.extensions.has_pipelining else 1
    for start in range(0, len(said.commands), depth):
        if start and not _may_go_on(said, start):
            return
        group = said.commands[start : start + depth]
        connection.write(b"".join(group))
        for _ in group:
            reply = connection.read_reply()
            replies.append(reply)
            if reply.code == _CLOSING:
                return


def _may_go_on(said: Transaction, position: int) -> bool:
    mail_reply = said.mail_reply
    if mail_reply is not None and not mail_reply.is_positive:
        return False
    is_only_data_left = position == len(said.commands) - 1
    return said.has_recipient or not is_only_data_left


def _send_data(
    client: SmtpClient, said: Transaction, mail: OutgoingMail, final_timeout_seconds: float
) -> None:
    connection = client.connection
    if not said.has_recipient:
        if any(answer.is_positive for answer in said.recipient_replies):
            raise ProtocolError("the server goes on without a sender")
        # RFC 2920 §3.1: DATA went along with the RCPTs that failed; an empty message to nobody.
        connection.write(b".\r\n")
        connection.read_reply()
        return
    mail.hand_over()
    try:
        for chunk in wire_chunks(mail.data):
            said.data_bytes += len(chunk)
            connection.write(chunk)
    except OSError as error:
        raise UnreadableError(f"the mail cannot be read: {type(error).__name__}") from error
    except LostError:
        # A server may refuse half-way, say why and hang up.
        parting = connection.read_parting_reply()
        if parting is None or parting.is_positive:
            raise
        said.final = parting
        raise
    said.is_handed_over = True
    said.final = connection.read_reply(timeout_seconds=final_timeout_seconds)


def verdict(
    recipients: tuple[str, ...],
    said: Transaction,
    *,
    refused: tuple[tuple[str, Verdict], ...] = (),
) -> SendResult:
    """Return the result that follows from what was said to `recipients`.

    `refused` are further recipients with verdicts of our own, who were kept off the wire.
    """
    answers = said.recipient_replies
    final = said.final
    if (
        final is not None
        and final.is_positive
        and not refused
        and all(answer.is_positive for answer in answers)
    ):
        reply = to_reply(final)
        return SendResult(Outcome.ACCEPTED, reply=reply, remote_id=remote_id(reply))
    shared = _shared_verdict(said)
    name = remote_id(shared.reply) if shared.outcome is Outcome.ACCEPTED else ""
    verdicts = [
        (address, _verdict_for(answers[index] if index < len(answers) else None, said, shared))
        for index, address in enumerate(recipients)
    ]
    return combine([*verdicts, *refused], remote_id=name, dialogue=dialogue(said))


def dialogue(said: Transaction) -> str:
    """Return the conversation about one mail, without its data."""
    lines: list[str] = []
    for command, reply in zip(said.commands, said.replies, strict=False):
        lines += (_shown(command), *_heard(reply))
    if said.fault is not None and len(said.replies) < len(said.commands):
        lines.append(_shown(said.commands[len(said.replies)]))
    if said.data_bytes:
        lines.append(f"C: [{said.data_bytes} bytes of data]")
    if said.final is not None:
        lines += _heard(said.final)
    if said.fault is not None:
        lines.append(f"-- {said.fault}")
    return "\n".join(lines)[:_MAX_DIALOGUE_CHARS]


def _shown(command: bytes) -> str:
    return f"C: {printable(command.rstrip())}"


def _heard(reply: WireReply) -> list[str]:
    return [f"S: {reply.code} {printable(line)}" for line in reply.lines]


def _verdict_for(answer: WireReply | None, said: Transaction, shared: Verdict) -> Verdict:
    if answer is None or answer.is_positive or not said.is_sender_accepted:
        return shared
    return classify(Stage.RCPT, to_reply(answer))


def _shared_verdict(said: Transaction) -> Verdict:
    """Return the verdict on the mail for the recipients whose RCPT was not refused."""
    mail_reply, data_reply = said.mail_reply, said.data_reply
    if said.final is not None:
        return _verdict_on_data(said, said.final)
    if mail_reply is not None and not mail_reply.is_positive:
        return classify(Stage.MAIL, to_reply(mail_reply))
    if said.fault is not None:
        return _verdict_on_fault(said.fault, is_handed_over=said.is_handed_over)
    if said.closing_reply is not None:
        return _verdict_on_closing(said, to_reply(said.closing_reply))
    if data_reply is not None and data_reply.code >= 400:  # noqa: PLR2004 - reply classes
        return classify(Stage.DATA, to_reply(data_reply))
    return without_verdict("the server's reply to DATA makes no sense", is_handed_over=False)


def _verdict_on_closing(said: Transaction, reply: Reply) -> Verdict:
    """Return the verdict on recipients whom a 421 kept from being asked about, or from the data."""
    last = len(said.replies) - 1 - said.mail_index
    if 1 <= last <= said.recipient_count:
        verdict_on_one = classify(Stage.RCPT, reply)
        if verdict_on_one.scope is Scope.MESSAGE:
            # One recipient's domain wants less; that says nothing of the others'.
            return Verdict(Outcome.NOT_ACCEPTED, Reason.CONNECTION, reply=reply)
    return classify(Stage.MAIL, reply)


def _verdict_on_fault(fault: WireError, *, is_handed_over: bool) -> Verdict:
    if isinstance(fault, UnreadableError):
        return Verdict(Outcome.NOT_ACCEPTED, Reason.OTHER, reply=Reply(text=str(fault)))
    return without_verdict(str(fault), is_handed_over=is_handed_over)


def _verdict_on_data(said: Transaction, final: WireReply) -> Verdict:
    reply = to_reply(final)
    if final.is_positive:
        return Verdict(Outcome.ACCEPTED, reply=reply)
    if final.code < 400:  # noqa: PLR2004 - reply classes
        text = "the server's reply to the data makes no sense"
        return without_verdict(text, is_handed_over=said.is_handed_over)
    verdict_on_all = classify(Stage.DATA, reply)
    is_about_one = verdict_on_all.reason in (Reason.BAD_RECIPIENT, Reason.MAILBOX)
    if is_about_one and sum(answer.is_positive for answer in said.recipient_replies) > 1:
        # It does not say which recipient: blame none.
        return replace(verdict_on_all, reason=Reason.OTHER)
    return verdict_on_all
