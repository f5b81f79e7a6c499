"""What a mail that came to a return path says."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from uuid import UUID

from inbound.bounces import answers, feedback, status, wording
from inbound.bounces.mime import leaves, normal_lines, one_line, split_head, text_of
from inbound.bounces.shapes import Kind, Report, Returned, Told
from inbound.bounces.status import clean_addresses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inbound.bounces.mime import Headers, Part

_RETURNED_TYPES = frozenset(
    {
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "message/rfc822-headers",
        "message/global-headers",
    }
)
#: Where mail servers note for whom a mail came, the most trustworthy first.
_PATH_HEADERS = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "to")
_MAX_PATHS = 12
_PATH_CHARS = 1_000
_MAX_IDS = 8
_ID_CHARS = 200
#: Of a text so much is searched for ids and replies.
_TEXT_CHARS = 65_536

_OUR_ID = re.compile(r"<([0-9a-f]{32})@[^<>\s@]{1,255}>", re.IGNORECASE)
_ID_LINE = re.compile(r"^[>| \t]{0,20}message-id:(.{1,300})$", re.IGNORECASE | re.MULTILINE)
_COPY = re.compile(
    r"^-{2,40}.{0,60}(?:original|copy of the|undelivered|returned|message follows|header)|"
    r"^[ \t]{0,9}original message follows|^(?:received|return-path|dkim-signature|message-id): ",
    re.IGNORECASE | re.MULTILINE,
)
_ADDRESS = re.compile(r"[^\s<>,;:\"()\[\]]{1,64}@[A-Za-z0-9.-]{1,253}")


def read(raw: bytes, envelope_to: str = "") -> Returned:
    """Return what a mail says; only its first 256 KiB count. Never raises.

    `envelope_to` is the address that it came to, as the mail server knows it; may be empty.
    """
    data = normal_lines(raw)
    headers, body = split_head(data)
    parts = leaves(headers, body)
    returned = _returned_headers(parts)
    words = _words(parts)
    kind, reports, named = _judged(headers, parts, returned, words, data)
    paths = [envelope_to, *(value for name in _PATH_HEADERS for value in headers.all(name)), named]
    if returned:
        paths += returned.all("return-path")
    return Returned(
        kind=kind,
        reports=tuple(reports),
        paths=tuple(dict.fromkeys(path[:_PATH_CHARS] for path in paths if "@" in path))[
            :_MAX_PATHS
        ],
        message_ids=_ids(kind, headers, returned, words),
        identity=_identity(headers, reports),
        at=_written_at(headers),
    )


def _judged(
    headers: Headers,
    parts: Sequence[Part],
    returned: Headers | None,
    words: str,
    data: bytes,
) -> tuple[Kind, list[Report], str]:
    """Return kind, reports, and the envelope sender that a feedback report names."""
    for part in parts:
        if part.type == feedback.FEEDBACK_TYPE:
            reports, sender = feedback.reports_in(part)
            return Kind.FEEDBACK, reports, sender
    found = [
        report
        for part in parts
        if part.type in status.STATUS_TYPES
        for report in status.reports_in(part, words)
    ]
    if found:
        return Kind.DSN, found[: status.MAX_RECIPIENTS], ""
    for part in parts:
        if part.type == status.RECEIPT_TYPE:
            return _receipt(status.rejection_in(part, words))
    complaint = feedback.microsofts_report(returned) if returned else None
    if complaint is not None:
        return Kind.FEEDBACK, [complaint], ""
    kind, reports = _in_words(headers, words, data)
    return kind, reports, ""


def _receipt(rejections: list[Report]) -> tuple[Kind, list[Report], str]:
    return (Kind.BOUNCE if rejections else Kind.OTHER), rejections, ""


def _in_words(headers: Headers, words: str, data: bytes) -> tuple[Kind, list[Report]]:
    if "disposition-notification" in headers.get("content-type").lower():
        return Kind.OTHER, []
    own = _COPY.split(words, maxsplit=1)[0]
    has_subject = wording.has_bounce_subject(headers)
    if has_subject or wording.has_bounce_sender(headers):
        found = wording.reports_in(data, own)
        # A mail system also tells other things: there must be an address or a reply.
        if has_subject or any(one.final or one.code or one.enhanced for one in found):
            return Kind.BOUNCE, found
    sender = clean_addresses(_ADDRESS.findall(headers.get("from"))[:2])
    if answers.is_challenge(headers, own):
        return Kind.CHALLENGE, [_answer(Told.CHALLENGED, sender, headers)]
    if answers.is_auto_reply(headers):
        return Kind.AUTO_REPLY, [_answer(Told.ANSWERED, sender, headers)]
    return Kind.OTHER, []


def _answer(told: Told, sender: tuple[str, ...], headers: Headers) -> Report:
    return Report(told=told, final=sender, text=one_line(headers.get("subject"), status.TEXT_CHARS))


def _returned_headers(parts: Sequence[Part]) -> Headers | None:
    """Return the header of the mail that is returned, as far as it is attached."""
    for part in parts:
        if part.type in _RETURNED_TYPES:
            found, _ = split_head(text_of(part).encode("utf-8", "replace").lstrip(b"\n"))
            if found:
                return found
    return None


def _words(parts: Sequence[Part]) -> str:
    """Return what people read in a mail: its plain text, or else its HTML."""
    for kind in ("text/plain", "text/html"):
        texts = [text_of(part) for part in parts if part.type == kind][:4]
        if any(text.strip() for text in texts):
            return "\n\n".join(texts)[:_TEXT_CHARS]
    return ""


def _ids(kind: Kind, headers: Headers, returned: Headers | None, words: str) -> tuple[UUID, ...]:
    """Return the ids in Message-IDs of the form of ours."""
    if kind in (Kind.AUTO_REPLY, Kind.CHALLENGE):
        texts = headers.all("in-reply-to") + headers.all("references")
    else:
        texts = []
    if returned:
        texts += returned.all("message-id")
    elif kind is not Kind.OTHER:
        texts += [found[1] for found in _ID_LINE.finditer(words)][:_MAX_IDS]
    ids = [UUID(found) for text in texts for found in _OUR_ID.findall(text)]
    return tuple(dict.fromkeys(ids))[:_MAX_IDS]


def _identity(headers: Headers, reports: Sequence[Report]) -> str:
    """Return what is the same when a mail comes again, whatever way it took."""
    own = one_line(headers.get("message-id"), _ID_CHARS)
    if own:
        return own
    content = repr((headers.get("date"), headers.get("from"), list(reports)))
    return hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _written_at(headers: Headers) -> datetime | None:
    try:
        found = parsedate_to_datetime(headers.get("date")[:100])
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
