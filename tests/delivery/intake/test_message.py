"""One message: what is accepted, what is refused, and in which words."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.intake import Limits, MessageInput, parse_message
from delivery.intake.message import ALIASES, FIELDS
from mailservice.core.addresses import Address
from mailservice.core.errors import InvalidInputError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = Limits()
PLAIN = {"to": "a@b.example", "subject": "Hello", "text": "Hi"}
PROVIDER = "01890a5d-ac96-774b-bcce-b302099a8057"


def parse(limits=LIMITS, **given_fields):
    return parse_message(PLAIN | given_fields, now=NOW, limits=limits)


def faults(limits=LIMITS, **given_fields):
    with pytest.raises(InvalidInputError) as caught:
        parse(limits, **given_fields)
    details = caught.value.details
    return {path: [fault["code"] for fault in found] for path, found in details.items()}


def test_smallest_message():
    assert parse() == MessageInput(
        to=(Address("a@b.example"),), subject="Hello", text="Hi", headers={}, metadata={}
    )


@pytest.mark.parametrize(
    ("body", "is_template"),
    [
        ('<a href="{{ unsubscribe_url }}">', True),
        ("{{preferences_url|escape}}", True),
        ("{%- if unsubscribe_url -%}", True),
        ("{{ first_name }} unsubscribe_url", False),
        ("{{ my_unsubscribe_url }}", False),
        ("{{ unsubscribe_urls }}", False),
        ("body { color: red } {{", False),
    ],
)
def test_a_body_that_names_a_link_of_ours_is_a_template(body, is_template):
    assert parse(html=body).context == ({} if is_template else None)
    assert parse(text=body).context == ({} if is_template else None)
    assert parse(text=body, context={"a": 1}).context == {"a": 1}


def test_every_field():
    message = parse_message(
        {
            "from": "shop@b.example",
            "from_name": "Shop",
            "to": ["A <a@b.example>", {"email": "c@b.example", "name": "C"}],
            "cc": {"email": "d@b.example"},
            "bcc": ["e@b.example"],
            "reply_to": "help@b.example",
            "subject": " Grüße ",
            "html": "<p>Hi</p>",
            "text": "Hi",
            "context": {"first": "Jane", "items": [1, {"a": None}]},
            "locale": "pt_BR",
            "headers": {"X-Order": " 17 "},
            "tags": ["order", "eu", "order"],
            "metadata": {"id": 17, "vip": True, "note": None, "rate": 1.5},
            "email_type": "marketing",
            "priority": 1,
            "attachments": [{"filename": "a.txt", "content": "aGk="}],
            "send_at": "2026-01-02T12:00:00+02:00",
            "expires_at": 1_767_400_000,
            "sequence_key": "order 17",
            "track_opens": True,
            "track_clicks": False,
            "encrypt": False,
            "provider_id": PROVIDER,
        },
        now=NOW,
        limits=LIMITS,
    )
    assert message.from_ == Address("shop@b.example", "Shop")
    assert message.from_name == ""
    assert message.to == (Address("a@b.example", "A"), Address("c@b.example", "C"))
    assert message.cc == (Address("d@b.example"),)
    assert message.bcc == (Address("e@b.example"),)
    assert message.reply_to == (Address("help@b.example"),)
    assert (message.subject, message.html, message.text) == ("Grüße", "<p>Hi</p>", "Hi")
    assert message.template is None
    assert message.context == {"first": "Jane", "items": [1, {"a": None}]}
    assert message.locale == "pt-BR"
    assert message.headers == {"X-Order": "17"}
    assert message.tags == ("order", "eu")
    assert message.metadata == {"id": 17, "vip": True, "note": None, "rate": 1.5}
    assert (message.email_type, message.priority) == ("marketing", 1)
    assert [one.content for one in message.attachments] == [b"hi"]
    assert message.send_at == datetime(2026, 1, 2, 10, tzinfo=UTC)
    assert message.expires_at == datetime.fromtimestamp(1_767_400_000, UTC)
    assert message.sequence_key == "order 17"
    assert (message.track_opens, message.track_clicks) == (True, False)
    assert message.encrypt is False
    assert message.provider_id == UUID(PROVIDER)


def test_every_documented_field_is_an_argument():
    arguments = set(MessageInput.__dataclass_fields__)
    renamed = {"from": "from_", "list": "list_key"}
    # What the service itself gives is no field of a request.
    assert {renamed.get(field, field) for field in FIELDS} == arguments - {"given_names", "places"}


def test_other_names_mean_the_same():
    message = parse_message(
        {
            "recipients": ["a@b.example"],
            "subject": "s",
            "html_content": "<p>",
            "text_content": "t",
            "smtp_config_id": PROVIDER,
        },
        now=NOW,
        limits=LIMITS,
    )
    assert message.to == (Address("a@b.example"),)
    assert (message.html, message.text) == ("<p>", "t")
    assert message.provider_id == UUID(PROVIDER)


@pytest.mark.parametrize("alias", ALIASES)
def test_two_names_with_the_same_value_are_fine_and_with_different_ones_not(alias):
    field = ALIASES[alias]
    value = {"to": "a@b.example", "provider_id": PROVIDER}.get(field, "x")
    parse(**{alias: value, field: value})
    assert faults(**{alias: value + "1", field: value})[alias] == ["conflict"]


def test_faults_are_reported_under_the_name_that_was_used():
    with pytest.raises(InvalidInputError) as caught:
        parse_message(
            {"recipients": ["a@b.example", "x"], "subject": "s", "html_content": 7},
            now=NOW,
            limits=LIMITS,
        )
    assert list(caught.value.details) == ["html_content", "recipients[1]"]


def test_null_and_empty_count_as_not_given():
    empty = dict.fromkeys(FIELDS - {"to", "subject", "text"})
    assert parse(**empty) == parse()
    assert parse(cc="", html="", locale="", provider_id="", send_at="", template="") == parse()


def test_all_faults_are_listed_with_paths():
    found = faults(
        **{
            "from": "nobody",
            "to": ["a@b.example", "x", {"email": "y"}, {"email": "a@b.example", "name": 1}, 5],
            "cc": {"email": "a@b.example", "nick": "x"},
            "reply_to": "a\r\n@b.example",
            "subject": "a\nb",
            "text": 5,
            "context": [],
            "locale": "x",
            "headers": {"X-A": "a\r\nBcc: b@c.example", "Bcc": "d@e.example", "X-B": 1},
            "tags": ["ok", "", 3],
            "metadata": {"a": [], "b": {}},
            "email_type": "No Type",
            "priority": 0,
            "attachments": [{"filename": "a.exe", "content": "a"}],
            "send_at": "2026-01-02T12:00:00",
            "sequence_key": "a\tb",
            "track_opens": "yes",
            "encrypt": True,
            "provider_id": "7",
            "subjct": "x",
        }
    )
    assert found == {
        "from": ["invalid_email"],
        "to[1]": ["invalid_email"],
        "to[2].email": ["invalid_email"],
        "to[3].name": ["invalid_type"],
        "to[4]": ["invalid_type"],
        "cc.email": ["unknown_field"],
        "reply_to": ["invalid_email"],
        "subject": ["invalid_characters"],
        "text": ["invalid_type"],
        "context": ["invalid_type"],
        "locale": ["invalid"],
        "headers.X-A": ["invalid_header_value"],
        "headers.Bcc": ["protected_header"],
        "headers.X-B": ["invalid_type"],
        "tags[1]": ["invalid"],
        "tags[2]": ["invalid_type"],
        "metadata.a": ["invalid_type"],
        "metadata.b": ["invalid_type"],
        "email_type": ["invalid"],
        "priority": ["out_of_range"],
        "attachments[0].filename": ["blocked_type"],
        "attachments[0].content": ["invalid_base64"],
        "send_at": ["no_offset"],
        "sequence_key": ["invalid_characters"],
        "track_opens": ["invalid_type"],
        "encrypt": ["not_available"],
        "provider_id": ["invalid"],
        "subjct": ["unknown_field"],
    }


def test_first_fault_is_the_summary():
    with pytest.raises(InvalidInputError) as caught:
        parse(subject=None, text=None)
    assert caught.value.code == "invalid"
    assert caught.value.message == (
        "subject: A subject is required, unless a template gives it. (and 1 more)"
    )
    assert caught.value.details == {
        "subject": [
            {"code": "required", "message": "A subject is required, unless a template gives it."}
        ],
        "html": [{"code": "required", "message": "Give html, text or both, or a template."}],
    }


def test_unknown_fields_come_with_a_suggestion():
    with pytest.raises(InvalidInputError) as caught:
        parse(sendat="x", zzzzzz=1)
    assert caught.value.details["sendat"] == [
        {"code": "unknown_field", "message": 'There is no such field. Did you mean "send_at"?'}
    ]
    assert caught.value.details["zzzzzz"][0]["message"] == "There is no such field."


def test_thousands_of_unknown_fields_stay_cheap_and_readable():
    found = faults(**{f"field{index}" * 50: 1 for index in range(5000)})
    assert len(found) == 10
    assert max(map(len, found)) == 65


@pytest.mark.parametrize("to", [None, "", [], [""], "   "])
def test_a_recipient_is_required(to):
    assert list(faults(to=to).values()) == [["required"]]


def test_bcc_alone_is_enough():
    message = parse(to=None, bcc="a@b.example")
    assert (message.to, message.bcc) == ((), (Address("a@b.example"),))


def test_repeated_recipients_are_kept_once_first_wins():
    message = parse(
        to=["a@b.example", "Second <A@B.example>", "c@b.example"],
        cc=["C@b.example", "d@b.example"],
        bcc=["D@B.EXAMPLE", "jürgen@bücher.example", "JÜRGEN@xn--bcher-kva.example"],
    )
    assert message.to == (Address("a@b.example"), Address("c@b.example"))
    assert message.cc == (Address("d@b.example"),)
    assert message.bcc == (Address("jürgen@xn--bcher-kva.example"),)


def test_number_of_recipients_is_limited_over_all_three():
    limits = Limits(max_recipients=3)
    two = ["a@b.example", "c@b.example"]
    assert len(parse(limits, to=two, cc="d@b.example").to) == 2
    assert faults(limits, to=two, cc="d@b.example", bcc="e@b.example") == {"to": ["too_many"]}
    assert faults(limits, to="x@b.example", cc=two * 2) == {"cc": ["too_many"]}


def test_sender_name_given_twice():
    assert parse(**{"from": "A <a@b.example>", "from_name": "A"}).from_ == Address(
        "a@b.example", "A"
    )
    assert faults(**{"from": "A <a@b.example>", "from_name": "B"}) == {"from_name": ["conflict"]}
    assert faults(from_name="x\r\ny") == {"from_name": ["invalid_name"]}
    assert faults(from_name=7) == {"from_name": ["invalid_type"]}


def test_sender_name_without_sender_is_kept_for_the_default_sender():
    message = parse(from_name="Shop")
    assert (message.from_, message.from_name) == (None, "Shop")


def test_template_replaces_subject_and_bodies():
    message = parse_message(
        {"to": "a@b.example", "template": "welcome-mail", "context": {}}, now=NOW, limits=LIMITS
    )
    assert (message.template, message.context, message.subject) == ("welcome-mail", {}, "")
    assert parse(template="x", text=None).subject == "Hello"
    assert faults(template="x", html="<p>") == {"html": ["conflict"], "text": ["conflict"]}
    assert faults(template="a/b", text=None) == {"template": ["invalid"]}
    assert faults(template=7, text=None) == {"template": ["invalid_type"]}


@pytest.mark.parametrize(
    "separator", ["\r\n", "\n", "\r", "\x00", "\x0b", "\x1c", "\x85", "\u2028"]
)
def test_no_line_end_gets_into_a_header(separator):
    attack = f"x{separator}Bcc: victim@b.example"
    assert faults(subject=attack) == {"subject": ["invalid_characters"]}
    assert faults(headers={"X-A": attack}) == {"headers.X-A": ["invalid_header_value"]}
    assert list(faults(headers={attack: "x"}).values()) == [["invalid_header_name"]]
    assert faults(to={"email": "a@b.example", "name": attack}) == {"to.name": ["invalid_name"]}
    assert faults(reply_to=f"{attack} <a@b.example>") == {"reply_to": ["invalid_email"]}
    assert faults(**{"from": attack + "@b.example"}) == {"from": ["invalid_email"]}
    assert faults(from_name=attack) == {"from_name": ["invalid_name"]}
    assert faults(sequence_key=attack) == {"sequence_key": ["invalid_characters"]}
    assert faults(tags=[attack]) == {"tags[0]": ["invalid"]}
    file = {"filename": attack, "content": "", "content_type": f"a/b; c={attack}"}
    assert faults(attachments=[file]) == {
        "attachments[0].filename": ["invalid_characters"],
        "attachments[0].content_type": ["invalid"],
    }


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_text_that_no_database_holds_is_refused(text):
    assert faults(text=text) == {"text": ["invalid_characters"]}
    assert faults(html=text) == {"html": ["invalid_characters"]}
    assert list(faults(context={"a": [{"b": text}]})) == ["context"]
    assert list(faults(context={text: 1})) == ["context"]
    assert list(faults(metadata={"a": text})) == ["metadata"]


def test_backslash_u0000_as_plain_text_is_no_nul():
    assert parse(context={"a": "\\u0000"}).context == {"a": "\\u0000"}


def test_subject_length():
    assert len(parse(subject="x" * 998).subject) == 998
    assert faults(subject="x" * 999) == {"subject": ["too_long"]}
    assert faults(subject="   ") == {"subject": ["required"]}


def test_context_size_and_depth():
    assert parse(context={"a": "x" * 65_527}).context
    assert faults(context={"a": "x" * 65_529}) == {"context": ["too_large"]}
    deep: dict[str, object] = {}
    for _ in range(1000):
        deep = {"a": deep}
    assert faults(context=deep) == {"context": ["invalid"]}


def test_header_names_are_unique_whatever_their_case():
    assert faults(headers={"X-A": "1", "x-a": "2"}) == {"headers.x-a": ["duplicate"]}
    assert faults(headers={f"X-{index}": "1" for index in range(51)}) == {"headers": ["too_many"]}
    assert faults(headers=["X-A: 1"]) == {"headers": ["invalid_type"]}


def test_tags_and_metadata_bounds():
    assert faults(tags="order") == {"tags": ["invalid_type"]}
    assert faults(tags=["x"] * 21) == {"tags": ["too_many"]}
    assert parse(tags=["x" * 64]).tags == ("x" * 64,)
    assert faults(tags=["x" * 65]) == {"tags[0]": ["invalid"]}
    assert faults(metadata={str(index): 1 for index in range(51)}) == {"metadata": ["too_many"]}
    assert faults(metadata={"a": "x" * 8192}) == {"metadata": ["too_large"]}
    assert faults(metadata="x") == {"metadata": ["invalid_type"]}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("1", "invalid_type"),
        (True, "invalid_type"),
        (1.0, "invalid_type"),
        (0, "out_of_range"),
        (6, "out_of_range"),
        (-1, "out_of_range"),
    ],
)
def test_priority_is_a_number_from_1_to_5(value, code):
    assert faults(priority=value) == {"priority": [code]}


@pytest.mark.parametrize("value", [0, 1, "true", [], {}])
@pytest.mark.parametrize("flag", ["track_opens", "track_clicks", "encrypt"])
def test_flags_are_booleans(flag, value):
    assert faults(**{flag: value}) == {flag: ["invalid_type"]}


def test_encryption_is_refused_rather_than_ignored():
    assert faults(encrypt=True) == {"encrypt": ["not_available"]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-01T12:00:01Z", datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)),
        ("2026-01-01T14:00:01+02:00", datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)),
        ("2026-01-01T12:00:00Z", None),
        ("1999-01-01T12:00:00Z", None),
        (0, None),
        (1_767_268_801, datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)),
    ],
)
def test_send_at_in_the_past_means_at_once(value, expected):
    assert parse(send_at=value).send_at == expected


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("2026-02-01T12:00:00", "no_offset"),
        ("2026-02-01", "no_offset"),
        ("tomorrow", "invalid"),
        ("0001-01-01T00:00:00+23:59", "invalid"),
        ("9999-12-31T23:59:59-23:59", "invalid"),
        (10**30, "invalid"),
        (True, "invalid_type"),
        (1.5, "invalid_type"),
        ([], "invalid_type"),
        ("2027-01-03T12:00:00Z", "out_of_range"),
        (1_767_268_801_000, "invalid"),
    ],
)
def test_unusable_moments(value, code):
    assert faults(send_at=value) == {"send_at": [code]}


def test_expiry_lies_after_now_and_send_at():
    assert parse(expires_at=(NOW + timedelta(seconds=1)).isoformat()).expires_at > NOW
    assert faults(expires_at=NOW.isoformat()) == {"expires_at": ["out_of_range"]}
    later = (NOW + timedelta(hours=1)).isoformat()
    assert faults(send_at=later, expires_at=later) == {"expires_at": ["out_of_range"]}


def test_size_counts_bodies_and_attachments_after_base64():
    limits = Limits(max_message_bytes=1000)
    assert parse(limits, html="x" * 998).html
    assert faults(limits, html="x" * 999) == {"html": ["too_large"]}
    assert faults(limits, text="ü" * 501) == {"text": ["too_large"]}
    file = {"filename": "a.bin", "content": "A" * 960}  # 960 octets and 13 line ends
    assert parse(limits, attachments=[file], text="x").attachments
    assert faults(limits, attachments=[file], text="x" * 15) == {"attachments": ["too_large"]}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["a@b.example", "2026-02-01T00:00:00Z", "aGk=", "inline", PROVIDER]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["email", "name", "filename", "content", "to"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
MESSAGE = st.dictionaries(st.sampled_from(sorted({*FIELDS, *ALIASES})) | st.text(max_size=8), JSON)


@given(MESSAGE)
def test_any_json_object_is_a_message_or_invalid_input(data):
    try:
        message = parse_message(data, now=NOW, limits=LIMITS)
    except InvalidInputError:
        return
    assert message.to or message.cc or message.bcc


@given(st.sampled_from(sorted(FIELDS)), JSON)
def test_any_value_of_one_field_is_accepted_or_invalid_input(field, value):
    try:
        message = parse(**{field: value})
    except InvalidInputError:
        return
    lines = [message.subject, message.sequence_key, *message.headers.values()]
    assert all(len(line.splitlines()) <= 1 for line in lines)
