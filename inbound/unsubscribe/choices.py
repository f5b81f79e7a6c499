"""What an address may choose on its preference page, and what a choice comes to.

Pure: from what is stopped, and by whom, to what is shown and what is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from delivery.models import SuppressionReason
from delivery.models.suppressions import ALL_MARKETING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from delivery.models import EmailType
    from delivery.services.suppressions import Scope
    from delivery.unsubscribing import MailLink

ALL: Scope = ("", "")
MARKETING: Scope = (ALL_MARKETING, "")


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to get or not to get."""

    scope: Scope
    #: The name of an email type or of a list.
    name: str
    title: str
    description: str
    is_marketing: bool
    is_wanted: bool
    #: Stopped by others: bounces, complaints and what people entered are not taken back here.
    is_fixed: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """What becomes of a choice, besides what is so already."""

    #: Scopes of which the owner's own unsubscribes are taken back.
    back: Sequence[Scope]
    #: Scopes to unsubscribe from.
    off: Sequence[Scope]


def choices_of(
    link: MailLink, types: Mapping[str, EmailType], stopped: Mapping[Scope, str]
) -> list[Choice]:
    """Return what the link's address may choose: its list, then types in order of their names.

    Of the types that are no marketing those are there that are stopped: whoever unsubscribed from
    receipts gets a way back, and nobody an easy way to lose them. `stopped` are the reasons by
    scope.
    """
    found = []
    if link.list_key:
        kind = types.get(link.email_type)
        is_marketing = kind is None or kind.is_marketing
        scope = ("", link.list_key)
        found.append(_choice(scope, link.list_key, "", stopped, is_marketing=is_marketing))
    marketing = [(name, kind) for name, kind in sorted(types.items()) if kind.is_marketing]
    others = [
        (name, kind)
        for name, kind in sorted(types.items())
        if not kind.is_marketing and (name, "") in stopped
    ]
    return found + [
        _choice(
            (name, ""),
            kind.title or name,
            kind.description,
            stopped,
            is_marketing=kind.is_marketing,
        )
        for name, kind in marketing + others
    ]


def changes_of(
    choices: Iterable[Choice], wanted: Collection[Scope], stopped: Mapping[Scope, str]
) -> Changes:
    """Return what it comes to when the owner wants these scopes of the choices, and no other.

    What others stopped is left as it is. `ALL` among the wanted takes back an unsubscribe from
    all mail without choosing anything.
    """
    all_choices = list(choices)
    free = [choice for choice in all_choices if not choice.is_fixed]
    back = [choice.scope for choice in free if choice.scope in wanted]
    off = [choice.scope for choice in free if choice.scope not in wanted]
    marketing = [choice for choice in all_choices if choice.is_marketing]
    if any(choice.scope in wanted and not choice.is_fixed for choice in marketing):
        back.append(MARKETING)
    elif marketing and not any(choice.is_fixed for choice in marketing):
        # Wanting nothing on the page means wanting nothing that may come to stand there either.
        off.insert(0, MARKETING)
    if (back or ALL in wanted) and ALL in stopped:
        back.append(ALL)
    return Changes(back, off)


def gets_needed(types: Mapping[str, EmailType], stopped: Mapping[Scope, str]) -> bool:
    """Tell whether mail that is no marketing reaches the address, of whatever type."""
    return ALL not in stopped and not any(
        (name, "") in stopped for name, kind in types.items() if not kind.is_marketing
    )


def _choice(
    scope: Scope, title: str, description: str, stopped: Mapping[Scope, str], *, is_marketing: bool
) -> Choice:
    over_it = [ALL, scope, *([MARKETING] if is_marketing else [])]
    reasons = [stopped[each] for each in over_it if each in stopped]
    return Choice(
        scope=scope,
        name=scope[0] or scope[1],
        title=title,
        description=description,
        is_marketing=is_marketing,
        is_wanted=not reasons,
        is_fixed=any(reason != SuppressionReason.UNSUBSCRIBE for reason in reasons),
    )
