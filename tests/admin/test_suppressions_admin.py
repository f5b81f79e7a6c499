"""Suppressions in the console: scopes, and files in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from delivery.models import EmailType, Suppression

pytestmark = pytest.mark.django_db

PAGE = "/admin/delivery/suppression/"


def send(client: Client, data: bytes, **fields: str) -> Any:
    file = SimpleUploadedFile("list.csv", data)
    return client.post(
        f"{PAGE}import/", {"file": file, "reason": "manual", "list_key": "", **fields}, follow=True
    )


def test_a_file_is_imported_and_its_bad_lines_are_named(root: Client) -> None:
    text = send(root, b"email\nbob@example.net\nno<body>\n", list_key="spring").content.decode()
    assert Suppression.objects.values_list("address", "list_key").get() == (
        "bob@example.net",
        "spring",
    )
    assert "1 suppression added from 1 line." in text
    assert "line 3: email:" in text
    assert "<body>\n" not in text.split("left out")[1]


def test_what_is_no_table_is_refused_beside_the_field(root: Client) -> None:
    assert "no column" in send(root, b"name,x\na,b\n").content.decode()
    assert (
        "not both" in send(root, b"email\n", list_key="a", email_type="marketing").content.decode()
    )
    assert not Suppression.objects.exists()


def test_all_are_exported(root: Client) -> None:
    Suppression.objects.create(address="bob@example.net", list_key="spring")
    response: Any = root.get(f"{PAGE}export/")
    data = b"".join(response.streaming_content)
    assert data.startswith(
        b"email,reason,email_type,list,note,created_at\nbob@example.net,manual,,"
    )


def test_only_those_who_may_import_and_export(staff_with: Callable[..., Client]) -> None:
    viewer = staff_with("delivery.view_suppression")
    assert viewer.get(f"{PAGE}import/").status_code == 403
    assert viewer.get(f"{PAGE}export/").status_code == 200
    assert staff_with("delivery.view_message").get(f"{PAGE}export/").status_code == 403


def test_one_holds_for_a_list_or_a_type_and_not_for_both(root: Client) -> None:
    data = {"address": "bob@example.net", "reason": "manual", "list_key": "spring"}
    assert root.post(f"{PAGE}add/", {**data, "email_type": "marketing"}).status_code == 200
    root.post(f"{PAGE}add/", data)
    assert Suppression.objects.get().list_key == "spring"
    assert "list spring" in root.get(PAGE).content.decode()


def test_types_are_marked_as_marketing_with_words_for_recipients(root: Client) -> None:
    page = root.get("/admin/delivery/emailtype/marketing/change/").content.decode()
    assert all(f'name="{name}"' in page for name in ("is_marketing", "title", "description"))
    assert EmailType.objects.get(pk="marketing").is_marketing


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"all", "type", "wide", "list", "bounce"}),
        ({"reason__exact": "hard_bounce"}, {"bounce"}),
        ({"type": "marketing"}, {"type"}),
        ({"type": "*"}, {"wide"}),
        ({"list": "spring"}, {"list"}),
        ({"list": "spr"}, set()),
        ({"list": "spring", "reason__exact": "hard_bounce"}, set()),
        ({"type": "nonsense"}, set()),
        ({"q": "TYPE@example.net"}, {"type"}),
    ],
)
def test_the_list_is_narrowed_by_reason_type_list_and_address(
    root: Client, query: dict[str, str], expected: set[str]
) -> None:
    for name, fields in {
        "all": {},
        "type": {"email_type": "marketing"},
        "wide": {"email_type": "*"},
        "list": {"list_key": "spring"},
        "bounce": {"reason": "hard_bounce"},
    }.items():
        Suppression.objects.create(address=f"{name}@example.net", **fields)
    answer = root.get(PAGE, query)
    assert answer.status_code == 200
    found = {row.address.partition("@")[0] for row in answer.context["cl"].result_list}
    assert found == expected
