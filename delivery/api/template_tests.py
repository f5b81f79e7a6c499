"""`/templates/{name}/test-send`: a template as a real mail, to whoever works on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from delivery.api import presenters
from delivery.api.requests import limits, sender_of
from delivery.intake import parse_message
from delivery.services.accept import queue_message
from mailservice.core.errors import InvalidInputError
from templates_app.api.access import TemplateView, body_of, look
from templates_app.api.rendering import READER_FIELDS, read_reader, show_version
from templates_app.models import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from delivery.intake import MessageInput
    from templates_app.api.rendering import Shown
    from templates_app.models import Template

#: A test goes to the people who look at it.
MAX_TEST_RECIPIENTS = 10
_FIELDS = ("to", *READER_FIELDS, "from", "from_name", "email_type", "provider_id")
_ENVELOPE = ("to", "from", "from_name", "email_type", "provider_id")


class TemplateTest(TemplateView):
    """Send a template, by default its draft, filled with its sample data."""

    scopes = {"POST": Scope.EMAILS_SEND}

    def prepare(self, request: Request, name: str) -> MessageInput:
        """Render it by the engine that sends; what is queued says exactly that."""
        if not key_of(request).has_scope(Scope.TEMPLATES_READ):
            raise PermissionDenied(f"This API key lacks the scope {Scope.TEMPLATES_READ.value}.")
        seen = look(request, name)
        if seen.template.kind != Kind.MAIL:
            message = "Layouts and partials are not sent: test a mail that uses it."
            raise InvalidInputError.for_field("template", message)
        given = body_of(request, _FIELDS)
        shown = show_version(seen, given, read_reader(given))
        return _message(seen.template, shown, given)

    def post(self, request: Request, name: str, *, prepared: MessageInput) -> Response:
        """Queue it like any other mail."""
        accepted = queue_message(message=prepared, sender=sender_of(key_of(request)))
        body = {
            "message": f"A test of {name!r} is queued for delivery.",
            **presenters.summary(presenters.accepted_row(accepted)),
        }
        return Response(body, status=202)


def _message(template: Template, shown: Shown, given: Mapping[str, Any]) -> MessageInput:
    data = {name: given[name] for name in _ENVELOPE if name in given} | {
        "subject": shown.preview.subject,
        "html": shown.preview.html,
        "text": shown.preview.text,
        "metadata": {
            "template": template.slug,
            "template_version": shown.version.number if shown.version else 0,
        },
        "tags": ["template-test"],
        "track_opens": False,
        "track_clicks": False,
    }
    message = parse_message(data, now=timezone.now(), limits=limits())
    if len(message.to) > MAX_TEST_RECIPIENTS:
        fault = f"At most {MAX_TEST_RECIPIENTS} people get a test."
        raise InvalidInputError.for_field("to", fault, code="too_many")
    return message
