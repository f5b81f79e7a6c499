from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from delivery.blobs import blob_chunks, read_blob, store_blob
from delivery.models import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.django_db

Objects = dict[str, bytes]


class Bucket(BaseHTTPRequestHandler):
    """The part of the S3 API that storing, reading and deleting one object takes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    objects: ClassVar[Objects] = {}

    def do_PUT(self) -> None:
        self.objects[urlsplit(self.path).path] = self._body()
        self._answer(200)

    def do_GET(self) -> None:
        data = self.objects.get(urlsplit(self.path).path)
        self._answer(404 if data is None else 200, data or b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.objects.pop(urlsplit(self.path).path, None)
        self._answer(204)

    def _body(self) -> bytes:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return raw
        data = b""
        while raw:
            size, _, raw = raw.partition(b"\r\n")
            length = int(size.split(b";")[0], 16)
            data, raw = data + raw[:length], raw[length + 2 :] if length else b""
        return data

    def _answer(self, status: int, data: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def bucket(settings: Any) -> Iterator[Objects]:
    Bucket.objects.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                "bucket_name": "mail",
                "endpoint_url": f"http://127.0.0.1:{server.server_address[1]}",
                "region_name": "eu-1",
                "access_key": "key",
                "secret_key": "secret",
                "default_acl": None,
                "file_overwrite": False,
            },
        }
    }
    yield Bucket.objects
    server.shutdown()
    server.server_close()


def test_a_file_is_kept_and_read_in_chunks(bucket: Objects) -> None:
    data = bytes(range(256)) * 1000
    file = SimpleUploadedFile("x.bin", data)
    blob = store_blob(file, now=timezone.now())
    assert list(bucket.values()) == [data]
    file.seek(0)
    assert file.read() == data
    chunks = list(blob_chunks(blob.stored_as))
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) == 65_536


def test_bytes_are_kept_once_in_the_bucket_and_read_back(bucket: Objects) -> None:
    now = timezone.now()
    data = bytes(range(256)) * 50
    blob = store_blob(data, now=now)
    assert store_blob(data, now=now) == blob
    assert Blob.objects.count() == 1
    assert list(bucket.values()) == [data]
    assert read_blob(blob.stored_as) == data
    storages["default"].delete(blob.stored_as)
    assert bucket == {}
