"""Questions about messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from accounts.scopes import Scope
from delivery.states import UNFINISHED

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import ApiKey
    from delivery.models import Message  # noqa: F401 - named by the base class


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages by who may see them and where they are."""

    def visible_to(self, api_key: ApiKey) -> MessageQuerySet:
        """Keep the key's user's own messages, or all for a key that reaches everybody's."""
        if api_key.has_scope(Scope.EMAILS_ALL):
            return self
        return self.filter(owner_id=api_key.user_id)

    def for_recipient(self, normalized_address: str) -> MessageQuerySet:
        """Keep messages to an address, in normal form."""
        return self.filter(addresses__contains=[normalized_address])

    def unfinished_in_sequence(self, owner_id: UUID, key: str) -> MessageQuerySet:
        """Keep what still blocks later messages of a sequence."""
        return self.filter(owner_id=owner_id, sequence_key=key, status__in=sorted(UNFINISHED))
