"""What accepted mail says: inline, or the frozen text of a template; and which contexts fit it."""

from __future__ import annotations

from time import thread_time
from typing import TYPE_CHECKING, Any

from delivery.unsubscribing import STAND_INS, VARIABLES
from mailservice.core.errors import InvalidInputError
from mailservice.core.headers import UNSAFE_IN_HEADER
from mailservice.core.sealed import SEALED
from templates_app.engine import Compiled, TemplateSyntaxProblem, compile_source, first_problem
from templates_app.engine.schema import context_faults
from templates_app.selectors import published_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from delivery.intake import MessageInput


#: What one request may spend on compiling templates and trying contexts; an ordinary batch of a
#: thousand takes some hundredths of a second.
MAX_CPU_SECONDS = 5.0


def template_fault(owner_id: UUID, name: str) -> str | None:
    """Return why an owner's mail cannot be written with a template, None if it can."""
    try:
        published_text(name=name, user_id=owner_id)
    except InvalidInputError as error:
        return str(error.details["template"][0]["message"])
    return None


class Patience:
    """The CPU time of this thread that one request may spend on its templates.

    Each template and each rendering has bounds of its own, but a batch may have a thousand of them.
    """

    def __init__(self) -> None:
        self._ends_at = thread_time() + MAX_CPU_SECONDS

    def require(self, message: MessageInput) -> None:
        """Raise `InvalidInputError` if there is no time left for a message with a template."""
        if message.context is None and message.template is None:
            return
        if thread_time() > self._ends_at:
            raise InvalidInputError.for_field(
                "template" if message.template else "html" if message.html else "text",
                "Checking the templates before this one has taken too long: send this message "
                "with another request.",
                code="template_limit",
            )


def source_of_message(
    message: MessageInput, *, user_id: UUID
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return columns of the content row for what the mail says, and the schema of its context.

    Raises `InvalidInputError` for the field `template`.
    """
    if message.template is None:
        inline = {
            "subject": message.subject,
            "html": message.html,
            "text": message.text,
            "is_template": message.context is not None,
            "locale": message.locale,
            "inlines_css": False,
            "template_version_id": None,
        }
        return inline, {}
    text = published_text(name=message.template, user_id=user_id, locale=message.locale)
    frozen = {
        "subject": message.subject or text.subject,
        "html": text.html,
        "text": text.text,
        "is_template": True,
        "locale": text.locale,
        "inlines_css": text.inlines_css,
        "template_version_id": text.version_id,
    }
    return frozen, text.schema


def compiled_source(source: Mapping[str, Any]) -> dict[str, Compiled]:
    """Compile subject and bodies. Raises `InvalidInputError` for the field with the fault."""
    if not source["is_template"]:
        return {}
    compiled = {}
    for name in ("subject", "html", "text"):
        if not source[name]:
            continue
        # As when it is written: line ends of the source are layout.
        text = " ".join(source[name].splitlines()) if name == "subject" else source[name]
        try:
            compiled[name] = compile_source(text, html=name == "html")
        except TemplateSyntaxProblem as problem:
            raise InvalidInputError.for_field(
                name, problem.message, code="template_syntax"
            ) from None
    return compiled


def check_context(
    message: MessageInput,
    *,
    compiled: Mapping[str, Compiled],
    schema: Mapping[str, Any],
    locale: str,
    has_links: bool = False,
) -> None:
    """Refuse a context that the mail could not be written with.

    A mail that `has_links` gets the personal variables without the sender's doing.

    Raises `InvalidInputError` for the place in `context`.
    """
    context = message.context or {}
    # What an application itself calls sealed is a value like any other.
    hidden = context[SEALED] if SEALED in message.given_names else ()
    given = {*message.given_names, *(VARIABLES if has_links else ())}
    context = {**STAND_INS, **context} if has_links else context
    if schema and (faults := context_faults(schema, context, given=given, hidden=hidden)):
        raise InvalidInputError.for_fields(faults)
    problem = _unwritable(compiled, context, locale)
    if problem:
        raise InvalidInputError.for_field("context", problem, code="template_render")


def _unwritable(
    compiled: Mapping[str, Compiled], context: Mapping[str, object], locale: str
) -> str:
    """Return why the mail cannot be written with the context, empty if it can."""
    problem = first_problem(compiled.values(), context, locale=locale)
    if problem is not None:
        return problem.message
    subject = compiled.get("subject")
    if subject is None or subject.is_constant:
        return ""
    # It becomes a header, in which a value could begin another one.
    if UNSAFE_IN_HEADER.search(subject.render(context, locale=locale)):
        return "With these values the subject holds a line break or control character."
    return ""
