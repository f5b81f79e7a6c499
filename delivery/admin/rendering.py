"""A message as the mail it is: composed from its rows by the code that sends it."""

from __future__ import annotations

from delivery.blobs import read_blob
from delivery.compose import CompiledContent, MailFields, Preview, compile_content
from delivery.email_types import email_types
from delivery.models import Disposition, Message
from delivery.queue.contents import source_of
from delivery.recipients import mail_fields
from delivery.unsubscribing import link_of, with_links
from mailservice.core.sealed import masked


def compiled(message: Message) -> CompiledContent:
    """Return the message's content ready for use. Raises `DomainError` if it cannot be compiled."""
    return compile_content(source_of(message.content))


def preview(message: Message) -> Preview:
    """Return subject and bodies as sent. Raises `DomainError`."""
    return compiled(message).render_preview(fields_of(message))


def raw(message: Message) -> bytes:
    """Return the mail as handed to the provider, but for marks: who reads it here is not watched.

    Raises `DomainError`, and `FileNotFoundError` if the storage lost an attachment.
    """
    return bytes(compiled(message).compose(fields_of(message)))


def fields_of(message: Message) -> MailFields:
    """Return what the composer fills in."""
    fields = mail_fields(
        message_id=message.pk,
        created_at=message.created_at,
        recipients=message.recipients,
        context=masked(message.context),
        headers=message.headers,
    )
    link = link_of(
        message_id=message.pk,
        email_type=message.email_type_id,
        list_key=message.content.list_key,
        addresses=message.addresses,
    )
    return with_links(
        fields,
        link,
        is_template=message.content.is_template,
        is_marketing=email_types()[message.email_type_id].is_marketing,
    )


def inline_images(message: Message) -> dict[str, tuple[str, bytes]]:
    """Return what the HTML refers to by Content-ID; files the storage lost are left out."""
    found = {}
    for item in message.content.attachments.all():
        if item.disposition != Disposition.INLINE or not item.cid:
            continue
        try:
            found[item.cid] = (item.content_type, read_blob(item.blob.stored_as))
        except FileNotFoundError:
            continue
    return found
