"""The pure pieces behind the HTTP adapters: settings, envelopes, answers, verdicts."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from anymail.utils import parse_address_list  # type: ignore[import-untyped]  # ships no types
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.addresses import Address
from providers.adapters import SettingsError, adapter_for, validate_settings
from providers.adapters.esp import KINDS, kind_schema
from providers.adapters.esp.answers import Answer, Secrets, retry_after
from providers.adapters.esp.classify import meaning_of, verdicts_on
from providers.adapters.esp.envelopes import envelopes_for
from providers.adapters.esp.fields import Field, FieldType, is_loopback
from providers.adapters.esp.kinds import Capabilities, Meaning
from providers.adapters.esp.messages import written
from providers.adapters.esp.settings import settings_of
from providers.ports import Outcome, Reason
from tests.support.esp.accounts import APIS, MESSAGE_ID, account_at, some_parts

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
URL = Field("api_url", "API address", type=FieldType.URL)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_new_account_needs_exactly_what_the_table_says(kind: str) -> None:
    needed = {
        f"secrets.{one.name}" if one.is_secret else one.name
        for one in KINDS[kind].fields
        if one.is_required
    }
    faults = validate_settings(kind, {}, {})
    assert {(path, code) for path, code, _ in faults} == {(path, "required") for path in needed}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_unknown_settings_and_secrets_are_refused(kind: str) -> None:
    account = account_at(APIS[kind](), 9)
    settings, secrets = {**account.settings, "host": "x"}, {**account.secrets, "token": "x"}
    faults = validate_settings(kind, settings, secrets)
    assert [(path, code) for path, code, _ in faults] == [
        ("host", "unknown"),
        ("secrets.token", "unknown"),
    ]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_adapter_of_wrong_settings_is_not_built(kind: str) -> None:
    account = account_at(APIS[kind](), 9, settings={"timeout_seconds": True})
    with pytest.raises(SettingsError) as caught:
        adapter_for(account)
    assert [path for path, _, _ in caught.value.faults] == ["timeout_seconds"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_schema_is_json_and_names_every_field(kind: str) -> None:
    schema = json.loads(json.dumps(kind_schema(kind)))
    assert schema["kind"] == kind
    assert [one["name"] for one in schema["secrets"]] == [f.name for f in KINDS[kind].secrets]
    assert [one["name"] for one in schema["settings"]] == [f.name for f in KINDS[kind].options]
    assert schema["capabilities"]["max_bytes"] > 0
    assert all(one["label"] for one in (*schema["secrets"], *schema["settings"]))


@pytest.mark.parametrize(
    ("kind", "settings", "url"),
    [
        ("mailgun", {"region": "eu"}, "https://api.eu.mailgun.net/v3/"),
        ("mailgun", {}, "https://api.mailgun.net/v3/"),
        ("sendgrid", {"region": "eu"}, "https://api.eu.sendgrid.com/v3/"),
        ("sparkpost", {"region": "eu"}, "https://api.eu.sparkpost.com/api/v1/"),
        ("mailtrap", {"sandbox_id": "7"}, "https://sandbox.api.mailtrap.io/api/"),
        ("mailtrap", {}, "https://send.api.mailtrap.io/api/"),
        ("brevo", {}, "https://api.brevo.com/v3/"),
        ("brevo", {"api_url": "https://proxy.example/v3/"}, "https://proxy.example/v3/"),
    ],
)
def test_the_api_is_found(kind: str, settings: dict[str, str], url: str) -> None:
    account = account_at(APIS[kind](), 9, settings={"api_url": None, **settings})
    assert settings_of(account).backend_arguments()["api_url"] == url


@pytest.mark.parametrize(
    "value",
    [
        "http://api.example.com/",
        "https://user:pass@api.example.com/",
        "https://@api.example.com/",
        "ftp://api.example.com/",
        "https:///path",
        "https://api.example.com/?key=1",
        "https://api.example.com/#x",
        "https://api.example.com/{region.__class__}/",
        "https://api.example.com:99999/",
        "https://[::1",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "https://api.example.com/\r\nX: y",
        " https://api.example.com/",
        "",
        17,
        None,
    ],
)
def test_urls_that_would_leak_or_fail_are_refused(value: object) -> None:
    assert URL.problem_with(value)


@pytest.mark.parametrize(
    "value",
    [
        "https://api.example.com/v3",
        "http://127.0.0.1:8000/",
        "http://[::1]:1/",
        "http://localhost/",
    ],
)
def test_sound_urls_are_taken(value: str) -> None:
    assert URL.problem_with(value) is None


def test_only_this_machine_is_loopback() -> None:
    assert [is_loopback(host) for host in ("127.9.9.9", "::1", "a.localhost", "10.0.0.1", "x")] == [
        True,
        True,
        True,
        False,
        False,
    ]


# --- envelopes ------------------------------------------------------------------------------------

ROLES = st.lists(st.sampled_from(["to", "cc", "bcc", "gone"]), min_size=1, max_size=12)


@given(ROLES, st.integers(1, 5), st.booleans())
def test_calls_serve_everybody_once_and_show_nobody_who_is_blind(
    roles: list[str],
    most: int,
    has_empty_to: bool,  # noqa: FBT001 - hypothesis gives it by position
) -> None:
    people = [(role, Address(f"r{number}@b.example")) for number, role in enumerate(roles)]
    shown = {
        role: tuple(one for kind, one in people if kind == role) for role in ("to", "cc", "gone")
    }
    parts = some_parts(to=shown["to"] + shown["gone"], cc=shown["cc"])
    wanted = [one.email for role, one in people if role != "gone"]
    abilities = Capabilities(max_bytes=1, max_recipients=most, has_empty_to=has_empty_to)
    calls = envelopes_for(parts, wanted, abilities) if wanted else []
    assert sorted(email for call in calls for email in call.recipients) == sorted(wanted)
    assert all(0 < len(call.recipients) <= most for call in calls)
    assert all(call.to or has_empty_to for call in calls)
    blind = {one.email for role, one in people if role == "bcc"}
    for call in calls:
        visible = {one.email for one in (*call.to, *call.cc)}
        # A blind one may be addressed, but only in a mail of its own.
        assert not visible & blind or len(call.recipients) == 1


def test_keys_of_repeats_depend_on_mail_and_recipients() -> None:
    abilities = Capabilities(max_bytes=1, max_recipients=9)
    parts = some_parts(to=(Address("a@x.example"), Address("b@x.example")))
    both, again, one = (
        envelopes_for(parts, people, abilities)[0].repeat_key(MESSAGE_ID)
        for people in (
            ["a@x.example", "b@x.example"],
            ["b@x.example", "a@x.example"],
            ["a@x.example"],
        )
    )
    assert both == again != one


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30))
def test_no_name_splits_a_list_of_addresses(name: str) -> None:
    address = Address("bob@b.example", name.strip())
    found = parse_address_list([written(address), "cee@c.example"])
    assert [one.addr_spec for one in found] == ["bob@b.example", "cee@c.example"]


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("999999999999", 86_400.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Sat, 21 Nov 2099 11:00:00 GMT", 86_400.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
    ],
)
def test_the_wait_asked_for_is_read(value: str, seconds: float | None) -> None:
    assert retry_after(value, now=NOW) == seconds


@given(st.text(max_size=40))
def test_any_wait_is_sane_or_none(value: str) -> None:
    seconds = retry_after(value, now=NOW)
    assert seconds is None or 0 <= seconds <= 86_400


@given(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=8, max_size=40),
    st.text(max_size=20),
)
def test_secrets_are_hidden_in_every_form(value: str, around: str) -> None:
    secrets = Secrets({"key": value})
    for form in (value, json.dumps(value)[1:-1]):
        assert value not in secrets.hide(f"{around}<{form}>").replace("***", "")


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "meaning"),
    [
        (400, "The email address is not valid: x", Meaning.RECIPIENT),
        (400, "'to' parameter is not a valid address", Meaning.RECIPIENT),
        (400, "the from address is invalid", Meaning.CONTENT),
        (422, "Reply-To: invalid address", Meaning.CONTENT),
        (400, "failed to parse the body", Meaning.CONTENT),
        (400, "no recipients to send to", Meaning.CONTENT),
        (403, "The from address does not match a verified Sender Identity", Meaning.SENDER),
        (403, "Access denied", Meaning.CREDENTIALS),
        (401, "Maximum credits exceeded", Meaning.ALLOWANCE),
        (400, "Daily sending limit reached", Meaning.ALLOWANCE),
        (405, "Method not allowed", Meaning.TROUBLE),
        (408, "Request timeout", Meaning.TROUBLE),
        (409, "Conflict", Meaning.TROUBLE),
        (500, "", Meaning.TROUBLE),
        (502, "", None),
        (504, "quota service did not answer", None),
        (200, "ok", None),
        (200, "Mailgun Magnificent API", Meaning.TROUBLE),
    ],
)
def test_plain_words_are_understood(status: int, text: str, meaning: Meaning | None) -> None:
    assert meaning_of(Answer(status, text=text), KINDS["mailgun"]) is meaning


def test_a_repeat_that_is_under_way_elsewhere_is_in_doubt() -> None:
    answer = Answer(409, ("concurrent_idempotent_requests",), "in progress")
    assert meaning_of(answer, KINDS["resend"]) is None


def test_a_bad_address_that_is_not_named_rejects_the_mail_not_the_people() -> None:
    answer = Answer(400, text="an email address is invalid")
    verdicts = verdicts_on(answer, KINDS["mailgun"], ["a@x.example", "b@x.example"])
    assert {(one.outcome, one.reason) for _, one in verdicts} == {
        (Outcome.REJECTED, Reason.CONTENT)
    }
