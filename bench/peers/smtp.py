"""Django's SMTP backend with a connection that outlives one `send_messages`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.mail.backends.smtp import EmailBackend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.core.mail import EmailMessage


class KeptBackend(EmailBackend):
    """Opened by the first mail, closed with the process."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send over the connection that is open."""
        self.open()
        return super().send_messages(email_messages)
