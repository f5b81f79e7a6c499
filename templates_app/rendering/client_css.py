"""CSS and elements that mail programs do not show, as data.

After caniemail.com and the vendors' own pages, as of 2026: only what would be seen to be missing in
a widely used program is listed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_OUTLOOK = "Outlook on Windows"
_GMAIL = "Gmail"
_MANY = "Outlook on Windows and several web mailers"


class CssRule(NamedTuple):
    """CSS that something does not support."""

    pattern: re.Pattern[str]
    name: str
    programs: str
    hint: str


def _property(name: str, programs: str, hint: str, value: str = "") -> CssRule:
    shown = f"{name}: {value}" if value else name
    pattern = rf"(?<![\w-]){name}\s*:\s*(?:{value})" if value else rf"(?<![\w-]){name}\s*:"
    return CssRule(re.compile(pattern, re.IGNORECASE), shown.replace("(?:", ""), programs, hint)


def _text(pattern: str, name: str, programs: str, hint: str) -> CssRule:
    return CssRule(re.compile(pattern, re.IGNORECASE), name, programs, hint)


_TABLES = "Lay out with tables."
CSS_RULES = (
    _property("display", _OUTLOOK, _TABLES, "flex"),
    _property("display", _OUTLOOK, _TABLES, "grid"),
    _property("display", _OUTLOOK, _TABLES, "inline-flex"),
    _property("position", "most mail programs", _TABLES, "absolute"),
    _property("position", "most mail programs", _TABLES, "fixed"),
    _property("position", "most mail programs", _TABLES, "sticky"),
    _property("float", _OUTLOOK, "Use `align` on tables."),
    _property("gap", _OUTLOOK, "Use padding of cells."),
    _property("object-fit", _OUTLOOK, "Cut the image to size."),
    _property("transform", _MANY, "Draw it in an image."),
    _property("animation", _MANY, "Use an animated GIF."),
    _property("transition", _MANY, "It must read well without."),
    _property("clip-path", _MANY, "Cut the image to shape."),
    _property("filter", _MANY, "Prepare the image."),
    _property("mix-blend-mode", _MANY, "Prepare the image."),
    _property("box-shadow", _OUTLOOK, "It must read well without."),
    _property("text-shadow", _MANY, "It must read well without."),
    _property("background-image", _OUTLOOK, "Give a background-color too."),
    _property("opacity", _OUTLOOK, "Mix the colour yourself."),
    _text(r"@import\b", "@import", "most mail programs", "Write the rules here."),
    _text(r"@font-face\b", "@font-face", _GMAIL, "Name fonts that people have as well."),
    _text(r"\bvar\(\s*--", "var()", _MANY, "Write the value, or a Liquid variable."),
    _text(r"\bcalc\(", "calc()", _OUTLOOK, "Write the result."),
    _text(r"\d(?:vh|vw|vmin|vmax)\b", "vh and vw", _MANY, "Use px or %."),
    _text(r"\d(?:rem)\b", "rem", _OUTLOOK, "Use px."),
    _text(r"\burl\(\s*[\"']?http:", "an image over http", "many programs", "Use https."),
    _text(r":(?:has|is|where|not)\(", ":has(), :is(), :not()", _MANY, "Use a class."),
)
#: Elements that are removed or do nothing, and why.
ELEMENTS = {
    "script": "Mail programs remove scripts.",
    "iframe": "Mail programs remove frames.",
    "object": "Mail programs remove embedded objects.",
    "embed": "Mail programs remove embedded objects.",
    "form": "Most mail programs disable forms: link to a page.",
    "video": "Most mail programs show no video: link an image to a page.",
    "audio": "Most mail programs play no sound: link to a page.",
    "svg": "Gmail and Outlook show no SVG: use PNG.",
    "link": "Mail programs load no style sheets: use <style>.",
    "base": "Mail programs ignore <base>: write whole addresses.",
}
