"""What a composed mail holds, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from uuid import UUID

import pytest

from delivery.compose import (
    AttachmentSource,
    ComposeError,
    ContentSource,
    MailFields,
    compile_content,
    encode_file,
)
from mailservice.core.addresses import Address
from templates_app.engine import TemplateRenderProblem, TemplateSyntaxProblem

DATE = datetime(2026, 11, 21, 8, 30, 0, 987, tzinfo=UTC)
TO = (Address("ann@customers.example", "Ann"),)


CONTENT = ContentSource("Hello", "", "Hello\n", "shop@shop.example", "The Shop")
FIELDS = MailFields(UUID(int=10), DATE, TO)


def content(**changes):
    return compile_content(replace(CONTENT, **changes))


def fields(**changes):
    return replace(FIELDS, **changes)


def parse(data):
    return message_from_bytes(data, policy=policy.SMTP)


def attachment(data=b"\x00\x01" * 100, **changes):
    base = AttachmentSource(
        "a.bin", "application/octet-stream", "attachment", "", encoded=lambda: encode_file([data])
    )
    return replace(base, **changes)


def test_a_plain_mail_is_these_bytes():
    assert content().compose(fields()) == (
        b"Date: Sat, 21 Nov 2026 08:30:00 +0000\r\n"
        b"From: The Shop <shop@shop.example>\r\n"
        b"To: Ann <ann@customers.example>\r\n"
        b"Subject: Hello\r\n"
        b"Message-ID: <0000000000000000000000000000000a@shop.example>\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: quoted-printable\r\n"
        b"\r\n"
        b"Hello\r\n"
    )


def test_html_alone_gets_a_text_part():
    mail = parse(
        content(html="<p>Hi</p><p><a href='https://x.example'>Go</a></p>", text="").compose(
            fields()
        )
    )
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail.get_body(("plain",)).get_content() == "Hi\r\n\r\n[Go](https://x.example)\r\n"


def test_a_mail_to_hidden_recipients_says_so_and_never_names_bcc():
    data = content().compose(fields(to=()))
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in data
    assert b"bcc" not in data.lower()
    assert b"\r\nTo:" not in content().compose(fields(to=(), cc=TO))


def test_headers_of_the_message_replace_those_of_the_content():
    compiled = content(headers={"X-A": "1", "X-B": "2"})
    mail = parse(compiled.compose(fields(headers={"x-b": "3", "X-C": "4"})))
    assert [mail[name] for name in ("X-A", "X-B", "X-C")] == ["1", "3", "4"]
    assert mail.get_all("X-B") == ["3"]


@pytest.mark.parametrize(
    "bad", ["a\r\nBcc: b@c.example", "a\nb", "a\rb", "a\0b", "a\u2028b", "a\ud800b"]
)
def test_line_breaks_and_controls_in_any_header_are_refused(bad):
    for change in ({"subject": bad}, {"from_name": bad}, {"headers": {"X-A": bad}}):
        with pytest.raises(ComposeError):
            content(**change)
    with pytest.raises(ComposeError):
        content(reply_to=(Address("a@b.example", bad),))
    with pytest.raises(ComposeError):
        content(attachments=(attachment(filename=bad),))
    for change in ({"to": (Address("a@b.example", bad),)}, {"headers": {"X-A": bad}}):
        with pytest.raises(ComposeError):
            content().compose(fields(**change))
    with pytest.raises(ComposeError):
        content(subject="Hi {{ n }}", is_template=True).compose(fields(context={"n": bad}))


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "a@b>",
        "a@b.example, c@d.example",
        "a b@c.example",
        "<a@b.example>",
        "a@b\r\n.example",
    ],
)
def test_what_is_no_address_is_refused(email):
    with pytest.raises(ComposeError):
        content().compose(fields(to=(Address(email),)))


@pytest.mark.parametrize(
    "name", ["Bcc", "To", "Content-Type", "Message-ID", "DKIM-Signature", "X A", ""]
)
def test_headers_that_are_ours_or_malformed_are_refused(name):
    with pytest.raises(ComposeError):
        content(headers={name: "x"})
    with pytest.raises(ComposeError):
        content().compose(fields(headers={name: "x"}))


def test_half_a_surrogate_pair_in_a_body_is_named():
    with pytest.raises(ComposeError, match="surrogate pair at character 3"):
        content(text="ab\ud83d")
    compiled = content(text="a{{ n }}", is_template=True)
    with pytest.raises(ComposeError, match="surrogate pair at character 2"):
        compiled.compose(fields(context={"n": "\udc00"}))


def test_a_date_without_zone_is_refused():
    with pytest.raises(ComposeError, match="time zone"):
        content().compose(fields(date=DATE.replace(tzinfo=None)))


def test_template_problems_come_through():
    with pytest.raises(TemplateSyntaxProblem):
        content(html="{% if %}", is_template=True)
    with pytest.raises(TemplateRenderProblem, match="'name' is missing"):
        content(text="{{ name }}", is_template=True).compose(fields())


def test_without_is_template_braces_are_text():
    assert b"\r\n\r\n{{ name }}\r\n" in content(text="{{ name }}").compose(fields())


def test_smtputf8_is_needed_for_local_parts_only():
    compiled = content()
    assert not compiled.needs_smtputf8(fields(to=(Address("a@b\u00fccher.example", "\u00c4"),)))
    unicode_fields = fields(to=(Address("j\u00f6rg@b\u00fccher.example"),))
    assert compiled.needs_smtputf8(unicode_fields)
    assert "\r\nTo: j\u00f6rg@xn--bcher-kva.example\r\n".encode() in compiled.compose(
        unicode_fields
    )
    assert content(from_email="j\u00f6rg@b.example").needs_smtputf8(fields())


def test_mostly_foreign_text_is_sent_as_base64_and_mostly_ascii_as_quoted_printable():
    foreign = content(text="\u4f60\u597d\n" * 50).compose(fields())
    assert b"Content-Transfer-Encoding: base64" in foreign
    assert max(map(len, foreign.split(b"\r\n"))) <= 78
    german = content(text="Sch\u00f6ne Gr\u00fc\u00dfe aus der alten Werkstatt am Fluss\n").compose(
        fields()
    )
    assert german.endswith(
        b"\r\n\r\nSch=C3=B6ne Gr=C3=BC=C3=9Fe aus der alten Werkstatt am Fluss\r\n"
    )


def test_files_make_mixed_and_related():
    compiled = content(
        html='<img src="cid:logo">',
        attachments=(
            attachment(
                b"PNG",
                filename="l.png",
                content_type="image/png",
                disposition="inline",
                content_id="logo",
            ),
            attachment(
                b"\xff" * 1000, filename="Stra\u00dfe \u4f60.pdf", content_type="application/pdf"
            ),
            attachment(b"From: a\r\n\r\nx", filename="m.eml", content_type="message/rfc822"),
        ),
    )
    data = compiled.compose(fields())
    assert data == compiled.compose(fields())
    assert data.isascii()
    mail = parse(data)
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
        "application/octet-stream",
    ]
    logo = list(mail.walk())[5]
    assert (logo["Content-ID"], logo.get_content_disposition()) == ("<logo>", "inline")
    pdf, letter = mail.iter_attachments()
    assert (pdf.get_filename(), pdf.get_content()) == ("Stra\u00dfe \u4f60.pdf", b"\xff" * 1000)
    assert letter.get_content() == b"From: a\r\n\r\nx"
    assert mail.as_string().count("MIME-Version") == 1


def test_a_file_beside_text_alone():
    mail = parse(
        content(attachments=(attachment(disposition="inline", content_id="x@y"),)).compose(fields())
    )
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "text/plain",
        "application/octet-stream",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"content_type": "text"},
        {"content_type": "a/b; c=d"},
        {"content_id": "a>b"},
        {"content_id": "a b"},
    ],
)
def test_malformed_file_descriptions_are_refused(change):
    with pytest.raises(ComposeError):
        content(attachments=(attachment(**change),))


def test_preview_and_subject_are_what_is_sent():
    compiled = content(
        subject="Hi\n {{ name }} ", html="<p>{{ name }}</p>", text="", is_template=True
    )
    mail = fields(context={"name": "A & B"})
    assert compiled.render_subject({"name": "A & B"}) == "Hi  A & B"
    assert compiled.render_preview(mail) == ("Hi  A & B", "<p>A &amp; B</p>", "A & B")
    assert [len(template.required_paths) for template in compiled.templates] == [1, 1, 1]


def test_now_in_a_template_is_the_date_of_the_mail():
    compiled = content(text="{{ 'now' | date: '%Y-%m-%d' }}", is_template=True)
    assert compiled.compose(fields()).endswith(b"\r\n\r\n2026-11-21\r\n")
