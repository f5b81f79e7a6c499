"""Cards that apps above this one put on the page of a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from delivery.models import Message


@dataclass(frozen=True)
class Card:
    """A part of the page."""

    #: Its template, which gets the rest as `card`.
    template: str
    values: Mapping[str, Any]


#: Returns a card, or None where it has nothing to show or the reader may not see it.
CardMaker = Callable[[HttpRequest, Message], Card | None]

_makers: dict[str, CardMaker] = {}


def register_card(name: str, maker: CardMaker) -> None:
    """Have a card on every message's page from now on; called when the apps are ready."""
    _makers[name] = maker


def cards_for(request: HttpRequest, message: Message) -> list[Card]:
    """Return the cards of a message's page, in the order of their registration."""
    made = (maker(request, message) for maker in _makers.values())
    return [card for card in made if card is not None]
