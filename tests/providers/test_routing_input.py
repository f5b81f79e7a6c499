"""Whatever is asked, the answer is a value or a refusal that names fields."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.addresses import AddressError
from mailservice.core.errors import InvalidInputError
from providers.api.explain_fields import read_question
from providers.api.rule_fields import read_rule
from providers.routing import is_among, parse_domain_pattern

KNOWN = UUID(int=1)
OWNER, KEY = UUID(int=2), UUID(int=3)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from([str(KNOWN), "a@b.example", "1", "NaN", "*.example.com"])
)
QUESTION = ("from", "to", "email_type", "tags", "size_bytes", "has_attachments", "priority")
SUPPOSED = ("what_if", "down", "price", "remaining", "provider_id", "api_key_id")
RULE = ("name", "position", "active", "conditions", "strategy", "weights", "exclusive", "targets")
INNER = ("weight", "cost", "sender_domains", "api_key_ids")
NAMES = (*QUESTION, *SUPPOSED, *RULE, *INNER)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES) | st.just(str(KNOWN)) | st.text(max_size=5), inner, max_size=4
        )
    ),
    max_leaves=12,
)
bodies = values | st.dictionaries(st.sampled_from(NAMES), values, max_size=5)


@given(body=bodies)
def test_any_question_is_read_or_refused(body: object) -> None:
    try:
        facts, what_if = read_question(
            body, owner_id=OWNER, api_key_id=KEY, known=frozenset({KNOWN})
        )
    except InvalidInputError:
        return
    assert facts.owner_id == OWNER
    assert facts.pinned_provider_id in (None, KNOWN)
    assert what_if.down | what_if.price.keys() | what_if.remaining.keys() <= {KNOWN}
    assert 1 <= facts.priority <= 5


@given(body=bodies, is_complete=st.booleans())
def test_any_rule_is_read_or_refused(body: object, *, is_complete: bool) -> None:
    try:
        changes = read_rule(body, is_complete=is_complete)
    except InvalidInputError:
        return
    assert isinstance(changes.get("targets", []), list)
    assert all(isinstance(key_id, UUID) for key_id in changes.get("api_key_ids", ()))


@given(text=st.text(max_size=30) | st.from_regex(r"(\*\.)?[a-zA-Z0-9ü-]{1,9}(\.[a-z]{2,5}){1,2}"))
def test_a_domain_pattern_is_read_once_and_for_all(text: str) -> None:
    try:
        pattern = parse_domain_pattern(text)
    except AddressError:
        return
    assert parse_domain_pattern(pattern) == pattern
    domain = pattern.removeprefix("*.")
    assert is_among(f"mail.{domain}", frozenset({f"*.{domain}"}))
    assert not is_among(domain, frozenset({f"*.{domain}"}))
    assert is_among(domain, frozenset({domain}))
