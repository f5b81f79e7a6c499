"""Bounces in words only: flufl.bounce knows the forms, we bound what it gets to see."""

from __future__ import annotations

import logging
import re
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

from flufl.bounce import all_failures

from inbound.bounces.answers import is_answer
from inbound.bounces.mime import header_text, one_line
from inbound.bounces.replies import reply_in
from inbound.bounces.shapes import Report, Told
from inbound.bounces.status import TEXT_CHARS, clean_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inbound.bounces.mime import Headers

#: Of a mail flufl.bounce sees so much, in lines so long: its patterns are not all linear.
_MAX_BYTES, _MAX_LINE_BYTES = 32_768, 1_000
#: Beyond, a mail is built to hurt: the standard library's parser takes long for it.
_MAX_NESTED, _MAX_DELIMITERS, _MAX_BLANK = 8, 100, 2_000
_MAX_ADDRESSES = 50
#: Before an address so much is looked at.
_BEFORE_CHARS = 200

_NESTED = re.compile(rb"^content-type:\s{0,9}(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)
_LONG = re.compile(rb"([^\n]{%d})(?=[^\n])" % _MAX_LINE_BYTES)
_DAEMON = re.compile(
    r"mailer-?daemon|postmaster|mail ?delivery (?:sub)?system|<>\s*\Z", re.IGNORECASE
)
_SUBJECT = re.compile(
    r"undeliver|not be delivered|non.?delivery|delivery (?:status|fail|report|has failed|problem)|"
    r"failure notice|failed delivery|returned (?:e?mail|to sender|message)|mail delivery|"
    r"delivery notification|user unknown|mail (?:system )?error|message could not|"
    r"warning: (?:could not|message)|"
    r"unzustellbar|nicht zugestellt|zustellung|unerreichbar|non remis|non distribu|échec de|"
    r"no se pudo entregar|no entregado|devuelto|mancato recapito|mancata consegna|"
    r"não entregue|devolvid|onbestelbaar|kunde inte levereras|niedoręczon|niedostarczon|"
    r"недоставлен|не доставлен|退信|无法送达|配信不能|配送エラー|반송",
    re.IGNORECASE,
)
#: What a delay notice says, and a failure notice does not.
_STILL_TRYING = re.compile(
    r"will (?:continue to|keep) (?:try|be retried)|will be retried|still (?:be )?trying|"
    r"no action is required|delay(?:ed)?\b.{0,40}(?:deliver|mail|message)|"
    r"delivery (?:is |has been |temporarily )?(?:delayed|suspended)|"
    r"warning message only|do not need to resend",
    re.IGNORECASE,
)

_GIVEN_UP = re.compile(
    r"permanent|fatal|giv(?:en|ing|e) up|gave up|has failed|have failed|expired|"
    r"(?:no longer|not) be retried|too long",
    re.IGNORECASE,
)

# It logs every detector that it runs, and what a hostile mail does to one.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)


def has_bounce_subject(headers: Headers) -> bool:
    """Tell whether the subject, or a header of its own, is that of a bounce."""
    subject = header_text(headers.get("subject"))
    return "x-failed-recipients" in headers or bool(
        _SUBJECT.search(subject) and not is_answer(subject)
    )


def has_bounce_sender(headers: Headers) -> bool:
    """Tell whether a mail comes from a mail system."""
    kind = headers.get("content-type").lower()
    return (
        "delivery-status" in kind
        or bool(_DAEMON.search(headers.get("from")))
        or "mailer-daemon" in headers.get("return-path").lower()
    )


def reports_in(raw: bytes, text: str) -> list[Report]:
    """Return what a bounce in words says; one report without an address if it names none.

    `raw` has plain line feeds, `text` is what people read in it.
    """
    delayed, failed = _addresses(raw)
    reply = reply_in(text)
    is_still_trying = _is_still_trying(text[:_MAX_BYTES])
    if not failed and not delayed:
        told = Told.DELAYED if is_still_trying else Told.FAILED
        return [_report(told, (), text, reply.code, reply.enhanced)]
    found = [
        _report(Told.DELAYED, (one,), text, reply.code, reply.enhanced)
        for one in delayed
        if one not in failed
    ]
    told = Told.DELAYED if is_still_trying and not delayed else Told.FAILED
    for one in failed:
        own = reply_in(_near(text, one)) if len(failed) > 1 else reply
        found.append(_report(told, (one,), text, own.code, own.enhanced))
    return found


def _report(told: Told, final: tuple[str, ...], text: str, code: int, enhanced: str) -> Report:
    near = _near(text, final[0]) if final else text
    reply = reply_in(near)
    # Without a reply, what stands before the address may say why.
    said = reply.text if reply.code or reply.enhanced or not final else _around(text, final[0])
    is_temporary = enhanced.startswith("4") or (not enhanced and 400 <= code < 500)  # noqa: PLR2004 - RFC 5321
    return Report(
        told=told,
        final=final,
        code=code,
        enhanced=enhanced,
        text=said,
        is_permanent=told is Told.FAILED and not is_temporary,
    )


def _around(text: str, address: str) -> str:
    """Return the words on both sides of an address."""
    place = max(0, text.lower().find(address))
    start = max(0, place - _BEFORE_CHARS)
    # Whole lines, if there is a line's end.
    start = text.find("\n", start, place) + 1 or start if start else 0
    return one_line(text[start : place + TEXT_CHARS], TEXT_CHARS)


def _is_still_trying(text: str) -> bool:
    return bool(_STILL_TRYING.search(text)) and not _GIVEN_UP.search(text)


def _near(text: str, address: str) -> str:
    """Return the text from an address on, where its reply stands."""
    place = text.lower().find(address)
    return text[max(0, place) :]


def _addresses(raw: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the delayed and the failed addresses."""
    seen = _LONG.sub(rb"\1\n", raw[:_MAX_BYTES])
    if (
        len(_NESTED.findall(seen)) > _MAX_NESTED
        or seen.count(b"\n--") > _MAX_DELIMITERS
        or seen.count(b"\n\n") > _MAX_BLANK
    ):
        return (), ()
    try:
        delayed, failed = all_failures(message_from_bytes(seen, policy=policy.compat32))
    except Exception:  # noqa: BLE001 - whatever a hostile mail makes a detector stumble over
        return (), ()
    return _clean(delayed), _clean(failed)


def _clean(found: Iterable[bytes]) -> tuple[str, ...]:
    texts = sorted(one.decode("utf-8", "replace") for one in found)
    return clean_addresses(texts[:_MAX_ADDRESSES])
