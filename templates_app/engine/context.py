"""The state of one rendering: variables in scope, output written, time and rounds left."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from liquid import BoundTemplate, RenderContext
from liquid.builtin.expressions import Path
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import UndefinedError
from liquid.undefined import Undefined, is_undefined

from templates_app.engine.errors import LimitReachedError, TimeUpError
from templates_app.engine.limits import (
    MAX_ITERATIONS,
    MAX_NESTING,
    MAX_RANGE,
    MAX_SECONDS,
    MAX_TEXT_CHARS,
    MAX_WORK,
)
from templates_app.engine.locales import mail_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
    from datetime import datetime

    from liquid.builtin.tags.for_tag import ForLoop
    from liquid.token import Token


class OutputBuffer:
    """Text written so far, refused beyond `room` characters; a `StringIO` to the Liquid nodes."""

    __slots__ = ("parts", "room")

    def __init__(self, room: int) -> None:
        self.parts: list[str] = []
        self.room = room

    def write(self, text: str) -> int:
        """Append the text. Raises `LimitReachedError`."""
        self.room -= len(text)
        if self.room < 0:
            raise LimitReachedError("the template writes too much")
        self.parts.append(text)
        return 1

    def write_all(self, texts: list[str]) -> int:
        """Append some texts. Raises `LimitReachedError`."""
        self.room -= sum(map(len, texts))
        if self.room < 0:
            raise LimitReachedError("the template writes too much")
        self.parts += texts
        return 1

    def getvalue(self) -> str:
        """Return all text written."""
        return "".join(self.parts)


class Scope:
    """Namespaces searched from the innermost; stands in for liquid's slower chain map."""

    __slots__ = ("maps",)

    def __init__(self, *maps: Mapping[str, object]) -> None:
        self.maps: list[Mapping[str, object]] = list(maps)

    def __getitem__(self, key: str) -> object:
        for namespace in self.maps:
            if key in namespace:
                return namespace[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        for namespace in self.maps:
            yield from namespace

    def size(self) -> int:
        """Return how many namespaces are in scope."""
        return len(self.maps)

    def push(self, namespace: Mapping[str, object]) -> None:
        """Make a namespace the innermost one."""
        self.maps.insert(0, namespace)

    def pop(self) -> Mapping[str, object]:
        """Drop the innermost namespace."""
        return self.maps.pop(0)


class Outside(NamedTuple):
    """What a partial cannot see of its caller."""

    scope: Scope
    locals: MutableMapping[str, object]
    counters: dict[str, int]
    loops: list[ForLoop]


class SandboxContext(RenderContext):
    """A render context over plain data with all bounds of `limits`."""

    __slots__ = ("absent", "deadline", "held_chars", "locale", "now", "rounds", "work")

    def __init__(
        self,
        template: BoundTemplate,
        variables: Mapping[str, object],
        *,
        now: datetime,
        locale: str = "",
        seconds: float = MAX_SECONDS,
    ) -> None:
        super().__init__(template, globals=variables)
        self.scope = Scope(self.locals, variables, self.counters, mail_facts(locale))  # type: ignore[assignment]  # same methods as used here
        self.now = now
        self.locale = locale
        self.deadline = monotonic() + seconds
        self.rounds = 0
        self.held_chars = 0
        self.work = MAX_WORK
        #: Paths that led nowhere, as they are told: their parts, and what was in scope.
        self.absent: dict[str, tuple[Sequence[object], Sequence[Mapping[str, object]]]] = {}

    def spend(self, work: int) -> None:
        """Take from the work this rendering may do. Raises `LimitReachedError`."""
        self.work -= work
        if self.work < 0:
            raise LimitReachedError("the template does too much work")

    def check_time(self) -> None:
        """Raise `LimitReachedError` if the rendering takes too long."""
        if monotonic() > self.deadline:
            raise TimeUpError("the template takes too long")

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """Return the filter bound to this rendering, looking at the clock on the way."""
        del token
        self.check_time()
        return partial(self.env.filters[name], self)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Count the rounds of a loop about to start; inner loops start once per outer round."""
        self.check_time()
        self.spend(length)
        self.rounds += length
        if self.rounds > MAX_ITERATIONS:
            raise LimitReachedError(f"loops run more than {MAX_ITERATIONS:,} rounds")

    def assign(self, key: str, val: object) -> None:
        """Bind a local name, bounding what all of them hold."""
        self.held_chars += _size(val) - _size(self.locals.get(key))
        if self.held_chars > MAX_TEXT_CHARS:
            raise LimitReachedError("assigned variables hold too much")
        self.locals[str(key)] = val

    def get_buffer(self, buf: object = None) -> OutputBuffer:  # type: ignore[override]  # no StringIO
        """Return a buffer that may take what the given one still can."""
        return OutputBuffer(getattr(buf, "room", MAX_TEXT_CHARS))

    def enter_loop(self, namespace: Mapping[str, object], forloop: ForLoop) -> None:
        """Start a loop; the caller ends it with `leave_loop`."""
        self.raise_for_loop_limit(forloop.length)
        if len(self.loops) >= MAX_NESTING:
            raise LimitReachedError("loops are nested too deeply")
        self.loops.append(forloop)
        self.scope.push(namespace)

    def leave_loop(self) -> None:
        """End the innermost loop."""
        self.loops.pop()
        self.scope.pop()

    def isolate(self, namespace: Mapping[str, object]) -> Outside:
        """Hide all names but the given ones and those of the context; `rejoin` shows them again."""
        outside = Outside(self.scope, self.locals, self.counters, self.loops)  # type: ignore[arg-type]  # our Scope
        self.locals, self.counters, self.loops = {}, {}, []
        self.scope = Scope(  # type: ignore[assignment]  # as above
            self.locals, namespace, self.globals, self.counters, mail_facts(self.locale)
        )
        return outside

    def rejoin(self, outside: Outside) -> None:
        """Return to where `isolate` was called; what was assigned since is gone."""
        self.held_chars -= sum(map(_size, self.locals.values()))
        self.scope, self.locals, self.counters, self.loops = outside  # type: ignore[assignment]  # as above

    def look_up(self, path: Path) -> object:
        """Return what the path leads to, or an undefined value that knows the whole path."""
        parts = [self._segment(part) for part in path.path]
        value = self.get(parts, token=path.token)
        if is_undefined(value):
            name = str(path)
            self.absent[name] = parts, tuple(self.scope.maps)  # type: ignore[attr-defined]  # our Scope
            return self.env.undefined(name, hint=name, token=path.token)
        return value

    def _segment(self, part: object) -> object:
        if not isinstance(part, Path):
            return part
        value = part.evaluate(self)
        require_defined(value)
        return value


class DirectPath(Path):
    """A path that is walked without the detours liquid needs for objects of its own."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Return the value, or an undefined value naming the whole path."""
        parts = iter(self.path)
        root = next(parts)
        for namespace in context.scope.maps:  # type: ignore[attr-defined]  # our Scope
            if root in namespace:
                value = namespace[root]
                break
        else:
            return context.look_up(self)  # type: ignore[attr-defined]  # our context
        for part in parts:
            if type(value) is dict and type(part) is str and part in value:
                value = value[part]
            else:
                return context.look_up(self)  # type: ignore[attr-defined]  # our context
        return value


class BoundedRange(RangeLiteral):
    """A range of at most `MAX_RANGE` numbers; liquid's own may have any length."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> range:
        """Return the numbers. Raises `LimitReachedError`."""
        numbers = super().evaluate(context)
        if numbers.stop - numbers.start > MAX_RANGE:
            raise LimitReachedError(f"a range has more than {MAX_RANGE:,} numbers")
        return numbers


def require_defined(value: object) -> None:
    """Raise `UndefinedError` naming the variable if the value stands for a missing one."""
    if isinstance(value, Undefined):
        message = getattr(value, "msg", value.name)
        raise UndefinedError(message, token=value.token)


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return 64 * len(value)
    return 0
