"""Layouts and partials at hand, for tests of what works them in."""

from __future__ import annotations

from typing import Any

from templates_app.rendering import Shared


class Shelf:
    """A library of sources by name: layouts named `base…`, all others partials."""

    def __init__(self, *, text: Any = None, **html: str) -> None:
        self.html = {name.replace("_", "-"): source for name, source in html.items()}
        self.text: dict[str, str] = text or {}

    def find(self, name: str, kind: str) -> Shared | None:
        if name not in self.html or self._kind(name) != kind:
            return None
        html = self.html[name]
        format_ = "mjml" if "<mj" in html else "html"
        return Shared(f"id-{name}", name, kind, 1, html, self.text.get(name, ""), format_)

    def names(self, kind: str) -> list[str]:
        return [name for name in self.html if self._kind(name) == kind]

    def _kind(self, name: str) -> str:
        return "layout" if name.startswith("base") else "partial"
