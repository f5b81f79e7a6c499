"""The accounts that a key may read, change and try out, whatever view asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.db.models import TextField
from django.db.models.functions import Cast
from rest_framework.exceptions import PermissionDenied

from accounts.api.authentication import key_of
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.rest import page_params, paginate
from mailservice.core.secrets import DecryptionError
from providers.adapters import SettingsError, UnknownKindError, check_connection
from providers.api.kinds import SCHEMAS, names_of
from providers.api.reading import as_id
from providers.models import Provider
from providers.ports import ConnectError
from providers.selectors import account_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from providers.models import ProviderQuerySet
    from providers.ports import AccountConfig

#: The parameters of lists of accounts.
PAGE_PARAMS = frozenset({"limit", "cursor"})
#: Settings that say how long to wait, and the most (seconds) that a test does.
_WAITS = frozenset({"timeout_seconds", "connect_timeout_seconds", "final_timeout_seconds"})
_WAIT = 20


def readable(request: Request) -> ProviderQuerySet:
    """Return the accounts of the key's user and the company's, credentials left where they are."""
    accounts = Provider.objects.usable_by(key_of(request).user_id)
    return accounts.select_related("usage", "health").defer("secrets")


def with_sealed_secrets(accounts: ProviderQuerySet) -> ProviderQuerySet:
    """Add the credentials as they are stored, so that one nobody can read fails alone."""
    return accounts.annotate(sealed_secrets=Cast("secrets", TextField()))


def find(accounts: ProviderQuerySet, provider_id: str, what: str = "provider") -> Provider:
    """Return one of the accounts. Raises `NotFoundError`."""
    wanted = as_id(provider_id)
    provider = accounts.filter(pk=wanted).first() if wanted else None
    if provider is None:
        raise NotFoundError(f"There is no such {what}.")
    return provider


def find_own(
    request: Request, accounts: ProviderQuerySet, provider_id: str, what: str = "provider"
) -> Provider:
    """Return one of the accounts that the key may change.

    Raises `NotFoundError` and `PermissionDenied`.
    """
    provider = find(accounts, provider_id, what)
    if provider.owner_id != key_of(request).user_id:
        raise PermissionDenied("This account is the company's: only operators change it.")
    return provider


def page_of(request: Request, accounts: ProviderQuerySet) -> tuple[list[Provider], str | None]:
    """Return the page that `limit` and `cursor` name, of the one account if `provider_id` does.

    Raises `InvalidInputError`.
    """
    given = request.query_params.get("provider_id")
    if given is not None:
        wanted = as_id(given)
        accounts = accounts.filter(pk=wanted) if wanted else accounts.none()
    cursor, limit = page_params(request.query_params)
    rows, next_cursor = paginate(accounts, cursor=cursor, limit=limit)
    if given is not None and not rows and cursor is None:
        raise InvalidInputError.for_field(
            "provider_id", "There is no such provider.", code="not_found"
        )
    return rows, next_cursor


def _impatient(config: AccountConfig) -> Mapping[str, Any]:
    """Return the settings with shorter waits: a caller waits, and holds one of our threads."""
    schema = SCHEMAS.get(config.kind)
    waits = _WAITS & names_of(schema, "settings") if schema else frozenset()
    shorter = {name: min(config.settings.get(name) or _WAIT, _WAIT) for name in waits}
    return {**config.settings, **shorter}


def try_out(provider: Provider) -> dict[str, Any]:
    """Connect, log in and leave, and return how that went; nothing is sent or changed."""
    try:
        config = account_config(provider)
        report = check_connection(replace(config, settings=_impatient(config)))
    except ConnectError as error:
        reply = error.result.reply
        return {
            "success": False,
            "message": reply.text or str(error.result.reason),
            "reason": error.result.reason.value or None,
            "code": reply.code or None,
            "enhanced_code": reply.enhanced_code or None,
        }
    except (SettingsError, UnknownKindError, DecryptionError) as error:
        return {"success": False, "message": str(error), "reason": "settings"}
    return {"success": True, "message": report, "reason": None}
