"""Rules by enhanced status codes (RFC 3463, its registry, Exchange Online) and SMTP reply codes."""

from __future__ import annotations

from providers.bounces.classes import BounceClass as Is
from providers.bounces.table import dead, recipient, sender

#: Without the class; the first that applies decides.
STATUS = (
    # IronPort writes so of every refusal at RCPT: what stands within counts.
    dead(Is.ADDRESS, r"\A(?!.*unknown address error)", status=r"1\.0"),
    dead(Is.ADDRESS, status=r"1\.[136]"),
    dead(Is.ROUTING, status=r"1\.2|1\.10|4\.310"),
    recipient(Is.POLICY, status=r"1\.20"),
    sender(Is.TRANSIENT, status=r"1\.90"),
    dead(Is.ADDRESS, status=r"2\.1"),
    recipient(Is.MAILBOX_FULL, status=r"2\.2"),
    sender(Is.SIZE, status=r"2\.3|3\.4"),
    recipient(Is.TRANSIENT, status=r"2\.12\d|3\.[12]|4\.5|4\.7|5\.3"),
    recipient(Is.ROUTING, status=r"4\.([12346]|14|3\d\d)"),
    sender(Is.CONTENT, status=r"6\.\d+"),
    # RFC 7293: the mailbox or the domain is somebody else's by now.
    dead(Is.ADDRESS, status=r"7\.1[78]"),
    sender(Is.AUTHENTICATION, status=r"7\.([89]|1[124]|2[0-79]|30|40|57|509|515|52\d)"),
    sender(Is.REPUTATION, status=r"7\.(28|50[1-8]|51[12]|6\d\d|7\d\d)"),
    recipient(Is.POLICY, status=r"7\.(2|1[23]\d)"),
)

#: Where only the number is left. A bare 550 may be anything.
REPLY = (
    dead(Is.ROUTING, codes=(556,)),  # RFC 7504: the domain takes no mail
    recipient(Is.ROUTING, codes=(521, 551)),
    recipient(Is.MAILBOX_FULL, codes=(552, 452)),
    sender(Is.AUTHENTICATION, codes=(530, 534, 535, 538)),
    recipient(Is.TRANSIENT, codes=(421, 450, 451)),
)

#: Where the vague words left it open too.
POLICY_STATUS = (recipient(Is.POLICY, status=r"7\.\d+"),)
