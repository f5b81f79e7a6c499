"""Addresses out of CSV files, and results into them."""

from __future__ import annotations

import codecs
import csv
import io
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from verification.validation.results import Result

#: Names by which a column of addresses is found, in any case.
COLUMN_NAMES = ("email", "e-mail", "email address", "email_address", "emailaddress", "mail")
#: Longer lines are no list of addresses.
MAX_LINE_CHARS = 100_000
_DELIMITERS = ",;\t|"
#: What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: The order of columns in result files.
COLUMNS = (
    "email",
    "normalized",
    "verdict",
    "reasons",
    "suggestion",
    "domain",
    "mx",
    "disposable",
    "role",
    "free",
    "smtp",
    "duplicate_key",
)


class TableError(ValueError):
    """The file cannot be read as a table; `field` is `file` or `column`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def read_addresses(file: IO[bytes] | Iterable[bytes], *, column: str = "") -> Iterator[str]:
    """Yield the addresses of a CSV or plain list, line by line; empty cells are left out.

    The text is UTF-8, or UTF-16 with a byte order mark. With a header line, `column` or a usual
    name says which column counts; without one it is the first with an @-sign. Raises `TableError`,
    possibly after some addresses.
    """
    lines = _lines(file)
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return
    delimiter = max(_DELIMITERS, key=first.count)
    # Strict: a quotation mark that nobody closed would swallow what follows without a word.
    reader = csv.reader(_chain(first, lines), delimiter=delimiter, strict=True)
    begun = 1
    try:
        head = next(reader)
        index = _named(head, column)
        if index is None:
            index = _first_with_address(head)
            yield from _cell(head, index)
        begun = reader.line_num + 1
        for row in reader:
            yield from _cell(row, index)
            begun = reader.line_num + 1
    except csv.Error:
        raise TableError(
            "file", f"Line {begun}: a quotation mark is not closed, or stands alone in a cell."
        ) from None


def csv_header() -> str:
    """Return the first line of a result file."""
    return _line(COLUMNS)


def csv_row(result: Result) -> str:
    """Return a result as a line, safe to open in a spreadsheet."""
    checks = result.as_json()["checks"]
    return _line(
        [
            result.email,
            result.normalized,
            result.verdict.value,
            "; ".join(reason.message for reason in result.reasons),
            result.suggestion,
            checks["domain"],
            checks["mx"],
            *(_word(checks[name]) for name in ("disposable", "role", "free")),
            checks["smtp"],
            result.duplicate_key,
        ]
    )


def safe_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([safe_cell(cell) for cell in cells])
    return out.getvalue()


def _word(flag: bool | None) -> str:  # noqa: FBT001 - a value, not a switch
    return "" if flag is None else "yes" if flag else "no"


def _named(head: list[str], wanted: str) -> int | None:
    """Return which column is called so that it holds the addresses, None without a header."""
    names = [name.strip().lower() for name in head]
    if wanted:
        if wanted.strip().lower() not in names:
            raise TableError("column", f'The first line has no column "{wanted[:64]}".')
        return names.index(wanted.strip().lower())
    if any("@" in name for name in names):
        return None
    return next((names.index(name) for name in COLUMN_NAMES if name in names), None)


def _first_with_address(row: list[str]) -> int:
    """Return the column that holds the addresses, to judge by a line without names for them."""
    found = next((index for index, cell in enumerate(row) if "@" in cell), None)
    if found is None and len(row) > 1:
        raise TableError(
            "column", "The first line names no column of addresses: say which one it is."
        )
    return found or 0


def _cell(row: list[str], index: int) -> Iterator[str]:
    text = row[index].strip() if index < len(row) else ""
    if text:
        yield text


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _lines(file: IO[bytes] | Iterable[bytes]) -> Iterator[str]:
    """Yield decoded lines, however the file is cut into pieces."""
    decoder: io.IncrementalNewlineDecoder | None = None
    rest = ""
    number = 0
    try:
        for piece in _pieces(file):
            decoder = decoder or _decoder(piece)
            rest += decoder.decode(piece)
            if "\x00" in rest:
                raise TableError("file", "This is no text file.")
            *whole, rest = rest.split("\n")
            for line in whole:
                number += 1
                yield line + "\n"
            if len(rest) > MAX_LINE_CHARS:
                raise TableError("file", f"Line {number + 1} is too long.")
        rest += decoder.decode(b"", final=True) if decoder else ""
    except UnicodeDecodeError as error:
        number += 1 + bytes(error.object[: error.start]).count(b"\n")
        raise TableError("file", f"Save the file as UTF-8: line {number} is not.") from None
    if rest:
        yield rest


def _pieces(file: IO[bytes] | Iterable[bytes]) -> Iterator[bytes]:
    chunks = getattr(file, "chunks", None)
    return chunks() if callable(chunks) else iter(file)


def _decoder(start: bytes) -> io.IncrementalNewlineDecoder:
    is_wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16" if is_wide else "utf-8-sig")()
    return io.IncrementalNewlineDecoder(decoder, translate=True)
