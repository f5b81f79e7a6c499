from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives, send_mail
from django.utils import timezone

from accounts.models import User
from delivery import dispatch
from delivery.blobs import store_blob
from delivery.dispatch import wake, wake_seen
from delivery.intake import Limits, MessageInput, parse_batch, parse_message
from delivery.models import Attachment, Blob, Content, EmailType, Message
from delivery.queue.sweep import sweep
from delivery.services.accept import Accepted, Sender, queue_message, queue_messages
from delivery.services.attachments import upload
from delivery.states import Lane
from mailservice.core.broker import redis_client
from mailservice.core.errors import DomainError, InvalidInputError
from providers.models import Provider
from templates_app.models import Template, TemplateVersion
from tests.support.mail import drain, make_due, queue, smtp_account
from tests.support.smtp_server import FaultyServer

pytestmark = pytest.mark.django_db


def parsed(**fields: Any) -> MessageInput:
    data = {"to": "bob@example.net", "subject": "Hello", "text": "Hi"} | fields
    return parse_message(data, now=timezone.now(), limits=Limits())


def refused(user: User, **fields: Any) -> dict[str, Any]:
    with pytest.raises(InvalidInputError) as caught:
        queue_message(message=parsed(**fields), sender=Sender(user.pk))
    assert not Message.objects.exists()
    assert not Content.objects.exists()
    return dict(caught.value.details)


def test_a_message_is_stored_as_asked(user: User) -> None:
    EmailType.objects.filter(pk="marketing").update(is_marketing=False)  # several recipients
    send_at = timezone.now() + timedelta(hours=2)
    message = queue(
        user,
        to=["Bob B. <Bob@Example.net>"],
        cc="c@example.net",
        bcc="d@example.net",
        tags=["a", "b"],
        metadata={"order": 7},
        priority=4,
        email_type="marketing",
        send_at=send_at.isoformat(),
        headers={"X-Order": "7"},
        reply_to="r@example.net",
        from_email="Shop <shop@example.com>",
    )
    assert message.recipients == [
        {"k": "to", "a": "Bob@example.net", "n": "Bob B."},
        {"k": "cc", "a": "c@example.net"},
        {"k": "bcc", "a": "d@example.net"},
    ]
    assert message.addresses == ["bob@example.net", "c@example.net", "d@example.net"]
    assert (message.status, message.due_at) == ("scheduled", send_at)
    assert (message.lane, message.priority, message.tags) == (2, 4, ["a", "b"])
    assert (message.metadata, message.headers) == ({"order": 7}, {"X-Order": "7"})
    content = message.content
    assert (content.from_email, content.from_name) == ("shop@example.com", "Shop")
    assert content.reply_to == [{"email": "r@example.net", "name": ""}]
    assert not content.is_template


def test_priority_and_lane_follow_the_email_type(user: User) -> None:
    assert (queue(user).lane, queue(user).priority) == (1, 2)
    bulk = queue(user, email_type="marketing")
    assert (bulk.lane, bulk.priority) == (2, 4)


def test_an_unknown_email_type_is_refused_with_the_known_ones(user: User) -> None:
    details = refused(user, email_type="newsletter")
    assert details["email_type"][0]["message"] == (
        "Unknown email type 'newsletter'; known are marketing, transactional."
    )


def test_the_from_address_comes_from_the_account_that_would_send(user: User) -> None:
    Provider.objects.create(
        name="a", kind="simulator", from_email="sales@example.com", from_name="Sales"
    )
    content = queue(user).content
    assert (content.from_email, content.from_name) == ("sales@example.com", "Sales")
    assert queue(user, from_name="Ann").content.from_name == "Ann"


def test_without_any_from_address_one_is_required(user: User, settings: Any) -> None:
    settings.DEFAULT_FROM_EMAIL = ""
    assert refused(user)["from"][0]["code"] == "required"


def test_somebody_elses_account_cannot_be_pinned(user: User) -> None:
    other = User.objects.create_user("other@example.com")
    provider = smtp_account(1, owner=other)
    assert refused(user, provider_id=str(provider.pk))["provider_id"][0]["code"] == "not_found"


def test_a_missing_variable_is_refused_before_anything_is_sent(user: User) -> None:
    details = refused(user, text="Hi {{ name }}", context={"nam": "Bob"})
    assert "name" in details["context"][0]["message"]


def test_a_broken_template_names_its_field(user: User) -> None:
    assert refused(user, html="<p>{% if %}</p>", context={})["html"][0]["code"] == "template_syntax"


def test_without_context_nothing_is_rendered(user: User) -> None:
    assert not queue(user, text="Hi {{ name }}").content.is_template


def test_a_template_is_sent_in_the_best_locale(user: User) -> None:
    template = Template.objects.create(slug="welcome", owner=user)
    now = timezone.now()
    for number, locale, subject in [
        (1, "", "old"),
        (2, "", "Welcome {{ name }}"),
        (2, "pt", "Bem-vindo {{ name }}"),
    ]:
        TemplateVersion.objects.create(
            template=template,
            number=number,
            locale=locale,
            final_subject=subject,
            final_text="{{ name }}",
            published_at=now,
        )
    TemplateVersion.objects.create(template=template, number=3, subject="draft", text="x")
    fields: dict[str, Any] = {
        "template": "welcome",
        "subject": None,
        "text": None,
        "context": {"name": "Ann"},
    }
    assert queue(user, **fields, locale="pt-BR").content.subject == "Bem-vindo {{ name }}"
    assert queue(user, **fields, locale="de").content.subject == "Welcome {{ name }}"


def test_an_unknown_template_is_refused(user: User) -> None:
    other = User.objects.create_user("other@example.com")
    template = Template.objects.create(slug="secret", owner=other)
    TemplateVersion.objects.create(
        template=template, number=1, subject="s", text="t", published_at=timezone.now()
    )
    for name in ("secret", str(template.pk), "nothing"):
        details = refused(user, template=name, subject=None, text=None, context={})
        assert details["template"][0]["code"] == "not_found"


def test_a_batch_shares_one_content_and_reports_each_failure(user: User) -> None:
    batch = parse_batch(
        {
            "subject": "Hi {{ name }}",
            "text": "Hi {{ name }}",
            "recipients": [
                {"to": "a@example.net", "context": {"name": "A"}},
                {"to": "b@example.net"},
                {"to": "c@example.net", "context": {"name": "C"}},
            ],
        },
        now=timezone.now(),
        limits=Limits(),
    )
    results = queue_messages(
        messages=[item.message for item in batch.items if item.message],
        sender=Sender(user.pk),
        is_shared_content=True,
    )
    assert [isinstance(result, Accepted) for result in results] == [True, False, True]
    assert isinstance(results[1], DomainError)
    assert (Content.objects.count(), Message.objects.count()) == (1, 2)


def test_attachments_are_stored_once_and_sent(user: User, settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path
    kept = upload(
        owner_id=user.pk,
        filename="a.txt",
        content_type="text/plain",
        blob=store_blob(b"same", now=timezone.now()),
    )
    attachments = [
        {"filename": "b.txt", "content": "c2FtZQ==", "content_type": "text/plain"},
        {"id": str(kept.pk)},
    ]
    with FaultyServer() as server:
        smtp_account(server.port)
        queue(user, attachments=attachments)
        drain()
    assert (Blob.objects.count(), Attachment.objects.count()) == (1, 2)
    data = server.mails[0].data
    assert data.count(b"c2FtZQ==") == 2
    assert b"b.txt" in data
    assert b"a.txt" in data


def test_a_storage_that_does_not_answer_costs_an_attempt_and_a_lost_file_the_mail(
    user: User, settings: Any, tmp_path: Any
) -> None:
    settings.MEDIA_ROOT = tmp_path
    smtp_account(1)
    attachments = [{"filename": "b.txt", "content": "Z29uZQ==", "content_type": "text/plain"}]
    message = queue(user, attachments=attachments)
    file = tmp_path / Blob.objects.get().stored_as
    file.rename(tmp_path / "aside")
    # A folder in its place: reading it is an error, but not "there is no such file".
    file.mkdir()
    drain()
    message.refresh_from_db()
    assert (message.status, message.attempt_count) == ("retry", 1)
    assert message.error == "It cannot be composed now: IsADirectoryError."
    file.rmdir()
    make_due(message.pk)
    sweep()
    drain()
    message.refresh_from_db()
    assert (message.status, message.error) == ("failed", "An attachment's file is gone.")


def test_somebody_elses_upload_cannot_be_attached(user: User, settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path
    other = User.objects.create_user("other@example.com")
    kept = upload(
        owner_id=other.pk,
        filename="a.txt",
        content_type="text/plain",
        blob=store_blob(b"x", now=timezone.now()),
    )
    details = refused(user, attachments=[{"id": str(kept.pk)}])
    assert details["attachments[0].id"][0]["code"] == "not_found"


def test_wake_ups_are_coalesced_until_a_drain_looks(db: None) -> None:
    assert wake(Lane.BULK)
    assert not wake(Lane.BULK)
    assert redis_client().llen("bulk") == 1
    wake_seen(Lane.BULK)
    assert wake(Lane.BULK)


def test_a_wake_up_follows_the_commit(user: User, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        queue(user)
        assert redis_client().llen("transactional") == 0
    assert len(callbacks) == 1
    callbacks[0]()
    assert redis_client().llen("transactional") == 1


def test_a_scheduled_message_wakes_nobody(
    user: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        queue(user, send_at=(timezone.now() + timedelta(hours=1)).isoformat())
    assert callbacks == []


def test_mail_is_accepted_while_the_broker_is_down(user: User, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    redis_client.cache_clear()
    try:
        message = queue(user)
        assert not wake(Lane.TRANSACTIONAL)
    finally:
        redis_client.cache_clear()
        dispatch._paused_until = 0.0
    assert message.status == "queued"


def test_djangos_mail_api_queues(user: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "delivery.backend.QueueBackend"
    root = User.objects.create_superuser("root@example.com")
    assert send_mail("Alert", "Text", "alerts@example.com", ["ops@example.com"]) == 1
    mail = EmailMultiAlternatives(
        "S", "plain", "a@example.com", ["b@example.com"], bcc=["c@example.com"]
    )
    mail.attach_alternative("<p>html</p>", "text/html")
    mail.attach("n.csv", "a;b", "text/csv")
    mail.send()
    first, second = Message.objects.order_by("pk")
    assert (first.owner, first.content.text, second.content.html) == (root, "Text", "<p>html</p>")
    assert second.addresses == ["b@example.com", "c@example.com"]
    assert second.content.attachments.get().filename == "n.csv"
