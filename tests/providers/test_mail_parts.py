"""The parts of a mail say what the same mail says when it is written."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
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

MESSAGE_ID = UUID("01890000-0000-7000-8000-000000000002")
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def content(**changes: object) -> ContentSource:
    values = {
        "subject": "Hello {{ name }}",
        "html": "<p>Dear {{ name }}</p><img src='cid:logo'>",
        "text": "",
        "from_email": "shop@bücher.example",
        "from_name": "Shop, Ltd.",
        "reply_to": (Address("help@a.example", "Help"),),
        "headers": {"X-Order": "1", "X-Kept": "yes"},
        "is_template": True,
        "attachments": (
            a_file("Bill.pdf", "application/pdf", b"%PDF\x00\xff" * 20_000),
            a_file("logo.png", "image/png", b"\x89PNG", cid="logo"),
            a_file("mail.eml", "message/rfc822", b"Subject: x\r\n\r\ny"),
        ),
    }
    return ContentSource(**{**values, **changes})  # type: ignore[arg-type]


def a_file(name: str, content_type: str, octets: bytes, cid: str = "") -> AttachmentSource:
    encoded = encode_file([octets])
    disposition = "inline" if cid else "attachment"
    return AttachmentSource(name, content_type, disposition, cid, lambda: encoded)  # type: ignore[arg-type]


def fields(**changes: object) -> MailFields:
    values = {
        "message_id": MESSAGE_ID,
        "date": WHEN,
        "to": (Address("bob@müller.example", " Bob "),),
        "cc": (Address("cee@c.example"),),
        "context": {"name": "Zoë & <Co>"},
        "headers": {"x-order": "2"},
    }
    return MailFields(**{**values, **changes})  # type: ignore[arg-type]


def test_parts_say_what_the_written_mail_says() -> None:
    compiled = compile_content(content())
    parts = compiled.parts(fields())
    mail = message_from_bytes(bytes(compiled.compose(fields())), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert parts.subject == mail["Subject"] == "Hello Zoë & <Co>"
    assert parts.html == "<p>Dear Zoë &amp; &lt;Co&gt;</p><img src='cid:logo'>\n"
    assert parts.text == "Dear Zoë & <Co>\n"
    assert html.get_content().replace("\r\n", "\n") == parts.html
    assert text.get_content().replace("\r\n", "\n") == parts.text
    assert parts.message_id == mail["Message-ID"]
    assert parts.date == mail["Date"].datetime
    assert parts.headers == {"x-order": "2", "X-Kept": "yes"}
    assert mail["X-Order"] == "2"


def test_addresses_have_their_domains_in_a_labels() -> None:
    parts = compile_content(content()).parts(fields())
    assert parts.sender == Address("shop@xn--bcher-kva.example", "Shop, Ltd.")
    assert parts.to == (Address("bob@xn--mller-kva.example", "Bob"),)
    assert parts.cc == (Address("cee@c.example"),)
    assert parts.reply_to == (Address("help@a.example", "Help"),)
    assert parts.message_id == f"<{MESSAGE_ID.hex}@xn--bcher-kva.example>"


def test_files_can_be_read_again_and_again() -> None:
    parts = compile_content(content()).parts(fields())
    described = [(one.filename, one.content_type, one.is_inline) for one in parts.files]
    assert described == [
        ("Bill.pdf", "application/pdf", False),
        ("logo.png", "image/png", True),
        # What may not be encoded in base64 travels as octets.
        ("mail.eml", "application/octet-stream", False),
    ]
    for _ in range(2):
        assert parts.files[0].read() == b"%PDF\x00\xff" * 20_000
        assert parts.files[1].read() == b"\x89PNG"
    assert parts.size_bytes > 160_000


def test_without_html_nothing_is_inline() -> None:
    parts = compile_content(content(html="", text="Hi")).parts(fields())
    assert (parts.html, parts.text) == ("", "Hi\n")
    assert [one.is_inline for one in parts.files] == [False, False, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"context": {"name": "a\r\nBcc: x@x.example"}},
        {"to": (Address("a b@x.example"),)},
        {"headers": {"X-A": "b\r\nc"}},
        {"headers": {"Bcc": "x@x.example"}},
        {"date": WHEN.replace(tzinfo=None)},
    ],
)
def test_what_cannot_be_written_has_no_parts(changes: dict[str, object]) -> None:
    compiled = compile_content(content(attachments=()))
    with pytest.raises(ComposeError):
        compiled.compose(fields(**changes))
    with pytest.raises(ComposeError):
        compiled.parts(fields(**changes))
