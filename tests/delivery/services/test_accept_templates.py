"""Template mail is accepted with its frozen text, and written as it was previewed."""

from __future__ import annotations

from time import thread_time
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from delivery.intake import Limits, MessageInput, parse_message
from delivery.models import Content, Message
from delivery.queue.contents import ContentCache
from delivery.recipients import mail_fields
from delivery.services import texts
from delivery.services.accept import Sender, queue_message, queue_messages
from mailservice.core.errors import InvalidInputError
from templates_app.models import Template
from templates_app.services import Reader, create_template, preview_version, publish, save_draft

pytestmark = pytest.mark.django_db


def template(user: User, html: str, **fields: Any) -> Template:
    made = create_template(slug="letter", owner_id=user.pk, language="de", **fields)
    save_draft(template_id=made.pk, locale="", subject="Hallo {{ name }}", html=html, text="")
    publish(template_id=made.pk)
    return made


def parsed(**fields: Any) -> MessageInput:
    data = {
        "to": "bob@example.net",
        "from": "shop@example.com",
        "template": "letter",
        "context": {"name": "Ann", "total": 1234.5},
    }
    return parse_message(data | fields, now=timezone.now(), limits=Limits())


def refused(user: User, **fields: Any) -> dict[str, Any]:
    with pytest.raises(InvalidInputError) as caught:
        queue_message(message=parsed(**fields), sender=Sender(user.pk))
    assert not Message.objects.exists()
    assert not Content.objects.exists()
    return dict(caught.value.details)


HTML = "<style>.a{margin:0}</style><p class='{{ kind | default: 'a' }}'>{{ total | number: 2 }}</p>"


def test_what_is_sent_is_what_was_previewed(user: User) -> None:
    made = template(user, HTML)
    accepted = queue_message(message=parsed(locale="de-CH"), sender=Sender(user.pk))
    content = Content.objects.get()
    assert (content.locale, content.inlines_css) == ("de-CH", True)
    message = Message.objects.get(pk=accepted.message_id)
    compiled = ContentCache().load([content.pk])[content.pk]
    fields = mail_fields(
        message_id=message.pk,
        created_at=message.created_at,
        recipients=message.recipients,
        context=message.context,
        headers=None,
    )
    sent = compiled.render_preview(fields)  # type: ignore[union-attr]  # no error
    version = made.versions.get()
    assert content.template_version_id == version.pk
    shown = preview_version(version, Reader(context=message.context, locale="de-CH"))
    assert (sent.subject, sent.html, sent.text) == (shown.subject, shown.html, shown.text)
    assert '<p class="a" style="margin: 0;">1\u2019234.50</p>' in sent.html


def test_many_recipients_share_one_content_per_locale(user: User) -> None:
    template(user, HTML)
    messages = [parsed(to=f"p{n}@example.net", locale="de" if n % 2 else "de-AT") for n in range(6)]
    queue_messages(messages=messages, sender=Sender(user.pk), is_shared_content=True)
    assert sorted(Content.objects.values_list("locale", flat=True)) == ["de", "de-AT"]
    assert Message.objects.count() == 6


def test_a_context_must_keep_to_the_schema(user: User) -> None:
    schema = {"required": ["name"], "properties": {"total": {"type": "number", "minimum": 0}}}
    template(user, HTML, schema=schema)
    found = refused(user, context={"nmae": "x", "total": "1"})
    assert found == {
        "context.name": [{"code": "required", "message": "This is missing, did you mean 'nmae'?"}],
        "context.total": [{"code": "type", "message": "This must be number."}],
    }


def test_a_missing_variable_is_named_before_anything_is_written(user: User) -> None:
    template(user, HTML)
    found = refused(user, context={"name": "x", "totl": 1})
    assert "'total' is missing, did you mean 'totl'?" in found["context"][0]["message"]


def test_inline_templates_read_in_the_locale_asked_for(user: User) -> None:
    message = parsed(
        template=None, subject="s", text="{{ total | number }}", locale="fr", context={"total": 1.5}
    )
    queue_message(message=message, sender=Sender(user.pk))
    content = Content.objects.get()
    compiled = ContentCache().load([content.pk])[content.pk]
    assert compiled.templates[0].render({"total": 1.5}, locale=content.locale) == "1,5"  # type: ignore[union-attr]  # no error


SLOW = "{% for i in (1..9000) %}{{ i | plus: 1 | plus: 1 }}{% endfor %}{{ list[0].name }}"


def test_a_batch_stops_checking_templates_after_its_time_and_keeps_the_rest_apart(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MAX_CPU_SECONDS", 0.1)
    slow = {"template": None, "subject": "x", "text": SLOW, "context": {"list": [{"name": "a"}]}}
    plain = {"template": None, "subject": "x", "text": "x", "context": None}
    many = [parsed(**slow) for _ in range(50)]
    start = thread_time()
    results = queue_messages(messages=[*many, parsed(**plain)], sender=Sender(user.pk))
    assert thread_time() - start < 5
    refused = [one for one in results if isinstance(one, InvalidInputError)]
    assert 1 <= len(refused) < 50
    assert results[50 - len(refused) : 50] == refused
    assert {(*one.details, one.details["text"][0]["code"]) for one in refused} == {
        ("text", "template_limit")
    }
    assert Message.objects.count() == 51 - len(refused)


def test_a_hint_lists_what_the_sender_gave_and_suggests_what_the_service_gives(user: User) -> None:
    inline = {"template": None, "subject": "s", "context": {"name": "Ann"}}
    found = refused(user, **inline, text="{{ total }}")["context"][0]["message"]
    assert found == "The variable 'total' is missing; known here: name (line 1, column 4)"
    found = refused(user, **inline, text="{{ unsubscribe_ulr }}")["context"][0]["message"]
    assert "did you mean 'unsubscribe_url'?" in found


UNWRITABLE: list[tuple[str, Any, str]] = [
    ("{{ x | money: 'EUR' }}", "12,50", "That is no number (line 1, column 8)"),
    ("{{ x | money: 'EUR' }}", None, "That is no number (line 1, column 8)"),
    ("{{ x | date: 'long' }}", 1_777_888_999_000, "in seconds since 1970, this one is too large"),
    ("{% if x > 100 %}a{% endif %}", "120", "'<' and '>' compare two numbers or two texts"),
    ("{{ x }}", {"y": 1}, "An object cannot be printed, print one of its fields (line 1"),
]


@pytest.mark.parametrize(("text", "value", "words"), UNWRITABLE)
def test_a_value_that_cannot_be_written_is_told_when_the_mail_is_handed_over(
    user: User, text: str, value: Any, words: str
) -> None:
    inline = {"template": None, "subject": "s", "text": text, "context": {"x": value}}
    assert words in refused(user, **inline)["context"][0]["message"]
    assert refused(user, **inline)["context"][0]["code"] == "template_render"
    template(user, f"<p>{text}</p>")
    found = refused(user, context={"name": "Ann", "x": value})
    assert words.partition(" (")[0] in found["context"][0]["message"]


def test_one_value_that_cannot_be_written_leaves_the_rest_of_a_batch(user: User) -> None:
    shared = {"template": None, "subject": "s", "text": "{{ x | money: 'EUR' }}"}
    messages = [parsed(**shared, context={"x": value}) for value in (1, "12,50", 2.5)]
    results = queue_messages(messages=messages, sender=Sender(user.pk), is_shared_content=True)
    assert [isinstance(one, InvalidInputError) for one in results] == [False, True, False]
    assert Message.objects.count() == 2


def test_a_stray_break_is_a_fault_of_the_source(user: User) -> None:
    found = refused(user, template=None, subject="s", text="a{% break %}", context={})
    words = "Line 1, column 5: 'break' stands outside a loop"
    assert found == {"text": [{"code": "template_syntax", "message": words}]}
    made = create_template(slug="letter", owner_id=user.pk)
    with pytest.raises(InvalidInputError) as caught:
        save_draft(template_id=made.pk, locale="", subject="s", html="{% break %}", text="")
    assert "stands outside a loop" in caught.value.details["html"][0]["message"]


@pytest.mark.parametrize("value", ["a\nBcc: x@example.net", "a\tb"])
def test_a_line_break_in_a_value_of_the_subject_is_told(user: User, value: str) -> None:
    words = "With these values the subject holds a line break or control character."
    inline = {"template": None, "subject": "Hi {{ name }}", "text": "x", "context": {"name": value}}
    fault = {"code": "template_render", "message": words}
    assert refused(user, **inline) == {"context": [fault]}
    template(user, HTML)
    assert refused(user, context={"name": value, "total": 1}) == {"context": [fault]}


def test_line_ends_of_a_template_s_subject_are_layout(user: User) -> None:
    made = create_template(slug="letter", owner_id=user.pk)
    subject = "Hello\n{{ name }}"
    save_draft(template_id=made.pk, locale="", subject=subject, html="<p>x</p>", text="")
    publish(template_id=made.pk)
    queue_message(message=parsed(), sender=Sender(user.pk))
    assert Message.objects.count() == 1
