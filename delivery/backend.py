"""Django's mail API on top of the queue: `send_mail` anywhere in the project queues a message."""

from __future__ import annotations

from dataclasses import replace
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
from mailservice.core.mail import ServiceMail
from mailservice.core.sealed import sealed

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
                _queue(email_message)
            except DomainError:
                if not self.fail_silently:
                    raise
            else:
                count += 1
        return count


def _queue(email: EmailMessage) -> None:
    message = _input(email)
    if not isinstance(email, ServiceMail):
        queue_message(message=message, sender=_system_sender())
        return
    terms = email.terms
    if terms.owner_id is None:
        sender = replace(_system_sender(), is_test=terms.is_test)
    else:
        sender = Sender(terms.owner_id, terms.api_key_id, is_test=terms.is_test)
    queue_message(message=_on_terms(message, email), sender=sender)


def _on_terms(message: MessageInput, email: ServiceMail) -> MessageInput:
    """Return the message as the service's own mail wants it: nothing in it is tracked."""
    terms = email.terms
    context = None if terms.context is None else dict(terms.context)
    if terms.secrets:
        recipients = email.recipients()
        context = sealed(context or {}, terms.secrets, recipient=parse_address(recipients[0]).email)
    changes: dict[str, Any] = {
        "context": context,
        "given_names": frozenset(context or ()),
        "locale": terms.locale,
        "metadata": dict(terms.metadata),
        "priority": terms.priority,
        "expires_at": terms.expires_at,
        "track_opens": False,
        "track_clicks": False,
    }
    if not email.has_own_sender:
        changes |= {"from_": None, "from_name": terms.from_name}
    if terms.template is not None:
        changes |= {"template": terms.template, "subject": "", "html": "", "text": ""}
    return replace(message, **changes)


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
