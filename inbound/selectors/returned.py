"""Whose mail came back: what a returned mail says, held against what was really sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from delivery.models import Message
from delivery.return_paths import is_tag_of, read_return_path
from inbound.bounces import Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from inbound.bounces import Report, Returned


@dataclass(frozen=True, slots=True)
class Claim:
    """Which message a returned mail belongs to, by the best of its signs."""

    message_id: UUID
    #: Our signature vouches for it; else only the mail's own id, which every recipient knows.
    is_signed: bool = False
    #: Of the only recipient; None if there were several, or unsigned.
    recipient_tag: bytes | None = None


@dataclass(frozen=True, slots=True)
class Whom:
    """Which recipient of a message a report is about."""

    #: In normal form; empty for the message as a whole.
    address: str
    #: The report names this very address as the last one, not one that it was forwarded to.
    is_last: bool = True


def claims_of(returned: Returned) -> list[Claim]:
    """Return the messages that a returned mail may belong to, the surest first."""
    for path in returned.paths:
        found = read_return_path(path)
        if found is not None:
            return [Claim(found.message_id, is_signed=True, recipient_tag=found.recipient_tag)]
    return [Claim(message_id) for message_id in returned.message_ids]


def addresses_of(message_ids: Iterable[UUID]) -> dict[UUID, frozenset[str]]:
    """Return the recipients of messages that are there, in normal form; one statement."""
    wanted = set(message_ids)
    if not wanted:
        return {}
    rows = Message.objects.filter(pk__in=wanted).order_by()
    return {pk: frozenset(addresses) for pk, addresses in rows.values_list("pk", "addresses")}


def claim_that_holds(claims: Sequence[Claim], held: Mapping[UUID, frozenset[str]]) -> Claim | None:
    """Return the first claim on a message that is there, or that our signature vouches for."""
    return next((one for one in claims if one.is_signed or one.message_id in held), None)


def whom(report: Report, claim: Claim, addresses: frozenset[str] | None) -> Whom | None:
    """Return which recipient of the message a report is about; None if it is none of them.

    `addresses` are the message's recipients, None if it is purged: then the signed digest of its
    only recipient must fit an address that the report names.
    """
    for named, is_last in ((report.final, True), (report.original, not report.final)):
        for address in named:
            if _is_one(address, claim, addresses):
                return Whom(address, is_last)
    names_nobody = not report.final and not report.original
    if addresses is not None and len(addresses) == 1:
        # Forwarded, or the report names nobody: there is only one whom it can be about.
        return Whom(next(iter(addresses)), is_last=names_nobody)
    # Large receivers blacken who complained; the mail as a whole was complained about.
    return Whom("") if addresses and names_nobody and report.told is Told.COMPLAINED else None


def _is_one(address: str, claim: Claim, addresses: frozenset[str] | None) -> bool:
    if addresses is not None:
        return address in addresses
    return claim.recipient_tag is not None and is_tag_of(claim.recipient_tag, address)
