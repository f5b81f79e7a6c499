"""What people enter about a sender domain, checked and in its one form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import idna

from verification.domains.conventions import CONVENTIONS, Key
from verification.domains.report import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping

Fault = tuple[str, str, str]

FIELDS = (
    "domain",
    "providers",
    "spf_includes",
    "dkim",
    "return_path_domain",
    "return_path_target",
)
_KEY_FIELDS = ("selector", "type", "value", "provider")
MAX_KEYS = 20
MAX_INCLUDES = 10
MAX_KEY_CHARS = 2_000
_MAX_DOMAIN_CHARS = 253
_HOST = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z"
)
_SELECTOR = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\Z"
)
_VALUE = re.compile(r"[\x20-\x7e]*\Z")
_LABEL = "._domainkey"


def read_plan(values: Mapping[str, Any]) -> tuple[Plan, list[Fault]]:
    """Return what a domain is meant to look like, and every fault as (field, code, message).

    `values` has the members named by `FIELDS`, of any type; missing ones are empty.
    """
    faults: list[Fault] = []
    domain = read_host(values.get("domain"), "domain", faults, is_required=True)
    providers = _read_providers(values.get("providers"), faults)
    plan = Plan(
        domain=domain,
        providers=providers,
        spf_includes=tuple(
            dict.fromkeys(
                read_host(value, f"spf_includes[{index}]", faults, is_required=True)
                for index, value in enumerate(
                    _list(values.get("spf_includes"), "spf_includes", faults, MAX_INCLUDES)
                )
            )
        ),
        keys=_read_keys(values.get("dkim"), domain, faults),
        return_path_domain=read_host(
            values.get("return_path_domain"), "return_path_domain", faults
        ),
        return_path_target=read_host(
            values.get("return_path_target"), "return_path_target", faults
        ),
    )
    faults += [
        (f"dkim[{index}].provider", "invalid", "Use one of the domain's providers, or none.")
        for index, key in enumerate(plan.keys)
        if key.provider and key.provider not in providers
    ]
    if plan.return_path_target and not plan.return_path_domain:
        faults.append(
            ("return_path_domain", "required", "Name the return path that leads to the target.")
        )
    return plan, faults


def read_host(value: object, field: str, faults: list[Fault], *, is_required: bool = False) -> str:
    """Return a host name in lower case as A-labels, empty if there is none or it is wrong."""
    if value in (None, ""):
        if is_required:
            faults.append((field, "required", "Name the domain, such as example.com."))
        return ""
    if not isinstance(value, str):
        faults.append((field, "invalid_type", "This must be a string."))
        return ""
    name = value.strip().rstrip(".").lower()
    if not name.isascii() and len(name) <= _MAX_DOMAIN_CHARS:
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            name = ""
    if len(name) > _MAX_DOMAIN_CHARS or not _HOST.match(name) or name.rpartition(".")[2].isdigit():
        faults.append((field, "invalid", "Use a domain name such as example.com."))
        return ""
    return name


def _read_providers(value: object, faults: list[Fault]) -> tuple[str, ...]:
    kinds = []
    for index, kind in enumerate(_list(value, "providers", faults, len(CONVENTIONS))):
        if isinstance(kind, str) and kind in CONVENTIONS:
            kinds.append(kind)
        else:
            known = ", ".join(sorted(CONVENTIONS))
            faults.append((f"providers[{index}]", "invalid", f"Use one of {known}."))
    return tuple(dict.fromkeys(kinds))


def _read_keys(value: object, domain: str, faults: list[Fault]) -> tuple[Key, ...]:
    keys: list[Key] = []
    for index, entry in enumerate(_list(value, "dkim", faults, MAX_KEYS)):
        field = f"dkim[{index}]"
        if not isinstance(entry, dict):
            faults.append((field, "invalid_type", "This must be an object."))
            continue
        unknown = [str(name) for name in entry if name not in _KEY_FIELDS]
        if unknown:
            faults.append((f"{field}.{unknown[0][:64]}", "unknown_field", "No such field."))
        keys.append(_read_key(entry, field, domain, faults))
    selectors = [key.selector for key in keys]
    for index, selector in enumerate(selectors):
        if selector and selector in selectors[:index]:
            faults.append((f"dkim[{index}].selector", "duplicate", "It is named twice."))
    return tuple(keys)


def _read_key(entry: Mapping[str, Any], field: str, domain: str, faults: list[Fault]) -> Key:
    selector, kind, value, provider = (entry.get(name) or "" for name in _KEY_FIELDS)
    if not all(isinstance(text, str) for text in (selector, kind, value, provider)):
        faults.append((field, "invalid_type", f"{', '.join(_KEY_FIELDS)} must be strings."))
        return Key("")
    # People paste the whole name.
    selector = selector.strip().rstrip(".").lower().removesuffix(f".{domain}").removesuffix(_LABEL)
    if len(selector) > _MAX_DOMAIN_CHARS - len(domain) - 13 or not _SELECTOR.match(selector):
        faults.append((f"{field}.selector", "invalid", "Use a selector such as s1."))
    kind = kind.strip().upper() or "TXT"
    if kind not in {"TXT", "CNAME"}:
        faults.append((f"{field}.type", "invalid", "Use TXT or CNAME."))
    value = _unquoted(value)
    if len(value) > MAX_KEY_CHARS or not _VALUE.match(value):
        faults.append(
            (f"{field}.value", "invalid", f"Use ASCII, {MAX_KEY_CHARS} characters at most.")
        )
    elif kind == "CNAME":
        value = read_host(value, f"{field}.value", faults, is_required=True)
    elif value and "p=" not in value:
        faults.append((f"{field}.value", "invalid", "A key record holds p=…; or leave it empty."))
    return Key(selector, kind, value, provider)


def _unquoted(text: str) -> str:
    """Return a TXT value without the quotes and line breaks of a zone file."""
    text = " ".join(text.split())
    if text.startswith('"') and text.endswith('"'):
        text = re.sub(r'"\s*"', "", text)[1:-1]
    return text


def _list(value: object, field: str, faults: list[Fault], limit: int) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        faults.append((field, "invalid_type", "This must be a list."))
        return []
    if len(value) > limit:
        faults.append((field, "too_many", f"At most {limit} entries."))
        return []
    return list(value)
