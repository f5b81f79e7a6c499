"""Attachments: content, names, types, inline images, limits."""

from base64 import b64encode
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.intake import AttachmentInput, Disposition, Limits, parse_message
from delivery.intake.attachments import BLOCKED_EXTENSIONS, encoded_bytes, guess_content_type
from mailservice.core.errors import InvalidInputError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UPLOAD = "01890a5d-ac96-774b-bcce-b302099a8057"


def parse(*attachments, limits=Limits()):
    data = {"to": "a@b.example", "subject": "s", "text": "t", "attachments": list(attachments)}
    return parse_message(data, now=NOW, limits=limits).attachments


def faults(*attachments, limits=Limits()):
    with pytest.raises(InvalidInputError) as caught:
        parse(*attachments, limits=limits)
    details = caught.value.details
    return {path: [fault["code"] for fault in found] for path, found in details.items()}


def file(**fields):
    return {"filename": "a.txt", "content": "aGk=", **fields}


def test_inline_base64():
    assert parse(file()) == (
        AttachmentInput("a.txt", "text/plain", b"hi", None, Disposition.ATTACHMENT, ""),
    )


def test_reference_to_an_upload():
    expected = AttachmentInput(
        "", "application/octet-stream", None, UUID(UPLOAD), Disposition.ATTACHMENT, ""
    )
    assert parse({"upload_id": UPLOAD})[0].upload_id == expected.upload_id
    assert parse({"id": UPLOAD})[0].upload_id == expected.upload_id
    assert parse({"upload_id": UPLOAD})[0].content is None


def test_type_and_name_of_an_upload_stay_open():
    (attachment,) = parse({"upload_id": UPLOAD})
    assert (attachment.filename, attachment.content_type) == ("", "")


def test_empty_file_is_a_file():
    assert parse(file(content=""))[0].content == b""


@pytest.mark.parametrize("content", ["aGk=\n", " aG k= ", "aG\r\nk="])
def test_line_breaks_in_base64_do_not_matter(content):
    assert parse(file(content=content))[0].content == b"hi"


@pytest.mark.parametrize("content", ["aGk", "aGk==", "aG-_", "a", "=", "aGk=aGk=", "ü", "aGk=!"])
def test_sloppy_base64_is_refused(content):
    assert faults(file(content=content)) == {"attachments[0].content": ["invalid_base64"]}


def test_data_urls_are_explained():
    with pytest.raises(InvalidInputError, match="without the data: prefix"):
        parse(file(content="data:text/plain;base64,aGk="))


@pytest.mark.parametrize(
    ("given_fields", "expected"),
    [
        ({"content": None}, {"attachments[0].content": ["required"]}),
        ({"content": 7}, {"attachments[0].content": ["invalid_type"]}),
        ({"upload_id": UPLOAD}, {"attachments[0].upload_id": ["conflict"]}),
        ({"content": None, "upload_id": "7"}, {"attachments[0].upload_id": ["invalid"]}),
        ({"filename": None}, {"attachments[0].filename": ["required"]}),
        ({"filename": "  "}, {"attachments[0].filename": ["required"]}),
        ({"filename": 7}, {"attachments[0].filename": ["invalid_type"]}),
        ({"filename": "a" * 256}, {"attachments[0].filename": ["too_long"]}),
        ({"filename": "../a.txt"}, {"attachments[0].filename": ["invalid"]}),
        ({"filename": "c:\\a.txt"}, {"attachments[0].filename": ["invalid"]}),
        ({"filename": ".."}, {"attachments[0].filename": ["invalid"]}),
        ({"filename": "a\u202etxt.exe"}, {"attachments[0].filename": ["invalid"]}),
        ({"content_type": "pdf"}, {"attachments[0].content_type": ["invalid"]}),
        ({"content_type": "a/b\r\nX: y"}, {"attachments[0].content_type": ["invalid"]}),
        ({"content_type": "multipart/mixed"}, {"attachments[0].content_type": ["invalid"]}),
        ({"content_type": 7}, {"attachments[0].content_type": ["invalid_type"]}),
        ({"disposition": "form-data"}, {"attachments[0].disposition": ["invalid"]}),
        ({"disposition": []}, {"attachments[0].disposition": ["invalid"]}),
        ({"content_id": "a b"}, {"attachments[0].content_id": ["invalid"]}),
        ({"content_id": "a>\r\n"}, {"attachments[0].content_id": ["invalid"]}),
        ({"type": "text/plain"}, {"attachments[0].type": ["unknown_field"]}),
    ],
)
def test_refused_attachments(given_fields, expected):
    assert faults(file(**given_fields)) == expected


def test_not_a_list_of_objects():
    assert faults("aGk=") == {"attachments[0]": ["invalid_type"]}
    with pytest.raises(InvalidInputError):
        parse_message(
            {"to": "a@b.example", "subject": "s", "text": "t", "attachments": {}},
            now=NOW,
            limits=Limits(),
        )


@pytest.mark.parametrize("extension", sorted(BLOCKED_EXTENSIONS))
def test_executable_files_are_refused(extension):
    for name in (f"a.{extension}", f"a.txt.{extension.upper()}", f"a.{extension}. ."):
        assert faults(file(filename=name)) == {"attachments[0].filename": ["blocked_type"]}


def test_a_name_like_a_blocked_extension_is_fine():
    assert parse(file(filename="exe"))[0].filename == "exe"
    assert parse(file(filename="a.exe.txt"))[0].filename == "a.exe.txt"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.pdf", "application/pdf"),
        ("A.PNG", "image/png"),
        ("a.tar.gz", "application/gzip"),
        ("a.unknown", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_guessed_types(name, expected):
    assert guess_content_type(name) == expected


def test_given_type_wins_without_its_parameters():
    given_type = 'text/csv; charset=utf-8; name="a b"'
    assert parse(file(content_type=given_type))[0].content_type == "text/csv"


def test_inline_images_get_a_content_id():
    attachments = parse(
        file(filename="logo.png", disposition="inline"),
        file(filename="mein Bild.png", disposition="inline"),
        file(filename="b.png", content_id="<b@shop>"),
        file(filename="c.png", content_id="c", disposition="attachment"),
    )
    assert [(one.disposition.value, one.content_id) for one in attachments] == [
        ("inline", "logo.png"),
        ("inline", "inline-2"),
        ("inline", "b@shop"),
        ("attachment", "c"),
    ]


def test_content_ids_are_unique():
    assert faults(file(content_id="x"), file(content_id="x")) == {
        "attachments[1].content_id": ["duplicate"]
    }


def test_number_and_size_limits():
    assert len(parse(*[file()] * 50)) == 50
    assert faults(*[file()] * 51) == {"attachments": ["too_many"]}
    limits = Limits(max_attachment_bytes=3)
    assert parse(file(content="QUJD"), limits=limits)[0].content == b"ABC"
    assert faults(file(content="QUJDRA=="), limits=limits) == {
        "attachments[0].content": ["too_large"]
    }
    assert faults(file(content="QUJD" * 100), limits=limits) == {
        "attachments[0].content": ["too_large"]
    }


@given(st.binary(max_size=300))
def test_content_round_trip_and_encoded_size(content):
    attachments = parse(file(content=b64encode(content).decode()))
    assert attachments[0].content == content
    encoded = b64encode(content).decode()
    lines = [encoded[start : start + 76] for start in range(0, len(encoded), 76)]
    assert encoded_bytes(attachments) == sum(len(line) + 2 for line in lines)
