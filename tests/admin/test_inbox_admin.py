"""The local inbox read as a mailbox."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailservice.core.ids import uuid7
from providers.models import InboxMail, Provider

LIST = "/admin/providers/inboxmail/"
RAW = b"""\
From: "<b>Eve</b>" <eve@example.com>\r
To: bob@example.com\r
Subject: <script>alert(1)</script>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary="mix"\r
\r
--mix\r
Content-Type: multipart/alternative; boundary="alt"\r
\r
--alt\r
Content-Type: text/plain; charset="utf-8"\r
\r
Plain words\r
--alt\r
Content-Type: text/html; charset="utf-8"\r
\r
<p onclick="x()">Rich words</p><script>x()</script>\r
--alt--\r
--mix\r
Content-Type: text/html\r
Content-Disposition: attachment; filename="../../evil.html"\r
\r
<script>1</script>\r
--mix--\r
"""


@pytest.fixture
def mail(inbox: Provider) -> InboxMail:
    return InboxMail.objects.create(
        provider=inbox,
        message_id=uuid7(),
        return_path="eve@example.com",
        recipients=["bob@example.com", "ann@example.com"],
        sender='"<b>Eve</b>" <eve@example.com>',
        subject="<script>alert(1)</script>",
        data=RAW,
        size_bytes=len(RAW),
        received_at=timezone.now(),
    )


def page(mail: InboxMail, name: str = "change", *more: object) -> str:
    return reverse(f"admin:providers_inboxmail_{name}", args=[mail.pk, *more])


def is_read(mail: InboxMail) -> bool:
    return InboxMail.objects.values_list("is_read", flat=True).get(pk=mail.pk)


def test_the_list_is_escaped_marks_the_unread_and_loads_no_bodies(
    root: Client, mail: InboxMail, django_assert_num_queries
) -> None:
    root.get(LIST)
    # session, user, two savepoint statements, time limit, one page, providers of the filter
    with django_assert_num_queries(7) as captured:
        html = root.get(LIST).content.decode()
    assert "<script>alert(1)" not in html
    assert "<b>Eve" not in html
    assert "is-unread" in html
    assert "+1" in html
    assert not any('"data"' in query["sql"] for query in captured.captured_queries)


def test_a_mail_is_shown_with_its_parts(root: Client, mail: InboxMail) -> None:
    html = root.get(page(mail)).content.decode()
    assert "Plain words" in html
    assert "<script>alert(1)" not in html
    assert 'sandbox="allow-popups"' in html
    assert "evil.html" in html


def test_the_html_part_is_sandboxed(root: Client, mail: InboxMail) -> None:
    answer = root.get(page(mail, "html"))
    assert answer["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert "<p>Rich words</p>" in answer.content.decode()
    assert b"onclick" not in answer.content
    assert b"<script" not in answer.content


def test_source_and_attachment(root: Client, mail: InboxMail) -> None:
    assert root.get(page(mail, "source")).content == RAW
    assert root.get(page(mail, "source"))["Content-Type"] == "text/plain; charset=utf-8"
    assert root.get(page(mail, "eml"))["Content-Disposition"].startswith("attachment;")
    file = root.get(page(mail, "file", 0))
    assert b"<script>1</script>" in file.content
    assert file["Content-Type"] == "application/octet-stream"
    assert file["Content-Disposition"].startswith("attachment;")
    assert root.get(page(mail, "file", 1)).status_code == 404


def test_looking_marks_nothing_only_a_post_does(root: Client, mail: InboxMail) -> None:
    root.get(page(mail))
    assert root.get(page(mail, "read")).status_code == 405
    assert not is_read(mail)
    answer = root.post(page(mail, "read"), headers={"X-Requested-With": "fetch"})
    assert answer.status_code == 204
    assert is_read(mail)
    assert root.post(page(mail, "read"), {"unread": "1"})["Location"] == LIST
    assert not is_read(mail)


def test_chosen_mail_is_marked(root: Client, mail: InboxMail) -> None:
    root.post(LIST, {"action": "mark_read", "_selected_action": [str(mail.pk)]})
    assert is_read(mail)
    root.post(LIST, {"action": "mark_unread", "_selected_action": [str(mail.pk)]})
    assert not is_read(mail)


def test_chosen_mail_is_deleted_after_the_question(root: Client, mail: InboxMail) -> None:
    data = {"action": "delete_selected", "_selected_action": [str(mail.pk)]}
    assert root.post(LIST, data).status_code == 200
    assert InboxMail.objects.exists()
    root.post(LIST, {**data, "post": "yes"})
    assert not InboxMail.objects.exists()


def test_all_mail_is_deleted_after_the_question(root: Client, mail: InboxMail) -> None:
    url = reverse("admin:providers_inboxmail_clear")
    root.get(url)
    assert InboxMail.objects.exists()
    root.post(url)
    assert not InboxMail.objects.exists()


def test_who_may_only_look_marks_and_deletes_nothing(staff_with, mail: InboxMail) -> None:
    client = staff_with("providers.view_inboxmail")
    assert client.get(page(mail)).status_code == 200
    assert client.post(page(mail, "read")).status_code == 403
    assert client.post(reverse("admin:providers_inboxmail_clear")).status_code == 403
    assert InboxMail.objects.exists()


def test_a_mail_that_is_no_mime_is_shown_as_text(root: Client, mail: InboxMail) -> None:
    InboxMail.objects.filter(pk=mail.pk).update(
        data=b"Content-Type: text/plain; charset=nonsense\r\n\r\nOdd \xff words"
    )
    assert "Odd" in root.get(page(mail)).content.decode()
    assert root.get(page(mail, "html")).status_code == 200
