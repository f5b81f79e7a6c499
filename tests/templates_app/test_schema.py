"""What a context must be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates_app.engine import compile_source
from templates_app.engine.schema import context_faults, inferred_schema, schema_faults

ORDER = {
    "type": "object",
    "required": ["order", "email"],
    "properties": {
        "email": {"type": "string", "format": "email"},
        "order": {
            "type": "object",
            "required": ["lines"],
            "additionalProperties": False,
            "properties": {
                "lines": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "object", "required": ["n"], "properties": {
                        "n": {"type": "integer", "minimum": 1},
                        "size": {"enum": ["S", "L"]},
                    }},
                },
                "note": {"type": ["string", "null"], "maxLength": 3},
            },
        },
    },
}  # fmt: skip


def test_a_sound_context_has_no_faults():
    assert schema_faults(ORDER) == []
    context = {"email": "a@b", "order": {"lines": [{"n": 1, "size": "L"}], "note": None}, "x": 1}
    assert context_faults(ORDER, context) == []


def test_faults_name_the_place():
    context = {
        "emial": "a@b",
        "order": {
            "lines": [{"n": 1}, {"n": 0, "size": "M"}, {"n": True}, 1],
            "note": "long",
            "z": 1,
        },
    }
    assert context_faults(ORDER, context) == [
        ("context.email", "required", "This is missing, did you mean 'emial'?"),
        ("context.order.lines[1].n", "too_small", "At least 1."),
        ("context.order.lines[1].size", "enum", "This must be one of 'S', 'L'."),
        ("context.order.lines[2].n", "type", "This must be integer."),
        ("context.order.lines[3]", "type", "This must be object."),
        ("context.order.note", "too_long", "At most 3 characters."),
        ("context.order.z", "unknown", "The template knows no such name."),
    ]


def test_faults_are_few_however_long_the_list():
    assert len(context_faults({"items": {"type": "null"}, "type": "object"}, {})) == 0
    schema = {"properties": {"l": {"items": {"type": "string"}}}}
    assert len(context_faults(schema, {"l": [1] * 1000})) == 20


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ([], "schema"),
        ({"type": "text"}, "schema.type"),
        ({"properties": []}, "schema.properties"),
        ({"properties": {"a": 1}}, "schema.properties.a"),
        ({"items": {"requird": ["a"]}}, "schema.items.requird"),
        ({"pattern": "(a+)+$"}, "schema.pattern"),
        ({"$ref": "#"}, "schema.$ref"),
        ({"format": "uuid"}, "schema.format"),
        ({"minLength": -1}, "schema.minLength"),
        ({"enum": []}, "schema.enum"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema, path):
    assert [fault[0] for fault in schema_faults(schema)] == [path]


def test_a_schema_is_bounded_in_depth():
    deep: dict[str, object] = {}
    for _ in range(20):
        deep = {"items": deep}
    assert schema_faults(deep)[-1][1] == "too_large"


def test_a_schema_is_inferred_from_what_is_read():
    template = compile_source(
        "{{ a.b }}{% for i in l %}{{ i.n }}{% endfor %}{{ l.size }}{{ o | default: 'x' }}",
        html=True,
    )
    assert inferred_schema([template]) == {
        "type": "object",
        "required": ["a", "l"],
        "properties": {
            "a": {"type": "object", "required": ["b"], "properties": {"b": {}}},
            "l": {
                "type": "array",
                "items": {"type": "object", "required": ["n"], "properties": {"n": {}}},
            },
        },
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@given(context=st.dictionaries(st.sampled_from(["email", "order"]), JSON))
def test_checking_never_fails_whatever_the_context(context):
    for path, code, message in context_faults(ORDER, context):
        assert path.startswith("context")
        assert code
        assert message


@given(schema=JSON)
def test_checking_a_schema_never_fails(schema):
    schema_faults(schema)


CLOSED = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url", "meta"],
    "properties": {
        "url": {"type": "string", "format": "uri"},
        "meta": {"type": "object", "required": ["plan"]},
    },
}


def test_names_that_the_service_gives_need_not_be_known():
    context = {"url": "https://x.example/", "meta": {"plan": 1}, "_sealed": [], "email": "a@b"}
    assert [path for path, *_ in context_faults(CLOSED, context)] == [
        "context._sealed",
        "context.email",
    ]
    assert context_faults(CLOSED, context, given=context.keys()) == []


def test_what_the_schema_knows_is_checked_whoever_gives_it():
    context = {"url": "x", "meta": {}, "other": 1}
    assert [path for path, *_ in context_faults(CLOSED, context, given=("url", "meta"))] == [
        "context.url",
        "context.meta.plan",
        "context.other",
    ]


def test_a_hidden_value_is_there_and_nothing_more_is_asked_of_it():
    context = {"url": "cipher", "meta": {"plan": 1}}
    assert context_faults(CLOSED, context, hidden=["url"]) == []
    assert [path for path, *_ in context_faults(CLOSED, {"meta": {"plan": 1}}, hidden=["url"])] == [
        "context.url"
    ]
