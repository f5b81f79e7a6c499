"""Telling: one way per kind of channel."""

from __future__ import annotations

import re
import smtplib
import time
from typing import TYPE_CHECKING

import orjson
from django.core.mail import EmailMessage
from django.utils import timezone

from alerts.models import Channel, ChannelKind
from alerts.words import Letter, chat_message, mail_subject, mail_text, webhook_body
from mailservice.core.addresses import AddressError
from mailservice.core.errors import DomainError
from mailservice.core.http import OutgoingHttpError, Response, parse_url, post_json
from mailservice.core.secrets import DecryptionError
from mailservice.core.signing import signed_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_SECONDS = 10.0
#: Of an answer so much is shown.
_SHOWN_CHARS = 200
#: What in an address is long enough to be secret.
_PARTS = re.compile(r"[^/?&=.]{5,}")


class TellError(DomainError):
    """A channel could not be told; says why without any secret."""

    code = "not_told"


def tell(channel: Channel, letter: Letter) -> None:
    """Tell a channel. Raises `TellError`; a channel told twice gets the same id both times."""
    if channel.kind == ChannelKind.MAIL:
        _mail(channel, letter)
    elif channel.kind == ChannelKind.SLACK:
        _post(channel, orjson.dumps(chat_message(letter)), {})
    else:
        _webhook(channel, letter)


def _mail(channel: Channel, letter: Letter) -> None:
    """Queue a mail like any other of this service's own."""
    email = EmailMessage(
        subject=mail_subject(letter),
        body=mail_text(letter),
        to=list(channel.addresses),
        headers={"Auto-Submitted": "auto-generated"},
    )
    try:
        email.send()
    except DomainError as error:
        raise TellError(error.message) from error
    except (AddressError, smtplib.SMTPException, OSError) as error:
        raise TellError(f"The mail could not be queued: {error}") from error


def _webhook(channel: Channel, letter: Letter) -> None:
    body = orjson.dumps(webhook_body(letter, timezone.now()))
    secret = _secrets(channel).get("signing_secret", "")
    headers = {"webhook-id": letter.id}
    if secret:
        headers = signed_headers(
            secret=secret, message_id=letter.id, timestamp_seconds=int(time.time()), body=body
        )
    _post(channel, body, headers)


def _post(channel: Channel, body: bytes, headers: Mapping[str, str]) -> None:
    url = _secrets(channel).get("url", "")
    try:
        answer = post_json(url, body, headers=headers, timeout_seconds=TIMEOUT_SECONDS)
    except OutgoingHttpError as error:
        raise TellError(error.message) from error
    if not answer.is_ok:
        raise TellError(f"The answer was HTTP {answer.status}. {_shown(answer, url)}".strip())


def _shown(answer: Response, url: str) -> str:
    """Return the answer's words without the address, which is a secret and may be repeated."""
    if "html" in answer.headers.get("content-type", ""):
        return ""
    text = answer.text.replace("\x00", "")
    for part in sorted(_PARTS.findall(parse_url(url).target), key=len, reverse=True):
        text = text.replace(part, "…")
    return " ".join(text.split())[:_SHOWN_CHARS]


def _secrets(channel: Channel) -> dict[str, str]:
    try:
        return channel.secrets or {}
    except DecryptionError as error:
        raise TellError(str(error)) from error
