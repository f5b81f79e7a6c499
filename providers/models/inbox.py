"""The built-in inbox."""

from __future__ import annotations

from django.db import models

from mailservice.core.ids import uuid7
from providers.models.accounts import Provider


class InboxMail(models.Model):
    """A mail that an inbox account received instead of sending it on."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="inbox")
    #: The message it came from: a repeated attempt is the same mail.
    message_id = models.UUIDField()
    return_path = models.CharField(max_length=320, blank=True)
    recipients = models.JSONField(default=list)
    sender = models.CharField(max_length=500)
    subject = models.CharField(max_length=998, blank=True)
    data = models.BinaryField()
    size_bytes = models.PositiveIntegerField()
    received_at = models.DateTimeField()
    is_read = models.BooleanField(default=False)

    class Meta:
        verbose_name = "inbox mail"
        verbose_name_plural = "local inbox"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "message_id"], name="providers_inboxmail_once"
            )
        ]

    def __str__(self) -> str:
        return self.subject or "(no subject)"
