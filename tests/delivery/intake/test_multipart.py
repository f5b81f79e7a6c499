"""multipart/form-data becomes the object that JSON would have been."""

from datetime import UTC, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from delivery.intake import Limits, from_multipart, parse_message
from mailservice.core.addresses import Address
from mailservice.core.errors import InvalidInputError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
JSON = '{"to": "a@b.example", "subject": "s", "text": "t"}'


def post(**parts):
    query = QueryDict(mutable=True)
    for name, value in parts.items():
        query.setlist(name, value if isinstance(value, list) else [value])
    return query


def convert(parts, limits=Limits(), **files):
    uploads = {name: value if isinstance(value, list) else [value] for name, value in files.items()}
    return from_multipart(post(**parts), MultiValueDict(uploads), limits=limits)


def faults(parts, limits=Limits(), **files):
    with pytest.raises(InvalidInputError) as caught:
        convert(parts, limits, **files)
    details = caught.value.details
    return {path: [fault["code"] for fault in found] for path, found in details.items()}


def upload(name="a.txt", content=b"hi", content_type="text/plain"):
    return SimpleUploadedFile(name, content, content_type)


@pytest.mark.parametrize("part", ["message", "data"])
def test_json_part_with_files(part):
    data = convert(
        {part: JSON},
        **{"attachments[]": [upload(), upload("b.pdf", b"x", "")], "inline": upload("l.png")},
    )
    message = parse_message(data, now=NOW, limits=Limits())
    found = [
        (one.filename, one.content_type, one.content, one.disposition.value, one.content_id)
        for one in message.attachments
    ]
    assert found == [
        ("a.txt", "text/plain", b"hi", "attachment", ""),
        ("b.pdf", "application/pdf", b"x", "attachment", ""),
        ("l.png", "text/plain", b"hi", "inline", "l.png"),
    ]


def test_json_part_may_come_as_a_file():
    data = convert({}, message=upload("blob", JSON.encode(), "application/json"))
    assert data == {"to": "a@b.example", "subject": "s", "text": "t"}


def test_files_are_added_to_attachments_in_the_json():
    body = '{"attachments": [{"filename": "x", "content": ""}]}'
    data = convert({"message": body}, attachments=upload())
    assert [one["filename"] for one in data["attachments"]] == ["x", "a.txt"]


def test_flat_fields():
    data = convert(
        {
            "to": ["a@b.example", "C <c@b.example>"],
            "cc[]": ["d@b.example"],
            "bcc": "",
            "subject": "s",
            "html_content": "<p>",
            "tags": ["x", "y"],
            "context": '{"a": 1}',
            "metadata": "",
            "priority": "2",
            "track_opens": "false",
        }
    )
    message = parse_message(data, now=NOW, limits=Limits())
    assert message.to == (Address("a@b.example"), Address("c@b.example", "C"))
    assert (message.cc, message.bcc) == ((Address("d@b.example"),), ())
    assert (message.context, message.metadata) == ({"a": 1}, {})
    assert (message.tags, message.priority, message.track_opens) == (("x", "y"), 2, False)


@pytest.mark.parametrize(
    ("parts", "files", "expected"),
    [
        ({"message": "{"}, {}, {"message": ["malformed_json"]}),
        ({"message": "[]"}, {}, {"message": ["invalid_type"]}),
        ({"message": JSON, "subject": "x"}, {}, {"subject": ["conflict"]}),
        ({"message": JSON, "data": JSON}, {}, {"data": ["conflict"]}),
        ({"context": "{"}, {}, {"context": ["malformed_json"]}),
        ({"subject": ["a", "b"]}, {}, {"subject": ["duplicate"]}),
        ({"attachments": "aGk="}, {}, {"attachments": ["unknown_field"]}),
        ({"message": JSON}, {"atachments": upload()}, {"atachments": ["unknown_field"]}),
    ],
)
def test_refused_parts(parts, files, expected):
    assert faults(parts, **files) == expected


def test_file_limits_hold_before_anything_is_read():
    limits = Limits(max_message_bytes=3)
    files = [upload(), upload()]
    assert faults({"message": JSON}, limits, attachments=files) == {"attachments": ["too_large"]}
    assert [one.tell() for one in files] == [0, 0]
    assert faults({"message": JSON}, attachments=[upload()] * 51) == {"attachments": ["too_many"]}


def test_lone_attachments_value_in_the_json_is_not_lost():
    data = convert({"message": '{"attachments": "x"}'}, attachments=upload())
    with pytest.raises(InvalidInputError) as caught:
        parse_message(data, now=NOW, limits=Limits())
    assert "attachments" in caught.value.details
