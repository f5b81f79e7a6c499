"""Batches: both forms, faults per item, shared content."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.intake import Limits, parse_batch
from mailservice.core.addresses import Address
from mailservice.core.errors import InvalidInputError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = Limits()
CONTENT = {"subject": "Hello", "text": "Hi"}


def parse(data, limits=LIMITS):
    return parse_batch(data, now=NOW, limits=limits)


def codes(error):
    return {path: [fault["code"] for fault in found] for path, found in error.details.items()}


def faults(data, limits=LIMITS):
    with pytest.raises(InvalidInputError) as caught:
        parse(data, limits)
    return codes(caught.value)


def test_whole_messages_succeed_and_fail_one_by_one():
    batch = parse(
        {
            "messages": [
                {"to": "a@b.example", **CONTENT},
                {"to": ["x"], **CONTENT},
                "text",
                {"to": "c@b.example", "subject": "Other", "html": "<p>"},
            ]
        }
    )
    assert batch.is_shared_content is False
    assert [item.index for item in batch.items] == [0, 1, 2, 3]
    assert [item.message is None for item in batch.items] == [False, True, True, False]
    assert codes(batch.items[1].error) == {"to[0]": ["invalid_email"]}
    assert codes(batch.items[2].error) == {"": ["invalid_type"]}
    assert batch.items[3].message.subject == "Other"
    assert batch.items[3].error is None


def test_shared_content_is_laid_under_each_recipient():
    batch = parse(
        {
            **CONTENT,
            "from": "shop@b.example",
            "context": {"shop": "S", "first": "you"},
            "headers": {"X-Shop": "S", "X-Id": "0"},
            "metadata": {"run": 1, "id": 0},
            "tags": ["news"],
            "locale": "de",
            "send_at": "2026-01-02T00:00:00Z",
            "recipients": [
                "plain@b.example",
                {
                    "to": "Jane <jane@b.example>",
                    "cc": "c@b.example",
                    "bcc": ["d@b.example"],
                    "context": {"first": "Jane"},
                    "headers": {"x-id": "7"},
                    "metadata": {"id": 7},
                    "tags": ["vip", "news"],
                    "locale": "en",
                    "send_at": "2026-01-03T00:00:00Z",
                },
                {"to": "e@b.example", "send_at": "2020-01-01T00:00:00Z"},
            ],
        }
    )
    assert batch.is_shared_content is True
    plain, jane, late = (item.message for item in batch.items)
    assert plain.to == (Address("plain@b.example"),)
    assert plain.context == {"shop": "S", "first": "you"}
    assert plain.headers == {"X-Shop": "S", "X-Id": "0"}
    assert (plain.metadata, plain.tags) == ({"run": 1, "id": 0}, ("news",))
    assert (plain.locale, plain.send_at) == ("de", datetime(2026, 1, 2, tzinfo=UTC))
    assert jane.to == (Address("jane@b.example", "Jane"),)
    assert (jane.cc, jane.bcc) == ((Address("c@b.example"),), (Address("d@b.example"),))
    assert jane.context == {"shop": "S", "first": "Jane"}
    assert jane.headers == {"X-Shop": "S", "x-id": "7"}
    assert (jane.metadata, jane.tags) == ({"run": 1, "id": 7}, ("news", "vip"))
    assert (jane.locale, jane.send_at) == ("en", datetime(2026, 1, 3, tzinfo=UTC))
    assert late.send_at is None
    assert plain.from_ is jane.from_
    assert plain.text is jane.text


def test_faults_of_recipients_stay_with_them():
    batch = parse(
        {
            **CONTENT,
            "expires_at": "2026-02-01T00:00:00Z",
            "recipients": [
                {"to": "x"},
                {"to": "a@b.example", "headers": {"Bcc": "c@b.example"}, "context": []},
                {"context": {}},
                {"email": "a@b.example"},
                {"to": "a@b.example", "subject": "own"},
                {"to": "a@b.example", "send_at": "2026-03-01T00:00:00Z"},
                7,
                None,
                "",
                {"to": "fine@b.example"},
            ],
        }
    )
    found = [codes(item.error) if item.error else None for item in batch.items]
    assert found == [
        {"to": ["invalid_email"]},
        {"context": ["invalid_type"], "headers.Bcc": ["protected_header"]},
        {"to": ["required"]},
        {"email": ["unknown_field"]},
        {"subject": ["unknown_field"]},
        {"expires_at": ["out_of_range"]},
        {"": ["invalid_type"]},
        {"": ["invalid_type"]},
        {"to": ["required"]},
        None,
    ]


def test_item_context_turns_rendering_on_for_that_item_only():
    data = {**CONTENT, "recipients": ["a@b.example", {"to": "c@b.example", "context": {"x": 1}}]}
    assert [item.message.context for item in parse(data).items] == [None, {"x": 1}]


def test_overlaid_metadata_and_headers_keep_their_limits():
    data = {
        **CONTENT,
        "metadata": {str(index): 1 for index in range(50)},
        "recipients": [{"to": "a@b.example", "metadata": {"x": 1}}],
    }
    assert codes(parse(data).items[0].error) == {"metadata": ["too_many"]}
    data = {
        **CONTENT,
        "context": {"a": "x" * 40_000},
        "recipients": [{"to": "a@b.example", "context": {"b": "x" * 40_000}}],
    }
    assert codes(parse(data).items[0].error) == {"context": ["too_large"]}
    data = {
        **CONTENT,
        "headers": {f"X-{index}": "1" for index in range(50)},
        "recipients": [{"to": "a@b.example", "headers": {"X-A": "1"}}],
    }
    assert codes(parse(data).items[0].error) == {"headers": ["too_many"]}
    data = {
        **CONTENT,
        "tags": [str(index) for index in range(20)],
        "recipients": [{"to": "a@b.example", "tags": ["x"]}],
    }
    assert codes(parse(data).items[0].error) == {"tags": ["too_many"]}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {"messages": ["required"]}),
        ({"messages": None}, {"messages": ["required"]}),
        ({"messages": []}, {"messages": ["required"]}),
        ({"messages": {}}, {"messages": ["invalid_type"]}),
        ({"messages": [{}], "subject": "x"}, {"subject": ["conflict"]}),
        ({**CONTENT, "recipients": []}, {"recipients": ["required"]}),
        ({**CONTENT, "recipients": "a@b.example"}, {"recipients": ["invalid_type"]}),
        ({"subject": "x", "recipients": ["a@b.example"]}, {"html": ["required"]}),
        ({**CONTENT, "to": "a@b.example", "recipients": ["a@b.example"]}, {"to": ["conflict"]}),
        ({**CONTENT, "subjct": "x", "recipients": ["a@b.example"]}, {"subjct": ["unknown_field"]}),
        ({**CONTENT, "priority": 9, "recipients": ["a@b.example"]}, {"priority": ["out_of_range"]}),
    ],
)
def test_faults_of_the_request_as_a_whole(data, expected):
    assert faults(data) == expected


def test_number_of_items_is_limited():
    limits = Limits(max_batch=2)
    assert len(parse({**CONTENT, "recipients": ["a@b.example"] * 2}, limits).items) == 2
    assert faults({**CONTENT, "recipients": ["a@b.example"] * 3}, limits) == {
        "recipients": ["too_many"]
    }
    assert faults({"messages": [{}] * 3}, limits) == {"messages": ["too_many"]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("a@b.example"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["to", "cc", "context", "tags", "send_at", "x"]), inner)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["messages", "recipients", "subject", "text"]), JSON))
def test_any_json_object_is_a_batch_or_invalid_input(data):
    try:
        batch = parse(data)
    except InvalidInputError:
        return
    assert all((item.message is None) != (item.error is None) for item in batch.items)


@given(st.lists(JSON, min_size=1, max_size=4))
def test_any_recipients_get_one_result_each_in_order(recipients):
    batch = parse({**CONTENT, "recipients": recipients})
    assert [item.index for item in batch.items] == list(range(len(recipients)))


def templates(count, construct):
    return {
        "messages": [
            {"to": "a@b.example", "subject": "x", "text": f"{number} {construct}", "context": {}}
            for number in range(count)
        ]
    }


def test_a_batch_holds_so_much_liquid_that_is_not_the_same():
    at_most = templates(1000, "{{ name }}" * 30)
    assert len(parse(at_most).items) == 1000
    more = templates(1000, "{{ name }}" * 30 + "{{ x }}")
    assert faults(more) == {"messages": ["too_many"]}


def test_comments_count_and_the_same_template_counts_once():
    large = "{% comment %}" + "{{ x }}" * 15_000 + "{% endcomment %}"
    assert faults(templates(3, large)) == {"messages": ["too_many"]}
    assert len(parse(templates(2, large)).items) == 2
    one = templates(1, large)["messages"][0]
    assert len(parse({"messages": [one] * 50}).items) == 50


def test_what_is_sent_as_it_is_does_not_count():
    plain = templates(1000, "{{ name }}" * 31)
    for message in plain["messages"]:
        del message["context"]
    assert len(parse(plain).items) == 1000
    broken = templates(1000, "{{ " + "x" * 400)
    assert len(parse(broken).items) == 1000


def test_a_shared_body_that_names_a_link_of_ours_is_a_template_for_all():
    content = {"subject": "Hello", "html": "{{ unsubscribe_url }}"}
    recipients = ["a@b.example", {"to": "c@b.example", "context": {"n": 1}}]
    batch = parse({"recipients": recipients, **content})
    assert [item.message.context for item in batch.items] == [{}, {"n": 1}]
    whole = parse({"messages": [{"to": "a@b.example", **content}]})
    assert whole.items[0].message.context == {}
