"""The kinds of bounces there are, whoever tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


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


class Side(StrEnum):
    """Whom a refusal concerns."""

    RECIPIENT = "recipient"
    #: Us: our network, domain or mail, or the server we send by.
    SENDER = "sender"


#: Of the sender's side, what is the single mail's fault: by any account it would have come back.
_OF_THE_MAIL = frozenset({BounceClass.CONTENT, BounceClass.SIZE})


@dataclass(frozen=True, slots=True)
class BounceVerdict:
    """What a reply says of the mail and its recipient."""

    bounce_class: BounceClass
    #: The address is dead: no mail to it will ever arrive.
    is_hard: bool
    #: None if the reply does not tell.
    side: Side | None = None

    @property
    def data(self) -> dict[str, str]:
        """Return the verdict as events keep it: `class`, and `side` if it is known."""
        side = {"side": self.side.value} if self.side else {}
        return {"class": self.bounce_class.value, **side}


def is_block(data: Mapping[str, Any] | None) -> bool:
    """Tell from a bounce's data whether the account it went by is what was refused.

    Its network or name has a bad reputation, it does not prove who it is, or it sends too fast.
    """
    if not data or data.get("side") != Side.SENDER:
        return False
    return data.get("class") not in _OF_THE_MAIL
