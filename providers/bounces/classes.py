"""The kinds of bounces there are, whoever tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BounceClass(StrEnum):
    """Why a mail came back."""

    #: There is no such mailbox, or it is closed for good.
    ADDRESS = "address"
    #: The mailbox is full.
    MAILBOX_FULL = "mailbox_full"
    #: The recipient's side does not take this mail: a rule of theirs, or of the server we sent by.
    POLICY = "policy"
    #: The sending network, domain or address has a bad name.
    REPUTATION = "reputation"
    #: SPF, DKIM, DMARC, a missing reverse name, or a login that was asked for.
    AUTHENTICATION = "authentication"
    #: What the mail holds was refused: spam, a virus, a link, a broken header.
    CONTENT = "content"
    #: The mail is too large.
    SIZE = "size"
    #: The way to the recipient's server: no such domain, no mail host, a loop, no connection.
    ROUTING = "routing"
    #: It may work later: greylisting, too fast, too busy.
    TRANSIENT = "transient"
    #: No bounce at all: a machine answers, such as out of office.
    AUTO_REPLY = "auto_reply"
    #: A machine wants the sender to prove that a person wrote.
    CHALLENGE = "challenge"
    #: The words say nothing we know.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class BounceVerdict:
    """What a reply says of the mail and its recipient."""

    bounce_class: BounceClass
    #: The address is dead: no mail to it will ever arrive.
    is_hard: bool
