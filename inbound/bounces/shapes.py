"""What a returned mail says, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class Kind(StrEnum):
    """What sort of mail came back."""

    #: A delivery status notification (RFC 3464).
    DSN = "dsn"
    #: A feedback report (RFC 5965), or one in a large receiver's own form.
    FEEDBACK = "feedback"
    #: A bounce in words only.
    BOUNCE = "bounce"
    #: Out of office and the like (RFC 3834).
    AUTO_REPLY = "auto_reply"
    #: Asks the sender to prove to be a person.
    CHALLENGE = "challenge"
    #: Anything else, such as a person's answer or an advertisement.
    OTHER = "other"


class Told(StrEnum):
    """What is told of one recipient."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    #: To a system that tells nothing more, or to the members of a list: proves nothing.
    PASSED_ON = "passed_on"
    COMPLAINED = "complained"
    #: A report that is no complaint, such as `not-spam`.
    NO_COMPLAINT = "no_complaint"
    ANSWERED = "answered"
    CHALLENGED = "challenged"


@dataclass(frozen=True, slots=True)
class Report:
    """What is told of one recipient. All of it is the teller's word."""

    told: Told
    #: Ways to read the address that the mail was last sent to, in normal form; may be empty.
    final: tuple[str, ...] = ()
    #: The same of the address that the sender wrote to.
    original: tuple[str, ...] = ()
    #: Of the reply; 0 if there is none.
    code: int = 0
    #: Such as `5.1.1`; may be empty.
    enhanced: str = ""
    #: The reply in one line.
    text: str = ""
    is_permanent: bool = True


@dataclass(frozen=True, slots=True)
class Returned:
    """What a mail that came to a return path says."""

    kind: Kind
    reports: tuple[Report, ...] = ()
    #: Addresses that may hold a token of ours, the most trustworthy first.
    paths: tuple[str, ...] = ()
    #: Ids in the form of ours, from Message-IDs.
    message_ids: tuple[UUID, ...] = ()
    #: The same whenever this mail comes again.
    identity: str = ""
    #: When it was written, by its own word; aware.
    at: datetime | None = None
