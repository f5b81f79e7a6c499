"""Suppressions out of CSV files and into them, of any length and in little memory."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import IO, TYPE_CHECKING

from django.db import connection, transaction

from delivery.email_types import email_types
from delivery.intake.fields import LIST
from delivery.models import SuppressionReason
from delivery.models.suppressions import ALL_MARKETING
from delivery.services.suppressions import KEEP_THE_WEIGHTIER
from mailservice.core.addresses import AddressError, normalized, parse_email
from mailservice.core.errors import InvalidInputError
from mailservice.core.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator

    Row = tuple[str, str, str, str, str]

COLUMNS = ("email", "reason", "email_type", "list", "note")
_ALIASES = {"address": "email", "e-mail": "email", "mail": "email", "list_key": "list"}
#: Lines of one transaction: killed between two, the import is simply run again.
CHUNK_LINES = 10_000
#: Bad lines named; the others are only counted.
MAX_FAULTS = 20
#: Longer lines are no list of addresses.
_MAX_LINE_CHARS = 100_000
_DELIMITERS = ",;\t"
#: What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SAFE = r"CASE WHEN {0} ~ '^[-=+@\t\r]' THEN '''' || {0} ELSE {0} END"

# Replies of servers have several lines; the import wants each suppression on one.
_NOTE = r"regexp_replace(note, '[\r\n]+', ' ', 'g')"

_EXPORT = f"""
COPY (SELECT {_SAFE.format("address")} AS email, reason, NULLIF(email_type, '') AS email_type,
             NULLIF(list_key, '') AS list, NULLIF({_SAFE.format(_NOTE)}, '') AS note, created_at
        FROM delivery_suppression ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)
"""  # noqa: S608 - names from this module only
_STAGE = """
CREATE TEMPORARY TABLE suppression_import (
    id uuid, address text, reason text, email_type text, list_key text, note text) ON COMMIT DROP
"""
_FILL = """
COPY suppression_import (id, address, reason, email_type, list_key, note) FROM STDIN
"""
# In one order, so that two writers of the same addresses cannot deadlock.
_TAKE = """
INSERT INTO delivery_suppression (id, address, reason, email_type, list_key, note)
SELECT DISTINCT ON (address, email_type, list_key) id, address, reason, email_type, list_key, note
  FROM suppression_import
 ORDER BY address, email_type, list_key, (reason = 'unsubscribe'), id
"""
_KEEP_ALL = "ON CONFLICT (address, email_type, list_key) DO NOTHING"


@dataclass(slots=True)
class Imported:
    """What became of a file."""

    #: Lines with an address.
    read: int = 0
    #: Suppressions written; the others were there already.
    added: int = 0
    #: Lines left out.
    refused: int = 0
    #: (line, message) of the first of them.
    faults: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, line: int, message: str) -> None:
        """Note a line that is left out."""
        self.refused += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append((line, message))


def export_csv() -> Iterator[bytes]:
    """Yield all suppressions as CSV with a header, safe to open in a spreadsheet."""
    with connection.cursor() as cursor, cursor.copy(_EXPORT) as copy:
        for block in copy:
            yield bytes(block)


def import_csv(
    file: IO[bytes],
    *,
    reason: SuppressionReason = SuppressionReason.MANUAL,
    email_type: str = "",
    list_key: str = "",
    is_dry_run: bool = False,
    keeps_unsubscribes: bool = False,
) -> Imported:
    """Write the suppressions of a CSV file (UTF-8); lines that cannot be read are left out.

    Each line is one suppression: a cell that goes on in the next line is refused, for a quotation
    mark that nobody closed would else swallow all that follows.
    With a header its columns are found by name (`COLUMNS`), without one the first is the address.
    `reason` and scope hold for lines that have none of their own. A weightier reason replaces an
    unsubscribe, unless the import `keeps_unsubscribes`. Raises `InvalidInputError` for
    the field `file`; what came before the fault is written then, and may be imported again.
    """
    result = Imported()
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        rows = _rows(text, (reason.value, email_type, list_key), result)
        while chunk := list(islice(rows, CHUNK_LINES)):
            result.read += len(chunk)
            if not is_dry_run:
                result.added += _write(chunk, keeps_unsubscribes=keeps_unsubscribes)
    finally:
        text.detach()  # else it would close the caller's file
    return result


def _write(chunk: list[Row], *, keeps_unsubscribes: bool) -> int:
    conflict = _KEEP_ALL if keeps_unsubscribes else KEEP_THE_WEIGHTIER
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_STAGE)
        with cursor.copy(_FILL) as copy:
            for row in chunk:
                copy.write_row((uuid7(), *row))
        cursor.execute(_TAKE + conflict)
        added: int = cursor.rowcount
        # The next chunk may be of the same transaction.
        cursor.execute("DROP TABLE suppression_import")
    return added


def _rows(text: IO[str], default: tuple[str, str, str], result: Imported) -> Iterator[Row]:
    lines = enumerate(_lines(text), 1)
    delimiter, places, begun = _opened(lines)
    types = frozenset(email_types()) | {"", ALL_MARKETING}
    for number, line in chain(begun, lines):
        try:
            cells = _cells(line, delimiter)
            if not any(cells):
                continue
            given = {
                name: cells[place] if place < len(cells) else "" for name, place in places.items()
            }
            yield _row(given, default, types)
        except ValueError as error:
            result.refuse(number, str(error))


def _lines(text: IO[str]) -> Iterator[str]:
    """Yield the lines. Raises `InvalidInputError`."""
    number = 1
    try:
        while line := text.readline(_MAX_LINE_CHARS):
            if len(line) == _MAX_LINE_CHARS:
                raise InvalidInputError.for_field("file", f"Line {number} is too long.")
            yield line
            number += 1
    except UnicodeDecodeError:
        # Read ahead in blocks: the octet may stand some lines further down.
        raise InvalidInputError.for_field(
            "file", f"At line {number} or after it the file is no text in UTF-8."
        ) from None


def _opened(
    lines: Iterator[tuple[int, str]],
) -> tuple[str, dict[str, int], list[tuple[int, str]]]:
    """Return the delimiter, the columns' places, and the first line if it is no header."""
    number, first = next(((number, line) for number, line in lines if line.strip()), (1, ""))
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        head = _cells(first, delimiter)
    except ValueError as error:
        raise InvalidInputError.for_field("file", f"Line {number}: {error}") from None
    names = [_ALIASES.get(cell.lower(), cell.lower()) for cell in head]
    if "email" in names:
        return delimiter, {name: names.index(name) for name in COLUMNS if name in names}, []
    if first.strip() and "@" not in head[0]:
        raise InvalidInputError.for_field("file", 'The first line has no column "email".')
    return delimiter, {"email": 0}, [(number, first)]


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line. Raises `ValueError`."""
    if '"' not in line:  # as most: a reader for each would cost half of the import again
        return [cell.strip() for cell in line.split(delimiter)]
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise ValueError(
            "a quotation mark is not closed on this line, or stands alone in a cell."
        ) from None
    return [cell.strip() for cell in cells]


def _row(given: dict[str, str], default: tuple[str, str, str], types: frozenset[str]) -> Row:
    """Return a row to write. Raises `ValueError` with what is wrong, naming the column."""
    try:
        address = normalized(parse_email(_plain(given["email"])))
    except AddressError as error:
        raise ValueError(f"email: {error.message}") from None
    reason = given.get("reason", "").lower() or default[0]
    if reason not in SuppressionReason.values:
        raise ValueError(f"reason: known are {', '.join(SuppressionReason.values)}.")
    email_type, list_key = given.get("email_type", ""), given.get("list", "")
    if not email_type and not list_key:
        email_type, list_key = default[1:]
    if email_type and list_key:
        raise ValueError("list: a line has an email type or a list, not both.")
    if email_type not in types:
        raise ValueError(f"email_type: there is no type {email_type[:64]!r}.")
    if list_key and not LIST.match(list_key):
        raise ValueError("list: use 1 to 64 letters, digits, hyphens and underscores.")
    note = _plain(given.get("note", "")).replace("\0", "")[:200]
    return address, reason, email_type, list_key, note


def _plain(cell: str) -> str:
    """Return a cell without the apostrophe that keeps spreadsheets from calculating it."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
