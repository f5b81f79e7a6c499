"""DKIM (RFC 6376, RFC 8301, RFC 8463): the keys that signatures are checked with."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from verification.dns import Status
from verification.domains.results import Check, Findings, Record, State, shortened, tags_of

if TYPE_CHECKING:
    from verification.dns import Answer
    from verification.domains.conventions import Key
    from verification.domains.results import LookUp

#: RFC 8301 §3.2: shorter ones are refused.
MIN_RSA_BITS = 1024
GOOD_RSA_BITS = 2048
_ED25519_BYTES = 32


def check_key(domain: str, key: Key, look_up: LookUp, *, provider: str = "") -> Check:
    """Tell whether the key of a selector is published, sound, and the one that was handed out."""
    name = f"{key.selector}._domainkey.{domain}"
    findings = Findings()
    answer = look_up(name, "TXT")
    alias = look_up(name, "CNAME") if key.type == "CNAME" else None
    if not answer.is_known or (alias is not None and not alias.is_known):
        detail = answer.detail or (alias.detail if alias else "")
        findings.add(State.UNKNOWN, detail)
    else:
        if alias is not None and key.value:
            _check_alias(alias, key, findings)
        _check_answer(answer, key, findings)
    if not findings.items:
        findings.add(State.PASS, "The key is published and sound.")
    found = alias.records if alias is not None and alias.records else answer.records
    return Check(
        "dkim",
        f"DKIM key {key.selector}",
        findings.state,
        findings.notes,
        Record(name, key.type, key.value) if key.value else None,
        shortened(found),
        provider,
    )


def judge_key(record: str, findings: Findings) -> None:
    """Judge one key record."""
    tags = tags_of(record)
    if tags.get("v", "DKIM1") != "DKIM1":
        findings.add(State.FAIL, f"v={tags['v']} is no DKIM key.")
        return
    if "p" not in tags:
        findings.add(State.FAIL, "The record has no p= with the key.")
        return
    public = "".join(tags["p"].split())
    if not public:
        findings.add(State.FAIL, "The key is revoked (p= is empty).")
        return
    _judge_bits(public, tags.get("k", "rsa").lower(), findings)
    _judge_flags(tags, findings)


def _judge_flags(tags: dict[str, str], findings: Findings) -> None:
    if "h" in tags and "sha256" not in tags["h"].lower().split(":"):
        findings.add(State.FAIL, "h= does not allow sha256, the only hash still accepted.")
    if "s" in tags and not {"*", "email"}.intersection(tags["s"].lower().split(":")):
        findings.add(State.FAIL, "s= does not allow the key for mail.")
    if "y" in tags.get("t", "").lower().split(":"):
        findings.add(State.WARN, "t=y says that it is being tested: receivers may ignore it.")


def _judge_bits(public: str, algorithm: str, findings: Findings) -> None:
    try:
        octets = base64.b64decode(public, validate=True)
    except (binascii.Error, ValueError):
        findings.add(State.FAIL, "The key in p= is not base64: part of it may be missing.")
        return
    if algorithm == "ed25519":
        if len(octets) != _ED25519_BYTES:
            findings.add(State.FAIL, "The key in p= is no Ed25519 key.")
        return
    if algorithm != "rsa":
        findings.add(State.FAIL, f"k={algorithm} is no kind of key that receivers know.")
        return
    try:
        key = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        findings.add(State.FAIL, "The key in p= cannot be read: part of it may be missing.")
        return
    bits = key.key_size if isinstance(key, RSAPublicKey) else 0
    if bits < MIN_RSA_BITS:
        findings.add(State.FAIL, f"The key has {bits} bits; it needs {MIN_RSA_BITS}.")
    elif bits < GOOD_RSA_BITS:
        findings.add(State.WARN, f"The key has {bits} bits; {GOOD_RSA_BITS} are usual now.")


def _check_alias(alias: Answer, key: Key, findings: Findings) -> None:
    if alias.status is not Status.FOUND:
        findings.add(State.FAIL, "There is no CNAME record.")
        return
    wanted = key.value.lower().rstrip(".")
    if wanted not in alias.records:
        findings.add(State.FAIL, f"The CNAME leads to {alias.records[0]}, not to {wanted}.")


def _check_answer(answer: Answer, key: Key, findings: Findings) -> None:
    # Some answer names below _domainkey with texts of other kinds.
    keys = [text for text in answer.records if "p" in tags_of(text)]
    if not keys:
        if not findings.items:
            findings.add(State.FAIL, "There is no key at this name.")
        return
    if len(keys) > 1:
        findings.add(State.FAIL, f"There are {len(keys)} keys at this name; one may be.")
        return
    judge_key(keys[0], findings)
    if key.type == "TXT" and key.value and _plain(keys[0]) != _plain(key.value):
        findings.add(State.FAIL, "This is another key than the one handed out.")


def _plain(record: str) -> str:
    return "".join(tags_of(record).get("p", "").split())
