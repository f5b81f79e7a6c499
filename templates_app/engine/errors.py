"""What can be wrong with a template, told to its author."""

from __future__ import annotations

from dataclasses import dataclass

from liquid.exceptions import ResourceLimitError

from mailservice.core.errors import DomainError


def place(source: str, index: int) -> tuple[int, int]:
    """Return line and column, both from 1, of a position in a source."""
    index = min(max(index, 0), len(source))
    line_start = source.rfind("\n", 0, index) + 1
    return source.count("\n", 0, index) + 1, index - line_start + 1


class TemplateSyntaxProblem(DomainError):  # noqa: N818 - not to be taken for Django's own error
    """The source is no template; `line` and `column` (both from 1) say where it goes wrong."""

    code = "template_syntax"

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(
            f"Line {line}, column {column}: {message}",
            details={"line": line, "column": column, "problem": message},
        )
        self.line = line
        self.column = column
        self.problem = message


@dataclass(frozen=True, slots=True)
class Missing:
    """A variable that the context lacks, and the names it has at that place."""

    #: Such as `order.total`; empty if nothing is missing.
    variable: str = ""
    known: tuple[str, ...] = ()
    #: The known name that was probably meant.
    suggestion: str = ""


class TemplateRenderProblem(DomainError):  # noqa: N818 - pairs with TemplateSyntaxProblem
    """The template cannot be filled with this context.

    `variable` names the missing variable (`order.total`) and is empty for any other cause;
    `line` and `column` count from 1 and are 0 where the place is unknown. Codes:
    `missing_variable`, `template_limit`, `template_value`.
    """

    code = "template_value"

    #: Of the mail: `subject`, `html` or `text`; empty if it is none of a mail.
    part = ""
    #: True if it was the clock that stopped it.
    is_timeout = False

    def __init__(
        self,
        message: str,
        *,
        code: str = "template_value",
        at: tuple[int, int] = (0, 0),
        missing: Missing | None = None,
    ) -> None:
        self.line, self.column = at
        self.missing = missing or Missing()
        self.variable = self.missing.variable
        self.problem = message
        where = f" (line {self.line}, column {self.column})" if self.line else ""
        details = {
            "variable": self.variable,
            "line": self.line,
            "column": self.column,
            "known": list(self.missing.known),
            "suggestion": self.missing.suggestion,
        }
        super().__init__(f"{message}{where}", code=code, details=details)


class LimitReachedError(ResourceLimitError):
    """A bound of `limits` was passed; never leaves the engine."""

    def __init__(self, message: str) -> None:
        super().__init__(message, token=None)


class TimeUpError(LimitReachedError):
    """The time of one rendering is over."""
