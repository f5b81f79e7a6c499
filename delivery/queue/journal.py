"""The wire journal: how far each mail in a process's hands is, kept where a kill cannot take it.

Every drain has one memory-mapped file of its own. Its threads note in it when they begin with a
mail, right before they hand it over, and what the provider said; a note costs a few stores to
memory. When the process dies, the kernel keeps the pages and drops the lock on the file, so the
next process of this host knows what was certainly not sent, what was, and the few that were being
handed over at that moment (`delivery.queue.recovery`).

It speaks of the death of processes. After a crash of the whole host the pages may be older than
the truth: files of another boot are not believed, and the end of the lease settles their mails.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import mmap
import os
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection

from providers.ports import Outcome, Reason, RecipientResult, Reply, Scope, SendResult

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

logger = logging.getLogger(__name__)

#: Slots the file grows by.
_GROWTH = 32
#: A slot is a page: its mail is noted without touching another one's.
SLOT_BYTES = 4096
_MAGIC = b"mailservice wire journal 2\n"
_FILE_HEAD = struct.Struct("<32s16s16s")
#: Stage, number of the attempt, length of the result, duration (ms), start (seconds since 1970),
#: message, provider, decision, recipients of the attempt.
_HEAD = struct.Struct("<BHHId16s16s16sI")
_MOST = SLOT_BYTES - _HEAD.size
_NOBODY = UUID(int=0)
_BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")
#: A file that was never finished, or that another host or boot left, is removed after so long.
_STALE_SECONDS = 86_400


class Stage(IntEnum):
    """How far a mail is."""

    FREE = 0
    #: It waits for a sender thread.
    HELD = 1
    #: A thread composes or offers it; the provider cannot have it.
    BEGUN = 2
    #: The provider may have it.
    HANDED_OVER = 3
    #: The verdict is known.
    ENDED = 4


@dataclass(frozen=True, slots=True)
class Note:
    """What the journal says of one mail."""

    stage: Stage
    provider_id: UUID | None
    decision_id: UUID
    number: int
    started_at: datetime
    #: How many recipients the attempt is for: others may have been served or suppressed.
    recipients: int = 1
    duration_ms: int = 0
    #: Present exactly if the stage is `ENDED`.
    result: SendResult | None = None


class Entry:
    """One mail's slot, written by the thread that has the mail."""

    __slots__ = ("_journal", "_offset", "_started")

    def __init__(self, journal: WireJournal, offset: int) -> None:
        self._journal = journal
        self._offset = offset
        self._started = 0.0

    def begin(self) -> None:
        """Note that a thread begins with it."""
        self._started = time.time()
        struct.pack_into("<d", self._journal.pages, self._offset + 9, self._started)
        self._journal.pages[self._offset] = Stage.BEGUN

    def hand_over(self) -> None:
        """Note that from now on the provider may have it."""
        self._journal.pages[self._offset] = Stage.HANDED_OVER

    def withdraw(self) -> None:
        """Note nothing but that no thread will have it."""
        self._journal.note_off_wire()

    def end(self, result: SendResult | None, duration_ms: int) -> None:
        """Note the verdict; None if it was not put on the wire. The last thing its thread does."""
        try:
            if result is not None:
                self._write(result, duration_ms)
        finally:
            self._journal.note_off_wire()

    def _write(self, result: SendResult, duration_ms: int) -> None:
        packed = _packed(result)
        pages, start = self._journal.pages, self._offset + _HEAD.size
        pages[start : start + len(packed)] = packed
        struct.pack_into("<HI", pages, self._offset + 3, len(packed), duration_ms)
        # Last, so that whoever reads the stage finds the result complete.
        pages[self._offset] = Stage.ENDED


class WireJournal:
    """The journal of one drain. Raises `OSError` if there is no place for it.

    `capacity` is the most mails at once. `hold`, `forget`, `discard` and `leave` belong to the
    draining thread; `hold` may find no more room, too.
    """

    def __init__(self, folder: Path, *, lease_id: UUID, capacity: int) -> None:
        self._path = _path(folder, lease_id)
        self._places: dict[UUID, int] = {}
        self._free: list[int] = []
        self._lock = threading.Lock()
        self._on_wire = 0
        self._is_left = False
        #: Octets of the file that are really there, and how many there can be.
        self._size = SLOT_BYTES
        size = SLOT_BYTES * (capacity + 1)
        unfinished = self._path.with_suffix(".new")
        descriptor = os.open(
            unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode=0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.ftruncate(descriptor, size)
            os.pwrite(descriptor, bytes(SLOT_BYTES), 0)
            self.pages = mmap.mmap(descriptor, size)
            _FILE_HEAD.pack_into(self.pages, 0, _MAGIC, _boot_id(), lease_id.bytes)
            unfinished.rename(self._path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        finally:
            # The mapping keeps the file, and with it the lock.
            os.close(descriptor)

    def hold(
        self,
        message_id: UUID,
        *,
        provider_id: UUID | None,
        decision_id: UUID,
        number: int,
        recipients: int = 1,
    ) -> Entry:
        """Note a mail that is handed to a sender thread; again if another account is to try."""
        offset = self._places.get(message_id)
        if offset is None:
            if not self._free:
                self._grow()
            offset = self._places[message_id] = self._free.pop()
        self.pages[offset] = Stage.FREE
        _HEAD.pack_into(
            self.pages, offset, Stage.FREE, number, 0, 0, 0.0,
            message_id.bytes, (provider_id or _NOBODY).bytes, decision_id.bytes, recipients,
        )  # fmt: skip
        self.pages[offset] = Stage.HELD
        with self._lock:
            self._on_wire += 1
        return Entry(self, offset)

    def _grow(self) -> None:
        """Write the next slots for real: a full disk must not show later, as a SIGBUS."""
        end = min(self._size + _GROWTH * SLOT_BYTES, len(self.pages))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, bytes(end - self._size), self._size)
        finally:
            os.close(descriptor)
        self._free.extend(range(end - SLOT_BYTES, self._size - 1, -SLOT_BYTES))
        self._size = end

    def forget(self, message_ids: Collection[UUID]) -> None:
        """Free the slots of mails whose fate stands in the database."""
        for message_id in message_ids:
            offset = self._places.pop(message_id, None)
            if offset is not None:
                self.pages[offset] = Stage.FREE
                self._free.append(offset)

    def note_off_wire(self) -> None:
        """Count down the mails in threads; the last one after `leave` lets go of the file."""
        with self._lock:
            self._on_wire -= 1
            if self._is_left and not self._on_wire:
                self.pages.close()

    def discard(self) -> None:
        """Remove the file: all is in the database."""
        self._path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Leave the file to `recovery`, which may have it once no thread is at a mail any more."""
        with self._lock:
            self._is_left = True
            if not self._on_wire:
                self.pages.close()


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A journal whose process is gone."""

    path: Path
    lease_id: UUID
    notes: Mapping[UUID, Note] = field(repr=False)

    def remove(self) -> None:
        """Remove the file: all is in the database."""
        self.path.unlink(missing_ok=True)


def journal_folder() -> Path:
    """Return where this database's journals are, made if missing. Raises `OSError`.

    Processes of several databases may share a host.
    """
    facts = connection.settings_dict
    return _folder(f"{facts['HOST']}:{facts['PORT']}/{facts['NAME']}")


@cache
def _folder(database: str) -> Path:
    top = Path(settings.WIRE_JOURNAL_DIR)
    folder = top / hashlib.sha256(database.encode()).hexdigest()[:16]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat()
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise PermissionError(f"WIRE_JOURNAL_DIR: {folder} is not ours alone.")
    return folder


def abandoned(folder: Path) -> Iterator[Abandoned]:
    """Yield the journals in `folder` whose processes are gone, each locked meanwhile."""
    for path in folder.glob("*.*"):
        with _opened(path) as descriptor:
            if descriptor is None or not _is_free(descriptor):
                continue
            found = _read(path, descriptor)
            if found is not None:
                yield found
            elif os.fstat(descriptor).st_mtime < time.time() - _STALE_SECONDS:
                path.unlink(missing_ok=True)


def journal_of(folder: Path, lease_id: UUID) -> Abandoned | None:
    """Return what a process noted that may still run but whose lease is over; None if not here."""
    path = _path(folder, lease_id)
    with _opened(path) as descriptor:
        return None if descriptor is None else _read(path, descriptor)


def _path(folder: Path, lease_id: UUID) -> Path:
    return folder / f"{lease_id.hex}.wire"


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path, descriptor: int) -> Abandoned | None:
    """Return what a journal says; None for one that is unfinished or of another boot."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    if path.suffix != ".wire" or len(data) < SLOT_BYTES:
        return None
    magic, boot_id, lease_id = _FILE_HEAD.unpack_from(data)
    if magic.rstrip(b"\0") != _MAGIC or boot_id != _boot_id():
        return None
    notes = {}
    for offset in range(SLOT_BYTES, len(data) - SLOT_BYTES + 1, SLOT_BYTES):
        if data[offset] != Stage.FREE:
            message_id, note = _note(data, offset)
            notes[message_id] = note
    return Abandoned(path, UUID(bytes=lease_id), notes)


def _note(data: bytes, offset: int) -> tuple[UUID, Note]:
    (
        stage, number, length, duration_ms, started, message, provider, decision, recipients,
    ) = _HEAD.unpack_from(data, offset)  # fmt: skip
    start = offset + _HEAD.size
    return UUID(bytes=message), Note(
        stage=Stage(stage),
        provider_id=UUID(bytes=provider) if any(provider) else None,
        decision_id=UUID(bytes=decision),
        number=number,
        started_at=datetime.fromtimestamp(started, UTC),
        recipients=recipients,
        duration_ms=duration_ms if stage == Stage.ENDED else 0,
        result=_unpacked(data[start : start + length]) if stage == Stage.ENDED else None,
    )


def _packed(result: SendResult) -> bytes:
    """Return a result as JSON that fits a slot, with less and less of what was said if need be."""
    return (
        _fitting(result)
        or _fitting(replace(result, dialogue=""))
        or _fitting(_without_words(result))
        # Who was served does not fit: rather in doubt than sent again to them.
        or orjson.dumps(SendResult(Outcome.UNKNOWN, Reason.LOST_AFTER_DATA))
    )


def _fitting(result: SendResult) -> bytes:
    try:
        packed = orjson.dumps(result)
    except orjson.JSONEncodeError:  # half a surrogate pair in what a server said
        return b""
    return packed if len(packed) <= _MOST else b""


def _without_words(result: SendResult) -> SendResult:
    """Return a result without what was said; the codes stay, for they tell dead addresses."""
    recipients = [replace(each, reply=_codes_of(each.reply)) for each in result.recipients]
    reply = _codes_of(result.reply)
    return replace(result, dialogue="", reply=reply, recipients=tuple(recipients))


def _codes_of(reply: Reply) -> Reply:
    return Reply(reply.code, reply.enhanced_code[:12])


def _unpacked(packed: bytes) -> SendResult:
    values = orjson.loads(packed)
    return SendResult(
        Outcome(values["outcome"]),
        Reason(values["reason"]),
        Scope(values["scope"]),
        Reply(**values["reply"]),
        tuple(
            RecipientResult(
                each["address"],
                Outcome(each["outcome"]),
                Reason(each["reason"]),
                Reply(**each["reply"]),
            )
            for each in values["recipients"]
        ),
        values["remote_id"],
        values["retry_after_seconds"],
        values["dialogue"],
        values["is_offered"],
    )


@cache
def _boot_id() -> bytes:
    """Return what tells this boot of this host from any other; zeros where nothing does."""
    try:
        return UUID(_BOOT_FILE.read_text().strip()).bytes
    except (OSError, ValueError):
        return bytes(16)
