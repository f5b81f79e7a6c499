"""Nodes for the common tags that render in a fraction of the time of liquid's own.

Each is liquid's node with the same meaning; what differs is that blocks are run from a prepared
list, values take a short way to text, and the bounds of the sandbox are looked at. Blocks that hold
white space only keep liquid's way: their output is dropped.

Every `render` narrows the context and the buffer to ours, as no others are ever passed; hence the
ignored overrides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, KeywordArgument, LoopExpression
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.cycle_tag import CycleNode
from liquid.builtin.tags.echo_tag import EchoNode
from liquid.builtin.tags.for_tag import ForLoop, ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.exceptions import BreakLoop, ContinueLoop, LiquidError, LiquidInterrupt
from liquid.parser import get_parser
from liquid.tag import Tag
from liquid.token import TOKEN_EXPRESSION, TOKEN_TAG
from markupsafe import Markup, escape

from templates_app.engine.limits import ITEMS_PER_WORK
from templates_app.engine.values import check_weight, needs_escape, printable

if TYPE_CHECKING:
    from liquid import RenderContext, TokenStream
    from liquid.ast import BlockNode, ConditionalBlockNode
    from liquid.expression import Expression
    from liquid.token import Token

    from templates_app.engine.context import OutputBuffer, SandboxContext

Run = Callable[..., int]

#: Of `forloop`; what says true or false can be compared with a number, too.
LOOP_FIGURES = ("index", "index0", "rindex", "rindex0", "length", "first", "last")


class FastContentNode(ContentNode):
    """Literal text."""

    __slots__ = ()

    def render(self, context: SandboxContext, buffer: OutputBuffer) -> int:  # type: ignore[override]  # noqa: ARG002  # narrower arguments on purpose
        """Write the text."""
        return buffer.write(self.text)


class FastOutputNode(OutputNode):
    """`{{ … }}`."""

    __slots__ = ()

    def __init__(self, token: Token, expression: Expression) -> None:
        if type(expression) is FilteredExpression and not expression.filters:
            expression = expression.left
        super().__init__(token, expression)

    def text(self, context: SandboxContext) -> str:
        """Return what the node writes."""
        value = self.expression.evaluate(context)
        if type(value) is str:
            if context.autoescape and needs_escape(value):
                return str(escape(value))
            return value
        if type(value) is int or type(value) is Markup:
            return str(value)
        return _printed(value, context, self.token)

    def render(self, context: SandboxContext, buffer: OutputBuffer) -> int:  # type: ignore[override]  # narrower arguments on purpose
        """Write the text."""
        return buffer.write(self.text(context))


class FastEchoNode(FastOutputNode, EchoNode):
    """`{% echo … %}`."""

    __slots__ = ()


class FastCycleNode(CycleNode):
    """`{% cycle … %}` of values that can be printed."""

    __slots__ = ()

    def render_to_output(self, context: SandboxContext, buffer: OutputBuffer) -> int:  # type: ignore[override]  # narrower arguments on purpose
        """Write the next value of the cycle."""
        texts = [
            _printed(argument.evaluate(context), context, self.token) for argument in self.args
        ]
        group = _printed(self.group.evaluate(context), context, self.token) if self.group else ""
        return buffer.write(texts[context.cycle(group or str(texts), len(texts))])


class FastIfNode(IfNode):
    """`{% if … %}`."""

    __slots__ = ("branches", "otherwise")

    def __init__(
        self,
        token: Token,
        condition: Expression,
        consequence: BlockNode,
        alternatives: list[ConditionalBlockNode],
        default: BlockNode | None,
    ) -> None:
        super().__init__(token, condition, consequence, alternatives, default)
        self.branches = [
            (self.condition, runner(self.consequence)),
            *((branch.expression, runner(branch.block)) for branch in self.alternatives),
        ]
        self.otherwise = runner(self.default) if self.default else None

    def render(self, context: SandboxContext, buffer: OutputBuffer) -> int:  # type: ignore[override]  # narrower arguments on purpose
        """Run the first branch whose condition holds."""
        # A condition may compare long texts or lists.
        context.check_time()
        for condition, run in self.branches:
            if condition.evaluate(context):
                return run(context, buffer)
        return self.otherwise(context, buffer) if self.otherwise else 0


class FastForNode(ForNode):
    """`{% for … %}`."""

    __slots__ = ("item_name", "loop_name", "otherwise", "run")

    def __init__(
        self,
        token: Token,
        expression: LoopExpression,
        block: BlockNode,
        default: BlockNode | None = None,
    ) -> None:
        super().__init__(token, expression, block, default)
        # A plain str: liquid's own kind compares in Python each time it is looked up.
        self.item_name = str(expression.identifier)
        self.loop_name = f"{self.expression.identifier}-{self.expression.iterable}"
        self.run = runner(self.block)
        self.otherwise = runner(self.default) if self.default else None

    def render(self, context: SandboxContext, buffer: OutputBuffer) -> int:  # type: ignore[override]  # narrower arguments on purpose
        """Run the block for every item."""
        items, length = self.expression.evaluate(context)
        if not length:
            return self.otherwise(context, buffer) if self.otherwise else 0
        loop = ForLoop(self.loop_name, items, length, context.parentloop())
        namespace: dict[str, object] = {"forloop": loop, self.item_name: None}
        context.enter_loop(namespace, loop)
        try:
            self._rounds(context, buffer, namespace)
        finally:
            context.leave_loop()
        return 1

    def _rounds(
        self, context: SandboxContext, buffer: OutputBuffer, namespace: dict[str, object]
    ) -> None:
        name = self.item_name
        run = self.run
        loop: Any = namespace["forloop"]
        for item in loop:
            namespace[name] = item
            context.check_time()
            try:
                run(context, buffer)
            except ContinueLoop:
                continue
            except BreakLoop:
                break


class IsolateNode(Node):
    """`{% isolate name: value %}…{% endisolate %}`: a partial where it was worked in.

    Inside, only the given names and those of the context are known; what is assigned there ends
    there. Authors write `{% render %}`.
    """

    __slots__ = ("arguments", "block", "run")

    def __init__(self, token: Token, arguments: list[KeywordArgument], block: BlockNode) -> None:
        super().__init__(token)
        self.arguments = arguments
        self.block = block
        self.run = runner(block)
        self.blank = block.blank

    def render_to_output(self, context: SandboxContext, buffer: OutputBuffer) -> int:  # type: ignore[override]  # narrower arguments on purpose
        """Run the block on its own."""
        context.spend(1)
        values = {str(one.name): one.value.evaluate(context) for one in self.arguments}
        outside = context.isolate(values)
        try:
            return self.run(context, buffer)
        except LiquidInterrupt:
            return 1  # a `break` ends the partial, not the loop around it
        finally:
            context.rejoin(outside)

    def expressions(self) -> list[Expression]:
        """Return what is evaluated outside."""
        return [one.value for one in self.arguments]

    def children(
        self, static_context: RenderContext, *, include_partials: bool = True
    ) -> list[Node]:
        """Return the block."""
        del static_context, include_partials
        return [self.block]


class IsolateTag(Tag):
    """Parses `{% isolate %}`."""

    name = "isolate"
    end = "endisolate"
    node_class = IsolateNode

    def parse(self, stream: TokenStream) -> IsolateNode:
        """Return the node."""
        token = stream.eat(TOKEN_TAG)
        arguments: list[KeywordArgument] = []
        if stream.current.kind == TOKEN_EXPRESSION:
            arguments = KeywordArgument.parse(self.env, stream.into_inner(tag=token))
        block = get_parser(self.env).parse_block(stream, (self.end,))
        stream.expect(TOKEN_TAG, value=self.end)
        return IsolateNode(token, arguments, block)


def runner(block: BlockNode) -> Run:
    """Return the fastest way to render a block, for a parent that has settled `block.blank`."""
    if block.blank:
        return block.render
    runs = [run for _, run in runs_of(block.nodes)]

    def run(context: SandboxContext, buffer: OutputBuffer) -> int:
        for render in runs:
            render(context, buffer)
        return 1

    return run


def runs_of(nodes: Sequence[Node]) -> list[tuple[Node, Run]]:
    """Return what renders a row of nodes; text and outputs beside each other go in one piece.

    The node tells the place of an error that does not know its own.
    """
    runs: list[tuple[Node, Run]] = []
    row: list[FastContentNode | FastOutputNode] = []
    for node in nodes:
        if isinstance(node, (FastContentNode, FastOutputNode)):
            row.append(node)
            if len(row) == _ROW:
                runs.append((row[0], _straight(row)))
                row = []
            continue
        if row:
            runs.append((row[0], _straight(row)))
            row = []
        runs.append((node, node.render if isinstance(node, _TIMED) else _timed(node)))
    if row:
        runs.append((row[0], _straight(row)))
    return runs


def _timed(node: Node) -> Run:
    """Return what renders a node that does not look at the clock itself."""

    def run(context: SandboxContext, buffer: OutputBuffer) -> int:
        context.check_time()
        return node.render(context, buffer)  # type: ignore[arg-type]  # our buffer

    return run


_TIMED = (FastForNode, FastIfNode, IsolateNode)

#: Few, so that what is held before the bound on output is looked at stays small.
_ROW = 16


def _straight(row: Sequence[FastContentNode | FastOutputNode]) -> Run:
    """Return what writes text and outputs in one piece."""
    if len(row) == 1:
        return row[0].render
    steps: list[tuple[str, FastOutputNode | None]] = [
        ("", node) if isinstance(node, FastOutputNode) else (node.text, None) for node in row
    ]

    def run(context: SandboxContext, buffer: OutputBuffer) -> int:
        texts = []
        node: FastOutputNode | None = None
        try:
            for text, node in steps:
                texts.append(text if node is None else node.text(context))
        except LiquidError as error:
            if node is not None:
                error.token = error.token or node.token
            raise
        return buffer.write_all(texts)

    return run


def _printed(value: object, context: SandboxContext, token: Token) -> str:
    try:
        if isinstance(value, (list, tuple)):
            context.check_time()
            context.spend(check_weight(value)[0] // ITEMS_PER_WORK)
        return printable(value, autoescape=context.autoescape)
    except LiquidError as error:
        error.token = error.token or token
        raise
