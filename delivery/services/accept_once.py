"""Acceptance of one message under an `Idempotency-Key` with a single statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from delivery.services.accept import draft_message, insert_sql
from delivery.services.idempotency import IF_OURS, write_once, writing_once
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Callable

    from delivery.intake import MessageInput
    from delivery.services.accept import Accepted, Sender
    from delivery.services.idempotency import Answer, Claim

_STATEMENT = writing_once(*insert_sql(IF_OURS))


def queue_message_once(
    *,
    message: MessageInput,
    sender: Sender,
    claim: Claim,
    present: Callable[[Accepted], Answer],
) -> Answer | None:
    """Accept a message and store what `present` says about it, or return the stored answer.

    None if it takes more than one statement, or if there is something to refuse that a stored
    answer might forestall: nothing is written, and `idempotency.once` has to do it.
    Raises `KeyInFlightError`, `KeyReusedError`.
    """
    if message.attachments or message.sequence_key:
        return None
    try:
        draft, accepted = draft_message(message=message, sender=sender)
    except DomainError:
        return None
    answer = write_once(claim, present(accepted), _STATEMENT, draft.parameters())
    if answer is not None and not answer.is_replay:
        draft.wake()
    return answer
