"""What all work on stored mail and posts has in common: waits, verdicts, old rows.

A batch is one transaction in which its rows are locked: whoever is killed leaves them as they were,
and doing it twice changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.db import DataError, IntegrityError, connection, transaction

from mailservice.core.sql import RecordSet, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

WorkT = TypeVar("WorkT")

_FAULT_CHARS = 500
#: After so long events of a message that another process holds are tried again.
SOON = timedelta(seconds=2)
#: Waits of what is tried again double up to this.
_LONGEST_WAIT = timedelta(minutes=2)
#: Old rows deleted by one statement.
_OLD_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class RowTable:
    """A table of rows with `status`, `error`, `due_at` and `attempts`, and what else is written."""

    name: str
    #: Further columns of a verdict and their types.
    extra: tuple[tuple[str, str], ...] = ()

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write what became of rows, and count the attempt."""
        columns = {"id": "uuid", "status": "text", "error": "text", "due_at": "timestamptz"}
        columns |= dict(self.extra)
        names = [name for name in columns if name != "id"]
        picked = ", ".join(f"{name} = r.{name}" for name in names)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {self.name} e SET {picked}, attempts = LEAST(e.attempts + 1, 32000)"  # noqa: S608 - names from the program only, values are parameters
                f" FROM {RecordSet(columns).source} WHERE e.id = r.id",
                [to_json(rows)],
            )

    def delete_before(self, moment: datetime) -> int:
        """Forget rows made before a moment, in short statements; return how many."""
        # The key tells the time, so its index finds the oldest.
        limit = UUID(int=int(moment.timestamp() * 1000) << 80)
        statement = (
            f"DELETE FROM {self.name} WHERE id IN ("  # noqa: S608 - see above
            f"SELECT id FROM {self.name} WHERE id < %s ORDER BY id LIMIT %s "
            "FOR UPDATE SKIP LOCKED)"
        )
        total = 0
        while True:
            with connection.cursor() as cursor:
                cursor.execute(statement, [limit, _OLD_ROWS])
                count = int(cursor.rowcount)
            total += count
            if count < _OLD_ROWS:
                return total


def apply_all_or_each(
    work: Sequence[WorkT],
    apply: Callable[[Sequence[WorkT]], int],
    blame: Callable[[WorkT, str], None],
) -> int:
    """Apply work at once; if it holds what the database will not, each piece by itself.

    `apply` returns how much was new; `blame` is told why a piece could not be applied.
    """
    try:
        with transaction.atomic():
            return apply(work)
    except (DataError, IntegrityError, ValueError):
        # One piece is to blame: the others must not suffer.
        return sum(_apply_one(piece, apply, blame) for piece in work)


def _apply_one(
    piece: WorkT, apply: Callable[[Sequence[WorkT]], int], blame: Callable[[WorkT, str], None]
) -> int:
    try:
        with transaction.atomic():
            return apply([piece])
    except (DataError, IntegrityError, ValueError) as error:
        why = f"Cannot be stored: {type(error).__name__}: {error}"
        blame(piece, why.replace("\x00", "")[:_FAULT_CHARS])
        return 0


def wait_after(attempts: int) -> timedelta:
    """Return how long something waits that was tried so often."""
    return min(SOON * (1 << min(attempts, 10)), _LONGEST_WAIT)
