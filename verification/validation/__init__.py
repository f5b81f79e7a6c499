"""What can be said about an e-mail address, and what follows from it.

Pure: no database, no network, no clock. `examine` looks at the text and the lists, the caller finds
out where the domain takes its mail, `judge` draws the conclusion.
"""

from verification.validation.examine import Examined, examine
from verification.validation.lists import DomainLists, ListName
from verification.validation.results import MailRoute, MailRouteKind, ProbeAnswer, Reason, Result
from verification.validation.verdict import Verdict, judge

__all__ = [
    "DomainLists",
    "Examined",
    "ListName",
    "MailRoute",
    "MailRouteKind",
    "ProbeAnswer",
    "Reason",
    "Result",
    "Verdict",
    "examine",
    "judge",
]
