"""The same mail written with the standard library, for providers that take it as it is."""

from __future__ import annotations

from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.policy import SMTP

from mailservice.core.addresses import Address
from providers.mail_parts import MailParts


def written_mail(parts: MailParts) -> bytes:
    """Return the mail in octets."""
    mail = EmailMessage(SMTP.clone(cte_type="7bit"))
    mail["From"] = _mailbox(parts.sender)
    mail["To"] = [_mailbox(one) for one in parts.to]
    if parts.cc:
        mail["Cc"] = [_mailbox(one) for one in parts.cc]
    if parts.reply_to:
        mail["Reply-To"] = [_mailbox(one) for one in parts.reply_to]
    mail["Subject"] = parts.subject
    mail["Message-ID"] = parts.message_id
    for name, value in parts.headers.items():
        mail[name] = value
    mail.set_content(parts.text, cte="quoted-printable")
    if parts.html:
        mail.add_alternative(parts.html, subtype="html", cte="quoted-printable")
    for file in parts.files:
        main, _, sub = file.content_type.partition("/")
        if file.is_inline:
            html = mail.get_body(("html",))
            assert isinstance(html, EmailMessage)
            html.add_related(
                file.read(), main, sub, cid=f"<{file.content_id}>", disposition="inline"
            )
        else:
            mail.add_attachment(file.read(), maintype=main, subtype=sub, filename=file.filename)
    return mail.as_bytes()


def _mailbox(address: Address) -> Mailbox:
    return Mailbox(address.name, addr_spec=address.email)
