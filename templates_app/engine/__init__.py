"""The sandboxed template language: Liquid over plain data, with strict variables and bounds."""

from templates_app.engine.compiled import (
    Compiled,
    compile_source,
    first_problem,
    missing_variables,
)
from templates_app.engine.errors import (
    Missing,
    TemplateRenderProblem,
    TemplateSyntaxProblem,
    place,
)
from templates_app.engine.hints import did_you_mean
from templates_app.engine.needs import EACH
from templates_app.engine.scan import Construct, liquid_chars, scan

__all__ = [
    "EACH",
    "Compiled",
    "Construct",
    "Missing",
    "TemplateRenderProblem",
    "TemplateSyntaxProblem",
    "compile_source",
    "did_you_mean",
    "first_problem",
    "liquid_chars",
    "missing_variables",
    "place",
    "scan",
]
