"""Suppressions out of CSV files and into them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from delivery.models import Suppression
from delivery.services.suppression_files import export_csv, import_csv
from mailservice.core.errors import InvalidInputError

pytestmark = pytest.mark.django_db


def take(text: str | bytes, **options: Any) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return import_csv(io.BytesIO(data), **options)


def rows() -> list[tuple[str, str, str, str, str]]:
    found = Suppression.objects.order_by("address", "email_type", "list_key")
    return list(found.values_list("address", "reason", "email_type", "list_key", "note"))


def test_columns_are_found_by_name_in_any_order() -> None:
    result = take(
        "\ufeffNote;List;E-Mail;reason\n=1+1;spring;Bob@EXAMPLE.net;unsubscribe\n;;eve@example.net;\n"
    )
    assert (result.read, result.added, result.refused) == (2, 2, 0)
    assert rows() == [
        ("bob@example.net", "unsubscribe", "", "spring", "=1+1"),
        ("eve@example.net", "manual", "", "", ""),
    ]


def test_a_plain_list_of_addresses_needs_no_header() -> None:
    result = take("bob@example.net\n\neve@example.net", email_type="marketing")
    assert (result.read, result.added) == (2, 2)
    assert {row[2] for row in rows()} == {"marketing"}


def test_bad_lines_are_named_and_the_others_taken() -> None:
    result = take(
        "email,reason,email_type,list\n"
        "bob@example.net,,,\nnobody,,,\neve@example.net,bored,,\n"
        "eve@example.net,,nope,\neve@example.net,,marketing,x\neve@example.net,,,a b\n"
    )
    assert (result.read, result.added, result.refused) == (1, 1, 5)
    assert [line for line, _ in result.faults] == [3, 4, 5, 6, 7]
    assert [message.partition(":")[0] for _, message in result.faults] == [
        "email",
        "reason",
        "email_type",
        "list",
        "list",
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_unclosed_quote_costs_its_own_line_only(end: str) -> None:
    lines = ["email,note", "a@x.example,", 'b@x.example,"see ticket']
    lines += [f"u{number}@x.example,ok" for number in range(50)]
    result = take(end.join([*lines, 'c@x.example,"other"', 'd@x.example,"', ""]))
    assert (result.read, result.added, result.refused) == (52, 52, 2)
    assert [line for line, _ in result.faults] == [3, 55]
    assert "quotation mark" in result.faults[0][1]


def test_a_line_without_an_address_is_named_and_an_empty_one_passed_over() -> None:
    result = take("reason,email\n,\n\nmanual,\nmanual,bob@example.net\n")
    assert (result.read, result.refused) == (1, 1)
    assert result.faults == [(4, "email: An email address is required.")]


def test_lines_are_counted_from_the_first_of_the_file() -> None:
    assert take("\n\nnobody@\nbob@example.net\n").faults[0][0] == 3


def test_notes_of_several_lines_are_exported_on_one() -> None:
    Suppression.objects.create(address="bob@example.net", note="550 5.1.1\r\nno such user")
    data = b"".join(export_csv())
    Suppression.objects.all().delete()
    result = take(data)
    assert (result.added, result.refused) == (1, 0)
    assert rows()[0][4] == "550 5.1.1 no such user"


@pytest.mark.parametrize(
    "data",
    [
        '"email\na@x.example\n',
        "email\n" + "a" * 200_000,
        "name,note\nx,y\n",
        b"\xff\xfe\x00x",
        b"email\n\xff\xfe\n",
    ],
)
def test_what_is_no_such_file_is_refused(data: str | bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        take(data)
    assert list(caught.value.details) == ["file"]


def test_an_empty_file_adds_nothing() -> None:
    assert take("").read == 0


def test_twice_adds_nothing_and_the_weightier_reason_stays() -> None:
    text = "email,reason\nbob@example.net,unsubscribe\nbob@example.net,complaint\n"
    assert take(text).added == 1
    assert take(text).added == 0
    assert rows() == [("bob@example.net", "complaint", "", "", "")]


def test_what_is_exported_is_imported_again_the_same() -> None:
    Suppression.objects.create(address="=cmd@example.net", note='+1 "quoted", and\u00fc')
    Suppression.objects.create(address="bob@example.net", email_type="*", reason="unsubscribe")
    Suppression.objects.create(address="bob@example.net", list_key="spring", reason="complaint")
    before = rows()
    data = b"".join(export_csv())
    assert b"\n'=cmd@example.net,manual" in data
    Suppression.objects.all().delete()
    assert take(data).added == 3
    assert rows() == before


def test_many_lines_go_in_chunks() -> None:
    lines = "\n".join(f"u{number}@example.net" for number in range(25_000))
    assert take(f"email\n{lines}\n").added == 25_000


def test_the_commands_read_and_write_files(tmp_path: Path, capsys: Any) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("email\nbob@example.net\nnobody\n")
    with pytest.raises(SystemExit, match="3"):
        call_command("import_suppressions", str(source), "--dry-run")
    assert rows() == []
    options = ["--reason", "unsubscribe", "--list", "spring"]
    with pytest.raises(SystemExit, match="3"):
        call_command("import_suppressions", str(source), *options)
    assert rows() == [("bob@example.net", "unsubscribe", "", "spring", "")]
    assert "1 lines read, 1 suppressions added, 1 lines left out." in capsys.readouterr().err
    call_command("export_suppressions", "--output", str(target))
    assert target.read_text().splitlines()[1].startswith("bob@example.net,unsubscribe,,spring,,")


@pytest.mark.parametrize("options", [["--type", "nope"], ["--list", "a b"], []])
def test_the_command_refuses_what_it_cannot_do(tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("import_suppressions", str(tmp_path / "missing.csv"), *options)


def test_the_command_tells_scripts_what_became_of_the_file(tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "in.csv"
    source.write_text("email\nbob@example.net\n")
    call_command("import_suppressions", str(source), "--json")
    report = {"dry_run": False, "read": 1, "added": 1, "refused": 0, "faults": []}
    assert json.loads(capsys.readouterr().out) == report
    source.write_text("email\nnobody\n")
    with pytest.raises(SystemExit, match="3"):
        call_command("import_suppressions", str(source), "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["read"], told["refused"], told["faults"][0]["line"]) == (0, 1, 2)
    source.write_text("name,city\n")
    with pytest.raises(CommandError):
        call_command("import_suppressions", str(source), "--json")
    assert json.loads(capsys.readouterr().out)["details"]["file"]
