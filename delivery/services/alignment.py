"""From what the DNS says of sender domains to what the choice of an account looks at.

Sender domains and provider accounts know nothing of each other; this brings the news across.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from mailservice.core.sql import advisory_key, lock_for_transaction
from providers.alignment import replace_aligned
from providers.selectors import forget_snapshot
from verification.selectors.domains import aligned_patterns

if TYPE_CHECKING:
    from uuid import UUID


def refresh_alignment(*owners: UUID | None) -> int:
    """Bring over which From domains are aligned where; return how many lists changed.

    Of the owners given, None for the company; of all if none is. Part of the caller's transaction
    if there is one; done twice or beside itself it comes to the same.
    """
    with transaction.atomic():
        # Taken before reading: who comes later also reads later, and never writes what is older.
        lock_for_transaction(advisory_key("alignment of sender domains"))
        count = replace_aligned(aligned_patterns(*owners), owners=owners or None)
        if count:
            transaction.on_commit(forget_snapshot)
    return count


def note_alignment(*, owner_id: UUID | None, **_signal: object) -> None:
    """Bring over what has changed of one owner's domains, with the change itself."""
    refresh_alignment(owner_id)
