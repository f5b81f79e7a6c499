"""Nodes for the common tags that render in a fraction of the time of liquid's own.

Each is liquid's node with the same meaning; what differs is that blocks are run from a prepared
list, values take a short way to text, and the bounds of the sandbox are looked at. Blocks that hold
white space only keep liquid's way: their output is dropped.

Every `render` narrows the context and the buffer to ours, as no others are ever passed; hence the
ignored overrides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, LoopExpression
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.cycle_tag import CycleNode
from liquid.builtin.tags.echo_tag import EchoNode
from liquid.builtin.tags.for_tag import ForLoop, ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.exceptions import BreakLoop, ContinueLoop, LiquidError
from markupsafe import Markup, escape

from templates_app.engine.values import needs_escape, printable

if TYPE_CHECKING:
    from liquid.ast import BlockNode, ConditionalBlockNode
    from liquid.expression import Expression
    from liquid.token import Token

    from templates_app.engine.context import OutputBuffer, SandboxContext

Run = Callable[..., int]


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


def runner(block: BlockNode) -> Run:
    """Return the fastest way to render a block, for a parent that has settled `block.blank`."""
    if block.blank:
        return block.render
    runs: list[Run] = [node.render for node in block.nodes]

    def run(context: SandboxContext, buffer: OutputBuffer) -> int:
        for render in runs:
            render(context, buffer)
        return 1

    return run


def _printed(value: object, context: SandboxContext, token: Token) -> str:
    try:
        return printable(value, autoescape=context.autoescape)
    except LiquidError as error:
        error.token = error.token or token
        raise
