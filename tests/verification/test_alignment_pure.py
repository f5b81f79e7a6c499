"""Which providers' mail passes DMARC, by what was found of keys, envelope and policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verification.dns import Answer, Status
from verification.domains.alignment import Envelope, alignment_at
from verification.domains.conventions import CONVENTIONS, Key
from verification.domains.dmarc import Policy
from verification.domains.report import Plan, Report, examine
from verification.domains.results import State

GOOD, WARN, BAD, OPEN = State.PASS, State.WARN, State.FAIL, State.UNKNOWN
SILENT = Policy("example.com", (), is_unknown=True)
KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8463 §A.2


def policy(tags: str = "") -> Policy:
    return Policy("example.com", (f"v=DMARC1; p=reject; {tags}",))


def judged(
    keys: list[State],
    envelope: Envelope | None = None,
    at: Policy | None = None,
    kind: str = "mailgun",
) -> tuple[State, State]:
    found = alignment_at(kind, keys=keys, envelope=envelope, policy=at or policy())
    return found.here, found.below


@pytest.mark.parametrize(
    ("keys", "at", "verdict"),
    [
        ([GOOD], policy(), (GOOD, GOOD)),
        ([GOOD, WARN], Policy("", ()), (GOOD, GOOD)),
        ([GOOD], policy("aspf=s"), (GOOD, GOOD)),
        ([GOOD], policy("adkim=s"), (GOOD, BAD)),
        ([GOOD], policy("adkim=S; psd=n"), (GOOD, BAD)),
        ([GOOD], policy("psd=y"), (GOOD, BAD)),
        ([GOOD], SILENT, (GOOD, OPEN)),
        ([GOOD, OPEN], policy(), (OPEN, OPEN)),
        ([GOOD, OPEN], policy("adkim=s"), (OPEN, BAD)),
        ([BAD, OPEN], policy(), (BAD, BAD)),
        ([], policy(), (BAD, BAD)),
    ],
)
def test_signatures_align_the_domain_and_in_relaxed_mode_what_is_below(
    keys: list[State], at: Policy, verdict: tuple[State, State]
) -> None:
    assert judged(keys, at=at) == verdict


@pytest.mark.parametrize(
    ("kind", "state", "at", "verdict"),
    [
        ("mailgun", GOOD, policy(), (GOOD, GOOD)),
        ("mailgun", GOOD, policy("aspf=s"), (GOOD, BAD)),
        ("mailgun", OPEN, policy(), (OPEN, OPEN)),
        ("mailgun", BAD, policy(), (BAD, BAD)),
        # There the envelope is the From, whose own SPF record nobody has looked at.
        ("smtp", GOOD, policy(), (GOOD, BAD)),
    ],
)
def test_spf_of_the_domain_aligns_who_sends_with_its_envelope(
    kind: str, state: State, at: Policy, verdict: tuple[State, State]
) -> None:
    assert judged([], Envelope([state]), at, kind) == verdict


@pytest.mark.parametrize(
    ("is_ours", "state", "at", "verdict"),
    [
        (True, GOOD, policy(), (GOOD, GOOD)),
        (True, GOOD, policy("aspf=s"), (BAD, BAD)),
        (True, GOOD, SILENT, (OPEN, OPEN)),
        (True, BAD, SILENT, (BAD, BAD)),
        (False, GOOD, policy(), (BAD, BAD)),
        (False, OPEN, policy(), (BAD, BAD)),
    ],
)
def test_a_return_path_counts_if_it_is_of_the_domain_and_the_mode_is_relaxed(
    *, is_ours: bool, state: State, at: Policy, verdict: tuple[State, State]
) -> None:
    assert judged([], Envelope([state], is_other=True, is_ours=is_ours), at) == verdict


states = st.lists(st.sampled_from(State), max_size=3)


@given(
    st.sampled_from(sorted(CONVENTIONS)),
    states,
    st.none() | st.builds(Envelope, states, is_other=st.booleans(), is_ours=st.booleans()),
    st.sampled_from([SILENT, policy(), policy("adkim=s"), policy("aspf=s; psd=y")]),
)
def test_what_is_below_is_never_better_off(
    kind: str, keys: list[State], envelope: Envelope | None, at: Policy
) -> None:
    here, below = judged(keys, envelope, at, kind)
    order = [BAD, OPEN, GOOD]
    assert order.index(below) <= order.index(here)
    known = {*keys, *(envelope.states if envelope else ())}
    if OPEN not in known and at is not SILENT:
        assert OPEN not in {here, below}


# --- of a whole domain ----------------------------------------------------------------------------


def examined(plan: Plan, *selectors: str, spf: str = "") -> Report:
    """Examine example.com with these keys and this SPF record published."""
    published = {(f"{name}._domainkey.example.com", "TXT"): KEY for name in selectors}
    published["mailgun.org", "TXT"] = published["spf.mailjet.com", "TXT"] = "v=spf1 -all"
    if spf:
        published["example.com", "TXT"] = spf

    def look_up(name: str, kind: str) -> Answer:
        if (name, kind) in published:
            return Answer(Status.FOUND, (published[name, kind],))
        return Answer(Status.EMPTY)

    return examine(plan, look_up)


def test_what_one_provider_lacks_in_spf_is_nothing_to_another() -> None:
    plan = Plan("example.com", ("mailgun", "mailjet"))
    report = examined(plan, spf="v=spf1 include:mailgun.org -all")
    assert report.checks[0].notes == ("include:spf.mailjet.com is missing (Mailjet).",)
    assert report.aligned == {"mailgun"}


def test_a_key_aligns_the_provider_whose_it_is() -> None:
    plan = Plan("example.com", ("sendgrid", "postmark"), keys=(Key("s1", provider="sendgrid"),))
    assert examined(plan, "s1").aligned == {"sendgrid"}
    both = Plan("example.com", plan.providers, keys=(*plan.keys, Key("20pm")))
    assert examined(both, "s1", "20pm").aligned == {"sendgrid", "postmark"}


def test_a_key_that_may_be_of_several_aligns_none_and_says_so() -> None:
    plan = Plan("example.com", ("sendgrid", "postmark"), keys=(Key("s1"),))
    report = examined(plan, "s1")
    assert (report.aligned, report.undecided) == (frozenset(), frozenset())
    (check,) = [check for check in report.checks if check.kind == "dkim"]
    assert check.state is WARN
    assert check.notes == (
        "Several providers may sign with it: say whose it is, or it aligns none.",
    )


def test_a_key_under_a_usual_selector_is_that_providers() -> None:
    plan = Plan("example.com", ("mailjet", "sendgrid"), keys=(Key("mailjet", "TXT", KEY),))
    report = examined(plan, "mailjet")
    assert [check.provider for check in report.checks if check.kind == "dkim"] == ["mailjet"]
    assert report.aligned == {"mailjet"}
