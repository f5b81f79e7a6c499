"""What a template needs of its context, found without rendering it.

The result errs on one side only: a path may be listed that some context does not need (it stands
in a branch not taken), so an absent path calls for a rendering to decide, as does a value that is
no text or number where one is written. Where even that cannot be told from the source, `is_exact`
is false and every context calls for one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from liquid import BoundTemplate, RenderContext
from liquid.builtin.expressions import FilteredExpression, Literal, Path
from liquid.builtin.expressions.primitive import IntegerLiteral, RangeLiteral
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.for_tag import BreakNode, ContinueNode, ForNode
from liquid.exceptions import LiquidSyntaxError

from templates_app.engine.certainty import CONDITIONAL, LOOP, UNKNOWN, Judge, Meaning
from templates_app.engine.context import BoundedRange, DirectPath
from templates_app.engine.hints import did_you_mean
from templates_app.engine.limits import MAX_RANGE
from templates_app.engine.locales import FACT_NAMES, MAIL_FACTS
from templates_app.engine.needs import EACH, Names, Need, needs_of
from templates_app.engine.nodes import IsolateNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from liquid.ast import Node
    from liquid.expression import Expression

#: What their expressions name need not be there; a partial may have a default for its argument.
_EXCUSED = (*CONDITIONAL, IsolateNode)
_BRANCHING = (*CONDITIONAL, ForNode)
#: Longer paths are left to a rendering, which has bounds of its own.
_MAX_PATH = 40
_INTERRUPTS = (BreakNode, ContinueNode)


@dataclass(slots=True)
class Needs:
    """What a template reads from its context."""

    paths: dict[Names, None] = field(default_factory=dict)
    plain_paths: dict[Names, None] = field(default_factory=dict)
    is_exact: bool = True
    #: True if it reads what the mail knows of itself, which a context may hide.
    reads_facts: bool = False

    def tree(self) -> Need:
        """Return what the context must be so that nothing can fail, if `is_exact`."""
        unwanted = MAIL_FACTS if self.reads_facts else ""
        return needs_of(self.paths, self.plain_paths, unwanted=unwanted)


def prepare(template: BoundTemplate, *, is_piece: bool = False) -> Needs:
    """Make the template's expressions safe and quick, and return what it needs.

    A `break` that stands outside a loop ends a partial (`is_piece`), and has no meaning elsewhere.
    Changes the template in place. Raises `LiquidSyntaxError`, too for a filter that does not exist.
    """
    walk = _Walk(template, is_piece=is_piece)
    for node in template.nodes:
        walk.visit(node, {}, is_certain=True)
    needs = walk.needs
    needs.plain_paths = walk.judge.plain_paths
    needs.is_exact &= all(len(path) <= _MAX_PATH for path in (*needs.paths, *needs.plain_paths))
    return needs


class _Walk:
    def __init__(self, template: BoundTemplate, *, is_piece: bool) -> None:
        self.needs = Needs()
        self.filters = template.env.filters
        self.static_context = RenderContext(template)
        self.judge = Judge(template, self._meaning)
        #: Names of enclosing loops and partials, and those the template has assigned.
        self.scope: Mapping[str, Meaning] = {}
        self.assigned: dict[str, Meaning] = {}
        #: Paths of the items of enclosing loops, and the names assigned in one of them.
        self.loops: list[Names | None] = []
        self.looped: set[str] = set()
        self.may_break = is_piece

    def visit(self, node: Node, scope: Mapping[str, Meaning], *, is_certain: bool) -> None:
        """Look at a node and what is inside it; `scope` holds the names of enclosing loops."""
        self.scope = scope
        if isinstance(node, _INTERRUPTS) and not (self.loops or self.may_break):
            name = "break" if isinstance(node, BreakNode) else "continue"
            raise LiquidSyntaxError(f"'{name}' stands outside a loop", token=node.token)
        for expression in node.expressions():
            self._secure(expression)
            if not isinstance(node, _EXCUSED):
                self._need(expression)
        if self.needs.is_exact:
            self.needs.is_exact = self.judge.is_sure(node, self.loops)
        if isinstance(node, IsolateNode):
            self._visit_isolated(node, is_certain=is_certain)
        elif isinstance(node, ForNode):
            self._visit_loop(node, scope)
        else:
            inner_certain = is_certain and not isinstance(node, _BRANCHING)
            for child in node.children(self.static_context):
                self.visit(child, scope, is_certain=inner_certain)
        self.scope = scope
        self._note_names(node, is_certain=is_certain)

    def _visit_isolated(self, node: IsolateNode, *, is_certain: bool) -> None:
        """Look into a partial: it knows its arguments and the context only."""
        inner: dict[str, Meaning] = {}
        for argument in node.arguments:
            inner[str(argument.name)] = (
                self._meaning(argument.value)
                if isinstance(argument.value, Path)
                else Meaning(is_plain=isinstance(argument.value, Literal))
            )
        outside = self.assigned, self.may_break
        self.assigned, self.may_break = {}, True
        self.visit(node.block, inner, is_certain=is_certain)
        self.assigned, self.may_break = outside

    def _visit_loop(self, node: ForNode, scope: Mapping[str, Meaning]) -> None:
        loop = node.expression
        source = self._meaning(loop.iterable) if isinstance(loop.iterable, Path) else UNKNOWN
        item = UNKNOWN if source.path is None else source.member((EACH,))
        if not self.loops:
            self.looped = set(self._assigned_in(node.block))
        self.loops.append(item.path)
        inner = {**scope, str(loop.identifier): item, "forloop": LOOP}
        self.visit(node.block, inner, is_certain=False)
        self.loops.pop()
        if not self.loops:
            self.looped = set()
        if node.default:
            self.visit(node.default, scope, is_certain=False)

    def _assigned_in(self, node: Node) -> Iterator[str]:
        """Yield the names assigned in a node: in a loop they hold from one round to the next."""
        yield from map(str, node.template_scope())
        for child in node.children(self.static_context):
            yield from self._assigned_in(child)

    def _note_names(self, node: Node, *, is_certain: bool) -> None:
        """Note what the node assigns."""
        for name in node.template_scope():
            meaning = Meaning(is_plain=self._is_plain(node)) if is_certain else UNKNOWN
            self.assigned[str(name)] = meaning

    def _is_plain(self, node: Node) -> bool:
        """Tell whether what a node assigns is a text or a number."""
        if not isinstance(node, AssignNode):
            # A counter is hidden by a variable of the context.
            return isinstance(node, CaptureNode)
        expression = node.expression
        if isinstance(expression, FilteredExpression) and not expression.filters:
            return isinstance(expression.left, Literal)
        return self.needs.is_exact and self.judge.is_plain(expression)

    def _need(self, expression: Expression) -> None:
        """Note the paths an expression must find."""
        if not isinstance(expression, Path):
            for part in _parts(expression):
                self._need(part)
            return
        found = self._meaning(expression)
        if found.path is not None:
            self.needs.paths[found.path] = None
        if not found.is_certain:
            self.needs.is_exact = False

    def _meaning(self, path: Path) -> Meaning:
        """Return what a path means at the node that is looked at."""
        names = tuple(part for part in path.path if isinstance(part, str))
        if len(names) < len(path.path) or EACH in names:
            return UNKNOWN
        root, rest = names[0], names[1:]
        found = self.scope.get(root) or self.assigned.get(root)
        if found is None and root == MAIL_FACTS:
            self.needs.reads_facts = True
            return Meaning(is_plain=True) if len(rest) == 1 and rest[0] in FACT_NAMES else UNKNOWN
        found = (found or Meaning((root,))).member(rest)
        return Meaning(found.path, is_certain=False) if root in self.looped else found

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
