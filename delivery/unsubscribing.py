"""The personal links of a mail: to unsubscribe, and to one's preferences.

A link holds all it takes, sealed: it works when the message is long purged and after any number of
new keys. The same message always gets the same link, so composing it twice gives the same octets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings

from delivery.link_keys import key_ring, ring_for
from templates_app import personal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from delivery.compose import MailFields

#: What templates may name in a mail to one recipient.
VARIABLES = personal.VARIABLES
#: Stands for the links where only their presence counts.
STAND_INS = dict.fromkeys(VARIABLES, "https://example.com/u/x")

_PURPOSE = b"unsub"
_ID_BYTES = 16
_MAX_TOKEN_CHARS = 2_000
_HEADER = "List-Unsubscribe"
#: RFC 8058 §3.1; allowed beside an https address only.
_ONE_CLICK = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


@dataclass(frozen=True, slots=True)
class MailLink:
    """Which mail to whom: what an unsubscribe link says."""

    message_id: UUID
    email_type: str
    #: Empty if the mail went to no list.
    list_key: str
    #: In normal form.
    address: str


def seal_link(link: MailLink) -> str:
    """Return the link's token, the same for the same mail while the newest key is the same."""
    words = f"{link.email_type}\0{link.list_key}\0{link.address}"
    return key_ring().seal(_PURPOSE, link.message_id.bytes + words.encode())


def read_link(token: str) -> MailLink | None:
    """Return what a token says; None if we did not make it. Never raises for what it holds."""
    if not token.isascii() or len(token) > _MAX_TOKEN_CHARS:
        return None
    payload = ring_for(token).unseal(_PURPOSE, token)
    if payload is None:
        return None
    words = payload[_ID_BYTES:].decode().split("\0", 2)
    return MailLink(UUID(bytes=payload[:_ID_BYTES]), *words)


def urls_of(link: MailLink) -> dict[str, str]:
    """Return the template variables of a mail, by name."""
    address = f"{settings.PUBLIC_URL}/u/{seal_link(link)}"
    return {"unsubscribe_url": address, "preferences_url": f"{address}/preferences"}


def link_of(
    *, message_id: UUID, email_type: str, list_key: str, addresses: Sequence[str]
) -> MailLink | None:
    """Return the link of a mail, None if it goes to several: a link is one recipient's own."""
    if len(addresses) != 1:
        return None
    return MailLink(message_id, email_type, list_key, addresses[0])


def with_links(
    fields: MailFields, link: MailLink | None, *, is_template: bool, is_marketing: bool
) -> MailFields:
    """Return what the composer fills in, with the links in variables and headers.

    What the sender gave under the same names stays: he may host such a page himself.
    """
    wants_headers = is_marketing and not _has_own_header(fields.headers)
    if link is None or not (is_template or wants_headers):
        return fields
    urls = urls_of(link)
    context, headers = fields.context, fields.headers
    if is_template:
        context = {**urls, **(context or {})}
    if wants_headers:
        headers = {**_without_one_click(headers), **_headers(urls["unsubscribe_url"])}
    return replace(fields, context=context, headers=headers)


def _headers(url: str) -> dict[str, str]:
    one_click = _ONE_CLICK if url.startswith("https://") else {}
    return {_HEADER: f"<{url}>", **one_click}


def _has_own_header(headers: Mapping[str, str] | None) -> bool:
    return bool(headers) and any(name.lower() == _HEADER.lower() for name in headers or ())


def _without_one_click(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers without a promise that only an address of one's own could keep."""
    dropped = {name.lower() for name in _ONE_CLICK}
    return {name: value for name, value in (headers or {}).items() if name.lower() not in dropped}
