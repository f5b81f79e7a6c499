"""What providers know of who opened or clicked: from where, by what program, and if by a machine.

Each kind has it in a place of its own; what is missing or of another shape is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: As `inbound.verdicts.Verdict` has them.
_PREFETCH, _SCANNER, _PROXY = "prefetch", "scanner", "proxy"

#: Where the IP address of the client stands; the first that is there counts.
_ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "amazon_ses": ("open.ipAddress", "click.ipAddress"),
    "mailersend": ("data.morph.ip",),
    "mailgun": ("event-data.ip",),
    "mailjet": ("ip",),
    "mailtrap": ("ip",),
    "mandrill": ("ip",),
    "postal": ("payload.ip_address",),
    "postmark": ("Geo.IP",),
    "resend": ("data.click.ipAddress", "data.open.ipAddress"),
    "sendgrid": ("ip",),
    "sparkpost": ("msys.track_event.ip_address",),
    "unisender_go": ("delivery_info.ip",),
}
#: Where the program's name stands, if anymail does not look there.
_AGENTS: Mapping[str, tuple[str, ...]] = {
    "brevo": ("user_agent",),
    "resend": ("data.open.userAgent",),
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who opened or clicked, as far as the provider tells."""

    #: IPv4 or IPv6; empty if not told, as are the others.
    address: str = ""
    user_agent: str = ""
    #: Whom the provider itself takes it for: a value of `inbound.verdicts.Verdict`.
    verdict: str = ""


def reader_in(event: Any, *, kind: str) -> Reader:
    """Return what an event of anymail, an open or a click, tells of the reader."""
    raw = event.esp_event
    says = _SAYS.get(kind)
    return Reader(
        address=_first(raw, _ADDRESSES.get(kind, ())),
        user_agent=_text(event.user_agent) or _first(raw, _AGENTS.get(kind, ())),
        verdict=says(raw) if says is not None else "",
    )


def _sendgrid(raw: Any) -> str:
    # Apple Mail's privacy protection.
    return _PREFETCH if _at(raw, "sg_machine_open") in (True, "true") else ""


def _mailgun(raw: Any) -> str:
    bot = _text(_at(raw, "event-data.client-info.bot")).lower()
    if bot in {"apple", "gmail"}:
        return _PREFETCH
    is_robot = _at(raw, "event-data.client-info.client-type") == "robot"
    return _SCANNER if is_robot or bot not in {"", "false", "none"} else ""


def _brevo(raw: Any) -> str:
    return _PREFETCH if _at(raw, "event") in ("proxy_open", "unique_proxy_open") else ""


def _sparkpost(raw: Any) -> str:
    parsed = "msys.track_event.user_agent_parsed"
    if _at(raw, f"{parsed}.is_prefetched") is True:
        return _PREFETCH
    return _PROXY if _at(raw, f"{parsed}.is_proxy") is True else ""


def _mandrill(raw: Any) -> str:
    kind = _text(_at(raw, "user_agent_parsed.type"))
    return _SCANNER if kind.lower() == "robot" else ""


_SAYS: Mapping[str, Callable[[Any], str]] = {
    "brevo": _brevo,
    "mailgun": _mailgun,
    "mandrill": _mandrill,
    "sendgrid": _sendgrid,
    "sparkpost": _sparkpost,
}


def _first(raw: Any, paths: Iterable[str]) -> str:
    return next(filter(None, (_text(_at(raw, path)) for path in paths)), "")


def _at(raw: Any, path: str) -> Any:
    """Return what stands at a place such as `data.click.link`; None if there is no such place."""
    for name in path.split("."):
        if not isinstance(raw, dict):
            return None
        raw = raw.get(name)
    return raw


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
