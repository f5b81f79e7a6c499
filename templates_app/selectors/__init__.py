"""Questions about templates: which text a mail uses, history, who uses what, who may do what."""

from templates_app.selectors.library import Shelf, TemplateLibrary
from templates_app.selectors.roles import may_edit, may_publish, sees_drafts, works_on_shared
from templates_app.selectors.texts import (
    PublishedText,
    context_schema,
    language_of_default,
    published_text,
    published_version,
)
from templates_app.selectors.use import Dependent, Outdated, dependents, outdated
from templates_app.selectors.versions import (
    MAX_HISTORY,
    PartDiff,
    VersionSummary,
    diff_versions,
    history,
)

__all__ = [
    "MAX_HISTORY",
    "Dependent",
    "Outdated",
    "PartDiff",
    "PublishedText",
    "Shelf",
    "TemplateLibrary",
    "VersionSummary",
    "context_schema",
    "dependents",
    "diff_versions",
    "history",
    "language_of_default",
    "may_edit",
    "may_publish",
    "outdated",
    "published_text",
    "published_version",
    "sees_drafts",
    "works_on_shared",
]
