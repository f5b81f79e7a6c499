"""No line of a log shows the secret of an address."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from django.conf import settings
from django.test import Client
from django.utils.module_loading import import_string
from gunicorn.config import Config  # type: ignore[import-untyped]  # ships no types

from delivery.api.links import download_url
from delivery.links import KeyRing
from delivery.links.tracks import click_head, click_token, open_token
from mailservice.core.masking import mask_secrets
from mailservice.gunicorn import LineLogger

ID = UUID(int=5)
SECRET = "Zm9v-_YmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE"
RING = KeyRing({0: b"k" * 32})
CLICK = click_token(RING, click_head(ID, b"abcd", 3), b"https://x.example/?a=b")
OPEN = open_token(RING, ID, b"abcd")
FILE = f"/api/v1/attachments/{ID}/download"
LINE = cast("dict[str, Any]", settings.LOGGING)["formatters"]["line"]
DOWNLOAD = download_url(ID).removeprefix(settings.PUBLIC_URL)

ADDRESSES = {
    f"/verify/{SECRET}": "/verify/…",
    f"/u/{SECRET}/preferences?lang=de": "/u/…/preferences?lang=de",
    f"/hooks/{ID}/{SECRET}": f"/hooks/{ID}/…",
    f"/HOOKS/{ID}/{SECRET}?x=1": f"/HOOKS/{ID}/…?x=1",
    f"/hooks/returned/{SECRET}?to=b+1@x.example": "/hooks/returned/…?to=b+1@x.example",
    f"/c/{CLICK}": "/c/…",
    f"/o/{OPEN}.gif": "/o/…",
    DOWNLOAD: f"{FILE}?token=…",
    f"{FILE}?a=1&token={SECRET}&b=2": f"{FILE}?a=1&token=…&b=2",
    f"/admin/login?next=%2Fhooks%2F{ID}%2F{SECRET}": f"/admin/login?next=%2Fhooks%2F{ID}%2F…",
    f"/?next=%2Fhooks%2Freturned%2F{SECRET}&a=1": "/?next=%2Fhooks%2Freturned%2F…&a=1",
    f"/?next={FILE}%3Ftoken%3D{SECRET}": f"/?next={FILE}%3Ftoken%3D…",
}


@pytest.mark.parametrize(("address", "shown"), ADDRESSES.items())
def test_a_log_shows_an_address_without_its_secret(address: str, shown: str):
    formatter = import_string(LINE["class"])(LINE["format"], LINE["datefmt"])
    record = logging.LogRecord("x", 30, "f", 1, "Not Found: %s", (address,), None)
    assert formatter.format(record).endswith(f" x: Not Found: {shown}")


@pytest.fixture
def access_log() -> Iterator[tuple[LineLogger, io.StringIO]]:
    config = Config()
    config.set("accesslog", "-")
    logger, stream = LineLogger(config), io.StringIO()
    for handler in logger.access_log.handlers:
        handler.setStream(stream)
    yield logger, stream
    # They are the process's, and would be taken for pytest's own to listen at.
    for each in (logger.access_log, logger.error_log):
        each.handlers.clear()
        each.propagate = True


@pytest.mark.parametrize(("address", "shown"), ADDRESSES.items())
def test_the_access_log_shows_an_address_without_its_secret(access_log, address: str, shown: str):
    logger, stream = access_log
    logger.access(
        SimpleNamespace(status="404 Not Found", headers=[], sent=0),
        SimpleNamespace(headers=[]),
        {
            "REMOTE_ADDR": "192.0.2.1",
            "REQUEST_METHOD": "GET",
            "RAW_URI": address,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_REFERER": f"https://mail.example.com{address}",
        },
        timedelta(milliseconds=7),
    )
    line = stream.getvalue()
    assert f'"GET {shown} HTTP/1.1" 404 ' in line
    assert f'"https://mail.example.com{shown}"' in line
    assert line.count("\n") == 1


def test_what_the_server_says_of_a_refused_post_is_masked(db: None, caplog):
    caplog.handler.setFormatter(import_string(LINE["class"])("%(message)s"))
    Client().post(f"/hooks/{ID.hex}/{SECRET}", "{}", content_type="application/json")
    Client().get(f"/hooks/{ID}/{SECRET}/more")
    assert SECRET not in caplog.text
    assert f"Not Found: /hooks/{ID}/…/more" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "GET /hooks/returned?x=1 HTTP/1.1",
        "GET /api/v1/webhooks/0190-a/deliveries HTTP/1.1",
        'File "/home/c/mailservice/o/views.py", line 7',
        "a token=abc of a parser",
        "/admin/delivery/message/?token",
    ],
)
def test_other_lines_are_left_as_they_are(text: str):
    assert mask_secrets(text) == text
