"""`/providers/{id}/event-address`: where a provider posts what became of an account's mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from inbound.models import EventSource
from inbound.services import sources
from mailservice.core.errors import NotFoundError
from providers.adapters.esp.webhooks import HOOKS
from providers.api.accounts import find, find_own, readable
from providers.api.reading import Faults, is_text, read_members

if TYPE_CHECKING:
    from rest_framework.request import Request

    from providers.api.reading import Table
    from providers.models import Provider


class EventAddress(APIView):
    """The event address of one account."""

    scopes = {"GET": Scope.PROVIDERS_READ, "POST": Scope.PROVIDERS_WRITE}

    def get(self, request: Request, provider_id: str) -> Response:
        """Read it; the address itself only with the scope to change it, and of one's own."""
        provider = find(readable(request), provider_id)
        key = key_of(request)
        is_own = provider.owner_id == key.user_id and key.has_scope(Scope.PROVIDERS_WRITE)
        return _answer(_source_of(provider), shows_url=is_own)

    def post(self, request: Request, provider_id: str) -> Response:
        """Make the address if there is none; asked again, it is the same."""
        provider = _own(request, provider_id)
        was_there = EventSource.objects.filter(provider_id=provider.pk).exists()
        source = sources.source_of(provider_id=provider.pk)
        return _answer(source, shows_url=True, status=200 if was_there else 201)


class RotateEventAddress(APIView):
    """A new secret."""

    scopes = {"POST": Scope.PROVIDERS_WRITE}

    def post(self, request: Request, provider_id: str) -> Response:
        """Give the address a new secret; the old one is refused at once."""
        source = _source_of(_own(request, provider_id))
        return _answer(sources.renew_token(source_id=source.pk), shows_url=True)


class _Trust(APIView):
    """One thing that posts are believed for."""

    scopes = {"PUT": Scope.PROVIDERS_WRITE}
    #: Of the request, and of the service.
    field = ""

    def put(self, request: Request, provider_id: str) -> Response:
        """Set it; null or an empty text forgets it."""
        source = _source_of(_own(request, provider_id))
        faults = Faults()
        table: Table = {self.field: (self.field, is_text)}
        found = read_members(request.data, table, faults, ignored=frozenset())
        if not faults and self.field not in found:
            faults.append((self.field, "required", "This field is required; null forgets it."))
        faults.raise_if_any()
        values = {self.field: found[self.field] or ""}
        return _answer(sources.set_trust(source_id=source.pk, **values), shows_url=True)


class SigningKey(_Trust):
    """With what the provider signs its posts."""

    field = "key"


class Topic(_Trust):
    """The one SNS topic that is believed."""

    field = "topic_arn"


def _own(request: Request, provider_id: str) -> Provider:
    return find_own(request, readable(request), provider_id)


def _source_of(provider: Provider) -> EventSource:
    """Return the account's address. Raises `NotFoundError`: to read makes none."""
    source = EventSource.objects.select_related("provider").filter(provider_id=provider.pk).first()
    if source is not None:
        return source
    if provider.kind not in HOOKS:
        raise NotFoundError(f"{provider.get_kind_display()} does not post events.")
    raise NotFoundError("This provider has no event address yet: POST makes one.")


def _answer(source: EventSource, *, shows_url: bool, status: int = 200) -> Response:
    body = present(source, shows_url=shows_url)
    return Response(body, status=status, headers={"Cache-Control": "no-store"})


def present(source: EventSource, *, shows_url: bool) -> dict[str, Any]:
    """Return an address, never the key; its URL, which holds the secret, for those who may."""
    hook = HOOKS[source.provider.kind]
    return {
        "provider_id": source.provider_id,
        "url": sources.hook_url(source) if shows_url else None,
        "steps": hook.steps,
        "takes_key": hook.key is not None,
        "is_signed": bool(sources.key_of(source)) or source.provider.kind == "amazon_ses",
        "topic_arn": source.topic_arn or None,
        "last_event_at": source.last_event_at,
        "refused_count": source.refused_count,
        "created_at": source.created_at,
        "updated_at": source.updated_at,
    }
