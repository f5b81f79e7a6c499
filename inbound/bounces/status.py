"""Delivery status notifications (RFC 3464, RFC 6533): what they say of each recipient."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inbound.bounces.mime import Headers, one_line, parse_headers, text_of
from inbound.bounces.replies import Reply, reply_in
from inbound.bounces.shapes import Report, Told
from mailservice.core.addresses import normalized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inbound.bounces.mime import Part

MAX_RECIPIENTS = 200
MAX_ADDRESS_CHARS = 320
#: Of a reply so much is kept.
TEXT_CHARS = 500

RECEIPT_TYPE = "message/disposition-notification"
STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_TOLD = {
    "failed": Told.FAILED,
    "failure": Told.FAILED,
    "error": Told.FAILED,  # OpenSMTPD
    "delayed": Told.DELAYED,
    "delivered": Told.DELIVERED,
    "relayed": Told.PASSED_ON,
    "expanded": Told.PASSED_ON,
}
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_WORD = re.compile(r"[a-z]+")
_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})\b")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_DELETED = re.compile(r"\b(?:deleted|denied|failed)\b", re.IGNORECASE)
_REJECTED = re.compile(r"\b(?:was|is|been) (?:automatically )?(?:rejected|refused)", re.IGNORECASE)
_GENERIC = frozenset({"5.0.0", "4.0.0", "5.5.0", "5.3.0"})
_MAX_CODE_POINT = 0x10FFFF


def reports_in(part: Part, words: str) -> list[Report]:
    """Return what a part with a delivery status says; `words` is the text for people beside it."""
    text = text_of(part)
    found: list[Report] = []
    for block in _BLANK_LINE.split(text, MAX_RECIPIENTS):
        fields = parse_headers(block)
        report = _report(fields, words)
        if report is not None:
            found.append(report)
    return found[:MAX_RECIPIENTS]


def rejection_in(part: Part, words: str) -> list[Report]:
    """Return what a receipt says that is a rejection: Dovecot tells so of full mailboxes.

    `words` is the text for people beside it. Other receipts (RFC 8098) say nothing.
    """
    fields = parse_headers(text_of(part))
    if not _DELETED.search(fields.get("disposition")) or not _REJECTED.search(words):
        return []
    reply = reply_in(words)
    return [
        Report(
            told=Told.FAILED,
            final=addresses_in(fields.all("final-recipient")),
            original=addresses_in(fields.all("original-recipient")),
            code=reply.code,
            enhanced=reply.enhanced,
            text=one_line(words, TEXT_CHARS),
            is_permanent=_is_permanent(reply.enhanced, reply.code),
        )
    ]


def _report(fields: Headers, words: str) -> Report | None:
    """Return what a block says of a recipient; None if it is not about one."""
    final = addresses_in(fields.all("final-recipient") + fields.all("x-actual-recipient")[:1])
    original = addresses_in(fields.all("original-recipient"))
    action = _WORD.match(fields.get("action").lower())
    if action is None or action[0] not in _TOLD:
        return None
    told = _TOLD[action[0]]
    status = _STATUS.match(fields.get("status"))
    reply = _reply(fields.get("diagnostic-code"), words if told is Told.FAILED else "")
    enhanced = _enhanced(status[0] if status else "", reply.enhanced)
    return Report(
        told=told,
        final=final,
        original=original,
        code=reply.code,
        enhanced=enhanced,
        text=reply.text or one_line(fields.get("status"), TEXT_CHARS),
        is_permanent=_is_permanent(enhanced, reply.code),
    )


def addresses_in(values: Sequence[str]) -> tuple[str, ...]:
    """Return the ways to read fields such as `rfc822; a@example.com`, in normal form."""
    found: list[str] = []
    for value in values[:4]:
        kind, semicolon, rest = value.partition(";")
        if not semicolon:
            kind, rest = "rfc822", value
        rest = rest.strip().strip("<>").strip('"')
        if kind.strip().lower() == "utf-8":
            rest = _EMBEDDED.sub(_character, rest)
        found.append(rest)
        # What came as ORCPT is to be decoded by whoever reports; some do not.
        found.append(_XTEXT.sub(lambda match: chr(int(match[1], 16)), rest))
    return clean_addresses(found)


def clean_addresses(values: Sequence[str]) -> tuple[str, ...]:
    """Return what can be an address at all, each once, in normal form."""
    found = []
    for value in values:
        text = one_line(value, MAX_ADDRESS_CHARS + 1)
        local, at, domain = text.rpartition("@")
        if at and local and domain and len(text) <= MAX_ADDRESS_CHARS and " " not in domain:
            found.append(normalized(text))
    return tuple(dict.fromkeys(found))


def _character(match: re.Match[str]) -> str:
    point = int(match[1], 16)
    return chr(point) if point <= _MAX_CODE_POINT else match[0]


def _reply(diagnostic: str, words: str) -> Reply:
    """Return the reply that a diagnostic code holds; without one, that in the text for people."""
    kind, semicolon, rest = diagnostic.partition(";")
    text = rest if semicolon and " " not in kind.strip() else diagnostic
    if text.strip():
        found = reply_in(text)
        return Reply(found.code, found.enhanced, one_line(text, TEXT_CHARS))
    return reply_in(words)


def _enhanced(status: str, of_reply: str) -> str:
    """Return the more telling of two codes: what the reply says unless only the status is exact."""
    if of_reply and of_reply not in _GENERIC:
        return of_reply
    return status or of_reply


def _is_permanent(enhanced: str, code: int) -> bool:
    return not (enhanced.startswith("4") or (not enhanced and 400 <= code < 500))  # noqa: PLR2004 - RFC 5321
