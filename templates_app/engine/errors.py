"""What can be wrong with a template, told to its author."""

from __future__ import annotations

from liquid.exceptions import ResourceLimitError

from mailservice.core.errors import DomainError


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


class TemplateRenderProblem(DomainError):  # noqa: N818 - pairs with TemplateSyntaxProblem
    """The template cannot be filled with this context.

    `variable` names the missing variable (`order.total`) and is empty for any other cause;
    `line` counts from 1 and is 0 where the place is unknown. Codes: `missing_variable`,
    `template_limit`, `template_value`.
    """

    code = "template_value"

    def __init__(
        self, message: str, *, code: str = "template_value", variable: str = "", line: int = 0
    ) -> None:
        where = f" (line {line})" if line else ""
        super().__init__(
            f"{message}{where}", code=code, details={"variable": variable, "line": line}
        )
        self.variable = variable
        self.line = line


class LimitReachedError(ResourceLimitError):
    """A bound of `limits` was passed; never leaves the engine."""

    def __init__(self, message: str) -> None:
        super().__init__(message, token=None)
