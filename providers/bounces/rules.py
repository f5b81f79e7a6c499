"""The table: every rule in the order in which they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.bounces.codes import POLICY_STATUS, REPLY, STATUS
from providers.bounces.wordings import ANSWERS, MARKS, RECIPIENT_SIDE, SENDER_SIDE, VAGUE

if TYPE_CHECKING:
    from providers.bounces.table import Rule

RULES: tuple[Rule, ...] = (
    *ANSWERS,
    *MARKS,
    *SENDER_SIDE,
    *RECIPIENT_SIDE,
    *STATUS,
    *VAGUE,
    *POLICY_STATUS,
    *REPLY,
)
