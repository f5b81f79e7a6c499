"""Why mail comes back: one table of rules for replies while sending, provider events and DSNs."""

from __future__ import annotations

from providers.bounces.classes import BounceClass, BounceVerdict, Side, is_block
from providers.bounces.verdict import classify, status_in

__all__ = ["BounceClass", "BounceVerdict", "Side", "classify", "is_block", "status_in"]
