"""What a template said, says and will say: history, differences, publishing, rolling back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.response import Response

from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.rest import page_body, page_params
from templates_app.api.access import (
    TemplateView,
    body_of,
    can_change,
    find_to_publish,
    flag,
    look,
    refuse_unknown,
    user_of,
)
from templates_app.api.fields import present_text, present_version, read_locale
from templates_app.engine.plain import text_fault
from templates_app.lookup import (
    DEFAULT_NAME,
    DRAFT,
    PUBLISHED,
    locale_name,
    standing,
    texts_of,
)
from templates_app.models import Kind
from templates_app.selectors import dependents, diff_versions, history
from templates_app.services import Republished, catch_up, publish, republish, roll_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from templates_app.models import Template

_READ = {"GET": Scope.TEMPLATES_READ}
_WRITE = {"POST": Scope.TEMPLATES_WRITE}
#: Faults that are about no part of a text.
_OF_THE_WHOLE = ("note", "draft.default")


class Versions(TemplateView):
    """The history."""

    scopes = _READ

    def get(self, request: Request, name: str) -> Response:
        """List all versions, the newest first; the draft is one of them."""
        refuse_unknown(request.query_params, ("limit", "cursor"))
        cursor, limit = page_params(request.query_params)
        seen = look(request, name)
        names_people = can_change(user_of(request), seen.template)
        found = history(
            seen.template.pk,
            before=None if cursor is None else _whole_number(cursor, "cursor"),
            limit=limit + 1,
            drafts=seen.drafts,
        )
        more = str(found[limit - 1].number) if len(found) > limit else None
        shown = [present_version(one, names_people=names_people) for one in found[:limit]]
        return Response(page_body(shown, more))


class Version(TemplateView):
    """One version."""

    scopes = _READ

    def get(self, request: Request, name: str, number: str) -> Response:
        """Read its texts, all or the one asked for; `draft` and `published` are numbers, too."""
        query = request.query_params
        refuse_unknown(query, ("locale",))
        seen = look(request, name)
        texts = texts_of(seen.template, seen.number_of(number))
        if "locale" in query:
            locale = read_locale(query["locale"])
            texts = {tag: one for tag, one in texts.items() if tag.lower() == locale.lower()}
            if not texts:
                raise NotFoundError(f"The version has no text for {locale_name(locale)!r}.")
        first = next(iter(texts.values()))
        return Response(
            {
                "version": first.number,
                "status": "draft" if first.published_at is None else "published",
                "note": first.note,
                "published_at": first.published_at,
                "texts": {locale_name(tag): present_text(one) for tag, one in texts.items()},
            }
        )


class Diff(TemplateView):
    """What changed between two versions."""

    scopes = _READ

    def get(self, request: Request, name: str) -> Response:
        """Compare; without `from` and `to`, what is published with the draft."""
        query = request.query_params
        refuse_unknown(query, ("from", "to", "locale"))
        seen = look(request, name)
        old = seen.number_of(query.get("from") or PUBLISHED)
        new = seen.number_of(query.get("to") or DRAFT)
        found = diff_versions(template_id=seen.template.pk, old=old, new=new)
        if "locale" in query:
            wanted = read_locale(query["locale"]).lower()
            found = [one for one in found if one.locale.lower() == wanted]
        changes = [
            {"locale": locale_name(one.locale), "part": one.part, "diff": one.diff} for one in found
        ]
        return Response({"from": old, "to": new, "changes": changes})


class Publish(TemplateView):
    """Makes the draft what new mail uses."""

    scopes = _WRITE

    def post(self, request: Request, name: str) -> Response:
        """Publish; with `republish`, also the mails that use this layout or partial."""
        template = find_to_publish(request, name)
        given = body_of(request, ("note", "republish"))
        user = user_of(request)
        does_republish = flag(given, "republish")
        if does_republish and template.kind == Kind.MAIL:
            message = "No other template uses a mail: republish what uses a layout or partial."
            raise InvalidInputError.for_field("republish", message)
        try:
            number = publish(template_id=template.pk, by=user.pk, note=_note(given))
        except InvalidInputError as error:
            raise _by_language(error, template) from error
        body = _published(number)
        if does_republish:
            body |= _republished(republish(used_id=template.pk, by=user.pk))
        elif template.kind != Kind.MAIL:
            users = dependents(template.pk)
            body["behind_it"] = [one.template.slug for one in users if one.is_behind]
        return Response(body)


class Republish(TemplateView):
    """Brings the newest layouts and partials into what is published."""

    scopes = _WRITE

    def post(self, request: Request, name: str) -> Response:
        """Publish a mail anew; of a layout or partial, all mails that are behind it."""
        template = find_to_publish(request, name)
        body_of(request, ())
        user = user_of(request)
        if template.kind != Kind.MAIL:
            done = _republished(republish(used_id=template.pk, by=user.pk))
            count = len(done["republished"])
            message = f"{count} {'mail is' if count == 1 else 'mails are'} published anew."
            return Response({"message": message, **done})
        try:
            number = catch_up(template_id=template.pk, by=user.pk)
        except InvalidInputError as error:
            raise InvalidInputError(
                f"What is published no longer fits: {error.message}", details=error.details
            ) from error
        return Response(_published(number))


class RollBack(TemplateView):
    """Makes an old version what new mail uses."""

    scopes = _WRITE

    def post(self, request: Request, name: str) -> Response:
        """Publish a copy of a version; the draft stays."""
        template = find_to_publish(request, name)
        given = body_of(request, ("number", "note"))
        number = given.get("number")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
            message = "Name the number of a published version."
            raise InvalidInputError.for_field("number", message, code="required")
        new = roll_back(
            template_id=template.pk, number=number, by=user_of(request).pk, note=_note(given)
        )
        return Response(_published(new))


def _published(number: int) -> dict[str, Any]:
    return {"message": f"New mail uses version {number}.", "version": number}


def _republished(result: Republished) -> dict[str, Any]:
    return {
        "republished": [{"slug": slug, "version": number} for slug, number in result.done],
        "failed": [{"slug": slug, "message": why} for slug, why in result.failed],
    }


def _note(given: Mapping[str, Any]) -> str:
    note = given.get("note", "")
    if fault := text_fault("note", note):
        raise InvalidInputError.for_fields([fault])
    return str(note)


def _whole_number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < len(str(2**31))):
        message = 'Use the value of "next" from the page before, unchanged.'
        raise InvalidInputError.for_field(name, message)
    return int(text)


def _by_language(error: InvalidInputError, template: Template) -> InvalidInputError:
    """Return a refusal to publish with fields such as `draft.de.html`.

    Where there are several languages, the service puts them before its sentences.
    """
    locales = standing(template.pk).draft_locales
    only = locale_name(locales[0]) if len(locales) == 1 else ""
    faults = []
    for name, found in error.details.items():
        if name in _OF_THE_WHOLE:
            faults += [(name, one["code"], str(one["message"])) for one in found]
            continue
        for one in found:
            language, message = only, str(one["message"])
            if len(locales) > 1:
                language, _, message = message.partition(": ")
            faults.append((f"draft.{language or DEFAULT_NAME}.{name}", one["code"], message))
    return InvalidInputError.for_fields(faults)
