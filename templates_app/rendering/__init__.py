"""From an author's sources to mails: finishing (once), rendering (each), lint. Pure.

finish(MailSource, library) -> Finished          layouts, partials, MJML, CSS: when publishing
compile_mail(FinishedMail) -> CompiledMail       once per content and process
CompiledMail.render(context, now=) -> Rendered   per message; also `render(mail, context)`
lint(Finished, Rendered, is_marketing=) -> list[Finding]
"""

from templates_app.rendering.finishing import (
    Finished,
    FinishProblem,
    MailSource,
    bundled_parts,
    finish,
    used_in,
)
from templates_app.rendering.lint import Finding, lint
from templates_app.rendering.mail import (
    CompiledMail,
    FinishedMail,
    Part,
    Rendered,
    compile_mail,
    render,
)
from templates_app.rendering.pieces import (
    Bundle,
    Library,
    PartName,
    Place,
    Shared,
    plain_bundle,
)

__all__ = [
    "Bundle",
    "CompiledMail",
    "Finding",
    "FinishProblem",
    "Finished",
    "FinishedMail",
    "Library",
    "MailSource",
    "Part",
    "PartName",
    "Place",
    "Rendered",
    "Shared",
    "bundled_parts",
    "compile_mail",
    "finish",
    "lint",
    "plain_bundle",
    "render",
    "used_in",
]
