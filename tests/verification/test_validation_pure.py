"""What can be said of an address without asking anybody."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verification.validation import (
    DomainLists,
    ListName,
    MailRoute,
    MailRouteKind,
    ProbeAnswer,
    Verdict,
    examine,
    judge,
)
from verification.validation.duplicates import duplicate_key
from verification.validation.packed import pack, unpack
from verification.validation.results import ReasonCode
from verification.validation.typos import likely_domain

LISTS = DomainLists()
MX = MailRoute(MailRouteKind.MX, ("mx.acme.io",))


def verdict(email: str, route: MailRoute = MX, probe: ProbeAnswer = ProbeAnswer.NOT_CHECKED):
    result = judge(examine(email, LISTS), route, probe)
    return result.verdict.value, [reason.code.value for reason in result.reasons]


@pytest.mark.parametrize(
    ("email", "normalized"),
    [
        ("Ann.Lee@Acme.IO", "Ann.Lee@acme.io"),
        ('"ann lee"@acme.io', '"ann lee"@acme.io'),
        ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
        ("ann@bücher.de", "ann@xn--bcher-kva.de"),
        ("a" * 64 + "@acme.io", "a" * 64 + "@acme.io"),
        ("=1+1@acme.io", "=1+1@acme.io"),
    ],
)
def test_addresses_have_a_normal_form_to_send_to(email: str, normalized: str) -> None:
    result = judge(examine(email, LISTS), MX)
    assert (result.normalized, result.verdict) == (normalized, Verdict.VALID)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "@",
        "ann",
        "ann@",
        "@acme.io",
        "a@b@acme.io",
        "ann@acme",
        "ann@127.0.0.1",
        "ann@[127.0.0.1]",
        "ann..lee@acme.io",
        "a" * 65 + "@acme.io",
        "ü" * 33 + "@acme.io",  # 66 octets
        "ann@" + "a" * 64 + ".io",
        "ann@" + ".".join(["a" * 60] * 5) + ".io",
        "ann\x00@acme.io",
        '"a\r\nb"@acme.io',
        "ann@acme.io\r\nBcc: eve@acme.io",
        "\u202eann@acme.io",
        "ann@xn--" + "a" * 59 + ".com",
        "ann@" + "xn--" * 5000,
        "\ud800@acme.io",
        "ann@-acme.io",
        "Ann <ann@acme.io>",
    ],
)
def test_what_is_no_address_is_invalid_with_a_sentence(email: str) -> None:
    result = judge(examine(email, LISTS), MX)
    assert result.verdict is Verdict.INVALID
    assert [reason.code for reason in result.reasons] == [ReasonCode.SYNTAX]
    assert 0 < len(result.reasons[0].message) <= 330
    assert result.as_json()["checks"]["syntax"] == "invalid"
    assert result.as_json()["checks"]["disposable"] is None
    assert len(result.email) <= 330
    assert "\x00" not in result.email
    result.email.encode()  # can be stored


@pytest.mark.parametrize(
    "text", ["a" * 10_000_000, "a@" + "b." * 5_000_000, '"' + "\\" * 10_000_000, "ﷺ" * 3_000_000]
)
def test_megabytes_are_refused_at_once(text: str) -> None:
    started = time.process_time()
    assert examine(text, LISTS).normalized == ""
    assert time.process_time() - started < 1


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    result = judge(examine(text, LISTS), MX)
    assert unpack(result.email, pack(result)) == result


@given(st.emails())
def test_addresses_are_judged_by_their_normal_form(email: str) -> None:
    result = judge(examine(email, LISTS), MX)
    if result.normalized:
        again = judge(examine(result.normalized, LISTS), MX)
        assert (again.normalized, again.verdict) == (result.normalized, result.verdict)
    assert unpack(result.email, pack(result)) == result


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mx", ("valid", [])),
        ("address", ("risky", ["no_mx"])),
        ("null", ("invalid", ["null_mx"])),
        ("none", ("invalid", ["no_mail_host"])),
        ("no_domain", ("invalid", ["no_domain"])),
        ("unknown", ("unknown", ["dns_unknown"])),
        ("not_checked", ("unknown", ["dns_unknown"])),
    ],
)
def test_the_mail_route_decides(kind: str, expected: tuple[str, list[str]]) -> None:
    assert verdict("ann@acme.io", MailRoute(MailRouteKind(kind))) == expected


def test_the_gravest_reason_decides_and_all_are_told() -> None:
    gone, silent = MailRoute(MailRouteKind.NO_DOMAIN), MailRoute(MailRouteKind.UNKNOWN)
    assert verdict("info@mailinator.com", gone) == (
        "invalid",
        ["no_domain", "disposable", "role"],
    )
    assert verdict("ann@mailinator.com", silent) == ("risky", ["dns_unknown", "disposable"])
    assert verdict("ann@hotnail.con") == ("risky", ["typo"])
    assert verdict("ann@printer.local") == ("risky", ["special_use"])


def test_a_probe_refines_the_verdict() -> None:
    assert verdict("ann@acme.io", MX, ProbeAnswer.ACCEPTED) == ("valid", [])
    assert verdict("ann@acme.io", MX, ProbeAnswer.UNKNOWN) == ("valid", [])
    assert verdict("ann@acme.io", MX, ProbeAnswer.CATCH_ALL) == ("risky", ["catch_all"])
    assert verdict("ann@acme.io", MX, ProbeAnswer.REJECTED) == ("invalid", ["mailbox_refused"])


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("info", True),
        ("No-Reply", True),
        ("do.not.reply", True),
        ("sales+eu", True),
        ("postmaster", True),
        ("informatics", False),
        ("ann", False),
    ],
)
def test_role_accounts_are_known_in_any_spelling(local, expected):
    assert examine(f"{local}@acme.io", LISTS).is_role is expected


@pytest.mark.parametrize(
    ("domain", "meant"),
    [
        ("hotnail.con", "hotmail.com"),
        ("gmial.com", "gmail.com"),
        ("gmai.com", "gmail.com"),
        ("gmail.cm", "gmail.com"),
        ("yahooo.com", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("live.co", "live.com"),
        ("aol.con", "aol.com"),
        ("icloud.co", "icloud.com"),
        ("gmail.com", ""),
        ("mail.com", ""),
        ("gmx.net", ""),
        ("acme.io", ""),
        ("love.com", ""),
        ("hq.com", ""),
        ("gmx.fr", ""),
        ("hotmail.be", ""),
        ("email.com", ""),
    ],
)
def test_slips_of_large_domains_are_seen_and_honest_ones_left_alone(
    domain: str, meant: str
) -> None:
    expected = f"ann@{meant}" if meant else ""
    assert examine(f"ann@{domain}", LISTS).suggestion == expected


@given(st.sampled_from(["gmail.com", "hotmail.com", "outlook.com"]), st.data())
def test_one_lost_letter_is_found(domain: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, domain.index(".") - 1))
    assert likely_domain(domain[:place] + domain[place + 1 :]) in {domain, ""} or place == 1


@pytest.mark.parametrize(
    ("email", "key"),
    [
        ("J.o.hn+news@GoogleMail.com", "john@gmail.com"),
        ("john@gmail.com", "john@gmail.com"),
        ("john-shop@yahoo.com", "john@yahoo.com"),
        ("john+shop@outlook.com", "john@outlook.com"),
        ("jo.hn+shop@acme.io", "jo.hn+shop@acme.io"),
        ("+@gmail.com", "+@gmail.com"),
        ("John@me.com", "john@icloud.com"),
    ],
)
def test_duplicates_are_told_by_habits_of_their_provider(email: str, key: str) -> None:
    assert duplicate_key(email) == key


def test_dots_are_never_taken_out_of_what_is_sent_to() -> None:
    assert examine("j.o@gmail.com", LISTS).normalized == "j.o@gmail.com"


def test_an_operators_word_wins_over_the_packages_and_the_closest_one_counts() -> None:
    lists = DomainLists(
        {
            "acme.io": ListName.DISPOSABLE,
            "good.acme.io": ListName.ALLOW,
            "mailinator.com": ListName.ALLOW,
            "gmai.com": ListName.ALLOW,
            "club.org": ListName.FREE,
        }
    )
    assert lists.is_disposable("x.acme.io")
    assert not lists.is_disposable("a.good.acme.io")
    assert not lists.is_disposable("mailinator.com")
    assert lists.is_free("club.org")
    assert not lists.is_free("acme.io")
    assert examine("ann@gmai.com", lists).suggestion == ""
    assert LISTS.is_disposable("sub.mailinator.com")
    assert not LISTS.is_disposable("my-own-mailinator.com")
    assert LISTS.is_free("gmail.com")
