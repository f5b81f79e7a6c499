"""Feedback reports (RFC 5965), and Microsoft's, which have a form of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inbound.bounces.mime import one_line, parse_headers, text_of
from inbound.bounces.shapes import Report, Told
from inbound.bounces.status import MAX_RECIPIENTS, TEXT_CHARS, addresses_in

if TYPE_CHECKING:
    from inbound.bounces.mime import Headers, Part

FEEDBACK_TYPE = "message/feedback-report"
#: Who asks so wants no more such mail. `virus` and `other` say nothing of what the recipient wants,
#: `not-spam` the opposite, `auth-failure` and `dmarc` are for those who keep the domain.
_COMPLAINTS = frozenset({"abuse", "fraud", "miscategorized", "opt-out", "opt-out-list"})
_BRACKETS = re.compile(r"<([^<>]*)>")
_MICROSOFTS = "x-hmxmroriginalrecipient"


def reports_in(part: Part) -> tuple[list[Report], str]:
    """Return what a feedback report says, and the envelope sender that it names.

    There is one report for each recipient named, and one without an address if there is none.
    """
    fields = parse_headers(text_of(part))
    kind = fields.get("feedback-type").lower()
    told = Told.COMPLAINED if kind in _COMPLAINTS else Told.NO_COMPLAINT
    text = one_line(f"{kind or 'unknown'} reported by {_reporter(fields)}", TEXT_CHARS)
    named = fields.all("original-rcpt-to") or fields.all("removal-recipient")
    found = [addresses_in([_bare(value)]) for value in named[:MAX_RECIPIENTS]]
    reports = [Report(told=told, final=final, text=text) for final in found if final]
    return reports or [Report(told=told, text=text)], fields.get("original-mail-from")


def microsofts_report(returned: Headers) -> Report | None:
    """Return the complaint of Outlook.com's programme (JMRP), which names it in the mail itself."""
    recipient = returned.get(_MICROSOFTS)
    if not recipient:
        return None
    return Report(
        told=Told.COMPLAINED,
        final=addresses_in([_bare(recipient)]),
        text="abuse reported by Outlook.com",
    )


def _bare(value: str) -> str:
    found = _BRACKETS.search(value)
    return found[1] if found else value


def _reporter(fields: Headers) -> str:
    return fields.get("reporting-mta").rpartition(";")[2] or fields.get("user-agent") or "somebody"
