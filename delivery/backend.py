"""Django's mail API on top of the queue: `send_mail` anywhere in the project queues a message."""

from __future__ import annotations

from email.message import Message as EmailPart
from email.mime.base import MIMEBase
from typing import TYPE_CHECKING, Any

from django.core.mail import EmailAlternative, EmailAttachment, EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from accounts.models import User
from delivery.intake import AttachmentInput, Disposition, MessageInput
from delivery.services.accept import Sender, queue_message
from mailservice.core.addresses import Address, parse_address
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Sequence


class QueueBackend(BaseEmailBackend):
    """Queues Django's `EmailMessage`s as transactional mail of the first superuser.

    The system's own mail (password resets, alerts) has no API key; somebody has to own it.
    """

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Queue the messages; return how many. Raises `DomainError` unless `fail_silently`."""
        count = 0
        for email_message in email_messages:
            if not email_message.recipients():
                continue
            try:
                queue_message(message=_input(email_message), sender=_system_sender())
            except DomainError:
                if not self.fail_silently:
                    raise
            else:
                count += 1
        return count


def _system_sender() -> Sender:
    owner = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if owner is None:
        raise DomainError("Mail of the system needs a superuser to own it.", code="no_owner")
    return Sender(user_id=owner.pk)


def _input(email: EmailMessage) -> MessageInput:
    html = next(
        (
            str(alternative.content)
            for alternative in getattr(email, "alternatives", [])
            if isinstance(alternative, EmailAlternative) and alternative.mimetype == "text/html"
        ),
        "",
    )
    body = str(email.body)
    is_html = email.content_subtype == "html"
    return MessageInput(
        from_=parse_address(email.from_email) if email.from_email else None,
        to=_addresses(email.to),
        cc=_addresses(email.cc),
        bcc=_addresses(email.bcc),
        reply_to=_addresses(email.reply_to),
        subject=str(email.subject),
        html=body if is_html else html,
        text="" if is_html else body,
        headers={str(name): str(value) for name, value in email.extra_headers.items()},
        metadata={},
        attachments=tuple(_attachment(item) for item in email.attachments),
    )


def _addresses(values: Sequence[str] | None) -> tuple[Address, ...]:
    return tuple(parse_address(value) for value in values or ())


def _attachment(item: Any) -> AttachmentInput:
    if isinstance(item, (MIMEBase, EmailPart)):
        payload = item.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        filename, content_type = item.get_filename() or "attachment", item.get_content_type()
    else:
        attachment = EmailAttachment(*item)
        raw = attachment.content
        content = raw if isinstance(raw, bytes) else str(raw).encode()
        filename = attachment.filename or "attachment"
        content_type = attachment.mimetype or "application/octet-stream"
    return AttachmentInput(
        filename=filename,
        content_type=content_type,
        content=content,
        upload_id=None,
        disposition=Disposition.ATTACHMENT,
        content_id="",
    )
