"""`/templates`: the templates of the key's user; the shared ones can be read and used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from rest_framework.response import Response

from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError
from mailservice.core.rest import page_body, page_params, paginate
from templates_app.api.access import (
    Seen,
    TemplateView,
    can_change,
    find_to_change,
    look,
    owner_for_new,
    query_flag,
    refuse_unknown,
    user_of,
)
from templates_app.api.fields import (
    draft_text,
    present,
    present_outdated,
    present_text,
    read_changes,
    read_draft,
    read_locale,
    read_new,
)
from templates_app.exchange.transfer import in_place, write_texts
from templates_app.lookup import Standing, locale_name, standing, standings
from templates_app.models import Kind, Template
from templates_app.selectors import (
    context_schema,
    dependents,
    outdated,
    sees_drafts,
    works_on_shared,
)
from templates_app.services import (
    create_template,
    delete_template,
    discard_draft,
    remove_draft_locale,
    save_draft,
    update_template,
)

if TYPE_CHECKING:
    from rest_framework.request import Request

    from templates_app.models import TemplateQuerySet

_SCOPES = {
    "GET": Scope.TEMPLATES_READ,
    "POST": Scope.TEMPLATES_WRITE,
    "PUT": Scope.TEMPLATES_WRITE,
    "PATCH": Scope.TEMPLATES_WRITE,
    "DELETE": Scope.TEMPLATES_WRITE,
}


class Templates(TemplateView):
    """List templates, or create one."""

    scopes = _SCOPES

    def get(self, request: Request) -> Response:
        """List own and shared templates, newest first."""
        query = request.query_params
        refuse_unknown(query, ("limit", "cursor", "kind", "category", "shared"))
        cursor, limit = page_params(query)
        rows, next_cursor = paginate(_listed(request), cursor=cursor, limit=limit)
        return Response(page_body(_rows(request, rows), next_cursor))

    def post(self, request: Request) -> Response:
        """Create a template, with the texts given as its draft."""
        fields, texts, shared = read_new(request.data if isinstance(request.data, dict) else {})
        owner_id = owner_for_new(request, shared=shared)
        with transaction.atomic():
            template = create_template(owner_id=owner_id, **fields)
            write_texts(template, texts)
        template.refresh_from_db()
        body = {"message": "The template is created.", **_whole(request, _own(template))}
        return Response(body, status=201)


class TemplateItem(TemplateView):
    """One template, by id or name."""

    scopes = _SCOPES

    def get(self, request: Request, name: str) -> Response:
        """Read a template."""
        return Response(_whole(request, look(request, name)))

    def patch(self, request: Request, name: str) -> Response:
        """Change the fields given."""
        template = find_to_change(request, name)
        changes = read_changes(request.data if isinstance(request.data, dict) else {})
        template = update_template(template_id=template.pk, **changes)
        body = {"message": "The template is updated.", **_whole(request, _own(template))}
        return Response(body)

    def delete(self, request: Request, name: str) -> Response:
        """Delete a template that was never published."""
        delete_template(template_id=find_to_change(request, name).pk)
        return Response(status=204)


class Draft(TemplateView):
    """The draft as a whole."""

    scopes = _SCOPES

    def delete(self, request: Request, name: str) -> Response:
        """Throw the draft away; what is published stays."""
        discard_draft(template_id=find_to_change(request, name).pk)
        return Response(status=204)


class DraftLocale(TemplateView):
    """One language of the draft."""

    scopes = _SCOPES

    def put(self, request: Request, name: str, locale: str) -> Response:
        """Write a text, as a whole: what is not given is empty."""
        template = find_to_change(request, name)
        data = request.data if isinstance(request.data, dict) else {}
        text, since = read_draft(data, read_locale(locale))
        draft = draft_text(text)
        if since is not None:
            draft["unchanged_since"] = since
        try:
            version = save_draft(template_id=template.pk, **draft)
        except InvalidInputError as error:
            raise in_place(error, html_name=text.format) from error
        said = f"The draft's text for {locale_name(version.locale)!r} is saved."
        return Response({"message": said, **present_text(version)})

    def delete(self, request: Request, name: str, locale: str) -> Response:
        """Drop a language from the draft, and so from what is published next."""
        template = find_to_change(request, name)
        remove_draft_locale(template_id=template.pk, locale=read_locale(locale))
        return Response(status=204)


def _listed(request: Request) -> TemplateQuerySet:
    query = request.query_params
    user = user_of(request)
    rows = Template.objects.usable_by(user.pk)
    if not works_on_shared(user):
        rows = rows.readable_by(user.pk)
    rows = rows.defer("sample", "schema")
    if kind := query.get("kind", ""):
        if kind not in Kind.values:
            known = ", ".join(Kind.values)
            raise InvalidInputError.for_field("kind", f"Use one of {known}.")
        rows = rows.filter(kind=kind)
    if category := query.get("category", ""):
        if "\x00" in category:
            raise InvalidInputError.for_field("category", "Not allowed: the NUL character.")
        rows = rows.filter(category=category)
    if query.get("shared"):
        rows = rows.filter(owner__isnull=query_flag(query, "shared"))
    return rows


def _rows(request: Request, rows: list[Template]) -> list[dict[str, object]]:
    ids = [row.pk for row in rows]
    stand, behind = standings(ids), outdated(ids)
    user = user_of(request)
    shown = []
    for row in rows:
        now = stand.get(row.pk, Standing())
        now = now if sees_drafts(user, row) else now.without_draft()
        shown.append(present(row, now, is_whole=False) | {"is_behind": row.pk in behind})
    return shown


def _own(template: Template) -> Seen:
    """Return a template as who has just written it sees it."""
    return Seen(template, standing(template.pk), drafts=True)


def _whole(request: Request, seen: Seen) -> dict[str, object]:
    template = seen.template
    body = present(template, seen.standing)
    body["context_schema"] = context_schema(template, drafts=seen.drafts)
    if template.kind == Kind.MAIL:
        behind = outdated([template.pk]).get(template.pk, [])
        body["is_behind"] = bool(behind)
        body["behind"] = [present_outdated(one) for one in behind]
    elif can_change(user_of(request), template):
        users = dependents(template.pk)
        body["used_by"] = [one.template.slug for one in users]
        body["behind_it"] = [one.template.slug for one in users if one.is_behind]
    return body
