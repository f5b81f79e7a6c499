"""Uploads and downloads."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from delivery.api import requests
from delivery.blobs import read_blob
from delivery.models import Attachment, Blob, Upload
from tests.support.api import Api, mail


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def path_of(url: str) -> str:
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}" == "https://mail.example.com"
    return f"{parts.path}?{parts.query}"


def upload(api: Api, name: str = "a.pdf", data: bytes = b"PDF!") -> Any:
    return api.post("/attachments", {"filename": name, "content": encoded(data)}).json()


def test_a_file_in_json_is_kept_and_described(api: Api):
    response = api.post("/attachments", {"filename": "a.pdf", "content": encoded(b"PDF!")})
    assert response.status_code == 201
    body = response.json()
    stored = Upload.objects.get()
    assert set(body) == {
        "id", "filename", "content_type", "size", "created_at", "expires_at", "download_url",
    }  # fmt: skip
    assert (body["id"], body["filename"], body["size"]) == (str(stored.pk), "a.pdf", 4)
    assert body["content_type"] == "application/pdf"
    assert response["Location"] == f"/api/v1/attachments/{stored.pk}"
    again = api.get(f"/attachments/{stored.pk}").json()
    assert {**again, "download_url": ""} == {**body, "download_url": ""}


def test_a_file_in_a_form_is_kept(api: Api):
    file = SimpleUploadedFile("b.txt", b"text", "text/plain; charset=utf-8")
    response = api.form("/attachments", {"file": file})
    assert response.status_code == 201
    body = response.json()
    assert (body["filename"], body["content_type"], body["size"]) == ("b.txt", "text/plain", 4)


def test_a_large_file_in_a_form_is_kept_whole(api: Api):
    data = bytes(range(256)) * 8192  # beyond what Django keeps of an upload in memory
    file = SimpleUploadedFile("b.bin", data)
    body = api.form("/attachments", {"file": file}).json()
    assert body["size"] == len(data)
    blob = Blob.objects.get()
    assert (blob.pk, read_blob(blob.stored_as)) == (hashlib.sha256(data).hexdigest(), data)


def test_a_form_gives_its_content_once(api: Api):
    response = api.form("/attachments", {"file": SimpleUploadedFile("b", b"x"), "content": "eA=="})
    assert response.status_code == 400
    assert response.json()["details"]["content"][0]["code"] == "conflict"
    assert not Blob.objects.exists()


def test_a_download_needs_the_link_only_and_is_always_saved(api: Api):
    body = upload(api, 'Übersicht "1".html', b"<script>")
    response = Api(None, prefix="").get(path_of(body["download_url"]))
    assert response.status_code == 200
    assert response.streaming
    assert b"".join(response.streaming_content) == b"<script>"
    assert response["Content-Disposition"] == (
        "attachment; filename*=utf-8''%C3%9Cbersicht%20%221%22.html"
    )
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Cache-Control"] == "private, no-store"


def test_a_link_fits_one_file_for_an_hour(api: Api):
    one, two = upload(api, "1.txt"), upload(api, "2.txt")
    token = one["download_url"].partition("token=")[2]
    anyone = Api(None)
    for path in (
        f"/attachments/{two['id']}/download?token={token}",
        f"/attachments/{one['id']}/download?token={token[:-1]}",
        f"/attachments/{one['id']}/download?token={one['id']}:{token}",
        f"/attachments/{one['id']}/download",
        f"/attachments/{uuid4()}/download?token=x",
        "/attachments/x/download?token=%00",
    ):
        assert anyone.get(path).status_code == 404, path
    with time_machine.travel(timezone.now() + timedelta(minutes=59), tick=False):
        response = anyone.get(f"/attachments/{one['id']}/download?token={token}")
        assert b"".join(response.streaming_content) == b"PDF!"
    with time_machine.travel(timezone.now() + timedelta(minutes=61), tick=False):
        assert anyone.get(f"/attachments/{one['id']}/download?token={token}").status_code == 404


def test_an_upload_can_be_sent_and_outlives_its_deletion_in_the_mail(api: Api):
    item = upload(api)
    sent = api.post("/emails", mail(attachments=[{"id": item["id"]}])).json()
    assert api.delete(f"/attachments/{item['id']}").status_code == 204
    assert api.get(f"/attachments/{item['id']}").status_code == 404
    assert Api(None, prefix="").get(path_of(item["download_url"])).status_code == 404
    (listed,) = api.get(f"/emails/{sent['id']}").json()["attachments"]
    assert listed["filename"] == "a.pdf"
    response = Api(None, prefix="").get(path_of(listed["download_url"]))
    assert b"".join(response.streaming_content) == b"PDF!"


def test_other_peoples_uploads_do_not_exist(api: Api, other: Api):
    item = upload(other)
    assert api.get(f"/attachments/{item['id']}").status_code == 404
    assert api.delete(f"/attachments/{item['id']}").status_code == 404
    response = api.post("/emails", mail(attachments=[{"id": item["id"]}]))
    assert response.status_code == 400
    assert response.json()["details"]["attachments[0].id"][0]["code"] == "not_found"
    assert Upload.objects.count() == 1
    assert not Attachment.objects.exists()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"content": "eA=="}, "filename"),
        ({"filename": "a.txt"}, "content"),
        ({"filename": "a.txt", "content": "!"}, "content"),
        ({"filename": "a.exe", "content": "eA=="}, "filename"),
        ({"filename": "../a.txt", "content": "eA=="}, "filename"),
        ({"filename": "a\r\n.txt", "content": "eA=="}, "filename"),
        ({"filename": "a.txt", "content": "eA==", "content_type": "text"}, "content_type"),
        ({"filename": "a.txt", "content": "eA==", "upload_id": str(uuid4())}, "upload_id"),
    ],
)
def test_a_wrong_upload_is_refused_by_field(api: Api, data, field):
    response = api.post("/attachments", data)
    assert response.status_code == 400
    assert list(response.json()["details"]) == [field]
    assert not Blob.objects.exists()


def test_a_form_wants_exactly_one_allowed_file(api: Api):
    def file(name: str) -> SimpleUploadedFile:
        return SimpleUploadedFile(name, b"x", "text/plain")

    assert list(api.form("/attachments", {"filename": "a"}).json()["details"]) == ["file"]
    two = {"file": [file("a.txt"), file("b.txt")]}
    assert list(api.form("/attachments", two).json()["details"]) == ["file"]
    assert list(api.form("/attachments", {"file": file("a.exe")}).json()["details"]) == ["filename"]


def test_a_file_beyond_the_limit_is_refused(api: Api, settings):
    settings.MAX_ATTACHMENT_BYTES = 1024
    requests.limits.cache_clear()
    try:
        data = {"filename": "a.txt", "content": encoded(b"x" * 1025)}
        in_json = api.post("/attachments", data).json()
        in_form = api.form(
            "/attachments", {"file": SimpleUploadedFile("a.txt", b"x" * 1025)}
        ).json()
    finally:
        requests.limits.cache_clear()
    assert in_json["details"]["content"][0]["code"] == "too_large"
    assert in_form["details"]["file"][0]["code"] == "too_large"
