"""Whatever a mail says, both ways of writing it must read the same, and read what was meant."""

from binascii import a2b_base64
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import getaddresses
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from delivery.compose import (
    AttachmentSource,
    ContentSource,
    MailFields,
    compile_content,
    encode_file,
)
from mailservice.core.addresses import Address
from mailservice.core.headers import UNSAFE_IN_HEADER

NASTY = (
    "plain text ",
    "\u00fc\u00df\u20ac ",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u05e9\u05dc\u05d5\u05dd \u202e\u0645\u0631\u062d\u0628\u0627 ",
    "\u4f60\u597d" * 9,
    ".",
    "\n.\n",
    "\nFrom me",
    "From you",
    " \t ",
    " \n",
    "\t\r\n",
    "\r",
    "\r\n",
    "=20=\n",
    "=?utf-8?q?x?=",
    "--=_b--",
    "a" * 75,
    "b" * 1200,
    "\x0b\x0c\x1c\x85\u2028",
    "\0",
    "{{ not liquid }}",
)
bodies = st.one_of(
    st.lists(st.sampled_from(NASTY), max_size=8).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)
# Other spaces than U+0020 are kept, but the parser used to read the mail back folds them.
one_line = st.one_of(
    st.lists(
        st.sampled_from(
            (
                "word ",
                "a, b",
                '"q" ',
                "\\",
                "(c)",
                "<x@y>",
                ";:.",
                "J\u00f6rg ",
                "\U0001f600",
                "\u4f60\u597d",
                "=?",
                "_?=",
                "x" * 40,
            )
        ),
        max_size=14,
    ).map("".join),
    st.text(st.characters(exclude_categories=("C", "Zl", "Zp", "Zs")), max_size=90),
).map(lambda text: " ".join(text.split()))
locals_ = st.sampled_from(("a", "first.last+tag", "o'neil", '"two words"', '"a,b@c"', "x" * 64))
domains = st.sampled_from(
    ("shop.example", "b\u00fccher.example", "xn--bcher-kva.example", "[192.0.2.1]")
)
addresses = st.builds(
    lambda local, domain, name: Address(f"{local}@{domain}", name), locals_, domains, one_line
)
contents = st.builds(
    ContentSource,
    subject=one_line,
    html=bodies,
    text=bodies,
    from_email=st.sampled_from(("shop@shop.example", "shop@b\u00fccher.example")),
    from_name=one_line,
    reply_to=st.lists(addresses, max_size=2).map(tuple),
    headers=st.dictionaries(
        st.sampled_from(("X-One", "X-Campaign-With-A-Long-Name", "List-Unsubscribe")),
        one_line.filter(
            lambda value: bool(value) and "=?" not in value and len(value.encode()) < 900
        ),
        max_size=2,
    ),
)
# Above 48 KiB a file is spooled to disk, above 96 KiB no mail is joined any more.
file_bytes = st.one_of(
    st.binary(max_size=200),
    st.sampled_from((b".\r\n" * 30, b"--=_x", b"\x00" * 49_152, bytes(range(256)) * 400)),
)
files = st.builds(
    lambda name, kind, disposition, cid, data: AttachmentSource(
        name, kind, disposition, cid, encoded=lambda: encode_file([data])
    ),
    one_line.map(lambda name: name[:120]),
    st.sampled_from(
        ("application/pdf", "Image/PNG", "text/plain", "text/html", "message/rfc822", "a/b+c.d-e")
    ),
    st.sampled_from(("attachment", "inline")),
    st.sampled_from(("", "logo", "part1.x@shop.example")),
    file_bytes,
)
messages = st.builds(
    MailFields,
    message_id=st.uuids(),
    date=st.just(datetime(2026, 11, 21, 8, 30, tzinfo=UTC)),
    to=st.lists(addresses, max_size=12).map(tuple),
    cc=st.lists(addresses, max_size=3).map(tuple),
)


def parse(data):
    return message_from_bytes(bytes(data), policy=policy.SMTP)


def reading(mail):
    """Return what a mail program reads: headers, structure, decoded bodies."""
    parts = [
        (
            part.get_content_type(),
            part.get_content_charset(),
            None if part.is_multipart() else part.get_content(),
        )
        for part in mail.walk()
    ]
    return [(name, str(value)) for name, value in mail.items()], parts


def said(text):
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    text = text if text.endswith("\n") else text + "\n"
    return text.replace("\n", "\r\n")


def mailboxes(data):
    """Return names and addresses of the To field.

    Not by `policy.SMTP`, which in Python 3.11 adds a space between encoded words of a name.
    """
    header = str(message_from_bytes(data)["To"]).replace("\r\n", "")
    return [
        (str(make_header(decode_header(name))), email) for name, email in getaddresses([header])
    ]


def wanted(boxes):
    return [(box.name, box.email.replace("b\u00fccher", "xn--bcher-kva")) for box in boxes]


@given(contents, messages)
@example(
    ContentSource("", "<p>.</p>", "From \n.\n \n", "a@b.example", ""),
    MailFields(UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC)),
)
def test_both_ways_read_the_same_and_as_meant(source, fields):
    compiled = compile_content(source)
    data = bytes(compiled.compose(fields))
    mail = parse(data)
    assert reading(mail) == reading(parse(compiled.compose_general(fields)))
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert not {10, 13} & set(data.replace(b"\r\n", b""))
    assert not any(part.defects for part in mail.walk())
    assert mail["Subject"] == source.subject
    for name, value in source.headers.items():
        assert mail[name] == value
    if source.html:
        assert mail.get_body(("html",)).get_content() == said(source.html)
    if source.text:
        assert mail.get_body(("plain",)).get_content() == said(source.text)


def octets(item):
    encoded = item.encoded()
    pieces = [encoded] if isinstance(encoded, bytes) else encoded.chunks()
    return a2b_base64(b"".join(pieces))


def described(part):
    """Return what a mail program knows of a file."""
    return (
        part.get_content_type(),
        part.get_content_charset(),
        part.get_content_disposition(),
        part["Content-ID"],
        part.get_filename(),
        part.get_payload(decode=True),
    )


@given(contents, messages, st.lists(files, min_size=1, max_size=4).map(tuple))
def test_files_read_the_same_on_both_ways_and_as_meant(source, fields, attachments):
    source = replace(source, attachments=attachments)
    compiled = compile_content(source)
    data = compiled.compose(fields)
    mail, reference = parse(data), parse(compiled.compose_general(fields))
    assert [(k, str(v)) for k, v in mail.items()] == [(k, str(v)) for k, v in reference.items()]
    assert [described(part) for part in mail.walk()] == [
        described(part) for part in reference.walk()
    ]
    assert bytes(data) == bytes(compile_content(source).compose(fields))
    assert (len(data), data.isascii()) == (len(bytes(data)), True)
    assert not any(part.defects for part in mail.walk())
    inline = [item for item in attachments if source.html and item.disposition == "inline"]
    beside = [item for item in attachments if item not in inline]
    found = [part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()]
    assert found[1 + bool(source.html) :] == [octets(item) for item in (*inline, *beside)]


@given(st.lists(addresses, min_size=1, max_size=40))
def test_recipients_read_back_with_names_and_a_labels(boxes):
    source = ContentSource("s", "", "t", "a@b.example", "")
    fields = MailFields(UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), tuple(boxes))
    assert mailboxes(compile_content(source).compose(fields)) == wanted(boxes)


@given(one_line)
def test_header_lines_stay_within_76_where_words_allow(subject):
    source = ContentSource(subject, "", "t", "a@b.example", "")
    data = bytes(
        compile_content(source).compose(MailFields(UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC)))
    )
    head = data.partition(b"\r\n\r\n")[0]
    longest_word = max(map(len, subject.split()), default=0)
    assert max(map(len, head.split(b"\r\n"))) <= max(76, longest_word + len("Subject: "))
    assert not UNSAFE_IN_HEADER.search(head.replace(b"\r\n", b"").decode())


values = st.lists(st.sampled_from(NASTY), max_size=4).map("".join)


@given(values, values)
def test_templates_read_the_same_on_both_ways_and_every_time(name, item):
    source = ContentSource(
        "For you",
        '<p>Hi {{ name }}</p>{% for i in items %}<b title="{{ i }}">{{ i }}</b>\n{% endfor %}',
        "Hi {{ name }}{% for i in items %}\n* {{ i }}{% endfor %}",
        "a@b.example",
        "",
        is_template=True,
    )
    fields = MailFields(
        UUID(int=7),
        datetime(2026, 1, 1, tzinfo=UTC),
        (Address("c@d.example"),),
        context={"name": name, "items": [item, item]},
    )
    compiled = compile_content(source)
    data = compiled.compose(fields)
    mail = parse(data)
    assert data == compile_content(source).compose(fields)
    assert reading(mail) == reading(parse(compiled.compose_general(fields)))
    preview = compiled.render_preview(fields)
    assert mail.get_body(("html",)).get_content() == said(preview.html)
    assert mail.get_body(("plain",)).get_content() == said(preview.text)
