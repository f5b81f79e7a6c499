"""Showing other people's mail without letting it do anything.

HTML is sanitised and served from its own address under a policy that forbids scripts, forms and
every request but images; the page shows it in a sandboxed frame. Files are only ever downloaded.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import nh3
from django.http import HttpResponse
from django.utils.http import content_disposition_header

if TYPE_CHECKING:
    from collections.abc import Mapping

POLICY = (
    "sandbox; default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; "
    "frame-ancestors 'self'"
)
#: Inline images beyond this are left out of the preview.
MAX_INLINE_BYTES = 2_000_000

_TAGS = nh3.ALLOWED_TAGS | {"style", "font", "center", "body", "main", "section", "button"}
_LAYOUT = {
    "align", "bgcolor", "border", "cellpadding", "cellspacing", "class", "color", "dir", "face",
    "height", "id", "lang", "role", "size", "style", "title", "valign", "width",
}  # fmt: skip
_ATTRIBUTES = {
    "*": _LAYOUT,
    "a": {"href"},
    "img": {"src", "alt"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_SCHEMES = {"https", "http", "mailto", "tel", "data", "cid"}
_IMAGE_TYPE = re.compile(r"image/(?:png|jpeg|gif|webp|bmp|svg\+xml)\Z")


def sanitised(html: str, inline_images: Mapping[str, tuple[str, bytes]] | None = None) -> str:
    """Return HTML without anything active; `cid:` images become data.

    `inline_images` maps a Content-ID without brackets to content type and bytes.
    """
    images = inline_images or {}

    def attribute(_tag: str, name: str, value: str) -> str | None:
        if name == "src" and value.lower().startswith("cid:"):
            return _as_data(images.get(value[4:].strip()))
        return value

    return nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags={"script", "title", "noscript", "iframe", "object"},
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        attribute_filter=attribute,
        link_rel="noopener noreferrer nofollow",
    )


def _as_data(image: tuple[str, bytes] | None) -> str | None:
    if image is None or len(image[1]) > MAX_INLINE_BYTES or not _IMAGE_TYPE.match(image[0]):
        return None
    return f"data:{image[0]};base64,{base64.b64encode(image[1]).decode()}"


def sandboxed(html: str) -> HttpResponse:
    """Return sanitised HTML as a page for a sandboxed frame."""
    page = (
        '<!doctype html><html><head><meta charset="utf-8"><base target="_blank">'
        "<style>body{font-family:system-ui,sans-serif;margin:16px;overflow-wrap:anywhere}"
        f"img{{max-width:100%}}</style></head><body>{html}</body></html>"
    )
    return _guarded(HttpResponse(page, content_type="text/html; charset=utf-8"))


def source_text(data: bytes) -> HttpResponse:
    """Return the raw mail as plain text."""
    return _guarded(HttpResponse(data, content_type="text/plain; charset=utf-8"))


def download(data: bytes, *, filename: str, content_type: str) -> HttpResponse:
    """Return a file to be saved, never shown."""
    response = _guarded(HttpResponse(data, content_type=content_type))
    response["Content-Disposition"] = (
        content_disposition_header(as_attachment=True, filename=filename or "file") or "attachment"
    )
    return response


def _guarded(response: HttpResponse) -> HttpResponse:
    response["Content-Security-Policy"] = POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store, private"
    return response
