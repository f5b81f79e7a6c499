"""What endpoints can be told of."""

from __future__ import annotations

from delivery import announcements

VERIFIED = "verification.confirmed"
#: Sent by hand; nobody subscribes to it.
TEST = "webhook.test"

#: Every kind an endpoint may ask for, with its meaning in a line.
MEANINGS: dict[str, str] = {
    "email.sent": "A provider took the message.",
    "email.delivered": "The recipient's server took it.",
    "email.delayed": "The provider still tries.",
    "email.bounced": "It was refused for good.",
    "email.soft_bounced": "It came back for a reason that may pass; nobody is suppressed.",
    "email.complained": "The recipient called it spam.",
    "email.failed": "It was given up, or could not be made.",
    "email.expired": "Its time passed before it could be sent.",
    "email.suppressed": "It was not sent: who should get it is on a suppression list.",
    "email.cancelled": "It was withdrawn before it was sent.",
    "email.unknown": "The provider fell silent after taking the data.",
    "email.opened": "Somebody opened it; machines are not told, as far as they are known.",
    "email.clicked": "Somebody followed a link in it; machines are not told, as far as known.",
    "email.unsubscribed": "The recipient wants no more of it.",
    "email.resubscribed": "The recipient wants it again.",
    "email.auto_replied": "A machine answered, such as an out-of-office note.",
    VERIFIED: "Somebody confirmed an address.",
}
#: Those that `delivery` announces.
ANNOUNCED = frozenset(announcements.KINDS)
