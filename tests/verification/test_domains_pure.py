"""What is read out of DNS records; the DNS is a dictionary here."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from verification.dns import Answer, Status
from verification.domains.conventions import CONVENTIONS, Key
from verification.domains.dkim import check_key, judge_key
from verification.domains.dmarc import check_dmarc, is_aligned
from verification.domains.hosts import check_mail_exchange, check_return_path
from verification.domains.input import read_plan
from verification.domains.report import Plan, examine, planned
from verification.domains.results import Findings, Record, State, worst
from verification.domains.spf import Wanted, check_spf, parse, suggestion

DOMAIN = "example.com"
SES = Wanted(("amazonses.com",), is_required=True, label="Amazon SES")
Zone = Mapping[tuple[str, str], Sequence[str] | None]


def rsa_record(bits: int) -> str:
    der = (
        generate_private_key(65537, bits)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"


RSA = {bits: rsa_record(bits) for bits in (1024, 2048)}
ED25519 = (
    "v=DKIM1; k=ed25519; p="
    + base64.b64encode(
        Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw()
    ).decode()
)


def dns(zone: Zone):
    """None as records stands for silence."""

    def look_up(name: str, kind: str) -> Answer:
        if (name, kind) in zone:
            records = zone[name, kind]
            if records is None:
                return Answer(Status.UNKNOWN, detail="No name server answered in time.")
            return Answer(Status.FOUND if records else Status.EMPTY, tuple(records))
        is_there = any(owner == name or owner.endswith(f".{name}") for owner, _ in zone)
        return Answer(Status.EMPTY if is_there else Status.ABSENT)

    return look_up


def spf(record: str | list[str] | None, *wanted: Wanted, needed: bool = True, more: Any = None):
    texts = [record] if isinstance(record, str) else record
    zone = {(DOMAIN, "TXT"): texts, ("amazonses.com", "TXT"): ["v=spf1 ip4:1.2.3.4 -all"]}
    zone |= {(name, "TXT"): value for name, value in (more or {}).items()}
    return check_spf(DOMAIN, wanted, dns(zone), is_needed=needed)


# --- SPF ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "state", "words"),
    [
        ("v=spf1 include:amazonses.com -all", "pass", "sound"),
        ("V=SPF1 INCLUDE:AmazonSES.com ~ALL", "pass", "sound"),
        ("v=spf1 -all", "fail", "include:amazonses.com is missing (Amazon SES)"),
        ("v=spf1 include:amazonses.com +all", "fail", "everybody"),
        ("v=spf1 include:amazonses.com all", "fail", "everybody"),
        ("v=spf1 include:amazonses.com ?all", "warn", "protects nothing"),
        ("v=spf1 include:amazonses.com", "warn", "what becomes of others"),
        ("v=spf1 include:amazonses.com ptr ~all", "warn", "ptr"),
        ("v=spf1 -all include:amazonses.com", "fail", "never looked at"),
        ("v=spf1 include:amazonses.com ipv4:1.2.3.4 ~all", "fail", "'ipv4:1.2.3.4' is no SPF term"),
        ("v=spf1 include: include:amazonses.com ~all", "fail", "no SPF term"),
        ("v=spf1 include:amazonses.com include:gone.example ~all", "fail", "no SPF record"),
        ("v=spf1 include:example.com include:amazonses.com ~all", "fail", "circle"),
        ("v=spf1 include:amazonses.com exists:%{i}.x.example -all", "pass", "sound"),
    ],
)
def test_an_spf_record_is_judged(record, state, words):
    check = spf(record, SES)
    assert check.state == state
    assert words in check.notes[0]
    assert check.found == (record,)


def test_without_record_the_whole_one_is_told():
    check = spf(["google-site-verification=x"], SES)
    assert (check.state, check.notes) == ("fail", ("There is no SPF record.",))
    assert check.record == Record(DOMAIN, "TXT", "v=spf1 include:amazonses.com ~all")
    assert spf([], needed=False).state == "warn"


def test_several_records_are_merged_into_one():
    check = spf(["v=spf1 ip4:1.2.3.4 mx -all", "v=spf1 mx include:old.example ~all"], SES)
    assert check.state == "fail"
    assert "2 SPF records" in check.notes[0]
    assert check.record is not None
    assert check.record.value == (
        "v=spf1 ip4:1.2.3.4 mx include:old.example include:amazonses.com -all"
    )


def test_the_repaired_record_passes():
    for broken in ("v=spf1 +all", "v=spf1 a mx", "v=spf1 nonsense -all", "v=spf1 mx ~all"):
        fixed = spf(broken, SES).record
        assert fixed is not None
        assert spf(fixed.value, SES).state == "pass", fixed


def test_look_ups_are_counted_through_includes():
    chain = {f"i{n}.example": [f"v=spf1 a mx include:i{n + 1}.example -all"] for n in range(3)}
    chain["i3.example"] = ["v=spf1 -all"]
    check = spf("v=spf1 include:i0.example -all", more=chain)
    assert check.state == "pass"  # 1 + 3 * 3 = 10
    check = spf("v=spf1 a include:i0.example -all", more=chain)
    assert check.notes == ("It takes 11 look-ups; receivers give up after 10.",)


def test_a_record_without_end_stops():
    chain = {f"i{n}.example": [f"v=spf1 include:i{n + 1}.example -all"] for n in range(100)}
    assert "more than 25" in spf("v=spf1 include:i0.example -all", more=chain).notes[0]


def test_a_redirect_counts_and_brings_its_includes():
    check = spf(
        "v=spf1 redirect=all.example",
        SES,
        more={"all.example": ["v=spf1 include:amazonses.com -all"]},
    )
    assert check.state == "pass"


def test_another_spelling_of_an_include_counts():
    brevo = Wanted(("spf.brevo.com", "spf.sendinblue.com"), is_required=True, label="Brevo")
    sound = ["v=spf1 -all"]
    check = spf("v=spf1 include:spf.sendinblue.com ~all", brevo, more={"spf.sendinblue.com": sound})
    assert check.state == "pass"


def test_silence_is_unknown_and_never_a_failure():
    assert spf(None, SES).state == "unknown"
    check = spf("v=spf1 include:slow.example -all", SES, more={"slow.example": None})
    assert check.state == "unknown"
    assert check.record == Record(DOMAIN, "TXT", "v=spf1 include:slow.example -all")


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_parsed_and_answered(first, second):
    for text in (first, f"v=spf1 {first}", f"v=spf1 include:{second} {first}"):
        parse(text)
        check = spf([text, second], SES)
        assert check.state in {"pass", "warn", "fail"}
        assert suggestion([text], [SES]).startswith("v=spf1 ")


# --- DKIM -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "state", "words"),
    [
        (RSA[2048], "pass", ""),
        (RSA[2048].replace("v=DKIM1; k=rsa; ", ""), "pass", ""),
        (ED25519, "pass", ""),
        (RSA[1024], "warn", "1024 bits"),
        (RSA[2048] + "; t=y", "warn", "tested"),
        ("v=DKIM1; k=rsa; p=", "fail", "revoked"),
        ("v=DKIM1; k=rsa", "fail", "no p="),
        ("v=DKIM2; p=abc", "fail", "no DKIM key"),
        ("v=DKIM1; p=!!!", "fail", "not base64"),
        (RSA[2048][:-60], "fail", "part of it may be missing"),
        ("v=DKIM1; k=ed25519; p=YWJj", "fail", "Ed25519"),
        ("v=DKIM1; k=gost; p=YWJj", "fail", "no kind of key"),
        (RSA[2048] + "; h=sha1", "fail", "sha256"),
        (RSA[2048] + "; s=tlsrpt", "fail", "for mail"),
    ],
    ids=[f"key{number}" for number in range(14)],
)
def test_a_key_is_judged(record, state, words):
    findings = Findings()
    judge_key(record, findings)
    assert findings.state == state
    assert not words or words in findings.notes[0]


@pytest.mark.parametrize(
    ("zone", "key", "state", "words"),
    [
        ({("s1._domainkey.example.com", "TXT"): [RSA[2048]]}, Key("s1"), "pass", "sound"),
        ({}, Key("s1"), "fail", "no key"),
        ({("s1._domainkey.example.com", "TXT"): None}, Key("s1"), "unknown", "in time"),
        ({("s1._domainkey.example.com", "TXT"): [RSA[2048]] * 2}, Key("s1"), "fail", "2 keys"),
        (
            {("s1._domainkey.example.com", "TXT"): [RSA[2048]]},
            Key("s1", "TXT", ED25519),
            "fail",
            "another key",
        ),
        (
            {
                ("s1._domainkey.example.com", "CNAME"): ["s1.dkim.example.net"],
                ("s1._domainkey.example.com", "TXT"): [RSA[2048]],
            },
            Key("s1", "CNAME", "s1.dkim.example.net"),
            "pass",
            "sound",
        ),
        (
            {
                ("s1._domainkey.example.com", "CNAME"): ["elsewhere.example"],
                ("s1._domainkey.example.com", "TXT"): [RSA[2048]],
            },
            Key("s1", "CNAME", "s1.dkim.example.net"),
            "fail",
            "leads to elsewhere.example",
        ),
        ({}, Key("s1", "CNAME", "s1.dkim.example.net"), "fail", "no CNAME"),
    ],
)
def test_the_record_of_a_selector_is_judged(zone, key, state, words):
    check = check_key(DOMAIN, key, dns(zone))
    assert check.state == state
    assert words in check.notes[0]


# --- DMARC ----------------------------------------------------------------------------------------

RUA = "rua=mailto:d@example.com"


@pytest.mark.parametrize(
    ("record", "state", "words"),
    [
        (f"v=DMARC1; p=reject; {RUA}", "pass", "enforced"),
        (f"v=DMARC1;p=quarantine;{RUA}", "pass", "enforced"),
        (f"v=DMARC1; p=none; {RUA}", "warn", "only watches"),
        (f"v=DMARC1; p=reject; pct=50; {RUA}", "warn", "pct=50"),
        ("v=DMARC1; p=reject", "warn", "nobody hears"),
        ("v=DMARC1; p=reject; rua=https://x.example", "warn", "no mailto"),
        (f"v=DMARC1; {RUA}", "fail", "names no policy"),
        ("v=DMARC1; p=reject; rua=mailto:x@other.example", "warn", "has not agreed"),
    ],
)
def test_a_policy_is_judged(record, state, words):
    check = check_dmarc(DOMAIN, dns({("_dmarc.example.com", "TXT"): [record, "other text"]}))
    assert check.state == state
    assert words in check.notes[0]
    assert check.record is not None
    assert check.record.name == "_dmarc.example.com"


def test_a_receiver_elsewhere_may_agree():
    zone = {
        ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject; rua=mailto:x@reports.example"],
        ("example.com._report._dmarc.reports.example", "TXT"): ["v=DMARC1"],
    }
    assert check_dmarc(DOMAIN, dns(zone)).state == "pass"


def test_the_policy_of_the_organization_stands_in():
    zone = {("_dmarc.example.com", "TXT"): [f"v=DMARC1; p=reject; sp=none; {RUA}"]}
    check = check_dmarc("a.news.example.com", dns(zone))
    assert (check.state, check.notes) == (
        "warn",
        ("p=none only watches: forged mail is still delivered.",),
    )
    assert check.found == (f"example.com: v=DMARC1; p=reject; sp=none; {RUA}",)
    psd = {("_dmarc.gov.example", "TXT"): ["v=DMARC1; p=reject; psd=y"]}
    assert check_dmarc("city.gov.example", dns(psd)).state == "fail"


def test_a_weak_policy_is_mended_and_keeps_what_else_it_says():
    weak = {("_dmarc.example.com", "TXT"): ["v=DMARC1; p=none; adkim=s; sp=reject"]}
    record = check_dmarc(DOMAIN, dns(weak)).record
    assert record is not None
    assert record.value == (
        "v=DMARC1; p=quarantine; rua=mailto:postmaster@example.com; adkim=s; sp=reject"
    )


def test_no_policy_fails_and_silence_does_not():
    check = check_dmarc(DOMAIN, dns({}))
    assert check.state == "fail"
    assert check.record is not None
    assert check.record.value == "v=DMARC1; p=quarantine; rua=mailto:postmaster@example.com"
    assert check_dmarc(DOMAIN, dns({("_dmarc.example.com", "TXT"): None})).state == "unknown"
    two = {("_dmarc.example.com", "TXT"): ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}
    assert check_dmarc(DOMAIN, dns(two)).state == "fail"


def test_a_return_path_of_somebody_else_is_not_aligned():
    zone = dns({("_dmarc.example.com", "TXT"): [f"v=DMARC1; p=reject; aspf=s; {RUA}"]})
    assert check_dmarc(DOMAIN, zone, return_path="b.example.com").state == "warn"
    assert check_dmarc(DOMAIN, zone, return_path="example.com").state == "pass"


@pytest.mark.parametrize(
    ("inner", "domain", "aligned"),
    [
        ("example.com", "example.com", True),
        ("bounces.example.com", "example.com", True),
        ("example.com", "news.example.com", True),
        ("b.example.com", "news.example.com", True),
        ("xexample.com", "example.com", False),
        ("other.com", "example.com", False),
        ("a.co.uk", "b.co.uk", False),
    ],
)
def test_alignment_is_within_one_organization(inner, domain, aligned):
    assert is_aligned(inner, domain) is aligned


# --- MX and return path ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "state"),
    [
        ({("example.com", "MX"): ["10 mx.example.com"]}, "pass"),
        ({("example.com", "MX"): ["0 ."]}, "warn"),
        ({("example.com", "A"): ["192.0.2.1"]}, "warn"),
        ({("example.com", "TXT"): ["x"]}, "fail"),
        ({}, "fail"),
        ({("example.com", "MX"): None}, "unknown"),
        ({("example.com", "MX"): [], ("example.com", "A"): None}, "unknown"),
    ],
)
def test_where_a_domain_takes_its_mail_is_judged(zone, state):
    assert check_mail_exchange(DOMAIN, dns(zone)).state == state


@pytest.mark.parametrize(
    ("zone", "target", "states"),
    [
        ({("b.example.com", "CNAME"): ["pm.mtasv.net"]}, "pm.mtasv.net", ["pass"]),
        ({("b.example.com", "CNAME"): ["pm.mtasv.net"]}, "", ["pass"]),
        ({("b.example.com", "CNAME"): ["x.example"]}, "pm.mtasv.net", ["fail"]),
        ({}, "pm.mtasv.net", ["fail"]),
        ({("b.example.com", "CNAME"): None}, "pm.mtasv.net", ["unknown"]),
        ({}, "", ["fail"]),
        (
            {
                ("b.example.com", "MX"): ["10 feedback.example"],
                ("b.example.com", "TXT"): ["v=spf1 include:amazonses.com ~all"],
                ("amazonses.com", "TXT"): ["v=spf1 -all"],
            },
            "",
            ["pass", "pass"],
        ),
        ({("b.example.com", "MX"): ["10 feedback.example"]}, "", ["pass", "fail"]),
    ],
)
def test_the_return_path_is_judged(zone, target, states):
    checks = check_return_path("b.example.com", target, [SES], dns(zone))
    assert [check.state for check in checks] == states


# --- all of it ------------------------------------------------------------------------------------

GOOD: Zone = {
    ("example.com", "TXT"): ["v=spf1 include:spf.mandrillapp.com ~all"],
    ("spf.mandrillapp.com", "TXT"): ["v=spf1 ip4:192.0.2.1 -all"],
    ("example.com", "MX"): ["10 mx.example.com"],
    ("_dmarc.example.com", "TXT"): [f"v=DMARC1; p=reject; {RUA}"],
    **{
        (f"mte{n}._domainkey.example.com", kind): value
        for n in (1, 2)
        for kind, value in (("CNAME", [f"dkim{n}.mandrillapp.com"]), ("TXT", [RSA[2048]]))
    },
}
PLAN = Plan(DOMAIN, providers=("mandrill",))


def test_a_domain_as_it_should_be_passes_and_is_aligned():
    report = examine(PLAN, dns(GOOD))
    assert [(check.kind, check.state) for check in report.checks] == [
        ("spf", "pass"),
        ("dkim", "pass"),
        ("dkim", "pass"),
        ("dmarc", "pass"),
        ("mx", "pass"),
    ]
    assert (report.state, set(report.aligned)) == (State.PASS, {"mandrill"})


def test_alignment_that_is_not_known_is_undecided():
    silent = {**GOOD, ("mte1._domainkey.example.com", "TXT"): None}
    report = examine(PLAN, dns(silent))
    assert report.state == "unknown"
    assert report.aligned == frozenset()
    assert report.undecided == frozenset({"mandrill"})
    broken = {**GOOD, ("mte1._domainkey.example.com", "TXT"): ["v=DKIM1; p="]}
    report = examine(PLAN, dns(broken))
    assert report.state == "fail"
    assert report.aligned == frozenset()
    assert report.undecided == frozenset()


def test_what_is_to_publish_is_known_before_anybody_asks():
    checks = planned(Plan(DOMAIN, ("brevo",), keys=(Key("own", "TXT", ED25519),)))
    assert {check.state for check in checks} == {"unknown"}
    assert [check.record for check in checks if check.record] == [
        Record(DOMAIN, "TXT", "v=spf1 include:spf.brevo.com ~all"),
        Record("own._domainkey.example.com", "TXT", ED25519),
        Record("brevo1._domainkey.example.com", "CNAME", "b1.example-com.dkim.brevo.com"),
        Record("brevo2._domainkey.example.com", "CNAME", "b2.example-com.dkim.brevo.com"),
        Record(
            "_dmarc.example.com", "TXT", "v=DMARC1; p=quarantine; rua=mailto:postmaster@example.com"
        ),
    ]


def test_publishing_what_every_provider_wants_leaves_no_failure():
    for kind in CONVENTIONS:
        plan = Plan(DOMAIN, (kind,))
        zone = {("example.com", "MX"): ["10 mx.example.com"]}
        for check in planned(plan):
            if check.record is not None:
                zone[check.record.name, check.record.type] = [check.record.value]
                if check.record.type == "CNAME":
                    zone[check.record.name, "TXT"] = [RSA[2048]]
        for names in CONVENTIONS[kind].spf:
            zone[names, "TXT"] = ["v=spf1 ip4:192.0.2.1 -all"]
        report = examine(plan, dns(zone))
        failed = [check for check in report.checks if check.state == "fail"]
        # Keys that are handed out per account are for the operator to paste.
        assert all(check.kind == "dkim" and check.record is None for check in failed), kind


def test_the_gravest_state_counts():
    assert worst([State.PASS, State.WARN]) == "warn"
    assert worst([State.WARN, State.UNKNOWN]) == "unknown"
    assert worst([State.UNKNOWN, State.FAIL]) == "fail"


# --- input ----------------------------------------------------------------------------------------


def test_what_people_paste_is_understood():
    plan, faults = read_plan(
        {
            "domain": " Bücher.Example. ",
            "dkim": [
                {"selector": "S1._domainkey.xn--bcher-kva.example."},
                {"selector": "s2", "value": '"v=DKIM1; p=YW" "Jj"'},
                {"selector": "s3", "type": "cname", "value": "K.Example.NET."},
            ],
        }
    )
    assert faults == []
    assert plan.domain == "xn--bcher-kva.example"
    assert plan.keys == (
        Key("s1", "TXT", ""),
        Key("s2", "TXT", "v=DKIM1; p=YWJj"),
        Key("s3", "CNAME", "k.example.net"),
    )


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"domain": ""}, "domain"),
        ({"domain": None}, "domain"),
        ({"domain": 5}, "domain"),
        ({"domain": "localhost"}, "domain"),
        ({"domain": "192.0.2.1"}, "domain"),
        ({"domain": "a b.example"}, "domain"),
        ({"domain": "a." * 130 + "example"}, "domain"),
        ({"domain": "https://example.com"}, "domain"),
        ({"domain": "ann@example.com"}, "domain"),
        ({"providers": ["nobody"]}, "providers[0]"),
        ({"providers": "smtp"}, "providers"),
        ({"spf_includes": ["x"]}, "spf_includes[0]"),
        ({"spf_includes": ["a.example"] * 11}, "spf_includes"),
        ({"dkim": [{"selector": ""}]}, "dkim[0].selector"),
        ({"dkim": [{"selector": "a/b"}]}, "dkim[0].selector"),
        ({"dkim": [{"selector": "s1"}, {"selector": "s1"}]}, "dkim[1].selector"),
        ({"dkim": [{"selector": "s1", "type": "A"}]}, "dkim[0].type"),
        ({"dkim": [{"selector": "s1", "type": "CNAME"}]}, "dkim[0].value"),
        ({"dkim": [{"selector": "s1", "value": "no key"}]}, "dkim[0].value"),
        ({"dkim": [{"selector": "s1", "value": "p=" + "x" * 2000}]}, "dkim[0].value"),
        ({"dkim": [{"selector": "s1", "odd": 1}]}, "dkim[0].odd"),
        ({"dkim": [{"selector": "s1", "provider": "sendgrid"}]}, "dkim[0].provider"),
        ({"dkim": [7]}, "dkim[0]"),
        ({"dkim": [{"selector": 7}]}, "dkim[0]"),
        ({"return_path_target": "a.example"}, "return_path_domain"),
        ({"return_path_domain": "x y"}, "return_path_domain"),
    ],
)
def test_wrong_input_is_named(values, field):
    _, faults = read_plan({"domain": DOMAIN, **values})
    assert [fault[0] for fault in faults] == [field]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["selector", "type", "value", "domain", "dkim", "x"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read(value):
    for name in ("domain", "providers", "spf_includes", "dkim", "return_path_domain"):
        read_plan({"domain": DOMAIN, name: value})
