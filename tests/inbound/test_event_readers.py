"""Opens and clicks that providers tell of: people's are told on, machines' are kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from delivery.announcements import KINDS, listen_to
from delivery.models import Announcement, Event
from inbound.adapters.readers import Reader, reader_in
from inbound.services.events import work_off_batch
from inbound.verdicts import Verdict, judge_told
from providers.adapters.esp.webhooks import HOOKS
from tests.inbound.test_events import account, sent_through, state_of, tell
from tests.support.mail import force_status
from tests.support.webhooks.samples import MAKERS, Mail

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
)
GOOGLE = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
HOME, CLOUD, GUARD = "203.0.113.7", "20.64.0.1", "67.231.144.9"
APPLE = "By a machine: Apple Mail fetches all images ahead."
PROGRAM = "By a machine: a program, no browser."
SAID = "By a machine: the provider itself says so."

#: (kind, what the provider calls it, with what beside, verdict, detail).
CASES: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("sendgrid", "open", {"useragent": CHROME, "ip": HOME}, "person", ""),
    ("sendgrid", "open", {"useragent": CHROME, "sg_machine_open": False}, "person", ""),
    ("sendgrid", "open", {"useragent": CHROME, "sg_machine_open": True}, "prefetch", SAID),
    ("sendgrid", "open", {"useragent": GOOGLE, "ip": CLOUD}, "proxy", ""),
    ("sendgrid", "open", {"useragent": "Mozilla/5.0"}, "prefetch", APPLE),
    (
        "sendgrid", "click", {"useragent": "python-requests/2.32"}, "scanner",
        PROGRAM,
    ),
    (
        "sendgrid", "click", {"useragent": CHROME, "ip": GUARD}, "scanner",
        "By a machine: from a security provider's network.",
    ),
    ("mailgun", "opened", {"client-info": {"user-agent": CHROME, "bot": ""}}, "person", ""),
    ("mailgun", "opened", {"client-info": {"bot": "apple"}}, "prefetch", SAID),
    ("mailgun", "clicked", {"client-info": {"bot": "generic"}}, "scanner", SAID),
    ("mailgun", "clicked", {"client-info": {"client-type": "robot"}}, "scanner", SAID),
    ("brevo", "opened", {}, "person", ""),
    ("brevo", "proxy_open", {}, "prefetch", SAID),
    ("brevo", "unique_proxy_open", {"user_agent": CHROME}, "prefetch", SAID),
    ("brevo", "click", {"user_agent": "curl/8.5"}, "scanner", PROGRAM),
    ("postmark", "Open", {"UserAgent": CHROME, "Geo": {"IP": HOME}}, "person", ""),
    ("postmark", "Open", {"UserAgent": "Mozilla/5.0", "Geo": {"IP": HOME}}, "prefetch", APPLE),
    (
        "postmark", "Click", {"Geo": {"IP": GUARD}}, "scanner",
        "By a machine: from a security provider's network.",
    ),
    ("mandrill", "open", {"user_agent_parsed": {"type": "Robot"}}, "scanner", SAID),
    ("sparkpost", "open", {"user_agent_parsed": {"is_prefetched": True}}, "prefetch", SAID),
    ("sparkpost", "open", {"user_agent_parsed": {"is_proxy": True}}, "proxy", ""),
    ("sparkpost", "click", {"user_agent": CHROME, "ip_address": HOME}, "person", ""),
]  # fmt: skip


def _with(data: Any, more: dict[str, Any]) -> Any:
    """Put more into a sample, where the provider has what it tells of the reader."""
    inner = data[0] if isinstance(data, list) else data
    inner = inner.get("event-data", inner)
    inner = inner.get("msys", {}).get("track_event", inner)
    inner |= more
    return data


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "what", "more", "verdict", "detail"), CASES)
def test_who_opened_or_clicked_is_judged(
    user: User, kind: str, what: str, more: dict[str, Any], verdict: str, detail: str
) -> None:
    listen_to(KINDS)
    source = account(kind)
    message = sent_through(source, user)
    Announcement.objects.all().delete()
    tell(source, kind, _with(MAKERS[kind](Mail(message.pk, "1234567"), what), more))
    work_off_batch()
    event = Event.objects.get(message=message)
    assert event.kind == ("clicked" if "click" in what.lower() else "opened")
    assert (event.data or {})["verdict"] == verdict
    assert event.detail == detail
    is_told = verdict in {"person", "proxy"}
    assert [each.kind for each in Announcement.objects.all()] == [f"email.{event.kind}"] * is_told


@pytest.mark.django_db
def test_that_a_machine_opened_it_proves_that_it_was_sent(user: User) -> None:
    source = account("brevo")
    message = sent_through(source, user)
    force_status(message, "unknown")
    tell(source, "brevo", MAKERS["brevo"](Mail(message.pk, "1234567"), "proxy_open"))
    work_off_batch()
    assert state_of(message) == "sent"


WHERE: list[tuple[str, dict[str, Any], str, str]] = [
    ("amazon_ses", {"open": {"ipAddress": HOME}}, HOME, ""),
    ("amazon_ses", {"click": {"ipAddress": HOME}}, HOME, ""),
    ("brevo", {"user_agent": "x"}, "", "x"),
    ("mailersend", {"data": {"morph": {"ip": HOME}}}, HOME, ""),
    ("mailgun", {"event-data": {"ip": HOME}}, HOME, ""),
    ("mailjet", {"ip": HOME}, HOME, ""),
    ("mailtrap", {"ip": HOME}, HOME, ""),
    ("mandrill", {"ip": HOME}, HOME, ""),
    ("postal", {"payload": {"ip_address": HOME}}, HOME, ""),
    ("postmark", {"Geo": {"IP": HOME}}, HOME, ""),
    ("resend", {"data": {"click": {"ipAddress": HOME}}}, HOME, ""),
    ("resend", {"data": {"open": {"ipAddress": HOME, "userAgent": "x"}}}, HOME, "x"),
    ("sendgrid", {"ip": HOME}, HOME, ""),
    ("sparkpost", {"msys": {"track_event": {"ip_address": HOME}}}, HOME, ""),
    ("unisender_go", {"delivery_info": {"ip": HOME}}, HOME, ""),
]


def read(kind: str, raw: Any) -> Reader:
    return reader_in(SimpleNamespace(esp_event=raw, user_agent=None), kind=kind)


@pytest.mark.parametrize(("kind", "raw", "address", "user_agent"), WHERE)
def test_each_kind_tells_it_in_a_place_of_its_own(
    kind: str, raw: Any, address: str, user_agent: str
) -> None:
    assert read(kind, raw) == Reader(address, user_agent)


def test_every_kind_with_events_is_known() -> None:
    assert {kind for kind, _, _, _ in WHERE} == set(HOOKS)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(
                ["event-data", "client-info", "bot", "msys", "track_event", "event", "ip"]
            ),
            inner,
        )
        | st.lists(inner, max_size=2)
    ),
)


@given(kind=st.sampled_from(sorted(HOOKS)), raw=_ANYTHING)
def test_a_raw_event_of_any_shape_is_read(kind: str, raw: Any) -> None:
    assert read(kind, raw).verdict in {"", *Verdict}


@pytest.mark.parametrize(
    ("is_click", "address", "verdict"),
    [
        (False, "", "person"),
        (True, "", "person"),
        (False, "what", "person"),
        # It may be the image server of a mailbox provider.
        (False, CLOUD, "person"),
        (True, CLOUD, "scanner"),
        (False, GUARD, "scanner"),
        (True, GUARD, "scanner"),
    ],
)
def test_a_program_that_is_not_named_is_no_sign_of_a_machine(
    *, is_click: bool, address: str, verdict: str
) -> None:
    judged = judge_told(is_click=is_click, user_agent=" ", address=address, said=None)
    assert judged.verdict.value == verdict
