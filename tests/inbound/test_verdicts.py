"""Persons and machines told apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbound.verdicts import BESIDE, REASONS, Facts, judge
from inbound.verdicts.tables import place_of, reason_of_address, reason_of_agent

SENT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
)
GOOGLE = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
HOME, OFFICE = "203.0.113.7", "198.51.100.9"


def hit(number: int = 1, after: float = 60, **fields: Any) -> Facts:
    values: dict[str, Any] = {
        "id": UUID(int=number),
        "at": SENT + timedelta(seconds=after),
        "is_click": True,
        "url": "https://x.example/1",
        "user_agent": CHROME,
        "address": HOME,
        "link_count": 9,
    }
    return Facts(**(values | fields))


def opened(number: int = 1, after: float = 60, **fields: Any) -> Facts:
    return hit(number, after, **({"is_click": False, "url": "", "link_count": 0} | fields))


def verdicts(*hits: Facts, sent_at: datetime | None = SENT) -> list[tuple[str, str]]:
    found = judge(hits, sent_at=sent_at)
    return [(found[one.id].verdict.value, found[one.id].reason) for one in hits]


@pytest.mark.parametrize(
    ("one", "verdict", "reason"),
    [
        (hit(), "person", "no_sign"),
        (opened(), "person", "no_sign"),
        (opened(after=0.5), "person", "no_sign"),
        (hit(method="HEAD"), "scanner", "head"),
        (opened(method="HEAD"), "scanner", "head"),
        (hit(purpose="prefetch;prerender"), "prefetch", "prefetch_header"),
        (opened(purpose="Prefetch"), "prefetch", "prefetch_header"),
        (opened(user_agent="Mozilla/5.0"), "prefetch", "apple_privacy"),
        (hit(user_agent="Mozilla/5.0"), "scanner", "program"),
        (opened(user_agent=GOOGLE, address="66.249.84.1"), "proxy", "image_proxy"),
        (opened(user_agent=GOOGLE, after=3), "prefetch", "proxy_at_once"),
        (hit(user_agent=GOOGLE), "scanner", "proxy_clicks"),
        (opened(user_agent="YahooMailProxy; https://help.yahoo.com/"), "proxy", "image_proxy"),
        (hit(user_agent=""), "scanner", "no_agent"),
        (hit(user_agent="   "), "scanner", "no_agent"),
        (hit(user_agent="python-requests/2.32"), "scanner", "program"),
        (hit(user_agent="curl/8.5"), "scanner", "program"),
        (hit(user_agent="Go-http-client/1.1"), "scanner", "program"),
        (hit(user_agent="BarracudaCentral"), "scanner", "security_agent"),
        (hit(user_agent=f"{CHROME} Mimecast"), "scanner", "security_agent"),
        (hit(user_agent="Mozilla/5.0 BingPreview/1.0b"), "scanner", "security_agent"),
        (hit(user_agent="Slackbot-LinkExpanding 1.0"), "scanner", "crawler"),
        (hit(after=1.9), "scanner", "too_soon"),
        (hit(after=2), "person", "no_sign"),
        (hit(after=-5), "scanner", "too_soon"),
        (hit(address="67.231.144.5"), "scanner", "security_network"),
        (hit(address="52.16.0.1"), "scanner", "data_centre"),
        (opened(address="2603:1000::1"), "scanner", "data_centre"),
        (hit(address=""), "person", "no_sign"),
        (hit(address="2001:db8::1"), "person", "no_sign"),
    ],
)
def test_one_hit_alone(one: Facts, verdict: str, reason: str) -> None:
    assert verdicts(one) == [(verdict, reason)]


@pytest.mark.parametrize(
    "agent",
    [
        CHROME,
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; .NET4.0C; Microsoft Outlook 16.0.5)",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
        "Mozilla/5.0 (Linux; Android 14; CUBOT X90) AppleWebKit/537.36 Chrome/130 Mobile",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) [LinkedInApp]/9.30",
    ],
)
def test_programs_of_people_give_nothing_away(agent: str) -> None:
    assert reason_of_agent(agent) == ""


def test_unknown_time_of_sending_is_no_sign() -> None:
    assert verdicts(hit(after=0.1), sent_at=None) == [("person", "no_sign")]


def links(*times: float, first: int = 1, **fields: Any) -> list[Facts]:
    return [
        hit(first + n, after, url=f"https://x.example/{first + n}", **fields)
        for n, after in enumerate(times)
    ]


def test_three_links_within_three_seconds_are_a_burst_and_opens_within_it() -> None:
    burst = links(60, 61.5, 63)
    within, before, elsewhere = opened(10, 62), opened(11, 59.9), opened(12, 62, address=OFFICE)
    assert verdicts(*burst) == [("scanner", "burst")] * 3
    assert verdicts(*burst, within, before, elsewhere)[3:] == [
        ("scanner", "burst"),
        ("person", "no_sign"),
        ("person", "no_sign"),
    ]


def test_a_network_counts_not_a_single_address() -> None:
    burst = [*links(60, address="203.0.113.1"), *links(60, first=2, address="203.0.113.2"),
             *links(61, first=3, address="203.0.113.3")]  # fmt: skip
    assert verdicts(*burst) == [("scanner", "burst")] * 3


@pytest.mark.parametrize(
    "hits",
    [
        links(60, 61.5, 63.1),
        links(60, 61),
        [hit(n, 60 + n / 10) for n in range(1, 6)],
        [*links(60, 61), *links(61, first=3, address=OFFICE)],
    ],
)
def test_less_than_that_is_a_person_in_a_hurry(hits: list[Facts]) -> None:
    assert set(verdicts(*hits)) == {("person", "no_sign")}


def test_every_link_of_a_mail_at_once_is_a_machine() -> None:
    assert verdicts(*links(60, 61, link_count=2)) == [("scanner", "all_links")] * 2
    assert verdicts(*links(60, link_count=1)) == [("person", "no_sign")]
    assert verdicts(*links(60, 64, link_count=2)) == [("person", "no_sign")] * 2


def test_a_person_after_the_scanner_is_a_person() -> None:
    assert verdicts(*links(1, 2, 3), *links(40, first=9))[-1] == ("person", "no_sign")


_HITS = st.lists(
    st.builds(
        hit,
        number=st.integers(1, 10**9),
        after=st.integers(0, 4_000).map(lambda value: value / 100),
        is_click=st.booleans(),
        url=st.sampled_from([f"https://x.example/{n}" for n in range(5)]),
        address=st.sampled_from([HOME, "203.0.113.8", OFFICE, "", "52.16.0.1"]),
        user_agent=st.sampled_from([CHROME, GOOGLE, "", "Mozilla/5.0", "curl/8"]),
        method=st.sampled_from(["GET", "HEAD"]),
        link_count=st.just(5),
    ),
    max_size=14,
    unique_by=lambda one: one.id,
)


@given(_HITS, st.randoms())
def test_the_order_of_hits_does_not_matter(hits: list[Facts], random: Any) -> None:
    mixed = list(hits)
    random.shuffle(mixed)
    assert judge(hits, sent_at=SENT) == judge(mixed, sent_at=SENT)


@given(_HITS)
def test_hits_farther_apart_than_needed_do_not_matter(hits: list[Facts]) -> None:
    whole = judge(hits, sent_at=SENT)
    for one in hits:
        near = [each for each in hits if abs(each.at - one.at) <= BESIDE]
        assert judge(near, sent_at=SENT)[one.id] == whole[one.id]


@given(_HITS)
def test_every_reason_has_words(hits: list[Facts]) -> None:
    assert {each.reason for each in judge(hits, sent_at=SENT).values()} <= REASONS.keys()


@given(st.text(max_size=40))
def test_any_text_may_stand_for_program_and_address(text: str) -> None:
    assert reason_of_agent(text) in {"", *REASONS}
    assert reason_of_address(text) in {"", *REASONS}
    assert isinstance(place_of(text), str)


def test_networks_are_known_by_their_narrowest_line() -> None:
    assert reason_of_address("40.94.1.1") == "security_network"
    assert reason_of_address("40.90.1.1") == "data_centre"
    assert reason_of_address("::ffff:52.16.0.1") == "data_centre"
    assert reason_of_address("8.8.8.8") == ""
    assert (place_of("2001:db8:1:2::3"), place_of("::ffff:1.2.3.4")) == (
        "2001:db8:1::/48",
        "1.2.3.0/24",
    )
