"""The sandboxed template language: Liquid over plain data, with strict variables and bounds."""

from templates_app.engine.analysis import EACH
from templates_app.engine.compiled import (
    Compiled,
    compile_source,
    first_problem,
    missing_variables,
)
from templates_app.engine.errors import TemplateRenderProblem, TemplateSyntaxProblem

__all__ = [
    "EACH",
    "Compiled",
    "TemplateRenderProblem",
    "TemplateSyntaxProblem",
    "compile_source",
    "first_problem",
    "missing_variables",
]
