"""What a key may see and change of templates; and refusals that say where the fault is.

A key sees its user's own templates, and what is published of the shared ones, as its mail does. It
changes its user's own; the shared ones only if the user is staff with the permission that the
console asks for. Drafts of shared templates are seen by the staff who work on them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from mailservice.core.errors import InvalidInputError, NotFoundError
from templates_app.engine import TemplateRenderProblem
from templates_app.exchange.shapes import unknown_names
from templates_app.lookup import Standing, find_usable, number_in, standing
from templates_app.selectors import may_edit, may_publish, sees_drafts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from rest_framework.request import Request
    from rest_framework.response import Response

    from accounts.models import User
    from templates_app.models import Template

# As `TemplateSyntaxProblem` and previews word it.
_SYNTAX = re.compile(r"(?P<lead>.*?)Line (?P<line>\d+), column (?P<column>\d+): ", re.DOTALL)
_ORIGIN = re.compile(r"in '(?P<origin>[\w-]+)': ")
_FILLING = re.compile(
    r"\(line (?P<line>\d+), column (?P<column>\d+)"
    r"(?: in (?:'(?P<origin>[\w-]+)'|the (?P<part>\w+)))?\)\Z"
)


class TemplateView(APIView):
    """A view whose refusals name line and column, what is known and what was probably meant."""

    def handle_exception(self, exc: Exception) -> Response:
        """Answer an error."""
        return super().handle_exception(
            explained(exc) if isinstance(exc, InvalidInputError) else exc
        )


def user_of(request: Request) -> User:
    """Return the user of the key that asks."""
    return key_of(request).user


@dataclass(frozen=True, slots=True)
class Seen:
    """A template as a key sees it."""

    template: Template
    standing: Standing
    #: False for shared templates, unless the user works on them.
    drafts: bool

    def number_of(self, asked: str = "") -> int:
        """Return the number of a version, `draft`, `published`. Raises `NotFoundError`."""
        found = number_in(self.standing, asked)
        # A draft is above what is published.
        if not self.drafts and found > (self.standing.published or 0):
            raise NotFoundError(f"There is no version {found}.")
        return found


def find(request: Request, name: str) -> Template:
    """Return a template the key may see. Raises `NotFoundError`."""
    return look(request, name).template


def look(request: Request, name: str) -> Seen:
    """Return a template the key may see, with what it may see of it. Raises `NotFoundError`."""
    template = find_usable(name, key_of(request).user_id)
    now = standing(template.pk)
    if sees_drafts(user_of(request), template):
        return Seen(template, now, drafts=True)
    if now.published is None:
        # Nobody's mail can use it yet.
        raise NotFoundError("There is no such template.")
    return Seen(template, now.without_draft(), drafts=False)


def find_to_change(request: Request, name: str) -> Template:
    """Return a template the key may change. Raises `NotFoundError`, `PermissionDenied`."""
    template = find(request, name)
    if not can_change(user_of(request), template):
        raise PermissionDenied("This template is shared: only staff with permission change it.")
    return template


def find_to_publish(request: Request, name: str) -> Template:
    """Return a template the key may publish. Raises `NotFoundError`, `PermissionDenied`."""
    template = find(request, name)
    user = user_of(request)
    if not (_is_staff_or_owner(user, template) and may_publish(user, template)):
        raise PermissionDenied("This template is shared: only staff with permission publish it.")
    return template


def can_change(user: User, template: Template) -> bool:
    """Tell whether a key of this user changes a template."""
    return _is_staff_or_owner(user, template) and may_edit(user, template)


def owner_for_new(request: Request, *, shared: bool) -> UUID | None:
    """Return the owner of what a key creates. Raises `PermissionDenied` for shared templates."""
    user = user_of(request)
    if not shared:
        return user.pk
    needed = ("templates.add_template", "templates.change_template")
    if not (user.is_staff and user.has_perms(needed)):
        raise PermissionDenied("Only staff with permission make templates for everybody.")
    return None


def require_publisher_of_shared(request: Request) -> None:
    """Raise `PermissionDenied` unless the key's user publishes shared templates."""
    user = user_of(request)
    if not (user.is_staff and user.has_perm("templates.publish_template")):
        raise PermissionDenied("Only staff with permission publish templates for everybody.")


def refuse_unknown(given: Iterable[str], known: tuple[str, ...]) -> None:
    """Raise `InvalidInputError` for names of members or parameters that do not exist."""
    if faults := unknown_names("", given, known):
        raise InvalidInputError.for_fields(faults)


def body_of(request: Request, known: tuple[str, ...]) -> dict[str, Any]:
    """Return the members of a request's object that are not null. Raises `InvalidInputError`."""
    data = request.data if isinstance(request.data, dict) else {}
    refuse_unknown(data, known)
    return {name: value for name, value in data.items() if value is not None}


def flag(given: Mapping[str, Any], name: str) -> bool:
    """Return a member that is true or false. Raises `InvalidInputError`."""
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInputError.for_field(name, "This must be true or false.", code="invalid_type")
    return value


def query_flag(query: Mapping[str, str], name: str) -> bool:
    """Return a parameter that is 1, true, 0 or false. Raises `InvalidInputError`."""
    value = query.get(name, "").lower()
    if value not in {"", "0", "1", "true", "false"}:
        raise InvalidInputError.for_field(name, "Use 1 or 0.")
    return value in {"1", "true"}


def explained(error: InvalidInputError) -> InvalidInputError:
    """Return a refusal with `line`, `column` and more beside the sentences that tell of them."""
    cause = error.__cause__
    told = cause if isinstance(cause, TemplateRenderProblem) else None
    details = {
        path: [_explained(fault, told) for fault in faults]
        for path, faults in error.details.items()
    }
    return InvalidInputError(error.message, code=error.code, details=details)


def _explained(fault: Mapping[str, Any], told: TemplateRenderProblem | None) -> Mapping[str, Any]:
    message = str(fault["message"])
    place = _SYNTAX.match(message) if fault["code"] == "template_syntax" else None
    found: dict[str, Any] = {}
    if place is not None:
        origin = _ORIGIN.match(message, place.end())
        found = {"origin": origin["origin"]} if origin else {}
    elif told is not None and (place := _FILLING.search(message)):
        found = {name: place[name] for name in ("origin", "part") if place[name]}
    if place is not None:
        found = {"line": int(place["line"]), "column": int(place["column"]), **found}
    if told is not None and told.missing.variable:
        missing = told.missing
        found["variable"] = missing.variable
        found["known"] = list(missing.known)
        found["suggestion"] = missing.suggestion or None
    return {**fault, **found}


def _is_staff_or_owner(user: User, template: Template) -> bool:
    return template.owner_id == user.pk or user.is_staff
