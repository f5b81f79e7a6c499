"""From a finished mail and a context to what is sent: the one way for previews and for sending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from templates_app.engine import Compiled, TemplateRenderProblem, compile_source
from templates_app.rendering.inlining import inline_filled
from templates_app.rendering.plaintext import html_to_text, text_template, tidy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from templates_app.rendering.pieces import PartName

_NO_CONTEXT: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class FinishedMail:
    """Subject and bodies that need nothing but a context."""

    subject: str
    #: Empty if absent; one of `html` and `text` may be absent, a text part is made from HTML.
    html: str = ""
    text: str = ""
    #: False for plain strings, in which `{{` is nothing special.
    is_template: bool = True
    #: How dates and numbers read, and what `mail.locale` says.
    locale: str = ""
    #: CSS rules are written into the elements of each filled HTML.
    inlines_css: bool = False
    #: A partial shown alone: a `break` may end it.
    is_piece: bool = False


class Rendered(NamedTuple):
    """What a mail says, before it is encoded."""

    subject: str
    #: Empty if the mail has no HTML part.
    html: str
    text: str


class Part:
    """A subject or body: `constant`, or a template to fill."""

    __slots__ = ("constant", "is_derived", "is_made", "locale", "name", "template")

    def __init__(
        self,
        name: PartName,
        source: str | Compiled,
        *,
        is_template: bool,
        locale: str = "",
        is_piece: bool = False,
    ) -> None:
        self.name = name
        self.template: Compiled | None = None
        self.constant = ""
        self.locale = locale
        #: Made from the HTML source once, as a template of its own.
        self.is_made = False
        #: To be made from each rendered HTML.
        self.is_derived = False
        if isinstance(source, str):
            if not is_template:
                self.constant = source
                return
            source = compile_source(source, html=name == "html", is_piece=is_piece)
        if source.is_constant:
            self.constant = source.render(_NO_CONTEXT)
        else:
            self.template = source

    @property
    def is_constant(self) -> bool:
        """True if it reads the same in every mail."""
        return self.template is None and not self.is_derived

    def fill(self, context: Mapping[str, object] | None, now: datetime | None) -> str:
        """Return the text for a context. Raises `TemplateRenderProblem`."""
        if self.template is None:
            return self.constant
        try:
            return self.template.render(context or _NO_CONTEXT, now=now, locale=self.locale)
        except TemplateRenderProblem as problem:
            problem.part = "html" if self.is_made else self.name
            raise


class CompiledMail:
    """A finished mail ready to be filled; immutable, safe to share between threads."""

    def __init__(self, mail: FinishedMail) -> None:
        self.mail = mail
        subject = mail.subject
        if mail.is_template:
            # Line ends of the source are layout; those in a value are refused when composing.
            subject = " ".join(subject.splitlines())
        self.subject = _written("subject", subject, mail)
        self.html = _written("html", mail.html, mail)
        if self.html.is_constant and mail.inlines_css:
            self.html.constant = inline_filled(self.html.constant)
        self.text = _text_part(mail, self.html)

    @property
    def templates(self) -> tuple[Compiled, ...]:
        """The compiled templates, for `first_problem` at acceptance; empty if nothing varies."""
        parts = (self.subject, self.html, self.text)
        return tuple(part.template for part in parts if part.template is not None)

    def render(
        self, context: Mapping[str, object] | None, *, now: datetime | None = None
    ) -> Rendered:
        """Return the filled mail. Raises `TemplateRenderProblem`."""
        return Rendered(
            self.render_subject(context, now=now), *self.render_bodies(context, now=now)
        )

    def render_subject(
        self, context: Mapping[str, object] | None, *, now: datetime | None = None
    ) -> str:
        """Return the filled subject. Raises `TemplateRenderProblem`."""
        return self.subject.fill(context, now).strip(" ")

    def render_bodies(
        self, context: Mapping[str, object] | None, *, now: datetime | None = None
    ) -> tuple[str, str]:
        """Return the filled HTML and text. Raises `TemplateRenderProblem`."""
        html = self.html.fill(context, now)
        if self.mail.inlines_css and self.html.template is not None:
            html = inline_filled(html)
        if self.text.is_derived:
            return html, html_to_text(html)
        text = self.text.fill(context, now)
        return html, tidy(text) if self.text.is_made else text


def compile_mail(mail: FinishedMail) -> CompiledMail:
    """Return the mail ready to be filled. Raises `TemplateSyntaxProblem`."""
    return CompiledMail(mail)


def render(
    mail: FinishedMail, context: Mapping[str, object] | None, *, now: datetime | None = None
) -> Rendered:
    """Return the filled mail. Raises `TemplateSyntaxProblem` and `TemplateRenderProblem`."""
    return compile_mail(mail).render(context, now=now)


def _written(name: PartName, source: str, mail: FinishedMail) -> Part:
    """Return a part that its author wrote."""
    return Part(
        name, source, is_template=mail.is_template, locale=mail.locale, is_piece=mail.is_piece
    )


def _text_part(mail: FinishedMail, html: Part) -> Part:
    """Return the plain-text part: as given, or made from the HTML."""
    if mail.text or not mail.html:
        return _written("text", mail.text, mail)
    if html.is_constant:
        return Part("text", html_to_text(html.constant), is_template=False)
    template = text_template(mail.html)
    if template is not None:
        part = Part("text", template, is_template=True, locale=mail.locale)
        part.is_made = True
        return part
    derived = Part("text", "", is_template=False)
    derived.is_derived = True
    return derived
