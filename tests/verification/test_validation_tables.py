"""Lists read from files, results written to them."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verification.validation import DomainLists, MailRoute, MailRouteKind, examine, judge
from verification.validation.tables import (
    COLUMNS,
    TableError,
    csv_header,
    csv_row,
    read_addresses,
    safe_cell,
)


def read(data: bytes, column: str = "", size: int = 7) -> list[str]:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return list(read_addresses(pieces, column=column))


@pytest.mark.parametrize("size", [3, 4, 7, 1000])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"ann@acme.io\nbob@acme.io", ["ann@acme.io", "bob@acme.io"]),
        (b"ann@acme.io\r\n\r\nbob@acme.io\r\n", ["ann@acme.io", "bob@acme.io"]),
        (b"ann@acme.io\rbob@acme.io\r", ["ann@acme.io", "bob@acme.io"]),
        (b"Name;E-Mail\nAnn;ann@acme.io\nBob\n;\n", ["ann@acme.io"]),
        (b"Ann;ann@acme.io\nBob;bob@acme.io\n", ["ann@acme.io", "bob@acme.io"]),
        (b'name,email\n"Lee,\nAnn",ann@acme.io\n', ["ann@acme.io"]),
        ("\ufeffemail\nänn@bücher.de\n".encode(), ["änn@bücher.de"]),
        ("email\tname\nann@acme.io\tÄ\n".encode("utf-16"), ["ann@acme.io"]),
        ("email\na\u2028b@acme.io\n".encode(), ["a\u2028b@acme.io"]),
    ],
)
def test_lists_are_read_as_people_save_them(data: bytes, expected: list[str], size: int) -> None:
    assert read(data, size=size) == expected


def test_a_column_can_be_named() -> None:
    data = b"email,work\na@acme.io,b@acme.io\n"
    assert read(data, column="Work") == ["b@acme.io"]
    with pytest.raises(TableError, match="no column") as caught:
        read(data, column="nope")
    assert caught.value.field == "column"


def test_a_table_without_a_column_of_addresses_is_refused() -> None:
    with pytest.raises(TableError, match="names no column of addresses") as caught:
        read(b"name,city\nann,Rome\n")
    assert caught.value.field == "column"
    assert read(b"nobody\nann@acme.io\n") == ["nobody", "ann@acme.io"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ann@acme.io\n\xff\xfe\xfd\n", "line 2"),
        (b"a@acme.io\n\x00", "no text file"),
        (b"a" * 200_000, "Line 1 is too long"),
        (b'email,note\na@x.de,"\nb",\nb@x.de,"see\n' + b"u@x.de,\n" * 50, "Line 4: a quotation"),
        (b'email,note\nb@x.de,"see\nc@x.de,\nd@x.de,"other"\n', "Line 2: a quotation"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(data: bytes, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read(data, size=4096)


@given(st.lists(st.sampled_from(["ann@acme.io", "b@x.de", "ü@ö.de"])), st.integers(3, 20))
def test_the_pieces_do_not_matter(addresses: list[str], size: int) -> None:
    assert read("\n".join(addresses).encode(), size=size) == addresses


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert safe_cell(f"{start}1+1") == f"'{start}1+1"
    assert safe_cell("plain") == "plain"


def test_a_row_has_a_cell_for_each_column() -> None:
    result = judge(
        examine('=cmd|" /C calc"!A0@acme.io', DomainLists()), MailRoute(MailRouteKind.MX)
    )
    rows = list(csv.reader(io.StringIO(csv_header() + csv_row(result))))
    assert rows[0] == list(COLUMNS)
    assert len(rows[1]) == len(COLUMNS)
    assert rows[1][0].startswith("'=cmd")
    good = judge(examine("info@gmail.com", DomainLists()), MailRoute(MailRouteKind.MX))
    assert next(csv.reader([csv_row(good)])) == [
        "info@gmail.com",
        "info@gmail.com",
        "risky",
        "The address stands for a function, not for a person.",
        "",
        "exists",
        "mx",
        "no",
        "yes",
        "yes",
        "not_checked",
        "info@gmail.com",
    ]
