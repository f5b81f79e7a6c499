"""A large attachment on every way out: the wire, the inbox, test mode, and the next attempt."""

from __future__ import annotations

import random
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from delivery.admin import rendering
from delivery.blobs import store_blob
from delivery.models import Attempt, Message
from delivery.queue.sweep import sweep
from delivery.services.attachments import upload
from delivery.states import Status
from providers.inbox import InboxAdapter
from providers.mail_data import LargeData
from providers.models import InboxMail, Provider
from providers.ports import OutgoingMail
from providers.selectors import account_config
from tests.support.mail import drain, make_due, queue, smtp_account
from tests.support.smtp_server import EXTENSIONS, FaultyServer, Script

pytestmark = pytest.mark.django_db

ROOMY = tuple(e for e in EXTENSIONS if not e.startswith("SIZE"))
FILE = random.Random(3).randbytes(400_000)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


def with_file(user: User, count: int = 1, **fields: Any) -> list[Message]:
    """Queue mails that carry one upload."""
    kept = upload(
        owner_id=user.pk,
        filename="\u00dcbersicht.bin",
        content_type="application/octet-stream",
        blob=store_blob(FILE, now=timezone.now()),
    )
    attachments = [{"upload_id": str(kept.pk)}]
    return [
        queue(user, to=f"bob{number}@example.net", attachments=attachments, **fields)
        for number in range(count)
    ]


def file_in(data: bytes) -> tuple[str | None, bytes]:
    (part,) = message_from_bytes(data, policy=policy.SMTP).iter_attachments()
    return part.get_filename(), part.get_content()


def test_many_mails_carry_a_file_that_is_read_from_the_storage_once(
    user: User, folder: Path
) -> None:
    with FaultyServer(extensions=ROOMY) as server:
        smtp_account(server.port, max_connections=4)
        with_file(user, 3)
        drain()
        (stored,) = (folder / "attachments").rglob("*/*")
        stored.unlink()
        queue(user, to="last@example.net", attachments=[_same_file(user)])
        drain()
    assert len(server.mails) == 4
    assert {file_in(mail.data) for mail in server.mails[:3]} == {("\u00dcbersicht.bin", FILE)}
    assert file_in(server.mails[3].data)[1] == FILE


def _same_file(user: User) -> dict[str, str]:
    kept = upload(
        owner_id=user.pk,
        filename="other.bin",
        content_type="image/png",
        blob=store_blob(FILE, now=timezone.now()),
    )
    return {"upload_id": str(kept.pk)}


def test_every_attempt_sends_the_same_octets(user: User) -> None:
    script: Script = {"END": ["451 4.3.0 later", "250 2.0.0 Ok"]}
    with FaultyServer((script,), extensions=ROOMY) as server:
        smtp_account(server.port)
        (message,) = with_file(user, html="<p>Hello</p>")
        drain()
        make_due(message.pk)
        sweep()
        drain()
    first, second = [mail.data for mail in server.mails]
    assert first == second
    message.refresh_from_db()
    assert message.status == Status.SENT


def test_the_inbox_keeps_the_whole_mail(user: User) -> None:
    inbox = Provider.objects.create(name="inbox", kind="inbox", from_email="shop@example.com")
    (message,) = with_file(user, subject="Gr\u00fc\u00dfe")
    data = rendering.compiled(message).compose(rendering.fields_of(message))
    assert isinstance(data, LargeData)
    mail = OutgoingMail(message.pk, "shop@example.com", ("bob0@example.net",), data)
    InboxAdapter(account_config(inbox)).deliver(mail)
    kept = InboxMail.objects.get()
    assert (kept.subject, kept.size_bytes) == ("Gr\u00fc\u00dfe", len(data))
    assert bytes(kept.data) == bytes(data) == rendering.raw(message)
    assert file_in(bytes(kept.data)) == ("\u00dcbersicht.bin", FILE)


def test_test_mode_tells_the_size(user: User) -> None:
    Provider.objects.create(name="inbox", kind="inbox", from_email="shop@example.com")
    with_file(user, is_test=True)
    drain()
    assert not InboxMail.objects.exists()
    text = Attempt.objects.get().reply
    size = int(text.removeprefix("Test mode: ").partition(" ")[0])
    assert 540_000 < size < 560_000
