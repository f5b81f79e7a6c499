"""Content compiled once, mails written from it many times.

Two ways lead to a mail. The direct one joins prepared bytes: header skeleton, encoded bodies,
boundaries, and refers to files that were encoded once. The general one builds the MIME entity with
the standard library's `email` and is what the direct one is compared with. Header fields are the
same bytes on both.
"""

from __future__ import annotations

from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from delivery.compose.bodies import (
    EncodedText,
    canonical_text,
    encode_pieces,
    encode_text,
    utf8,
)
from delivery.compose.errors import ComposeError
from delivery.compose.general import mime_entity
from delivery.compose.headers import (
    address_header,
    custom_header,
    needs_smtputf8,
    text_header,
    wire_domain,
)
from delivery.compose.marks import marked_pieces, places_in
from delivery.compose.parts import mail_parts
from delivery.compose.structure import Structure
from mailservice.core.addresses import Address, domain_of
from templates_app.rendering import FinishedMail, Part, Rendered, compile_mail

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from delivery.compose.marks import Marks, Places
    from delivery.compose.source import ContentSource, MailFields
    from providers.mail_data import MailData
    from providers.mail_parts import MailParts
    from templates_app.engine import Compiled


class CompiledContent:
    """One content ready to be written to many recipients; immutable, safe between threads."""

    def __init__(self, source: ContentSource) -> None:
        self.source = source
        #: Starts every boundary: neither transfer encoding can produce `=_`.
        self.boundary = f"=_{_fingerprint(source)}"
        self._mail = compile_mail(
            FinishedMail(
                source.subject,
                source.html,
                source.text,
                is_template=source.is_template,
                locale=source.locale,
                inlines_css=source.inlines_css,
            )
        )
        self._subject_line = ""
        if self._mail.subject.is_constant:
            self._subject_line = text_header("Subject", self._mail.subject.constant)
        self._html = _encoded(self._mail.html)
        self._text = _encoded(self._mail.text)
        #: Where HTML that is the same in every mail can be marked, once one is.
        self._places: Places | None = None
        self._head = _Head(source)
        self._structure = Structure(source, self.boundary)

    @property
    def templates(self) -> tuple[Compiled, ...]:
        """The compiled templates, for `first_problem` at acceptance; empty if nothing varies."""
        return self._mail.templates

    def compose(self, fields: MailFields) -> MailData:
        """Return the mail, 7-bit unless an address needs SMTPUTF8, the same octets every time.

        It is plain bytes unless large files go with it. Raises `ComposeError`,
        `TemplateRenderProblem` and what encoding a file raises.
        """
        html, text = self._encoded_bodies(fields)
        structure = self._structure
        parts = [
            self._head.lines(fields, self._line(fields)),
            structure.opening,
            *_part("plain", text),
        ]
        if html is not None:
            parts += (structure.between, *_part("html", html))
        if structure.has_files:
            return structure.with_files(b"".join(parts))
        parts.append(structure.closing)
        return b"".join(parts)

    def compose_general(self, fields: MailFields) -> bytes:
        """Return the same mail through the standard library."""
        html, text = self._bodies(fields)
        head = self._head.lines(fields, self._line(fields))
        files = self.source.attachments
        return head + mime_entity(
            html if self.source.html else None, text, files, boundary=self.boundary
        )

    def parts(self, fields: MailFields) -> MailParts:
        """Return the same mail unwritten, refusing what `compose` refuses.

        Raises `ComposeError`, `TemplateRenderProblem` and what encoding a file raises.
        """
        html, text = self._bodies(fields)
        self._head.lines(fields, self._line(fields))
        subject = self._mail.render_subject(fields.context, now=fields.date)
        return mail_parts(self.source, fields, subject=subject, html=html, text=text)

    def needs_smtputf8(self, fields: MailFields) -> bool:
        """Tell whether an address in the header can only be written as UTF-8 (RFC 6532)."""
        return self._head.needs_smtputf8 or any(
            needs_smtputf8(address.email) for address in (*fields.to, *fields.cc)
        )

    def render_subject(
        self, context: Mapping[str, object] | None, *, now: datetime | None = None
    ) -> str:
        """Return the subject of a mail with this context. Raises `TemplateRenderProblem`."""
        return self._mail.render_subject(context, now=now)

    def render_preview(self, fields: MailFields) -> Rendered:
        """Return subject and bodies as `compose` would encode them."""
        return self._mail.render(fields.context, now=fields.date)

    def _line(self, fields: MailFields) -> str:
        """Return the header line. Raises `ComposeError` for a line break in a value."""
        if self._subject_line:
            return self._subject_line
        return text_header("Subject", self._mail.render_subject(fields.context, now=fields.date))

    def _bodies(self, fields: MailFields) -> tuple[str, str]:
        """Return HTML, with the marks of a tracked mail, and text."""
        html, text = self._mail.render_bodies(fields.context, now=fields.date)
        if fields.marks is not None and self.source.html:
            html = "".join(self._marked_pieces(html, fields.marks))
        return html, text

    def _marked_pieces(self, html: str, marks: Marks) -> list[str]:
        html = canonical_text(html)
        places = self._places or places_in(html)
        if self._mail.html.is_constant:
            self._places = places
        return marked_pieces(html, places, marks)

    def _encoded_bodies(self, fields: MailFields) -> tuple[EncodedText | None, EncodedText]:
        if not self.source.html:
            return None, self._text or encode_text(self._bodies(fields)[1])
        encoded_html = None if fields.marks else self._html
        encoded_text = self._text
        if encoded_html is None or encoded_text is None:
            html, text = self._mail.render_bodies(fields.context, now=fields.date)
            if fields.marks is not None:
                encoded_html = encode_pieces(self._marked_pieces(html, fields.marks))
            encoded_html = encoded_html or encode_text(html)
            encoded_text = encoded_text or encode_text(text)
        return encoded_html, encoded_text


def compile_content(source: ContentSource) -> CompiledContent:
    """Return the content ready for use. Raises `TemplateSyntaxProblem` and `ComposeError`."""
    return CompiledContent(source)


def _encoded(part: Part) -> EncodedText | None:
    """Return the encoded body if it is the same in every mail."""
    return encode_text(part.constant) if part.is_constant else None


class _Head:
    """The header fields of RFC 5322, without those of MIME."""

    def __init__(self, source: ContentSource) -> None:
        sender = Address(source.from_email, source.from_name)
        self._from = address_header("From", (sender,))
        reply_to = source.reply_to
        self._reply_to = address_header("Reply-To", reply_to) if reply_to else ""
        self._id_domain = wire_domain(domain_of(source.from_email))
        self._custom = _custom_lines(source.headers)
        self._custom_block = "".join(self._custom.values())
        self.needs_smtputf8 = any(needs_smtputf8(one.email) for one in (sender, *reply_to))

    def lines(self, fields: MailFields, subject: str) -> bytes:
        """Return the fields of one mail, each ending in CRLF."""
        custom = self._custom_block
        if fields.headers:
            custom = "".join({**self._custom, **_custom_lines(fields.headers)}.values())
        head = (
            _date_line(fields.date.replace(microsecond=0)),
            self._from,
            _recipients(fields),
            self._reply_to,
            subject,
            f"Message-ID: <{fields.message_id.hex}@{self._id_domain}>\r\n",
            custom,
        )
        return utf8("".join(head))


def _recipients(fields: MailFields) -> str:
    if fields.to and not fields.cc:
        return address_header("To", fields.to)
    if not fields.to and not fields.cc:
        return "To: undisclosed-recipients:;\r\n"
    to = address_header("To", fields.to) if fields.to else ""
    return to + address_header("Cc", fields.cc)


def _custom_lines(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): custom_header(name, value) for name, value in headers.items()}


@lru_cache(maxsize=256)
def _date_line(date: datetime) -> str:
    if date.tzinfo is None:
        raise ComposeError("The date of a mail needs a time zone.")
    return f"Date: {format_datetime(date)}\r\n"


def _part(subtype: str, body: EncodedText) -> tuple[bytes, ...]:
    fields = (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        f"Content-Transfer-Encoding: {body.encoding}\r\n\r\n"
    )
    return fields.encode(), body.data


def _fingerprint(source: ContentSource) -> str:
    content = f"{source.subject}\0{source.html}\0{source.text}"
    return blake2b(content.encode(errors="replace"), digest_size=12).hexdigest()
