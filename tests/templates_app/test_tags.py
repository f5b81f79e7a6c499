"""Language tags, the pure part."""

from __future__ import annotations

import pytest

from templates_app.tags import one_spelling


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("", ""),
        (" PT_br ", "pt-BR"),
        ("zh-HANT-tw", "zh-Hant-TW"),
        ("de-ch-1996", "de-CH-1996"),
        ("es-419", "es-419"),
        ("sl-rozaj-BISKE", "sl-rozaj-biske"),
        ("EN-CA-x-CA", "en-CA-x-ca"),
        ("X-Our-De", "x-our-de"),
    ],
)
def test_a_tag_has_one_spelling(given: str, written: str) -> None:
    assert one_spelling(given) == written
    assert one_spelling(written) == written
