"""Templates compiled once and filled many times."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from time import time
from typing import TYPE_CHECKING, Any

from liquid import BoundTemplate, Environment
from liquid.builtin.content import ContentNode
from liquid.exceptions import LiquidError, LiquidInterrupt, ResourceLimitError, UndefinedError
from liquid.undefined import FalsyStrictUndefined

from templates_app.engine import filters, nodes
from templates_app.engine.analysis import prepare
from templates_app.engine.context import OutputBuffer, SandboxContext
from templates_app.engine.errors import (
    TemplateRenderProblem,
    TemplateSyntaxProblem,
    TimeUpError,
    place,
)
from templates_app.engine.hints import did_you_mean, missing, words_for
from templates_app.engine.limits import MAX_ELEMENTS, MAX_NESTING, MAX_OUTPUT_CHARS, MAX_SECONDS
from templates_app.engine.needs import missing_paths
from templates_app.engine.scan import scan
from templates_app.engine.sentences import plainly

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from liquid.token import Token

    from templates_app.engine.needs import Names

_CACHED_TEMPLATES = 512
#: Larger sources are compiled each time, so that the cache stays within some 50 MB.
_CACHED_SOURCE_CHARS = 50_000
#: They load other templates, repeat without bound, or open a second grammar.
_BANNED_TAGS = ("include", "render", "liquid", "tablerow")
#: Worked in when a template is saved.
_STORED_ONLY = ("render", "layout", "block")
_UNEXPECTED_TAG = re.compile(r"unexpected tag '(\w+)'")
_START_TAG = re.compile("<[a-zA-Z]")
#: What stays possible for odd, but plain, values.
_RENDER_ERRORS = (*filters.FILTER_ERRORS, RecursionError)


class Compiled:
    """A template ready to be filled; immutable, safe to share between threads.

    `required_paths` names what the template reads from its context, a path being a tuple of
    names in which `EACH` stands for every item of a list.
    """

    __slots__ = (
        "_needs",
        "_nodes",
        "_template",
        "html",
        "is_constant",
        "is_exact",
        "required_paths",
    )

    def __init__(self, template: BoundTemplate, *, html: bool, is_piece: bool = False) -> None:
        needs = prepare(template, is_piece=is_piece)
        self.html = html
        self.required_paths: tuple[Names, ...] = tuple(needs.paths)
        #: False if only a rendering tells whether a context will do.
        self.is_exact = needs.is_exact
        self._needs = needs.tree()
        self._template = template
        self._nodes = tuple(nodes.runs_of(template.nodes))
        #: True if the template is text without any Liquid in it.
        self.is_constant = all(isinstance(node, ContentNode) for node in template.nodes)

    def surely_takes(self, context: Mapping[str, object]) -> bool:
        """Tell, without rendering, whether nothing can fail; often it cannot be told."""
        return self.is_exact and self._needs.is_met(context)

    def render(
        self,
        context: Mapping[str, object],
        *,
        now: datetime | None = None,
        locale: str = "",
        seconds: float = MAX_SECONDS,
    ) -> str:
        """Return the filled template. Raises `TemplateRenderProblem`.

        `context` is plain data (what JSON can say). `now` is what `'now' | date` means, by default
        the present moment. Dates and numbers read as in `locale`. It may take so many `seconds`.
        """
        state = SandboxContext(
            self._template, context, now=now or _present(), locale=locale, seconds=seconds
        )
        buffer = OutputBuffer(MAX_OUTPUT_CHARS)
        node: Any = None
        try:
            for node, render in self._nodes:  # noqa: B007 - tells the place of an error below
                render(state, buffer)
        except LiquidInterrupt:
            pass  # a partial shown alone ends early
        except (LiquidError, *_RENDER_ERRORS) as error:
            raise _render_problem(error, node.token, state) from error
        return buffer.getvalue()


def compile_source(source: str, *, html: bool, is_piece: bool = False) -> Compiled:
    """Return the compiled template, from a cache if it was asked for lately.

    With `html`, every value is escaped. A layout or partial on its own `is_piece`: where its
    `break` leads is known when it is worked in. Raises `TemplateSyntaxProblem`.
    """
    if len(source) > _CACHED_SOURCE_CHARS:
        return _compile(source, html, is_piece)
    return _compile_cached(source, html, is_piece)


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
    templates: Iterable[Compiled], context: Mapping[str, object], *, locale: str = ""
) -> TemplateRenderProblem | None:
    """Return why a mail with this context could not be written, or None if it can.

    Renders only what might fail.
    """
    for template in templates:
        if template.surely_takes(context):
            continue
        try:
            template.render(context, locale=locale)
        except TemplateRenderProblem as problem:
            return problem
    return None


def _present() -> datetime:
    return datetime.fromtimestamp(time(), UTC)


def _environment(*, html: bool) -> Environment:
    environment = _SandboxEnvironment(undefined=FalsyStrictUndefined, autoescape=html)
    for name in _BANNED_TAGS:
        del environment.tags[name]
    environment.add_tag(nodes.IsolateTag)
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
_TAGS = tuple(name for name in _ENVIRONMENTS[True].tags if name.isalpha())


def _compile(source: str, html: bool, is_piece: bool) -> Compiled:  # noqa: FBT001 - a cache key
    scan(source)
    if html:
        _check_elements(source)
    try:
        template = _ENVIRONMENTS[html].from_string(source)
        return Compiled(template, html=html, is_piece=is_piece)
    except LiquidError as error:
        raise _syntax_problem(error, source) from error
    except RecursionError as error:
        raise TemplateSyntaxProblem(1, 1, "expressions are nested too deeply") from error


def _check_elements(html: str) -> None:
    if html.count("<") <= MAX_ELEMENTS:
        return
    start_tags = _START_TAG.finditer(html)
    beyond = next(islice(start_tags, MAX_ELEMENTS, None), None)
    if beyond is not None:
        message = f"more than {MAX_ELEMENTS:,} elements"
        raise TemplateSyntaxProblem(*place(html, beyond.start()), message)


_compile_cached = lru_cache(maxsize=_CACHED_TEMPLATES)(_compile)


def _syntax_problem(error: LiquidError, source: str) -> TemplateSyntaxProblem:
    message = plainly(str(error.message or "this cannot be understood"))
    if isinstance(error.__cause__, RecursionError):
        message = "expressions are nested too deeply"
    token = error.token
    index = token.start_index if token and token.start_index >= 0 else len(source)
    if unexpected := _UNEXPECTED_TAG.fullmatch(message):
        message = _about_tag(unexpected[1])
    return TemplateSyntaxProblem(*place(source, index), message)


def _about_tag(name: str) -> str:
    if name in _STORED_ONLY:
        return f"the tag '{name}' is available in stored templates only"
    if name in _BANNED_TAGS:
        return f"the tag '{name}' is not available"
    return f"unexpected tag '{name}'{did_you_mean(name, _TAGS)}"


def _render_problem(
    error: BaseException, node_token: Token, state: SandboxContext
) -> TemplateRenderProblem:
    token = getattr(error, "token", None) or node_token
    at = place(token.source, token.start_index)
    if isinstance(error, UndefinedError):
        variable = str(error.message).removesuffix(" is undefined").strip("'")
        found = missing(variable, *state.absent.get(variable, ((), ())))
        return TemplateRenderProblem(
            words_for(found), code="missing_variable", at=at, missing=found
        )
    message = plainly(str(getattr(error, "message", "") or str(error) or type(error).__name__))
    if isinstance(error, RecursionError):
        message = "expressions are nested too deeply"
    code = "template_limit" if isinstance(error, ResourceLimitError) else "template_value"
    problem = TemplateRenderProblem(message[:1].upper() + message[1:], code=code, at=at)
    problem.is_timeout = isinstance(error, TimeUpError)
    return problem
