"""Which parts of a template no context can make fail, but for want of a variable.

Most mail is names and numbers put into text. What more it does, with a filter of numbers or dates,
a comparison or a bound of a loop, may fail for one value and not for another: then only rendering
tells. This errs on one side: what is called sure cannot fail.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from liquid.ast import ConditionalBlockNode, Node
from liquid.builtin.expressions import (
    BooleanExpression,
    FilteredExpression,
    KeywordArgument,
    Literal,
    Nil,
    Path,
)
from liquid.builtin.expressions.logical import (
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank, Empty, FloatLiteral, IntegerLiteral
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode, _AnyExpression
from liquid.builtin.tags.cycle_tag import CycleNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.exceptions import LiquidError

from templates_app.engine.context import SandboxContext
from templates_app.engine.filters import FILTER_ERRORS
from templates_app.engine.limits import MAX_SEARCH_SECONDS
from templates_app.engine.nodes import LOOP_FIGURES, IsolateNode
from templates_app.engine.values import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from liquid import BoundTemplate
    from liquid.builtin.expressions import Filter, LoopExpression
    from liquid.expression import Expression

    from templates_app.engine.needs import Names

CONDITIONAL = (IfNode, UnlessNode, CaseNode, ConditionalBlockNode, MultiExpressionBlockNode)
#: True or false for any two values.
_LOGICAL = (
    BooleanExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    EqExpression,
    NeExpression,
    LeExpression,
    GeExpression,
    _AnyExpression,
)
#: Refuse to compare a number with a text.
_ORDERING = (LtExpression, GtExpression)
#: Filters that take any text or number, with the fewest and the most arguments.
_TEXT_FILTERS = {
    **dict.fromkeys(("capitalize", "downcase", "escape", "escape_once", "lstrip"), (0, 0)),
    **dict.fromkeys(("newline_to_br", "rstrip", "squish", "strip", "strip_newlines"), (0, 0)),
    **dict.fromkeys(("upcase", "url_encode"), (0, 0)),
    **dict.fromkeys(("append", "default", "prepend", "remove", "remove_first"), (1, 1)),
    **dict.fromkeys(("truncate", "truncatewords"), (1, 2)),
}
#: Their first argument is a number.
_COUNTING = ("truncate", "truncatewords")
#: In a row: a text of a context stays far below what a filter may make.
_MAX_FILTERS = 5
#: Stands for the time of sending.
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Meaning(NamedTuple):
    """What a name stands for: a path of the context, or a value of the template's own."""

    path: Names | None = None
    #: False if it may be missing though the context holds all that is read.
    is_certain: bool = True
    #: A text or number of the template's own.
    is_plain: bool = False
    #: The helper of a loop.
    is_loop: bool = False

    def member(self, names: Names) -> Meaning:
        """Return what a path that begins with the name stands for."""
        if not names or not self.is_certain:
            return self
        if self.path is not None:
            return Meaning((*self.path, *names))
        if self.is_loop and len(names) == 1 and names[0] in LOOP_FIGURES:
            return Meaning(is_plain=True)
        return UNKNOWN


UNKNOWN = Meaning(is_certain=False)
LOOP = Meaning(is_loop=True)


class Judge:
    """Tells which nodes of one template are sure; `plain_paths` says what for.

    A sure node cannot fail if each of `plain_paths` leads to a text or a number, or to nothing.
    """

    def __init__(self, template: BoundTemplate, meaning: Callable[[Path], Meaning]) -> None:
        self.plain_paths: dict[Names, None] = {}
        self._template = template
        #: Of a path at the node that is looked at.
        self._meaning = meaning
        self._trial: SandboxContext | None = None

    def is_sure(self, node: Node, enclosing: Sequence[Names | None]) -> bool:
        """Tell whether what the node itself evaluates cannot fail.

        `enclosing` holds the paths of the items of the loops around it, None for unknown ones.
        """
        if isinstance(node, ForNode):
            return self._is_sure_loop(node.expression, enclosing)
        expressions = node.expressions()
        if isinstance(node, (OutputNode, CycleNode)):
            return all(map(self.is_plain, expressions))
        if isinstance(node, CONDITIONAL):
            return all(map(self._is_sure_condition, expressions))
        if isinstance(node, (AssignNode, IsolateNode)):
            return all(map(self._is_sure_value, expressions))
        return not list(expressions)

    def is_plain(self, expression: Expression) -> bool:
        """Tell whether an expression gives a text or a number if `plain_paths` do."""
        if isinstance(expression, Path):
            found = self._meaning(expression)
            if found.path is not None and found.is_certain:
                self.plain_paths[found.path] = None
                return True
            return found.is_plain and found.is_certain
        if not isinstance(expression, FilteredExpression):
            return isinstance(expression, (Literal, Nil))
        filters = expression.filters or []
        if not any(_paths(expression)):
            return self._can_print(expression)
        return (
            len(filters) <= _MAX_FILTERS
            and self.is_plain(expression.left)
            and all(map(self._is_text_filter, filters))
        )

    def _is_text_filter(self, used: Filter) -> bool:
        arguments = [one.value for one in used.args if not isinstance(one, KeywordArgument)]
        fewest, most = _TEXT_FILTERS.get(used.name, (1, 0))
        if not fewest <= len(arguments) <= most or len(arguments) < len(used.args):
            return False
        if used.name in _COUNTING and not _is_count(arguments[0]):
            return False
        return all(map(self.is_plain, arguments))

    def _is_sure_value(self, expression: Expression) -> bool:
        """Tell whether it gives something."""
        if isinstance(expression, FilteredExpression) and not expression.filters:
            expression = expression.left
        if isinstance(expression, Path):
            return all(isinstance(part, str) for part in expression.path)
        return self.is_plain(expression)

    def _is_sure_condition(self, expression: Expression) -> bool:
        if isinstance(expression, _LOGICAL):
            return all(map(self._is_sure_condition, expression.children()))
        if isinstance(expression, _ORDERING):
            return all(map(self._is_number, expression.children()))
        if isinstance(expression, (Blank, Empty)):
            return True
        return self._is_sure_value(expression)

    def _is_number(self, expression: Expression) -> bool:
        if isinstance(expression, Path):
            parts = expression.path
            return self._meaning(Path(expression.token, parts[:1])).is_loop and (
                self._meaning(expression).is_plain
            )
        return isinstance(expression, (IntegerLiteral, FloatLiteral))

    def _is_sure_loop(self, loop: LoopExpression, enclosing: Sequence[Names | None]) -> bool:
        """Tell whether a loop has no more rounds than the context has values."""
        if any(bound is not None and not _is_count(bound) for bound in (loop.limit, loop.offset)):
            return False
        if not isinstance(loop.iterable, Path):
            return False
        found = self._meaning(loop.iterable)
        if found.path is None or not found.is_certain:
            return False
        around = enclosing[-1] if enclosing else ()
        return around is not None and found.path[: len(around)] == around

    def _can_print(self, expression: Expression) -> bool:
        """Tell whether an expression of literals can be written."""
        if self._trial is None:
            seconds = MAX_SEARCH_SECONDS
            self._trial = SandboxContext(self._template, {}, now=_SOME_TIME, seconds=seconds)
        try:
            printable(expression.evaluate(self._trial), autoescape=False)
        except (LiquidError, *FILTER_ERRORS, RecursionError):
            return False
        return True


def _is_count(expression: Expression) -> bool:
    return isinstance(expression, IntegerLiteral) and expression.value >= 0


def _paths(expression: Expression) -> Iterable[Path]:
    """Yield the paths in an expression."""
    if isinstance(expression, Path):
        yield expression
    for child in expression.children():
        yield from _paths(child)
