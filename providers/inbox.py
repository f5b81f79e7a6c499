"""The local inbox: keeps mail in the database, where a newcomer can read it in the admin."""

from __future__ import annotations

from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.policy import compat32

from django.db import DatabaseError
from django.utils import timezone

from providers.models import InboxMail
from providers.ports import (
    AccountConfig,
    Outcome,
    OutgoingMail,
    Reason,
    Reply,
    Scope,
    SendResult,
    Session,
)

#: Where subject and sender are looked for: a large mail is not parsed as a whole.
_MAX_HEAD_BYTES = 65_536


class InboxAdapter:
    """Delivers to the inbox of one account."""

    def __init__(self, config: AccountConfig) -> None:
        self._provider_id = config.provider_id

    def open(self) -> Session:
        """Return a session; the database connection is opened with the first mail."""
        return _InboxSession(self)

    def check(self) -> str:
        """Describe the inbox."""
        count = InboxMail.objects.filter(provider_id=self._provider_id).count()
        return f"The inbox is open and holds {count} mails."

    def deliver(self, mail: OutgoingMail) -> SendResult:
        """Keep the mail; a repeated attempt finds it there and changes nothing."""
        data = bytes(mail.data)
        headers = BytesHeaderParser(policy=compat32).parsebytes(data[:_MAX_HEAD_BYTES])
        _, is_new = InboxMail.objects.get_or_create(
            provider_id=self._provider_id,
            message_id=mail.message_id,
            defaults={
                "return_path": mail.return_path,
                "recipients": list(mail.recipients),
                "sender": _decoded(headers.get("From"))[:500],
                "subject": _decoded(headers.get("Subject"))[:998],
                "data": data,
                "size_bytes": len(data),
                "received_at": timezone.now(),
            },
        )
        text = "Kept in the local inbox." if is_new else "Was in the local inbox already."
        return SendResult(Outcome.ACCEPTED, reply=Reply(text=text))


class _InboxSession:
    """Hands mails to the adapter; the sender thread's own database connection does the rest."""

    is_usable = True

    def __init__(self, adapter: InboxAdapter) -> None:
        self._adapter = adapter

    def send(self, mail: OutgoingMail) -> SendResult:
        """Keep the mail, or report that the database would not."""
        try:
            return self._adapter.deliver(mail)
        except DatabaseError as error:
            # Either it was kept or it was not; trying again finds it if it was.
            return SendResult(
                Outcome.NOT_ACCEPTED,
                reason=Reason.CONNECTION,
                scope=Scope.PROVIDER,
                reply=Reply(text=f"The database refused the mail: {type(error).__name__}"),
            )

    def close(self) -> None:
        """Have nothing to close: the thread closes its database connection."""


def _decoded(value: object) -> str:
    return str(make_header(decode_header(str(value)))) if value is not None else ""
