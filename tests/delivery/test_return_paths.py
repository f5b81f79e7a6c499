"""Return paths of one's own for each mail: made, used on the wire, and read again."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from delivery.link_keys import add_link_key, forget_link_keys, key_ring, ring_for_signed
from delivery.models import LinkKey
from delivery.queue.sweep import sweep
from delivery.return_paths import Returned, is_tag_of, read_return_path, return_path_for
from mailservice.core.errors import InvalidInputError
from mailservice.core.ids import uuid7
from providers.inbox import InboxAdapter
from providers.models import InboxMail, Provider
from providers.ports import OutgoingMail
from providers.return_paths import MAX_BASE_CHARS, TOKEN_CHARS, parse_return_path
from providers.selectors import account_config
from providers.services import create_provider, update_provider
from tests.support.mail import drain, make_due, queue, smtp_account
from tests.support.smtp_server import FaultyServer, Script

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_keys() -> None:
    forget_link_keys()


ID = UUID("0198a000-0000-7000-8000-000000000001")
ADDRESS, DOMAIN = "bounces@example.com", "@bounces.example.com"


def test_a_mail_to_one_recipient_names_message_and_recipient() -> None:
    path = return_path_for(ADDRESS, ID, ["Bob@Example.net"])
    local, _, domain = path.partition("@")
    assert (local[:8], len(local) - 8, domain) == ("bounces+", TOKEN_CHARS, "example.com")
    found = read_return_path(path)
    assert found is not None
    assert found.message_id == ID
    assert found.recipient_tag is not None
    assert len(found.recipient_tag) == 4
    assert is_tag_of(found.recipient_tag, "bob@example.net")
    assert not is_tag_of(found.recipient_tag, "rob@example.net")


def test_a_mail_to_several_names_the_message_only() -> None:
    path = return_path_for(DOMAIN, ID, ["a@example.net", "b@example.net"])
    assert path.startswith("b-")
    assert path.endswith("@bounces.example.com")
    assert read_return_path(path) == Returned(ID, None)


def test_without_a_setting_there_is_none() -> None:
    assert return_path_for("", ID, ["bob@example.net"]) == ""


def test_the_same_mail_has_the_same_return_path_and_another_key_another() -> None:
    first = return_path_for(ADDRESS, ID, ["bob@example.net"])
    assert return_path_for(ADDRESS, ID, ["bob@example.net"]) == first
    add_link_key()
    second = return_path_for(ADDRESS, ID, ["bob@example.net"])
    assert second != first
    assert read_return_path(first) == read_return_path(second)


def test_a_key_that_another_process_made_is_known_as_unknown() -> None:
    old = key_ring()
    add_link_key()
    token = return_path_for(DOMAIN, ID, ["bob@example.net"])[2 : 2 + TOKEN_CHARS]
    assert not old.knows_signed(token)
    assert key_ring().knows_signed(token)
    assert ring_for_signed(token) is key_ring()


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda path: f"<{path}>",
        lambda path: f"  {path} ",
        lambda path: path.replace("+", "-"),
        # Rewritten by a forwarder (SRS), and tagged by a mail host (BATV).
        lambda path: "SRS0=Hx1y=7A=example.com=" + path.partition("@")[0] + "@forward.example",
        lambda path: "prvs=1234567890=" + path,
    ],
)
def test_what_mail_hosts_do_to_it_is_seen_through(change: Callable[[str], str]) -> None:
    found = read_return_path(change(return_path_for(ADDRESS, ID, ["bob@example.net"])))
    assert found is not None
    assert found.message_id == ID


@pytest.mark.parametrize(
    "address",
    [
        "", "@", "bounces@example.com", "bounces+@example.com", "b-@example.com", "b-" + "a" * 39,
        "b-" + "a" * 39 + "@x.example", "bounces+" + "7" * 45 + "@x.example", "\x00\ud800@",
        "b-" + "a" * 100_000 + "@x.example", "b-" + "\u017f" * 39 + "@x.example",
    ],
)  # fmt: skip
def test_what_we_did_not_make_says_nothing(address: str) -> None:
    assert read_return_path(address) is None


@given(place=st.integers(0, TOKEN_CHARS - 2), letter=st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
def test_no_changed_token_is_believed(place: int, letter: str) -> None:
    path = return_path_for(DOMAIN, ID, ["bob@example.net"])
    changed = path[: 2 + place] + letter + path[3 + place :]
    assert changed == path or read_return_path(changed) is None


def test_a_token_of_another_purpose_is_not_believed() -> None:
    token = key_ring().sign(b"unsub", ID.bytes)
    assert read_return_path(f"b-{token}@example.com") is None


def test_a_token_without_its_key_is_not_believed() -> None:
    path = return_path_for(DOMAIN, ID, ["bob@example.net"])
    LinkKey.objects.all().delete()
    forget_link_keys()
    assert read_return_path(path) is None


def test_a_digest_is_compared_whatever_the_text() -> None:
    assert not is_tag_of(b"1234", "\ud800@\x00")


# --- the setting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        ("", ""),
        ("  ", ""),
        (" bounces@Example.com ", ADDRESS),
        ("@Bounces.Example.com", DOMAIN),
        ("@bücher.example", "@xn--bcher-kva.example"),
        ("b@bücher.example", "b@xn--bcher-kva.example"),
        ("x" * MAX_BASE_CHARS + "@example.com", "x" * MAX_BASE_CHARS + "@example.com"),
    ],
)
def test_a_return_path_is_written_in_wire_form(given_value: str, expected: str) -> None:
    assert parse_return_path(given_value) == expected


def test_the_longest_that_may_be_set_keeps_to_the_limits_of_smtp() -> None:
    domain = ".".join(["a" * 63, "b" * 63, "c" * 58, "com"])
    for setting in ("x" * MAX_BASE_CHARS + "@example.com", f"@{domain}"):
        path = return_path_for(parse_return_path(setting), ID, ["bob@example.net"])
        assert len(path.partition("@")[0]) <= 64
        assert len(path) <= 254
        assert read_return_path(path) is not None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("bounces", "invalid_email"),
        ("@", "invalid_email"),
        ("@com", "invalid_email"),
        ("@a@example.com", "invalid_email"),
        ("bö@example.com", "invalid_email"),
        ('"a b"@example.com', "invalid_email"),
        ("Bounces <b@example.com>", "invalid_email"),
        ("b@example.com\r\nX: y", "invalid_email"),
        ("b\x00@example.com", "invalid_email"),
        ("x" * (MAX_BASE_CHARS + 1) + "@example.com", "too_long"),
        ("@" + ".".join(["a" * 63] * 4) + ".com", "too_long"),
    ],
)
def test_what_cannot_be_a_return_path_is_refused_by_name(value: str, code: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        create_provider(
            owner_id=None, name="x", kind="smtp", settings={"host": "h.example"}, secrets={},
            return_path=value,
        )  # fmt: skip
    assert {path: found[0]["code"] for path, found in refused.value.details.items()} == {
        "return_path": code
    }
    assert not Provider.objects.exists()


def test_only_accounts_whose_envelopes_are_ours_have_one() -> None:
    with pytest.raises(InvalidInputError, match="return_path"):
        create_provider(
            owner_id=None, name="s", kind="simulator", settings={}, secrets={}, return_path=ADDRESS
        )
    made = create_provider(
        owner_id=None, name="i", kind="inbox", settings={}, secrets={}, return_path=" B@EXAMPLE.com"
    )
    assert Provider.objects.get().return_path == "B@example.com"
    update_provider(made.pk, return_path="")
    assert Provider.objects.get().return_path == ""


# --- on the wire ----------------------------------------------------------------------------------


def test_it_is_the_envelope_sender_and_nowhere_in_the_mail(user: User) -> None:
    with FaultyServer() as server:
        smtp_account(server.port, return_path=ADDRESS)
        message = queue(user)
        drain()
    mail = server.mails[0]
    path = return_path_for(ADDRESS, message.pk, ["bob@example.net"])
    assert mail.sender.startswith(f"FROM:<{path}>")
    assert b"bounces" not in mail.data
    assert b"From: shop@example.com" in mail.data


def test_sent_again_it_is_the_same(user: User) -> None:
    script: Script = {"END": ["451 4.3.0 later"]}
    with FaultyServer((script,)) as server:
        smtp_account(server.port, return_path=DOMAIN)
        message = queue(user)
        drain()
        make_due(message.pk)
        sweep()
        drain()
    senders = [line for line in server.lines if line.startswith("MAIL FROM")]
    assert len(senders) == 2
    assert senders[0] == senders[1]
    assert "b-" in senders[0]


def test_each_account_has_its_own(user: User) -> None:
    with FaultyServer() as server:
        smtp_account(1, position=1, name="closed", return_path=DOMAIN)
        smtp_account(server.port, position=2)
        queue(user)
        drain()
    assert server.mails[0].sender.startswith("FROM:<shop@example.com>")


def test_the_local_inbox_shows_it(user: User) -> None:
    provider = Provider.objects.create(
        name="inbox", kind="inbox", from_email="shop@example.com", return_path=ADDRESS
    )
    message = queue(user, to=["a@example.net", "b@example.net"])
    path = return_path_for(provider.return_path, message.pk, message.addresses)
    mail = OutgoingMail(message.pk, path, tuple(message.addresses), b"Subject: Hi\r\n\r\nhi")
    InboxAdapter(account_config(provider)).deliver(mail)
    assert read_return_path(InboxMail.objects.get().return_path) == Returned(message.pk, None)


def test_mail_in_test_mode_goes_nowhere_with_it_set(user: User) -> None:
    smtp_account(1, return_path=ADDRESS)
    message = queue(user, is_test=True)
    drain()
    message.refresh_from_db()
    assert message.status == "sent"


def test_ids_of_all_messages_fit(user: User) -> None:
    for _ in range(50):
        message_id = uuid7()
        found = read_return_path(return_path_for(ADDRESS, message_id, ["bob@example.net"]))
        assert found is not None
        assert found.message_id == message_id
