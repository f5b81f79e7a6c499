"""What stays warm in a process from one drain to the next: accounts and compiled contents."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from delivery.queue.accounts import Accounts
from delivery.queue.contents import ContentCache

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Warm:
    """One drain's kit; used by one drain at a time."""

    accounts: Accounts = field(default_factory=Accounts)
    contents: ContentCache = field(default_factory=ContentCache)


_lock = threading.Lock()
_idle: list[Warm] = []


@contextmanager
def warm_kit() -> Iterator[Warm]:
    """Lend a kit of this process that no other drain is using."""
    with _lock:
        kit = _idle.pop() if _idle else Warm()
    try:
        yield kit
    finally:
        with _lock:
            _idle.append(kit)
