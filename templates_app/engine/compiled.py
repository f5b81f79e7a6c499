"""Templates compiled once and filled many times."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from time import time
from typing import TYPE_CHECKING, Any

from liquid import BoundTemplate, Environment
from liquid.builtin.content import ContentNode
from liquid.exceptions import LiquidError, LiquidInterrupt, ResourceLimitError, UndefinedError
from liquid.undefined import FalsyStrictUndefined

from templates_app.engine import filters, nodes
from templates_app.engine.analysis import Names, missing_paths, prepare
from templates_app.engine.context import OutputBuffer, SandboxContext
from templates_app.engine.errors import TemplateRenderProblem, TemplateSyntaxProblem
from templates_app.engine.limits import MAX_NESTING, MAX_OUTPUT_CHARS, MAX_SOURCE_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from liquid.ast import Node
    from liquid.token import Token

_CACHED_TEMPLATES = 512
#: Larger sources are compiled each time, so that the cache stays within some 50 MB.
_CACHED_SOURCE_CHARS = 50_000
#: They load other templates, repeat without bound, or open a second grammar.
_BANNED_TAGS = ("include", "render", "liquid", "tablerow")
#: What stays possible for odd, but plain, values.
_RENDER_ERRORS = (*filters.FILTER_ERRORS, RecursionError)


class Compiled:
    """A template ready to be filled; immutable, safe to share between threads.

    `required_paths` names what the template reads from its context, a path being a tuple of
    names in which `EACH` stands for every item of a list. `literals` is set when the
    template is text with `{{ … }}` in it and nothing else: the pieces of text around the outputs,
    always one more than `values` gives.
    """

    __slots__ = (
        "_nodes",
        "_outputs",
        "_template",
        "html",
        "is_exact",
        "literals",
        "required_paths",
    )

    def __init__(self, template: BoundTemplate, *, html: bool) -> None:
        needs = prepare(template)
        self.html = html
        self.required_paths: tuple[Names, ...] = tuple(needs.paths)
        #: False if even a context that holds all `required_paths` may lack something.
        self.is_exact = needs.is_exact
        self._template = template
        self._nodes: tuple[tuple[Node, nodes.Run], ...] = tuple(
            (node, node.render) for node in template.nodes
        )
        self.literals, self._outputs = _slots(template)

    @property
    def is_constant(self) -> bool:
        """True if the template is text without any Liquid in it."""
        return self.literals is not None and len(self.literals) == 1

    def render(self, context: Mapping[str, object], *, now: datetime | None = None) -> str:
        """Return the filled template. Raises `TemplateRenderProblem`.

        `context` is plain data (what JSON can say). `now` is what `'now' | date` means, by default
        the present moment.
        """
        state = SandboxContext(self._template, context, now=now or _present())
        buffer = OutputBuffer(MAX_OUTPUT_CHARS)
        node: Any = None
        try:
            for node, render in self._nodes:  # noqa: B007 - tells the place of an error below
                render(state, buffer)
        except (LiquidError, LiquidInterrupt, *_RENDER_ERRORS) as error:
            raise _render_problem(error, node.token) from error
        return buffer.getvalue()

    def values(self, context: Mapping[str, object], *, now: datetime | None = None) -> list[str]:
        """Return the texts of the outputs of a template that has `literals`, in order.

        Joined with the literals they are what `render` gives. Raises `TemplateRenderProblem`.
        """
        state = SandboxContext(self._template, context, now=now or _present())
        node: Any = None
        try:
            texts = []
            for node in self._outputs:
                texts.append(node.text(state))
        except (LiquidError, *_RENDER_ERRORS) as error:
            raise _render_problem(error, node.token) from error
        if sum(map(len, texts)) + sum(map(len, self.literals or ())) > MAX_OUTPUT_CHARS:
            raise TemplateRenderProblem("The template writes too much.", code="template_limit")
        return texts


def compile_source(source: str, *, html: bool) -> Compiled:
    """Return the compiled template, from a cache if it was asked for lately.

    With `html`, every value is escaped. Raises `TemplateSyntaxProblem`.
    """
    if len(source) > _CACHED_SOURCE_CHARS:
        return _compile(source, html)
    return _compile_cached(source, html)


def missing_variables(templates: Iterable[Compiled], context: Mapping[str, object]) -> list[str]:
    """Return the paths (`order.total`, `items[].name`) that the context seems to lack.

    Cheap, and cautious: a path may be optional (in a branch not taken). `first_problem` decides.
    """
    found: dict[str, None] = {}
    for template in templates:
        for path in missing_paths(template.required_paths, context):
            found[".".join(path).replace(".[]", "[]")] = None
    return list(found)


def first_problem(
    templates: Iterable[Compiled], context: Mapping[str, object]
) -> TemplateRenderProblem | None:
    """Return why a mail with this context could not be written, or None if no variable is missing.

    Renders only what seems to lack a variable.
    """
    for template in templates:
        if template.is_exact and not missing_paths(template.required_paths, context):
            continue
        try:
            template.render(context)
        except TemplateRenderProblem as problem:
            return problem
    return None


def _present() -> datetime:
    return datetime.fromtimestamp(time(), UTC)


def _environment(*, html: bool) -> Environment:
    environment = _SandboxEnvironment(undefined=FalsyStrictUndefined, autoescape=html)
    for name in _BANNED_TAGS:
        del environment.tags[name]
    filters.install(environment)
    return environment


class _SandboxEnvironment(Environment):
    block_nesting_limit = MAX_NESTING
    context_depth_limit = MAX_NESTING

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Use our nodes for the tags that have one."""
        super().setup_tags_and_filters(extra=extra)
        for name, node_class in (
            ("content", nodes.FastContentNode),
            ("output", nodes.FastOutputNode),
            ("echo", nodes.FastEchoNode),
            ("cycle", nodes.FastCycleNode),
            ("if", nodes.FastIfNode),
            ("for", nodes.FastForNode),
        ):
            self.tags[name].node_class = node_class  # type: ignore[attr-defined]  # each has one


# Tags are looked up and filters bound when a template is parsed; both never change afterwards.
_ENVIRONMENTS = {html: _environment(html=html) for html in (False, True)}


def _compile(source: str, html: bool) -> Compiled:  # noqa: FBT001 - half of a cache key
    if len(source) > MAX_SOURCE_CHARS:
        raise TemplateSyntaxProblem(1, 1, f"a template has at most {MAX_SOURCE_CHARS:,} characters")
    try:
        return Compiled(_ENVIRONMENTS[html].from_string(source), html=html)
    except LiquidError as error:
        raise _syntax_problem(error, source) from error
    except RecursionError as error:
        raise TemplateSyntaxProblem(1, 1, "expressions are nested too deeply") from error


_compile_cached = lru_cache(maxsize=_CACHED_TEMPLATES)(_compile)


def _slots(
    template: BoundTemplate,
) -> tuple[tuple[str, ...] | None, tuple[nodes.FastOutputNode, ...]]:
    """Split a template of text and outputs into both; None if there is anything else in it."""
    literals = [""]
    outputs = []
    for node in template.nodes:
        if isinstance(node, ContentNode):
            literals[-1] += node.text
        elif isinstance(node, nodes.FastOutputNode):
            outputs.append(node)
            literals.append("")
        else:
            return None, ()
    return tuple(literals), tuple(outputs)


def _syntax_problem(error: LiquidError, source: str) -> TemplateSyntaxProblem:
    message = str(error.message or "this cannot be understood")
    if isinstance(error.__cause__, RecursionError):
        message = "expressions are nested too deeply"
    token = error.token
    index = token.start_index if token and token.start_index >= 0 else len(source)
    index = min(index, len(source))
    line = source.count("\n", 0, index) + 1
    column = index - (source.rfind("\n", 0, index) + 1) + 1
    for name in _BANNED_TAGS:
        if message == f"unexpected tag '{name}'":
            message = f"the tag '{name}' is not available"
    return TemplateSyntaxProblem(line, column, message)


def _render_problem(error: BaseException, node_token: Token) -> TemplateRenderProblem:
    token = getattr(error, "token", None) or node_token
    line = token.source.count("\n", 0, max(token.start_index, 0)) + 1
    if isinstance(error, UndefinedError):
        variable = str(error.message).removesuffix(" is undefined").strip("'")
        return TemplateRenderProblem(
            f"The variable '{variable}' is missing",
            code="missing_variable",
            variable=variable,
            line=line,
        )
    message = str(getattr(error, "message", "") or str(error) or type(error).__name__)
    if isinstance(error, LiquidInterrupt):
        message = f"'{error}' stands outside a loop"
    if isinstance(error, RecursionError):
        message = "expressions are nested too deeply"
    code = "template_limit" if isinstance(error, ResourceLimitError) else "template_value"
    return TemplateRenderProblem(message[:1].upper() + message[1:], code=code, line=line)
