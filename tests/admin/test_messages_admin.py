"""The message list, the page of a message, and what an operator does to messages."""

from __future__ import annotations

import base64
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from delivery.admin.messages import MessageAdmin
from delivery.models import Attachment, Event, Message
from delivery.references import first_id_at
from delivery.states import Status
from providers.models import Provider, RoutingDecision
from tests.admin.conftest import Post, add_attempt
from tests.support.mail import drain, simulator

LIST = "/admin/delivery/message/"
HOSTILE = "<script>alert('x')</script>"


def page(message_id: UUID, name: str = "change") -> str:
    return reverse(f"admin:delivery_message_{name}", args=[message_id])


def status_of(message_id: UUID) -> str:
    return Message.objects.values_list("status", flat=True).get(pk=message_id)


# --- list -----------------------------------------------------------------------------------------


def test_the_list_needs_as_many_queries_for_forty_messages_as_for_one(
    root: Client, post: Post, inbox: Provider, django_assert_num_queries
) -> None:
    post()
    root.get(LIST)
    # session, user, two savepoint statements, time limit, one page, providers of the filter
    with django_assert_num_queries(7):
        root.get(LIST)
    for number in range(40):
        post(subject=f"Hello {number}")
    with django_assert_num_queries(7):
        answer = root.get(LIST)
    assert len(answer.context["cl"].result_list) == 41


def test_the_list_reads_no_body_and_counts_nothing(
    root: Client, post: Post, django_assert_num_queries
) -> None:
    post()
    with django_assert_num_queries(7) as captured:
        root.get(LIST)
    statements = " ".join(query["sql"] for query in captured.captured_queries)
    assert "COUNT(" not in statements.upper()
    assert '"delivery_content"."html"' not in statements
    assert '"delivery_message"."context"' not in statements


def test_pages_of_the_list_follow_each_other_without_gap_or_overlap(
    root: Client, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = sorted((post(subject=f"Hello {number}") for number in range(7)), reverse=True)
    monkeypatch.setattr(MessageAdmin, "list_per_page", 3)
    seen: list[UUID] = []
    url = LIST
    for _ in range(3):
        changelist = root.get(url).context["cl"]
        seen += [message.pk for message in changelist.result_list]
        url = LIST + changelist.older_url
    assert seen == expected
    assert not changelist.older_url
    back = root.get(LIST + changelist.newer_url).context["cl"]
    assert [message.pk for message in back.result_list] == expected[3:6]
    assert back.newer_url
    assert back.older_url


@pytest.mark.parametrize(
    "junk", ["before=junk", "after=junk", "status=junk", "lane=x", "when=x", "provider=x"]
)
def test_junk_in_the_address_shows_the_list(root: Client, post: Post, junk: str) -> None:
    post()
    answer = root.get(f"{LIST}?{junk}")
    assert answer.status_code == 200
    assert len(answer.context["cl"].result_list) == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=held", ["held"]),
        ("status=open", ["bulk", "held", "urgent"]),
        ("type=marketing", ["bulk"]),
        ("lane=2", ["bulk"]),
        ("priority=1", ["urgent"]),
        ("when=1h", ["bulk", "held", "sent", "urgent"]),
        ("when=older", []),
        ("test=1", []),
        ("q=BOB@example.com", ["bulk", "held", "sent", "urgent"]),
        ("q=bob@example", []),
    ],
)
def test_filters_and_search(root: Client, post: Post, query: str, expected: list[str]) -> None:
    post(subject="held", status="held")
    post(subject="sent", status="sent")
    post(subject="bulk", email_type="marketing")
    post(subject="urgent", priority=1)
    found = root.get(f"{LIST}?{query}").context["cl"].result_list
    assert sorted(message.content.subject for message in found) == expected


def test_search_finds_a_message_by_its_id(root: Client, post: Post) -> None:
    wanted = post()
    post()
    found = root.get(LIST, {"q": str(wanted)}).context["cl"].result_list
    assert [message.pk for message in found] == [wanted]


def test_hostile_subjects_and_names_are_escaped(root: Client, post: Post) -> None:
    message_id = post(subject=HOSTILE, to=[{"email": "bob@example.com", "name": HOSTILE}])
    Message.objects.filter(pk=message_id).update(error=HOSTILE)
    for url in (LIST, page(message_id), page(message_id, "hold")):
        html = root.get(url).content.decode()
        assert HOSTILE not in html
        assert "&lt;script&gt;alert(" in html


def test_ids_are_in_the_order_of_time(post: Post) -> None:
    before = timezone.now() - timedelta(milliseconds=2)
    message_id = post()
    assert first_id_at(before) < message_id < first_id_at(timezone.now() + timedelta(seconds=1))


# --- one message ----------------------------------------------------------------------------------


def test_the_page_tells_the_whole_story(root: Client, post: Post, inbox: Provider) -> None:
    message_id = post(subject="Order 7", status="sent", tags=["order"], metadata={"n": "7"})
    decision = RoutingDecision.objects.create(
        pk=UUID(int=7),
        body={
            "provider": str(inbox.pk),
            "reason": "first open account in order",
            "candidates": [{"provider": str(inbox.pk), "name": "Inbox", "skipped": None}],
        },
    )
    add_attempt(
        message_id,
        inbox,
        outcome="not_accepted",
        reason="greylisted",
        code=451,
        enhanced_code="4.7.1",
        reply="Greylisted",
        dialogue="C: MAIL FROM",
        decision_id=decision.pk,
    )
    Event.objects.create(
        message_id=message_id, kind="held", at=timezone.now(), actor="user:ann@example.com"
    )
    html = root.get(page(message_id)).content.decode()
    for part in (
        "Order 7",
        "Attempt 1: not accepted by Inbox",
        "451 4.7.1 Greylisted",
        "C: MAIL FROM",
        "first open account in order",
        "Held",
        "ann@example.com",
    ):
        assert part in html


def test_the_page_tells_who_was_refused_beside_others(root: Client, post: Post) -> None:
    refusal = {"outcome": "rejected", "reason": "bad_recipient", "text": "5.1.1 No such user"}
    simulator({"match": "bad@*", **refusal})
    message_id = post(to=["bob@example.com", "bad@example.com"])
    drain()
    text = root.get(page(message_id)).content.decode()
    assert "Bounced: bad@example.com" in text
    assert "550 5.1.1 No such user" in text


def test_the_page_answers_in_every_state(root: Client, post: Post) -> None:
    for status in Status.values:
        assert root.get(page(post(status=status))).status_code == 200, status


def test_unknown_ids_are_not_found(root: Client) -> None:
    assert root.get(page(UUID(int=1))).status_code == 404
    assert root.get(f"{LIST}junk/change/").status_code == 404


def test_the_preview_is_sandboxed_and_sanitised(root: Client, post: Post) -> None:
    message_id = post(
        html="<style>p{color:red}</style><p onclick='x()'>Hi {{ name }}</p><script>x()</script>"
        "<a href='javascript:x()'>a</a><form action='/'><input></form>",
        context={"name": "<b>Bob</b>"},
    )
    answer = root.get(page(message_id, "html"))
    html = answer.content.decode()
    assert answer["Content-Security-Policy"] == (
        "sandbox; default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; "
        "frame-ancestors 'self'"
    )
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "<p>Hi &lt;b&gt;Bob&lt;/b&gt;</p>" in html
    for bad in ("onclick", "<script", "javascript:", "<form", "<input"):
        assert bad not in html


def test_inline_images_show_in_the_preview(root: Client, post: Post) -> None:
    pixel = b"\x89PNG-not-really"
    message_id = post(
        html='<img src="cid:logo"><img src="cid:other">',
        attachments=[
            {
                "filename": "logo.png",
                "content_type": "image/png",
                "content": base64.b64encode(pixel).decode(),
                "disposition": "inline",
                "content_id": "logo",
            }
        ],
    )
    html = root.get(page(message_id, "html")).content.decode()
    assert f"data:image/png;base64,{base64.b64encode(pixel).decode()}" in html
    assert "cid:" not in html


def test_source_and_files_are_served_as_what_they_are(root: Client, post: Post) -> None:
    content = base64.b64encode(b"<script>1</script>").decode()
    message_id = post(
        attachments=[{"filename": "x.html", "content_type": "text/html", "content": content}]
    )
    source = root.get(page(message_id, "source"))
    assert source["Content-Type"] == "text/plain; charset=utf-8"
    assert b"Subject: Hello" in source.content
    saved = root.get(page(message_id, "eml"))
    assert saved["Content-Disposition"] == f'attachment; filename="{message_id}.eml"'
    assert saved.content == source.content
    file = root.get(
        reverse("admin:delivery_message_file", args=[message_id, Attachment.objects.get().pk])
    )
    assert file.content == b"<script>1</script>"
    assert file["Content-Type"] == "application/octet-stream"
    assert file["Content-Disposition"] == 'attachment; filename="x.html"'


def test_a_file_of_another_message_is_not_found(root: Client, post: Post) -> None:
    content = base64.b64encode(b"x").decode()
    post(attachments=[{"filename": "x", "content_type": "text/plain", "content": content}])
    url = reverse("admin:delivery_message_file", args=[post(), Attachment.objects.get().pk])
    assert root.get(url).status_code == 404


# --- operations -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "result", "words"),
    [
        ("hold", "queued", "held", "1 held."),
        ("release", "held", "queued", "1 released."),
        ("retry", "failed", "queued", "1 queued again."),
        ("cancel", "scheduled", "cancelled", "1 cancelled."),
        ("cancel", "sent", "sent", "0 cancelled, 1 could not be: it is sent already."),
    ],
)
def test_operations_ask_first_and_tell_what_happened(
    root: Client, post: Post, name: str, status: str, result: str, words: str
) -> None:
    message_id = post(status=status)
    assert root.get(page(message_id, name)).status_code == 200
    assert status_of(message_id) == status
    answer = root.post(page(message_id, name), follow=True)
    assert status_of(message_id) == result
    assert words in answer.content.decode()


def test_an_operation_names_its_actor_and_is_audited(root: Client, post: Post) -> None:
    message_id = post()
    root.post(page(message_id, "hold"))
    assert Event.objects.get(message_id=message_id).actor == "user:root@example.com"
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(message_id), "Held.")


def test_bulk_operations_ask_with_count_and_effect(root: Client, post: Post) -> None:
    ids = [post(), post(), post(), post(status="sent")]
    data = {"action": "cancel", "index": "0", "_selected_action": [str(pk) for pk in ids]}
    asked = root.post(LIST, data).content.decode()
    assert "Cancel 4 messages?" in asked
    assert "3 of 4 can be cancelled: it is sent already." in asked
    assert [status_of(pk) for pk in ids] == ["queued", "queued", "queued", "sent"]
    told = root.post(LIST, {**data, "confirmed": "1"}, follow=True).content.decode()
    assert "3 cancelled, 1 could not be: it is sent already." in told
    assert [status_of(pk) for pk in ids] == ["cancelled", "cancelled", "cancelled", "sent"]
    assert LogEntry.objects.count() == 3


def test_who_may_only_look_changes_nothing(staff_with, post: Post) -> None:
    client = staff_with("delivery.view_message")
    message_id = post()
    assert client.get(LIST).status_code == 200
    shown = client.get(page(message_id)).content.decode()
    assert page(message_id, "cancel") not in shown
    for name in ("hold", "release", "retry", "cancel"):
        assert client.get(page(message_id, name)).status_code == 403
        assert client.post(page(message_id, name)).status_code == 403
    client.post(LIST, {"action": "cancel", "_selected_action": [str(message_id)], "confirmed": "1"})
    assert status_of(message_id) == "queued"


@pytest.mark.parametrize("name", ["change", "html", "source", "eml"])
def test_pages_of_a_message_are_closed_without_the_right(staff_with, post: Post, name: str) -> None:
    assert staff_with("delivery.view_suppression").get(page(post(), name)).status_code in {403, 404}


def test_nobody_adds_or_deletes_messages(root: Client, post: Post) -> None:
    message_id = post()
    assert root.get(f"{LIST}add/").status_code == 403
    assert root.post(page(message_id, "delete"), {"post": "yes"}).status_code == 403
    root.post(
        LIST, {"action": "delete_selected", "_selected_action": [str(message_id)], "post": "yes"}
    )
    assert Message.objects.filter(pk=message_id).exists()
