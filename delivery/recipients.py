"""The recipients of a message as its row holds them (`Message.recipients`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from delivery.compose import MailFields
from delivery.states import Status
from mailservice.core.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID


def mail_fields(
    *,
    message_id: UUID,
    created_at: datetime,
    recipients: Iterable[Mapping[str, Any]],
    context: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
) -> MailFields:
    """Return what the composer fills in; headers show all but blind and suppressed recipients."""
    shown: dict[str, list[Address]] = {"to": [], "cc": []}
    for entry in recipients:
        if entry["k"] in shown and entry.get("s") != Status.SUPPRESSED.value:
            shown[entry["k"]].append(Address(entry["a"], entry.get("n", "")))
    return MailFields(
        message_id=message_id,
        date=created_at,
        to=tuple(shown["to"]),
        cc=tuple(shown["cc"]),
        context=context,
        headers=headers,
    )
