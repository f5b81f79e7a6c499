"""Why a mail could not be written."""

from mailservice.core.errors import DomainError


class ComposeError(DomainError):
    """Content or fields cannot be put into a mail; the message says which and why.

    Trying again does not help. A template that cannot be filled raises
    `TemplateRenderProblem` instead.
    """

    code = "compose"
