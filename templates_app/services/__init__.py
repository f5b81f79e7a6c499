"""Writes to templates, and previews. One function for admin, API and commands alike.

All of them take keywords and raise `InvalidInputError` naming the field, `NotFoundError` or
`ConflictError`:

    create_template(slug=, **TemplateFields) -> Template
    update_template(template_id=, **TemplateFields) -> Template      only what is given changes
    delete_template(template_id=) -> None                            refused once published
    save_draft(template_id=, **DraftText) -> TemplateVersion         one locale
    save_drafts(template_id=, texts=, shelf=) -> list[TemplateVersion]    some, or none of them
    remove_draft_locale(template_id=, locale=) -> bool
    discard_draft(template_id=) -> bool
    publish(template_id=, by=, note=) -> int                         the version's number
    roll_back(template_id=, number=, by=, note=) -> int              a copy of an old version
    republish(used_id=, by=) -> Republished             mails behind a layout or partial
    catch_up(template_id=, by=) -> int                  one mail that is behind what it uses

Previews with the engine that sends; nothing is written:

    preview_version(version, Reader(context=, locale=, now=, is_marketing=)) -> Preview
    preview_source(template, DraftText, Reader(…)) -> Preview

Questions are in `templates_app.selectors`: `history`, `diff_versions`, `dependents`, `may_edit`,
`may_publish`, `sees_drafts`, `context_schema`, `published_text`, `outdated`.
"""

from templates_app.services.drafts import (
    DraftFaultsError,
    create_template,
    delete_template,
    discard_draft,
    remove_draft_locale,
    save_draft,
    save_drafts,
    update_template,
)
from templates_app.services.preview import Preview, Reader, preview_source, preview_version
from templates_app.services.publishing import (
    Republished,
    catch_up,
    publish,
    republish,
    roll_back,
)
from templates_app.services.sources import (
    DraftText,
    TemplateFields,
    default_fault,
    template_faults,
)

__all__ = [
    "DraftFaultsError",
    "DraftText",
    "Preview",
    "Reader",
    "Republished",
    "TemplateFields",
    "catch_up",
    "create_template",
    "default_fault",
    "delete_template",
    "discard_draft",
    "preview_source",
    "preview_version",
    "publish",
    "remove_draft_locale",
    "republish",
    "roll_back",
    "save_draft",
    "save_drafts",
    "template_faults",
    "update_template",
]
