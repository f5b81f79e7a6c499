"""File locks that the kernel drops however their holder ends (flock).

Descriptors are closed in programs that a holder starts, unless they are passed on by intent.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def open_lock(path: Path) -> int:
    """Return a descriptor of the lock file `path`, made if missing; nothing is locked yet."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def acquire_shared(path: Path) -> int:
    """Wait for a shared lock on `path`; it lasts until the returned descriptor is closed."""
    descriptor = open_lock(path)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def try_shared(path: Path) -> int | None:
    """Return a descriptor with a shared lock on `path`, or None if somebody has it exclusively."""
    return _try(path, fcntl.LOCK_SH)


def acquire_exclusive(path: Path) -> int:
    """Wait until nobody else holds `path` and lock it until the descriptor is closed."""
    descriptor = open_lock(path)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def try_exclusive(path: Path) -> int | None:
    """Return a descriptor with an exclusive lock on `path`, or None if somebody holds it."""
    return _try(path, fcntl.LOCK_EX)


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold `path` exclusively inside the `with` block."""
    descriptor = acquire_exclusive(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _try(path: Path, kind: int) -> int | None:
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
