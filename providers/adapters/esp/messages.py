"""From our parts to the message object that anymail's backends read."""

from __future__ import annotations

from email.mime.base import MIMEBase
from typing import TYPE_CHECKING, Any

from anymail.message import AnymailMessage  # type: ignore[import-untyped]  # ships no types

from providers.adapters.esp.kinds import Repeat

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

    from mailservice.core.addresses import Address
    from providers.adapters.esp.envelopes import Envelope
    from providers.adapters.esp.kinds import Capabilities
    from providers.mail_parts import FilePart, MailParts
    from providers.ports import OutgoingMail

#: The name under which providers keep our id and give it back with their events.
METADATA_KEY = "mailservice_id"
#: What can be told with each mail not to track it, and takes that from every account.
TRACKING_SWITCHES = frozenset(
    {"mailgun", "mailjet", "mandrill", "postmark", "sendgrid", "sparkpost", "unisender_go"}
)
_QUOTED = str.maketrans({"\\": r"\\", '"': r"\""})


def message_of(
    mail: OutgoingMail, parts: MailParts, envelope: Envelope, capabilities: Capabilities
) -> Any:
    """Return the mail for one call. Raises `OSError` if a file cannot be read."""
    message = AnymailMessage(
        subject=parts.subject,
        body=parts.text,
        from_email=written(parts.sender),
        to=_written(envelope.to),
        cc=_written(envelope.cc),
        bcc=_written(envelope.bcc),
        reply_to=_written(parts.reply_to),
        headers=_headers(parts, capabilities),
    )
    if parts.html:
        message.attach_alternative(parts.html, "text/html")
    message.attachments = [_attachment(file) for file in parts.files]
    if parts.tags and capabilities.max_tags:
        message.tags = list(parts.tags[: capabilities.max_tags])
    if capabilities.has_metadata:
        message.metadata = {METADATA_KEY: mail.message_id.hex}
    return message


def written(address: Address) -> str:
    """Return an address with its name quoted, so that nothing in it splits a list."""
    if not address.name:
        return address.email
    return f'"{address.name.translate(_QUOTED)}" <{address.email}>'


def _written(addresses: Iterable[Address]) -> list[str]:
    return [written(one) for one in addresses]


def _headers(parts: MailParts, capabilities: Capabilities) -> dict[str, str]:
    headers = dict(parts.headers)
    if capabilities.has_own_message_id:
        headers["Message-ID"] = parts.message_id
    return headers


def _attachment(file: FilePart) -> Message | tuple[str | None, bytes, str]:
    octets = file.read()
    content_type = file.content_type
    if content_type.startswith("text/") and not _is_utf8(octets):
        # Text in an unknown charset must arrive as it is, not as someone decodes it.
        content_type = "application/octet-stream"
    if not file.is_inline:
        return (file.filename or None, octets, content_type)
    main, _, sub = content_type.partition("/")
    part = MIMEBase(main, sub)
    part.add_header("Content-Disposition", "inline", filename=file.filename or "image")
    part.add_header("Content-ID", f"<{file.content_id}>")
    # Octets without a transfer encoding: anymail encodes them once, as the API wants them.
    part.set_payload(octets)
    return part


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


def mark_repeat(payload: Any, capabilities: Capabilities, key: str) -> None:
    """Let the provider know a repeat of this call by `key`."""
    where = capabilities.repeat
    if where is Repeat.HTTP_HEADER:
        payload.headers["Idempotency-Key"] = key
    elif where is Repeat.MAIL_HEADER:
        payload.data["headers"]["idempotencyKey"] = key
    elif where is Repeat.MEMBER:
        payload.data["idempotence_key"] = key


def adapt_payload(payload: Any, kind: str) -> None:
    """Add what a provider needs and anymail has no word for."""
    if kind == "postmark":
        # Without it Postmark replaces the Message-ID.
        payload.data.setdefault("Headers", []).append({"Name": "X-PM-KeepID", "Value": "true"})
    if kind in TRACKING_SWITCHES:
        # Tracked mail has marks of our own, and what is not tracked is nobody's to watch.
        payload.set_track_opens(False)
        payload.set_track_clicks(False)
