"""The examples of docs/templates.md, run: a template, a context, and what it gives."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from mailservice.core.errors import DomainError
from templates_app.engine import compile_source
from templates_app.engine.compiled import _ENVIRONMENTS
from templates_app.rendering.bundle import bundle
from tests.templates_app.library import Shelf

GUIDE = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_FENCE = re.compile(r"^```(?P<info>[a-z][^\n]*)\n(?P<body>.*?)\n```$", re.DOTALL | re.MULTILINE)


class Example(NamedTuple):
    source: str
    context: str
    locale: str
    expected: str
    is_error: bool


def examples() -> tuple[list[Example], dict[str, str]]:
    found: list[Example] = []
    shelf: dict[str, str] = {}
    source, context = "", "{}"
    for fence in _FENCE.finditer(GUIDE):
        kind, _, option = fence["info"].partition(" ")
        name, _, value = option.partition("=")
        if kind == "liquid" and name:
            shelf[value] = fence["body"]
        elif kind == "liquid":
            source = fence["body"]
        elif kind == "json":
            context = fence["body"]
        else:
            found.append(Example(source, context, value, fence["body"], kind == "error"))
    return found, shelf


EXAMPLES, SHELF = examples()


def outcome(example: Example) -> str:
    bundled = bundle(example.source, part="html", library=Shelf(text=None, **SHELF))
    compiled = compile_source(bundled.source, html=True)
    return compiled.render(json.loads(example.context), now=NOW, locale=example.locale)


@pytest.mark.parametrize("example", [one for one in EXAMPLES if not one.is_error])
def test_the_guide_shows_what_a_template_gives(example: Example) -> None:
    shown = outcome(example).replace("\xa0", " ").replace("\u202f", " ")
    assert shown.split() == example.expected.split()


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.is_error])
def test_the_guide_shows_what_an_author_is_told(example: Example) -> None:
    with pytest.raises(DomainError) as error:
        outcome(example)
    assert error.value.message.startswith(example.expected)


def test_the_guide_has_examples_and_names_every_filter() -> None:
    assert len(EXAMPLES) > 10
    listed = GUIDE.partition("### All filters")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(_ENVIRONMENTS[True].filters)
