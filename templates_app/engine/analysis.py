"""What a template needs of its context, found without rendering it.

The result errs on one side only: a path may be listed that some context does not need (it stands
in a branch not taken), so an absent path calls for a rendering to decide. Where even that cannot be
told from the source, `is_exact` is false and every context calls for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from liquid import BoundTemplate, RenderContext
from liquid.ast import ConditionalBlockNode, Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.primitive import IntegerLiteral, RangeLiteral
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.exceptions import LiquidSyntaxError

from templates_app.engine.context import BoundedRange, DirectPath
from templates_app.engine.hints import did_you_mean
from templates_app.engine.limits import MAX_RANGE
from templates_app.engine.locales import MAIL_FACTS
from templates_app.engine.nodes import IsolateNode

if TYPE_CHECKING:
    from liquid.expression import Expression

#: Stands in a path for "each item of the list".
EACH = "[]"
Names = tuple[str, ...]

_CONDITIONAL = (IfNode, UnlessNode, CaseNode, ConditionalBlockNode, MultiExpressionBlockNode)
#: What their expressions name need not be there; a partial may have a default for its argument.
_EXCUSED = (*_CONDITIONAL, IsolateNode)
_BRANCHING = (*_CONDITIONAL, ForNode)


@dataclass(slots=True)
class _Local:
    """A name bound by the template: to a path of the context, or to a value of its own."""

    path: Names | None = None
    is_certain: bool = True


@dataclass(slots=True)
class Needs:
    """Paths a template reads from its context."""

    paths: dict[Names, None] = field(default_factory=dict)
    is_exact: bool = True


def prepare(template: BoundTemplate) -> Needs:
    """Make the template's expressions safe and quick, and return what it needs.

    Changes the template in place. Raises `LiquidSyntaxError` for a filter that does not exist.
    """
    walk = _Walk(template)
    for node in template.nodes:
        walk.visit(node, {}, is_certain=True)
    return walk.needs


def missing_paths(paths: tuple[Names, ...], context: Mapping[str, object]) -> list[Names]:
    """Return those of the paths that the context does not hold."""
    return [path for path in paths if not _holds(context, path, 0)]


def _holds(value: object, path: Names, position: int) -> bool:
    for index in range(position, len(path)):
        name = path[index]
        if name == EACH:
            if type(value) is not list:
                return False
            return all(_holds(item, path, index + 1) for item in value)
        if not isinstance(value, Mapping) or name not in value:
            return index == len(path) - 1 and _has_property(value, name)
        value = value[name]
    return True


def _has_property(value: object, name: str) -> bool:
    """Tell whether liquid finds `size`, `first` or `last` on a value that does not hold it."""
    if name == "size":
        return isinstance(value, (str, list, Mapping))
    return name in {"first", "last"} and isinstance(value, list) and bool(value)


class _Walk:
    def __init__(self, template: BoundTemplate) -> None:
        self.needs = Needs()
        self.template_locals: dict[str, _Local] = {}
        self.filters = template.env.filters
        self.static_context = RenderContext(template)

    def visit(self, node: Node, scope: Mapping[str, _Local], *, is_certain: bool) -> None:
        """Look at a node and what is inside it; `scope` holds the names of enclosing loops."""
        for expression in node.expressions():
            self._secure(expression)
            if not isinstance(node, _EXCUSED):
                self._need(expression, scope)
        if isinstance(node, IsolateNode):
            self._visit_isolated(node, scope, is_certain=is_certain)
            return
        inner_scope = self._loop_scope(node, scope)
        inner_certain = is_certain and not isinstance(node, _BRANCHING)
        for child in node.children(self.static_context):
            self.visit(child, inner_scope, is_certain=inner_certain)
        if isinstance(node, (AssignNode, CaptureNode)):
            self.template_locals[str(node.name)] = _Local(is_certain=is_certain)
        else:
            for name in node.template_scope():
                self.template_locals[str(name)] = _Local()

    def _visit_isolated(
        self, node: IsolateNode, scope: Mapping[str, _Local], *, is_certain: bool
    ) -> None:
        """Look into a partial: it knows its arguments and the context only."""
        inner: dict[str, _Local] = {}
        for argument in node.arguments:
            value = argument.value
            path = self._resolve(value, scope) if isinstance(value, Path) else None
            inner[str(argument.name)] = _Local(path)
        outside, self.template_locals = self.template_locals, {}
        self.visit(node.block, inner, is_certain=is_certain)
        self.template_locals = outside

    def _loop_scope(self, node: Node, scope: Mapping[str, _Local]) -> Mapping[str, _Local]:
        if not isinstance(node, ForNode):
            return scope
        loop = node.expression
        source = self._resolve(loop.iterable, scope) if isinstance(loop.iterable, Path) else None
        item = (*source, EACH) if source else None
        return {**scope, loop.identifier: _Local(item), "forloop": _Local()}

    def _need(self, expression: Expression, scope: Mapping[str, _Local]) -> None:
        """Note the paths an expression must find."""
        if isinstance(expression, Path):
            path = self._resolve(expression, scope)
            if path is not None:
                self.needs.paths[path] = None
            return
        for part in _parts(expression):
            self._need(part, scope)

    def _resolve(self, path: Path, scope: Mapping[str, _Local]) -> Names | None:
        """Return the path seen from the context, or None if it cannot be missing or told."""
        names = [part for part in path.path if isinstance(part, str)]
        if len(names) < len(path.path):
            self.needs.is_exact = False
            return None
        root, *rest = names
        local = scope.get(root) or self.template_locals.get(root)
        if local is None and root == MAIL_FACTS:
            return None
        if local is None:
            return (root, *rest)
        if local.path is not None:
            return (*local.path, *rest)
        if not local.is_certain or (rest and root != "forloop"):
            self.needs.is_exact = False
        return None

    def _secure(self, expression: Expression) -> None:
        """Swap in the sandbox's expressions and check that all filters exist."""
        if type(expression) is Path:
            expression.__class__ = DirectPath
        elif type(expression) is RangeLiteral:
            expression.__class__ = BoundedRange
            _check_range(expression)
        for used in getattr(expression, "filters", None) or ():
            if used.name not in self.filters:
                hint = did_you_mean(used.name, self.filters)
                raise LiquidSyntaxError(f"unknown filter '{used.name}'{hint}", token=used.token)
        for child in expression.children():
            self._secure(child)


def _check_range(numbers: RangeLiteral) -> None:
    """Refuse a range whose literal bounds are too far apart; others are looked at when used."""
    start, stop = numbers.start, numbers.stop
    if isinstance(start, IntegerLiteral) and isinstance(stop, IntegerLiteral):
        count = stop.value - start.value + 1
        if count > MAX_RANGE:
            raise LiquidSyntaxError(
                f"a range has at most {MAX_RANGE:,} numbers, this one has {count:,}",
                token=numbers.token,
            )


def _parts(expression: Expression) -> Iterator[Expression]:
    """Yield the parts of an expression that must be found; `default` excuses what it follows."""
    filters = expression.filters if isinstance(expression, FilteredExpression) else None
    if filters and filters[0].name == "default" and isinstance(expression, FilteredExpression):
        for used in filters:
            yield from used.children()
        return
    yield from expression.children()
