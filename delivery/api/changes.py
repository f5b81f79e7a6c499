"""Changes to accepted messages: cancel, reschedule, retry, hold, release; one or many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from delivery.api import presenters
from delivery.api.emails import find
from delivery.api.requests import actor_of, json_body, uuid_or_none
from delivery.intake.faults import Faults
from delivery.intake.message import read_send_at
from delivery.models import Message
from delivery.services import change
from mailservice.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from uuid import UUID

    from rest_framework.request import Request

    from accounts.models import ApiKey

    #: One of the services of `delivery.services.change`, with all but the ids filled in.
    Move = Callable[[Collection[UUID]], change.Change]

MAX_IDS = 1000
#: Verb of the route → its past participle.
DONE = {
    "cancel": "cancelled",
    "reschedule": "rescheduled",
    "retry": "queued again",
    "hold": "held",
    "release": "released",
}


class ChangeEmail(APIView):
    """Change one message."""

    scopes = {"POST": Scope.EMAILS_SEND}

    def post(self, request: Request, verb: str, message_id: str) -> Response:
        """Do it, or answer 409 with the status that does not allow it."""
        found: UUID = find(request, message_id)["id"]
        move = _move(verb, json_body(request), key_of(request))
        change.require_changed(move([found]), found, DONE[verb])
        body = {"message": f"The email is {DONE[verb]}."}
        return Response(body | presenters.summary(find(request, message_id)))


class ChangeEmails(APIView):
    """Change up to a thousand messages."""

    scopes = {"POST": Scope.EMAILS_SEND}

    def post(self, request: Request, verb: str) -> Response:
        """Do it where it can be done; the others are named with their status.

        Ids of nobody's and of somebody else's messages are both refused as `not_found`.
        """
        data = dict(json_body(request))
        given = _ids(data.pop("ids", None))
        move = _move(verb, data, key_of(request))
        wanted = {found for text in given if (found := uuid_or_none(text))}
        visible = Message.objects.visible_to(key_of(request)).filter(pk__in=wanted)
        done = move(list(visible.values_list("pk", flat=True)))
        changed = set(done.changed)
        statuses: Mapping[Any, str] = done.refused
        return Response(
            {
                "message": f"{len(changed)} of {len(given)} emails are {DONE[verb]}.",
                "changed": [text for text in given if uuid_or_none(text) in changed],
                "refused": [
                    {"id": text, "status": statuses.get(uuid_or_none(text), "not_found")}
                    for text in given
                    if uuid_or_none(text) not in changed
                ],
            }
        )


def _ids(value: object) -> list[str]:
    """Return the ids as given, each once."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInputError.for_field("ids", "Give a list of ids.", code="invalid_type")
    if not value:
        raise InvalidInputError.for_field("ids", "The list is empty.", code="required")
    if len(value) > MAX_IDS:
        raise InvalidInputError.for_field(
            "ids", f"At most {MAX_IDS} ids are allowed, {len(value)} given.", code="too_many"
        )
    return list(dict.fromkeys(value))


def _move(verb: str, data: Mapping[str, object], api_key: ApiKey) -> Move:
    """Return the change asked for. Raises `InvalidInputError` for wrong or unknown fields."""
    actor = actor_of(api_key)
    faults = Faults()
    known: Iterable[str] = ("send_at",) if verb == "reschedule" else ()
    faults.add_unknown("", data, known)
    if verb != "reschedule":
        faults.raise_if_any()
        services: Mapping[str, Any] = {
            "cancel": change.cancel,
            "hold": change.hold,
            "release": change.release,
            "retry": change.retry,
        }
        return lambda ids: services[verb](ids=ids, actor=actor)
    now = timezone.now()
    if not data.get("send_at"):
        faults.add("send_at", "required", "Say when to send.")
    send_at = read_send_at(data.get("send_at"), faults, now)
    faults.raise_if_any()
    return lambda ids: change.reschedule(ids=ids, send_at=send_at or now, actor=actor)
