"""All stand-ins, and accounts at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from mailservice.core.addresses import Address
from providers.adapters import adapter_for
from providers.mail_parts import FilePart, MailParts
from providers.ports import AccountConfig, Adapter, OutgoingMail
from tests.support.esp.amazon import amazon_ses
from tests.support.esp.api import Api
from tests.support.esp.apis_a_to_m import brevo, mailersend, mailgun, mailjet, mailtrap, mandrill
from tests.support.esp.apis_p_to_s import postal, postmark, resend, scaleway
from tests.support.esp.apis_s_to_z import sendgrid, sparkpost, unisender_go
from tests.support.esp.server import ApiServer

APIS: dict[str, Callable[[], Api]] = {
    "amazon_ses": amazon_ses,
    "brevo": brevo,
    "mailersend": mailersend,
    "mailgun": mailgun,
    "mailjet": mailjet,
    "mailtrap": mailtrap,
    "mandrill": mandrill,
    "postal": postal,
    "postmark": postmark,
    "resend": resend,
    "scaleway": scaleway,
    "sendgrid": sendgrid,
    "sparkpost": sparkpost,
    "unisender_go": unisender_go,
}
MESSAGE_ID = UUID("01890000-0000-7000-8000-000000000002")


@contextmanager
def running(kind: str) -> Iterator[tuple[Api, ApiServer]]:
    """Run the stand-in of a kind."""
    api = APIS[kind]()
    with ApiServer(api) as server:
        yield api, server


def account_at(api: Api, port: int, **changes: Any) -> AccountConfig:
    """Return the account that the stand-in knows."""
    secrets = {**api.secrets, **changes.pop("secrets", {})}
    settings = {
        **api.settings,
        "api_url": f"http://127.0.0.1:{port}{api.base}",
        "connect_timeout_seconds": 2,
        "timeout_seconds": 2,
        **changes.pop("settings", {}),
    }
    values = {"provider_id": UUID(int=1), "name": "test", "kind": api.kind}
    return AccountConfig(**{**values, "settings": settings, "secrets": secrets, **changes})


def adapter_at(api: Api, server: ApiServer, **changes: Any) -> Adapter:
    """Return the adapter of that account."""
    return adapter_for(account_at(api, server.port, **changes))


def some_parts(**changes: Any) -> MailParts:
    """Return a mail to Bob that every provider can take."""
    values: dict[str, Any] = {
        "sender": Address("a@a.example", "Anna, née Å"),
        "subject": "Grüße, hello",
        "text": "Hello Bob ✓ text\n",
        "html": "<p>Hello <b>Bob</b> ✓ html</p>\n",
        "message_id": f"<{MESSAGE_ID.hex}@a.example>",
        "date": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "to": (Address("bob@b.example", "Bob"),),
    }
    return MailParts(**(values | changes))


def a_file(
    name: str, octets: bytes, content_type: str = "application/pdf", content_id: str = ""
) -> FilePart:
    """Return a file; one with a content id is inline."""
    from delivery.compose.bodies import wrapped_base64  # noqa: PLC0415

    return FilePart(name, content_type, bool(content_id), content_id, wrapped_base64(octets))


def mail_of(parts: MailParts, *recipients: str, **changes: Any) -> OutgoingMail:
    """Return the mail for an adapter of either sort, to everybody shown if none are named."""
    from tests.support.esp.written import written_mail  # noqa: PLC0415

    shown = tuple(one.email for one in (*parts.to, *parts.cc))
    values: dict[str, Any] = {
        "message_id": MESSAGE_ID,
        "return_path": parts.sender.email,
        "recipients": recipients or shown,
        "data": written_mail(parts),
        "parts": parts,
    }
    return OutgoingMail(**(values | changes))
