"""The keys of links in mails, at hand in every process."""

from __future__ import annotations

import os
import threading
import time

from django.db import DatabaseError, IntegrityError, transaction

from delivery.links import KeyRing
from delivery.links.ring import KEY_BYTES
from delivery.models import LinkKey

#: How old the remembered keys may be: after a new one is made, processes sign with it this late.
CACHE_SECONDS = 60.0
#: A link that names an unknown key makes a process look again, no more often than this.
_LOOK_AGAIN_SECONDS = 5.0
MAX_KEYS = 256

_lock = threading.Lock()
_held: tuple[float, KeyRing] | None = None


def key_ring() -> KeyRing:
    """Return the ring of all keys; the first call ever makes the first key.

    Once read, it serves on while the database does not answer.
    """
    held = _held
    if held is not None and (time.monotonic() - held[0] < CACHE_SECONDS or _lock.locked()):
        # While one thread looks, which takes long without a database, the others go on.
        return held[1]
    return _reloaded()


def ring_for(token: str) -> KeyRing:
    """Return the ring to read a sealed token with: another process may just have made a key."""
    ring = key_ring()
    return ring if ring.knows(token) else _fresh(ring)


def ring_for_signed(token: str) -> KeyRing:
    """Return the ring to verify a short signed token with, likewise."""
    ring = key_ring()
    return ring if ring.knows_signed(token) else _fresh(ring)


def _fresh(ring: KeyRing) -> KeyRing:
    """Return the ring as the database has it now, or `ring` if that was read just before."""
    held = _held
    if held is not None and time.monotonic() - held[0] < _LOOK_AGAIN_SECONDS:
        return ring
    return _reloaded()


def add_link_key() -> int:
    """Make a new key, which signs from now on, and return its number.

    All earlier ones go on reading. Raises `ValueError` when there is no number left.
    """
    with transaction.atomic():
        newest = LinkKey.objects.order_by("-number").first()
        number = 0 if newest is None else newest.number + 1
        if number >= MAX_KEYS:
            raise ValueError("All 256 numbers of link keys are taken.")
        LinkKey.objects.create(number=number, secret=os.urandom(KEY_BYTES).hex())
    forget_link_keys()
    return number


def forget_link_keys() -> None:
    """Make the next look go to the database."""
    global _held  # noqa: PLW0603 - a cache of the whole process
    _held = None


def _reloaded() -> KeyRing:
    global _held  # noqa: PLW0603 - a cache of the whole process
    before = _held
    with _lock:
        held = _held
        if held is not None and held is not before:
            # Another thread has looked while this one waited.
            return held[1]
        try:
            ring = KeyRing(_stored() or _first())
        except DatabaseError:
            if held is None:
                raise
            ring = held[1]
        _held = (time.monotonic(), ring)
        return ring


def _stored() -> dict[int, bytes]:
    return {key.number: bytes.fromhex(key.secret) for key in LinkKey.objects.all()}


def _first() -> dict[int, bytes]:
    try:
        with transaction.atomic():
            LinkKey.objects.create(number=0, secret=os.urandom(KEY_BYTES).hex())
    except IntegrityError:  # another process was first
        pass
    return _stored()
