"""What a text would read like, by the engine that sends. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.conf import settings

from mailservice.core.errors import InvalidInputError
from templates_app.engine import TemplateRenderProblem, compile_source, missing_variables
from templates_app.engine.limits import MAX_SEARCH_SECONDS, MAX_SECONDS
from templates_app.engine.locales import formatting_locale
from templates_app.engine.plain import object_fault
from templates_app.engine.schema import context_faults, inferred_schema
from templates_app.models import Kind, Template, TemplateVersion
from templates_app.personal import VARIABLES as PERSONAL_VARIABLES
from templates_app.personal import sample_links
from templates_app.rendering import (
    Bundle,
    CompiledMail,
    Finding,
    Finished,
    FinishedMail,
    FinishProblem,
    MailSource,
    PartName,
    Rendered,
    Shared,
    compile_mail,
    finish,
    lint,
    plain_bundle,
)
from templates_app.selectors import TemplateLibrary, language_of_default
from templates_app.services.sources import DraftText, cleaned, mail_source, shape_faults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

#: What a layout is shown around.
_LAYOUT_BODY = {
    "html": '{% layout "preview" %}<p>…</p>',
    "mjml": '{% layout "preview" %}<mj-section><mj-column><mj-text>…</mj-text></mj-column>'
    "</mj-section>",
}


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a preview is made."""

    #: The template's sample if not given.
    context: Mapping[str, object] | None = None
    locale: str = ""
    now: datetime | None = None
    #: Marketing mail needs a way to unsubscribe.
    is_marketing: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """A rendered text with what its author should know."""

    subject: str
    html: str
    text: str
    warnings: tuple[Finding, ...]
    #: Paths that the context seems to lack; some may be optional.
    missing: tuple[str, ...]
    #: Paths the text reads, such as `items[].name`.
    variables: tuple[str, ...]
    #: Of the context: the template's, or what the text uses.
    schema: dict[str, Any]


def preview_version(version: TemplateVersion, reader: Reader | None = None) -> Preview:
    """Render a stored text, a published one exactly as it is sent.

    Raises `InvalidInputError` naming the part with the fault, or a place in `context`.
    """
    template = version.template
    if version.published_at is None or template.kind != Kind.MAIL:
        return _preview(template, version, reader or Reader())
    mail = FinishedMail(
        version.final_subject,
        version.final_html,
        version.final_text,
        locale=version.locale or language_of_default(template),
        inlines_css=version.inlines_css,
    )
    bundles: dict[PartName, Bundle] = {
        "subject": plain_bundle(mail.subject),
        "html": plain_bundle(mail.html),
        "text": plain_bundle(mail.text),
    }
    return _shown(template, Finished(mail, version.bundled, (), bundles), reader or Reader())


def preview_source(template: Template, text: DraftText, reader: Reader | None = None) -> Preview:
    """Render a text that is not saved; a layout stands around a line, a partial alone.

    Raises as `preview_version` does.
    """
    return _preview(template, cleaned(text), reader or Reader())


def _preview(template: Template, version: TemplateVersion, reader: Reader) -> Preview:
    faults = [one for one in shape_faults(template, version) if one[1] != "required"]
    if faults:
        raise InvalidInputError.for_fields(faults)
    source = mail_source(template, version)
    published = TemplateLibrary(template.owner_id, version.locale)
    library: TemplateLibrary | _AroundLayout = published
    if template.kind == Kind.LAYOUT:
        library = _AroundLayout(template, source, published)
        source = replace(
            source,
            html=_LAYOUT_BODY[source.format] if source.html else "",
            text='{% layout "preview" %}…' if source.text else "",
            own_id="",
        )
    try:
        done = finish(source, library)
    except FinishProblem as problem:
        raise InvalidInputError.for_field(
            problem.part, problem.message, code="template_syntax"
        ) from problem
    return _shown(template, done, reader)


def _shown(template: Template, done: Finished, reader: Reader) -> Preview:
    context = template.sample if reader.context is None else reader.context
    if fault := object_fault("context", context):
        raise InvalidInputError.for_fields([fault])
    # As in mail that is sent: what the author gives under these names comes first.
    context = {**sample_links(settings.PUBLIC_URL), **context}
    if template.schema and (
        faults := context_faults(template.schema, context, given=PERSONAL_VARIABLES)
    ):
        raise InvalidInputError.for_fields(faults)
    text_language = done.mail.locale
    mail = replace(done.mail, locale=formatting_locale(text=text_language, asked=reader.locale))
    compiled = compile_mail(mail)
    rendered = _rendered(compiled, done, context, reader)
    notes = [Finding(code, "warning", message, "") for code, message in done.notes]
    found = lint(done.bundles["html"], rendered, is_marketing=reader.is_marketing)
    if template.kind != Kind.MAIL:
        found = [one for one in found if one.line]
    paths = dict.fromkeys(path for one in compiled.templates for path in one.required_paths)
    return Preview(
        subject=rendered.subject,
        html=rendered.html,
        text=rendered.text,
        warnings=(*notes, *found),
        missing=tuple(missing_variables(compiled.templates, context)),
        variables=tuple(".".join(path).replace(".[]", "[]") for path in paths),
        schema=dict(template.schema) or inferred_schema(compiled.templates),
    )


def _rendered(
    compiled: CompiledMail, done: Finished, context: Mapping[str, object], reader: Reader
) -> Rendered:
    try:
        return compiled.render(context, now=reader.now)
    except TemplateRenderProblem as problem:
        code = problem.code
        raise InvalidInputError.for_field(
            "context", _placed(problem, done, context, reader), code=code
        ) from problem


def _placed(
    problem: TemplateRenderProblem, done: Finished, context: Mapping[str, object], reader: Reader
) -> str:
    """Say where the author finds a problem: in the sources as written, not as finished."""
    # What takes too long does so in any time, in the same loop.
    seconds = MAX_SEARCH_SECONDS if problem.is_timeout else MAX_SECONDS
    for part, bundled in done.bundles.items():
        # The hidden first line stands in the HTML.
        if problem.part not in {"", part, "html" if part == "preheader" else part}:
            continue
        try:
            compile_source(bundled.source, html=part in {"html", "preheader"}).render(
                context, now=reader.now, locale=done.mail.locale, seconds=seconds
            )
        except TemplateRenderProblem as again:
            place = bundled.place_of(again.line, again.column)
            where = f" in '{place.name}'" if place.name else f" in the {part}"
            return f"{again.problem} (line {place.line}, column {place.column}{where})"
    return problem.message


class _AroundLayout:
    """A library in which the layout under work goes by the name `preview`."""

    def __init__(self, template: Template, source: MailSource, others: TemplateLibrary) -> None:
        self._layout = Shared(
            id=str(template.pk),
            name=template.slug,
            kind=Kind.LAYOUT.value,
            number=0,
            html=source.html,
            text=source.text,
            format=source.format,
        )
        self._others = others

    def find(self, name: str, kind: str) -> Shared | None:
        """Return the layout under work, or a published template."""
        if name == "preview" and kind == Kind.LAYOUT.value:
            return self._layout
        return self._others.find(name, kind)

    def names(self, kind: str) -> Sequence[str]:
        """Return the names of published ones."""
        return self._others.names(kind)
