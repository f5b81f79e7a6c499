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
from typing import TYPE_CHECKING, NamedTuple

from delivery.compose.bodies import EncodedText, encode_text, utf8
from delivery.compose.errors import ComposeError
from delivery.compose.general import mime_entity
from delivery.compose.headers import (
    address_header,
    custom_header,
    needs_smtputf8,
    text_header,
    wire_domain,
)
from delivery.compose.parts import mail_parts
from delivery.compose.plaintext import html_to_text, text_template, tidy
from delivery.compose.structure import Structure
from mailservice.core.addresses import Address, domain_of
from templates_app.engine import Compiled, compile_source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from delivery.compose.source import ContentSource, MailFields
    from providers.mail_data import MailData
    from providers.mail_parts import MailParts

_NO_CONTEXT: Mapping[str, object] = {}


class Preview(NamedTuple):
    """What a mail says, before it is encoded."""

    subject: str
    #: Empty if the mail has no HTML part.
    html: str
    text: str


class CompiledContent:
    """One content ready to be written to many recipients; immutable, safe between threads."""

    def __init__(self, source: ContentSource) -> None:
        self.source = source
        #: Starts every boundary: neither transfer encoding can produce `=_`.
        self.boundary = f"=_{_fingerprint(source)}"
        self._subject = _Subject(source)
        self._html = _Source(source.html, is_template=source.is_template, html=True)
        self._text = _text_source(source, self._html)
        self._head = _Head(source)
        self._structure = Structure(source, self.boundary)

    @property
    def templates(self) -> tuple[Compiled, ...]:
        """The compiled templates, for `first_problem` at acceptance; empty if nothing varies."""
        sources = (self._subject.source, self._html, self._text)
        return tuple(part.template for part in sources if part.template is not None)

    def compose(self, fields: MailFields) -> MailData:
        """Return the mail, 7-bit unless an address needs SMTPUTF8, the same octets every time.

        It is plain bytes unless large files go with it. Raises `ComposeError`,
        `TemplateRenderProblem` and what encoding a file raises.
        """
        html, text = self._encoded_bodies(fields)
        structure = self._structure
        parts = [
            self._head.lines(fields, self._subject.line(fields)),
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
        head = self._head.lines(fields, self._subject.line(fields))
        files = self.source.attachments
        return head + mime_entity(
            html if self.source.html else None, text, files, boundary=self.boundary
        )

    def parts(self, fields: MailFields) -> MailParts:
        """Return the same mail unwritten, refusing what `compose` refuses.

        Raises `ComposeError`, `TemplateRenderProblem` and what encoding a file raises.
        """
        html, text = self._bodies(fields)
        self._head.lines(fields, self._subject.line(fields))
        subject = self._subject.text(fields.context, fields.date)
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
        return self._subject.text(context, now)

    def render_preview(self, fields: MailFields) -> Preview:
        """Return subject and bodies as `compose` would encode them."""
        html, text = self._bodies(fields)
        return Preview(self._subject.text(fields.context, fields.date), html, text)

    def _bodies(self, fields: MailFields) -> tuple[str, str]:
        html = self._html.fill(fields.context, fields.date)
        if self._text.is_derived:
            return html, html_to_text(html)
        text = self._text.fill(fields.context, fields.date)
        return html, tidy(text) if self._text.is_made else text

    def _encoded_bodies(self, fields: MailFields) -> tuple[EncodedText | None, EncodedText]:
        if self._html.encoded and self._text.encoded:
            return (self._html.encoded if self.source.html else None), self._text.encoded
        html, text = self._bodies(fields)
        encoded_html = self._html.encoded or encode_text(html)
        encoded_text = self._text.encoded or encode_text(text)
        return (encoded_html if self.source.html else None), encoded_text


def compile_content(source: ContentSource) -> CompiledContent:
    """Return the content ready for use. Raises `TemplateSyntaxProblem` and `ComposeError`."""
    return CompiledContent(source)


class _Source:
    """A subject or body: constant (then also encoded), or a template to fill."""

    def __init__(
        self, source: str | Compiled, *, is_template: bool, html: bool, is_made: bool = False
    ) -> None:
        self.template: Compiled | None = None
        self.constant = ""
        self.encoded: EncodedText | None = None
        #: Made from the HTML source once, as a template of its own.
        self.is_made = is_made
        #: To be made from each rendered HTML.
        self.is_derived = False
        if isinstance(source, str) and is_template:
            source = compile_source(source, html=html)
        if isinstance(source, str):
            self._fix(source)
        elif source.is_constant:
            self._fix(source.render(_NO_CONTEXT))
        else:
            self.template = source

    def fill(self, context: Mapping[str, object] | None, now: datetime | None) -> str:
        """Return the text for a context."""
        if self.template is None:
            return self.constant
        return self.template.render(context or _NO_CONTEXT, now=now)

    def _fix(self, text: str) -> None:
        self.constant = text
        self.encoded = encode_text(text)


def _text_source(source: ContentSource, html: _Source) -> _Source:
    """Return the plain-text part: as given, or made from the HTML."""
    if source.text or not source.html:
        return _Source(source.text, is_template=source.is_template, html=False)
    if html.template is None:
        return _Source(html_to_text(html.constant), is_template=False, html=False)
    template = text_template(source.html)
    if template is not None:
        return _Source(template, is_template=True, html=False, is_made=True)
    derived = _Source("", is_template=False, html=False)
    derived.encoded = None
    derived.is_derived = True
    return derived


class _Subject:
    """The subject: its line is kept if it is the same for all."""

    def __init__(self, source: ContentSource) -> None:
        subject = source.subject
        if source.is_template:
            # Line ends of the source are layout; those in a value are refused.
            subject = " ".join(subject.splitlines())
        self.source = _Source(subject, is_template=source.is_template, html=False)
        self._line = None
        if self.source.template is None:
            self._line = text_header("Subject", self.source.constant)

    def text(self, context: Mapping[str, object] | None, now: datetime | None) -> str:
        """Return the subject for a context."""
        return self.source.fill(context, now).strip(" ")

    def line(self, fields: MailFields) -> str:
        """Return the header line. Raises `ComposeError` for a line break in a value."""
        return self._line or text_header("Subject", self.text(fields.context, fields.date))


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
