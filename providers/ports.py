"""The contract between the delivery pipeline and whatever carries a mail away.

An *adapter* knows one kind of provider. It opens *sessions* (one warm connection each, used by one
thread at a time), and a session turns an `OutgoingMail` into a `SendResult`. Nothing here touches
the database, so adapters run in sender threads without one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from providers.mail_data import MailData
    from providers.mail_parts import MailParts


class Outcome(StrEnum):
    """What one try at one provider came to (delivery contract, DESIGN §2)."""

    #: The provider took responsibility for the mail.
    ACCEPTED = "accepted"
    #: The provider certainly did not take it; trying again, here or elsewhere, is safe.
    NOT_ACCEPTED = "not_accepted"
    #: Refused for good on account of the recipient or the mail; no other provider is tried.
    REJECTED = "rejected"
    #: The data was handed over and no verdict came back; it may or may not have been taken.
    UNKNOWN = "unknown"


class Scope(StrEnum):
    """How far a `NOT_ACCEPTED` reaches."""

    #: Only this message is put off (4xx to a recipient or to the data).
    MESSAGE = "message"
    #: The account is unreachable, refuses the login or asks us to slow down: try another provider.
    PROVIDER = "provider"


class Reason(StrEnum):
    """Why a mail was not accepted or was rejected, normalised over all kinds of provider."""

    NONE = ""
    #: The mailbox does not exist or does not take mail (5.1.x, 550).
    BAD_RECIPIENT = "bad_recipient"
    #: The mailbox is full or temporarily closed (x.2.x).
    MAILBOX = "mailbox"
    #: The mail's content, size or policy was refused (x.7.x, x.3.4, 552, 554).
    CONTENT = "content"
    #: Try again later: greylisting.
    GREYLISTED = "greylisted"
    #: The account sends too fast or too much (421, 450 4.7.x rate, HTTP 429).
    THROTTLED = "throttled"
    #: Our credentials were refused (530, 535, HTTP 401/403).
    AUTHENTICATION = "authentication"
    #: Its settings or credentials cannot be used as they are kept here, so it was not even asked.
    SETUP = "setup"
    #: No connection, no TLS, a time-out before the data was handed over, a protocol error.
    CONNECTION = "connection"
    #: The connection was lost after the data was handed over.
    LOST_AFTER_DATA = "lost_after_data"
    #: Any other refusal.
    OTHER = "other"


#: Reasons of refusals that no mail is to blame for.
_OF_US = frozenset({Reason.THROTTLED, Reason.AUTHENTICATION, Reason.SETUP})


def _unwatched() -> None:
    """Nobody wants to know when a mail is handed over."""


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """One envelope and its finished content, ready for the wire."""

    message_id: UUID
    #: RFC 5321 MAIL FROM without angle brackets; empty for the null reverse-path.
    return_path: str
    #: RFC 5321 RCPT TO addresses without angle brackets, no duplicates.
    recipients: tuple[str, ...]
    #: RFC 5322 message, CRLF line ends, not dot-stuffed, without Bcc. `len`, `isascii` and `bytes`
    #: work on it either way; `mail_data.chunks_of` reads it without holding it all. Empty if the
    #: adapter takes parts.
    data: MailData
    #: True if an address or header needs SMTPUTF8 (RFC 6531).
    needs_smtputf8: bool = False
    #: The same mail unwritten, for an adapter that `takes_parts`; None for all others.
    parts: MailParts | None = None
    #: Adapters call it right before the step after which the provider may have the mail (for SMTP
    #: the data): a process that dies earlier has certainly not sent it. Not called where sending
    #: again does no harm.
    hand_over: Callable[[], None] = field(default=_unwatched, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider answered, in RFC 5321 and RFC 3463 words."""

    #: SMTP reply code or HTTP status; 0 if there was no answer.
    code: int = 0
    #: Enhanced status code such as `5.1.1`; empty if none was given.
    enhanced_code: str = ""
    #: Text of the answer without codes, one line, at most 500 characters.
    text: str = ""


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """The verdict for one recipient where it may differ from the others."""

    address: str
    outcome: Outcome
    reason: Reason = Reason.NONE
    reply: Reply = Reply()


@dataclass(frozen=True, slots=True)
class SendResult:
    """The verdict on one `OutgoingMail`.

    `outcome` is `ACCEPTED` as soon as one recipient was accepted; `recipients` then names those
    that were not. It is empty when every recipient shares the outcome.
    """

    outcome: Outcome
    reason: Reason = Reason.NONE
    scope: Scope = Scope.MESSAGE
    reply: Reply = Reply()
    recipients: tuple[RecipientResult, ...] = ()
    #: The provider's own id for the mail, if it gave one.
    remote_id: str = ""
    #: How long the provider asks us to wait, seconds; None if it does not say.
    retry_after_seconds: float | None = None
    #: The conversation (commands and replies, no credentials, no body); empty when all went well.
    dialogue: str = ""
    #: False if it went wrong before anything of the mail was said: any mail would have fared so.
    is_offered: bool = True

    @property
    def is_account_fault(self) -> bool:
        """True if the account refused us, not the mail: another may take it."""
        return self.outcome is Outcome.NOT_ACCEPTED and self.scope is Scope.PROVIDER

    @property
    def spares_the_mail(self) -> bool:
        """True if the account would have refused any mail, so that it was no attempt at this one.

        A fault in the midst of a mail may be the mail's doing.
        """
        return self.is_account_fault and (not self.is_offered or self.reason in _OF_US)


class Session(Protocol):
    """One warm connection; not thread-safe, used by one thread at a time."""

    @property
    def is_usable(self) -> bool:
        """False once the connection is lost, worn out or past its cap: close it, open another."""

    def send(self, mail: OutgoingMail) -> SendResult:
        """Send one mail. Never raises for what the network or the provider does."""

    def close(self) -> None:
        """Say goodbye if possible and release the connection. Never raises."""


class Adapter(Protocol):
    """One configured account of one kind. Cheap to build, safe to share between threads."""

    def open(self) -> Session:
        """Connect, secure and authenticate. Raises `ConnectError`."""


@runtime_checkable
class PartsAdapter(Adapter, Protocol):
    """An adapter whose API writes the mail itself: its mails come as `parts`, without `data`."""

    takes_parts: Literal[True]


@runtime_checkable
class BatchSession(Session, Protocol):
    """A session whose provider takes several different mails with one call."""

    #: The most mails of one call.
    max_batch: int

    def send_many(self, mails: Sequence[OutgoingMail]) -> list[SendResult]:
        """Send up to `max_batch` mails; one result each, in their order. Never raises."""


class ConnectError(Exception):
    """A session could not be opened; carries the verdict that every mail meant for it gets."""

    def __init__(self, result: SendResult) -> None:
        super().__init__(result.reply.text or result.reason)
        self.result = result


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """Everything an adapter may know of a provider account, as plain data."""

    provider_id: UUID
    name: str
    kind: str
    #: Adapter-specific settings, validated when the account was saved.
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: Decrypted credentials; kept out of reprs.
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: A session closes after so many mails; 0 means no cap.
    max_messages_per_connection: int = 0
    #: It is somebody's own: it must not reach into private networks, ours among them.
    is_confined: bool = False
