"""Bounce mailboxes: checked, saved, tried, read.

One reader at a time: whoever reads puts the time of the next look off, and that update is the lock.
Two that read beside each other after all do no harm: a mail is kept once, and removed after that.
"""

from __future__ import annotations

import ipaddress
import re
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from alerts.models import Severity
from alerts.services import close_alert, open_alert
from inbound.models import (
    KEPT_BYTES,
    BounceMailbox,
    MailboxSecurity,
    ReturnedRoute,
)
from inbound.returned.imap import MAX_SECONDS, MailboxAccess, MailboxError, opened
from inbound.services.returned import take_returned
from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from mailservice.core.presentation import console_path
from mailservice.core.sql import database_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from inbound.returned.imap import OpenMailbox

ALERT_KIND = "bounce_mailbox.failing"
#: After so long without a single success people are told.
ALERT_AFTER = timedelta(minutes=30)
#: Mails fetched before they are removed together.
BATCH = 25
#: No other reader comes for so long: more than a conversation may take.
_LEASE = timedelta(seconds=2 * MAX_SECONDS + 30)
#: A little less than a minute, which is how often beat ticks.
_PAUSE = timedelta(seconds=50)
_LONGEST_PAUSE = timedelta(minutes=15)
#: A reader begins no new batch after so long.
_READ_SECONDS = MAX_SECONDS - 10
_ERROR_CHARS = 500
_MAX_PASSWORD_CHARS, _MAX_FOLDER_CHARS = 1000, 200

_LABEL = "[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?\Z")
_CONTROLS = re.compile("[\x00-\x1f\x7f]")

_NO_CONTROLS = "Control characters are not allowed."

_COLUMNS = (
    "name",
    "host",
    "port",
    "security",
    "username",
    "secrets",
    "folder",
    "move_to",
    "is_active",
    "due_at",
    "updated_at",
)

Fault = tuple[str, str, str]


def mailbox_faults(mailbox: BounceMailbox, password: str) -> list[Fault]:
    """Return what is wrong with a mailbox as (field, code, message); `password` is what it has."""
    return [
        *_name_faults(mailbox),
        *_server_faults(mailbox),
        *_login_faults(mailbox, password),
        *_folder_faults(mailbox),
    ]


def save_mailbox(mailbox: BounceMailbox, *, password: str = "") -> BounceMailbox:
    """Save a mailbox and have it read soon; an empty password stays as it was.

    Raises `InvalidInputError` and `ConflictError`.
    """
    own = password or password_of(mailbox)
    faults = mailbox_faults(mailbox, own)
    if faults:
        raise InvalidInputError.for_fields(faults)
    mailbox.secrets = {"password": own}
    mailbox.due_at = database_now()
    try:
        with transaction.atomic():
            # What its readers note meanwhile stays.
            mailbox.save(update_fields=None if mailbox._state.adding else _COLUMNS)  # noqa: SLF001 - Django's documented way to ask
    except IntegrityError as error:
        raise ConflictError(f"There is a mailbox “{mailbox.name}” already.") from error
    if not mailbox.is_active:
        _forget_failure(mailbox.pk, "It is not read any more.")
    return mailbox


def delete_mailbox(mailbox_id: UUID) -> None:
    """Forget a mailbox. What was fetched from it stays."""
    BounceMailbox.objects.filter(pk=mailbox_id).delete()
    close_alert(kind=ALERT_KIND, subject=str(mailbox_id), detail="It was deleted.")


def password_of(mailbox: BounceMailbox) -> str:
    """Return the stored password; empty if there is none."""
    return str((mailbox.secrets or {}).get("password", ""))


def try_mailbox(mailbox_id: UUID) -> int:
    """Go in and return how many mails wait; nothing is fetched.

    Raises `MailboxError`, which says what failed, and `NotFoundError`.
    """
    mailbox = BounceMailbox.objects.filter(pk=mailbox_id).first()
    if mailbox is None:
        raise NotFoundError("There is no such mailbox.")
    with opened(_access(mailbox)) as box:
        return box.count


def mailboxes_due() -> list[UUID]:
    """Return which mailboxes are to be read now."""
    return list(BounceMailbox.objects.due(database_now()).values_list("pk", flat=True))


def read_mailbox(mailbox_id: UUID) -> int | None:
    """Fetch what is in a mailbox, for a bounded time; return how many mails were new.

    None if it is not due, or another reader has it. A failure is noted, and told after a while.
    """
    now = database_now()
    if not BounceMailbox.objects.claim(mailbox_id, now=now, until=now + _LEASE):
        return None
    mailbox = BounceMailbox.objects.get(pk=mailbox_id)
    reading = _Reading(mailbox)
    try:
        with opened(_access(mailbox)) as box:
            reading.run(box)
    except MailboxError as error:
        _note_failure(mailbox, error.message, reading.kept)
    else:
        _note_success(mailbox, reading.kept, has_more=reading.has_more)
    return reading.kept


class _Reading:
    """One go at a mailbox."""

    def __init__(self, mailbox: BounceMailbox) -> None:
        self._mailbox = mailbox
        self._ends_at = time.monotonic() + _READ_SECONDS
        #: Mails that were new.
        self.kept = 0
        self.has_more = False

    def run(self, box: OpenMailbox) -> None:
        while True:
            waiting = box.oldest()
            if not waiting:
                return
            if time.monotonic() >= self._ends_at:
                self.has_more = True
                return
            self._take(box, waiting[:BATCH])
            box.refresh()

    def _take(self, box: OpenMailbox, uids: list[str]) -> None:
        done = []
        for uid in uids:
            if time.monotonic() >= self._ends_at:
                break
            mail = box.fetch(uid, max_bytes=KEPT_BYTES)
            if mail is not None:
                self._keep(mail.raw, mail.size_bytes, f"{box.validity}:{uid}")
            done.append(uid)
        # Only now: whoever is killed before finds them again, and keeps them once.
        box.remove(done)

    def _keep(self, raw: bytes, size_bytes: int, place: str) -> None:
        key = f"{self._mailbox.pk.hex}:{place}"
        with suppress(InvalidInputError):  # an empty mail tells nothing
            taken = take_returned(
                raw, "", ReturnedRoute.MAILBOX, size_bytes=size_bytes, source_key=key
            )
            self.kept += taken is not None


def _access(mailbox: BounceMailbox) -> MailboxAccess:
    return MailboxAccess(
        host=mailbox.host,
        port=mailbox.port,
        security=mailbox.security,
        username=mailbox.username,
        password=password_of(mailbox),
        folder=mailbox.folder,
        move_to=mailbox.move_to,
    )


def _note_success(mailbox: BounceMailbox, kept: int, *, has_more: bool) -> None:
    now = database_now()
    BounceMailbox.objects.filter(pk=mailbox.pk).update(
        last_checked_at=now,
        fetched_count=F("fetched_count") + kept,
        due_at=now if has_more else now + _PAUSE,
    )
    if mailbox.failing_since is not None:
        _forget_failure(mailbox.pk, "It was read again.")


def _note_failure(mailbox: BounceMailbox, text: str, kept: int) -> None:
    now = database_now()
    since = mailbox.failing_since or now
    is_read = BounceMailbox.objects.filter(pk=mailbox.pk, is_active=True).update(
        last_checked_at=now,
        last_error=text[:_ERROR_CHARS],
        fetched_count=F("fetched_count") + kept,
        failing_since=Coalesce(F("failing_since"), now),
        due_at=now + _pause_after(now - since),
    )
    # Nobody is told of one that was deleted or put aside meanwhile.
    if is_read and now - since >= ALERT_AFTER:
        open_alert(
            kind=ALERT_KIND,
            subject=str(mailbox.pk),
            severity=Severity.WARNING,
            title=f"The bounce mailbox “{mailbox.name}” cannot be read",
            detail=text,
            link=console_path("inbound_bouncemailbox_change", mailbox.pk),
        )


def _pause_after(failing_for: timedelta) -> timedelta:
    """Return when to look again: the longer nothing works, the later."""
    return max(_PAUSE, min(failing_for / 4, _LONGEST_PAUSE))


def _forget_failure(mailbox_id: UUID, how: str) -> None:
    BounceMailbox.objects.filter(pk=mailbox_id).update(last_error="", failing_since=None)
    close_alert(kind=ALERT_KIND, subject=str(mailbox_id), detail=how)


def _name_faults(mailbox: BounceMailbox) -> Iterator[Fault]:
    if not mailbox.name.strip():
        yield "name", "required", "Give it a name."
    elif len(mailbox.name) > 100 or _CONTROLS.search(mailbox.name):  # noqa: PLR2004 - the column's
        yield "name", "invalid", "Use at most 100 characters, none of them control characters."


def _server_faults(mailbox: BounceMailbox) -> Iterator[Fault]:
    if not mailbox.host:
        yield "host", "required", "Name the server."
    elif not _is_host(mailbox.host):
        yield "host", "invalid", "Not a host name or an IP address (no scheme, port or path)."
    if not 1 <= mailbox.port <= 65_535:  # noqa: PLR2004 - as many as there are
        yield "port", "invalid", "Must be a whole number from 1 to 65535."
    if mailbox.security not in MailboxSecurity.values:
        yield "security", "invalid", f"Use one of: {', '.join(MailboxSecurity.values)}."


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(_HOST.match(text))
    return True


def _login_faults(mailbox: BounceMailbox, password: str) -> Iterator[Fault]:
    if not mailbox.username:
        yield "username", "required", "Name the user."
    if not password:
        yield "password", "required", "Give the password."
    elif len(password) > _MAX_PASSWORD_CHARS:
        yield "password", "too_long", f"Use at most {_MAX_PASSWORD_CHARS} characters."
    for name, value in (("username", mailbox.username), ("password", password)):
        if _CONTROLS.search(value):
            yield name, "invalid", _NO_CONTROLS


def _folder_faults(mailbox: BounceMailbox) -> Iterator[Fault]:
    if not mailbox.folder.strip():
        yield "folder", "required", "Name the folder, such as INBOX."
    if mailbox.move_to and mailbox.move_to == mailbox.folder:
        yield "move_to", "conflict", "Mail cannot go where it comes from."
    for name, value in (("folder", mailbox.folder), ("move_to", mailbox.move_to)):
        if _CONTROLS.search(value):
            yield name, "invalid", _NO_CONTROLS
        elif len(value) > _MAX_FOLDER_CHARS:
            yield name, "too_long", f"Use at most {_MAX_FOLDER_CHARS} characters."
