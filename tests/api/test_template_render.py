from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern

import pytest

from delivery.compose.bodies import canonical_text
from delivery.models import Message
from templates_app.models import TemplateVersion
from tests.support.api import Api
from tests.support.mail import drain, smtp_account
from tests.support.smtp_server import FaultyServer
from tests.support.templates import faults_of, made, published

pytestmark = pytest.mark.django_db


def test_render_answers_the_mail_and_what_its_author_should_know(api: Api) -> None:
    html = '<p>Hi {{ name }}{{ title | default: "" }}</p><img src="http://example.com/a.png">'
    made(api, texts={"default": {"subject": "Hello {{ name }}", "html": html}})
    body = api.post("/templates/welcome/render").json()
    assert (body["template"], body["version"], body["status"]) == ("welcome", 1, "draft")
    assert (body["subject"], body["text"].strip()) == ("Hello Ann", "Hi Ann")
    assert "<p>Hi Ann</p>" in body["html"]
    assert body["size"]["html_bytes"] == len(body["html"].encode())
    assert body["size"]["gmail_clips"] is False
    codes = {one["code"]: (one["line"], one["severity"]) for one in body["warnings"]}
    assert codes["no_alt"] == (1, "warning")
    assert codes["http_image"] == (1, "warning")
    assert body["variables"] == ["name"]
    assert not TemplateVersion.objects.filter(published_at__isnull=False).exists()
    marketing = api.post("/templates/welcome/render", {"marketing": True}).json()
    assert "no_unsubscribe" in {one["code"] for one in marketing["warnings"]}


def test_render_takes_version_locale_and_context(api: Api) -> None:
    published(api)
    api.put("/templates/welcome/draft/default", {"subject": "New {{ name }}", "text": "x"})
    for asked, subject in [
        ({}, "New Ann"),
        ({"version": "draft"}, "New Ann"),
        ({"version": "published"}, "Hello Ann"),
        ({"version": 1}, "Hello Ann"),
        ({"version": 1, "locale": "de-AT"}, "Hallo Ann"),
        ({"version": 1, "locale": "fr", "context": {"name": "Zoë"}}, "Hello Zoë"),
    ]:
        assert api.post("/templates/welcome/render", asked).json()["subject"] == subject
    assert api.post("/templates/welcome/render", {"version": 7}).status_code == 404
    assert api.post("/templates/welcome/render", {"version": "old"}).status_code == 404
    assert "version" in faults_of(api.post("/templates/welcome/render", {"version": [1]}))
    assert "context" in faults_of(api.post("/templates/welcome/render", {"context": []}))
    assert "contxt" in faults_of(api.post("/templates/welcome/render", {"contxt": {}}))


STRICT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": {"type": "string"}},
}


@pytest.mark.parametrize("schema", [{}, STRICT])
def test_links_of_recipients_need_no_sample_data(api: Api, schema: dict[str, object]) -> None:
    text = "{{ name }}: {{ unsubscribe_url }} {{ preferences_url }}"
    made(api, texts={"default": {"subject": "x", "text": text}}, schema=schema)
    body = api.post("/templates/welcome/render", {"marketing": True}).json()
    link = "https://mail.example.com/u/sample"
    assert body["text"].strip() == f"Ann: {link} {link}/preferences"
    assert body["missing"] == []
    own = {"name": "Bob", "unsubscribe_url": "https://shop.example.com/off"}
    if not schema:
        given = api.post("/templates/welcome/render", {"context": own}).json()
        assert given["text"].strip() == f"Bob: https://shop.example.com/off {link}/preferences"
    sent = api.post("/templates/welcome/test-send", {"to": "ann@example.com"})
    assert sent.status_code == 202
    assert link in Message.objects.get().content.text


def test_a_missing_variable_says_what_is_known_and_what_was_meant(api: Api) -> None:
    html = "<p>\n{{ order.totl }}</p>"
    made(api, texts={"default": {"subject": "x", "html": html}})
    context = {"order": {"total": 3, "number": 1}}
    (fault,) = faults_of(api.post("/templates/welcome/render", {"context": context}))["context"]
    assert fault["code"] == "missing_variable"
    assert (fault["line"], fault["column"], fault["part"]) == (2, 4, "html")
    assert fault["variable"] == "order.totl"
    assert fault["known"] == ["number", "total"]
    assert fault["suggestion"] == "order.total"


def test_a_context_that_breaks_the_schema_names_its_place(api: Api) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    made(api, schema=schema)
    details = faults_of(api.post("/templates/welcome/render", {"context": {"name": 3}}))
    assert details.keys() == {"context.name"}


def test_an_unsaved_source_is_rendered_without_being_saved(api: Api) -> None:
    made(api)
    source = {"subject": "S {{ name }}", "mjml": "<mjml><mj-body></mj-body></mjml>"}
    body = api.post("/templates/welcome/render", {"source": source}).json()
    assert (body["subject"], body["version"], body["status"]) == ("S Ann", None, "unsaved")
    source = {"subject": "x", "mjml": "<mjml><mj-bdy/></mjml>"}
    (fault,) = faults_of(api.post("/templates/welcome/render", {"source": source}))["source.mjml"]
    assert (fault["line"], fault["column"]) == (1, 7)
    assert api.get("/templates/welcome").json()["draft_version"] == 1


def test_a_hostile_template_is_stopped_with_its_place(api: Api) -> None:
    html = "x\n{% for a in (1..9000) %}{% for b in (1..9000) %}{{ a }}{% endfor %}{% endfor %}"
    made(api, texts={"default": {"subject": "x", "html": html}})
    (fault,) = faults_of(api.post("/templates/welcome/render"))["context"]
    assert fault["code"] == "template_limit"
    assert fault["line"] == 2


LETTER = """\
<!doctype html><html><head><style>p { color: #123456 }</style></head><body>
<p>Grüße, {{ name }} — {{ order.total | money: "EUR" }}, {{ 'now' | date: "%d.%m.%Y %H:%M" }}</p>
{% for item in items %}<p>{{ item.name }}: {{ item.price | number: 2 }}</p>
{% endfor %}<a href="https://example.com/?a=1&amp;b={{ name | url_encode }}">…</a>
</body></html>
"""
CONTEXT = {
    "name": "Zoë <b> & Söhne",
    "order": {"total": 1234.5},
    "items": [{"name": "Äpfel", "price": 1.5}, {"name": "日本" * 40, "price": 20}],
}


def sent_parts(data: bytes) -> tuple[str, dict[str, bytes]]:
    mail = message_from_bytes(data, policy=modern)
    assert isinstance(mail, EmailMessage)
    leaves = (part for part in mail.walk() if not part.is_multipart())
    parts = {
        part.get_content_type(): payload
        for part in leaves
        if isinstance(payload := part.get_payload(decode=True), bytes)
    }
    return str(mail["Subject"]), parts


def on_the_wire(text: str) -> bytes:
    """Return a text as MIME has it: lines end with CRLF, the last one too."""
    return canonical_text(text).replace("\n", "\r\n").encode()


@pytest.mark.parametrize("locale", ["", "de-AT"])
@pytest.mark.parametrize("text", ["", "{{ name }}: {{ order.total | money: 'EUR' }}\r\nBis bald\n"])
def test_what_render_answers_is_what_a_drain_sends_to_the_octet(
    api: Api, locale: str, text: str
) -> None:
    one = {"subject": "{{ name }}: {{ order.total | money: 'EUR' }}", "html": LETTER, "text": text}
    published(api, texts={"default": one, "de": one | {"subject": "Für {{ name }}"}})
    with FaultyServer(({},)) as server:
        smtp_account(server.port)
        mail = {"to": "bob@example.net", "template": "welcome", "context": CONTEXT}
        accepted = api.post("/emails", mail | {"locale": locale})
        assert accepted.status_code == 202, accepted.content
        drain()
    message = Message.objects.get(pk=accepted.json()["email_id"])
    asked = {"version": "published", "context": CONTEXT, "locale": locale}
    rendered = api.post(
        "/templates/welcome/render", asked | {"now": message.created_at.isoformat()}
    ).json()
    subject, parts = sent_parts(server.mails[0].data)
    assert subject == rendered["subject"]
    assert parts["text/html"] == on_the_wire(rendered["html"])
    assert parts["text/plain"] == on_the_wire(rendered["text"])
    read_back = api.get(f"/emails/{message.pk}?include=content").json()["content"]
    assert read_back == {name: rendered[name] for name in ("subject", "html", "text")}
    assert b"Zo\xc3\xab &lt;b&gt; &amp; S\xc3\xb6hne" in parts["text/html"]


def test_a_test_send_carries_what_render_shows(api: Api) -> None:
    made(api, texts={"default": {"subject": "Hi {{ name }}", "html": LETTER}})
    with FaultyServer(({},)) as server:
        smtp_account(server.port)
        asked = {"to": ["a@example.com", "b@example.com"], "context": CONTEXT}
        accepted = api.post("/templates/welcome/test-send", asked, key="once")
        again = api.post("/templates/welcome/test-send", asked, key="once")
        assert accepted.status_code == 202, accepted.content
        assert again.json() == accepted.json()
        drain()
    message = Message.objects.get()
    assert str(message.pk) == accepted.json()["email_id"]
    assert message.metadata == {"template": "welcome", "template_version": 1}
    assert server.mails[0].recipients == ["a@example.com", "b@example.com"]
    subject, parts = sent_parts(server.mails[0].data)
    assert subject == "Hi Zoë <b> & Söhne"
    moment = message.created_at.isoformat()
    rendered = api.post("/templates/welcome/render", {"context": CONTEXT, "now": moment}).json()
    assert parts["text/html"] == on_the_wire(rendered["html"])
    assert parts["text/plain"] == on_the_wire(rendered["text"])


def test_a_test_send_names_its_faults_and_sends_nothing(api: Api) -> None:
    made(api)
    made(api, slug="base", kind="layout", texts={"default": {"html": "<p>{{ content }}</p>"}})
    path = "/templates/welcome/test-send"
    assert "to" in faults_of(api.post(path))
    assert "to[0]" in faults_of(api.post(path, {"to": ["nobody"]}))
    assert "context" in faults_of(api.post(path, {"to": "a@example.com", "context": {}}))
    many = [f"a{number}@example.com" for number in range(11)]
    assert "to" in faults_of(api.post(path, {"to": many}))
    assert "subject" in faults_of(
        api.post(path, {"to": "a@example.com", "context": {"name": "a\nBcc: b@example.com"}})
    )
    assert "template" in faults_of(api.post("/templates/base/test-send", {"to": "a@example.com"}))
    assert not Message.objects.exists()
