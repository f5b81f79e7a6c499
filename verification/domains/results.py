"""What a check has found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from verification.dns import Answer

    #: Asks the DNS for a name and a type; never raises.
    LookUp = Callable[[str, str], Answer]

#: Of a record that somebody else published: more is nobody's to read.
MAX_FOUND = 10
MAX_FOUND_CHARS = 1_000
#: Of anything else that is kept; a key to publish fits in.
_MAX_CHARS = 4_000


class State(StrEnum):
    """How good a finding is."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


_GRAVITY = (State.FAIL, State.UNKNOWN, State.WARN, State.PASS)


def worst(states: Iterable[State]) -> State:
    """Return the gravest: what fails, then what is not known, then warnings."""
    present = set(states)
    return next((state for state in _GRAVITY if state in present), State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record to publish, exactly as it has to read."""

    name: str
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check with everything a person needs to act on it."""

    #: `spf`, `dkim`, `dmarc`, `mx` or `return_path`.
    kind: str
    #: In a few words, such as “DKIM key s1”.
    title: str
    state: State
    #: Sentences, gravest first.
    notes: tuple[str, ...]
    #: What to publish, if anything can or must be.
    record: Record | None = None
    #: What is published there now.
    found: tuple[str, ...] = ()
    #: Kind of the provider it is for, or empty.
    provider: str = ""


@dataclass(slots=True)
class Findings:
    """Collects findings of one check."""

    items: list[tuple[State, str]] = field(default_factory=list)

    def add(self, state: State, note: str) -> None:
        """Note something."""
        self.items.append((state, note))

    @property
    def state(self) -> State:
        """Return the gravest of what was noted; nothing noted is a pass."""
        return worst(state for state, _ in self.items) if self.items else State.PASS

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the sentences, gravest first."""
        ranked = sorted(self.items, key=lambda item: _GRAVITY.index(item[0]))
        return tuple(note for _, note in ranked)


def shortened(records: Iterable[str]) -> tuple[str, ...]:
    """Return what can be shown and kept of what strangers publish."""
    return tuple(record[:MAX_FOUND_CHARS] for record in records)[:MAX_FOUND]


def tags_of(record: str) -> dict[str, str]:
    """Return the tags of a `v=…; p=…` record (RFC 6376 §3.2, RFC 7489 §6.4); names in lower case.

    Of a repeated tag the first counts.
    """
    tags: dict[str, str] = {}
    for part in record.split(";"):
        name, equals, value = part.partition("=")
        if equals and name.strip():
            tags.setdefault(name.strip().lower(), value.strip())
    return tags


def as_json(check: Check) -> dict[str, Any]:
    """Return a check as it is stored and shown by the API."""
    record = check.record
    written = {"name": record.name, "type": record.type, "value": record.value} if record else None
    return {
        "kind": check.kind,
        "title": check.title,
        "state": check.state.value,
        "provider": check.provider,
        "notes": [_storable(note) for note in check.notes],
        "record": {name: _storable(text) for name, text in written.items()} if written else None,
        "found": [_storable(text) for text in check.found],
    }


def _storable(text: str) -> str:
    """Return a text, in which strangers may have a say, as the database takes it."""
    return text.replace("\x00", "")[:_MAX_CHARS]
