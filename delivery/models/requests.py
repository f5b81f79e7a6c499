"""Answers kept for requests that may come again."""

from __future__ import annotations

from django.db import models

from accounts.models import ApiKey


class IdempotencyRecord(models.Model):
    """The answer to a request with an `Idempotency-Key`, committed with what the request made."""

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=256)
    #: SHA-256 of method, path and body.
    request_hash = models.BinaryField(max_length=32)
    status_code = models.PositiveSmallIntegerField()
    body = models.BinaryField()
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            # Invariant 2: one answer per key.
            models.UniqueConstraint(fields=["api_key", "key"], name="delivery_idempotency_once")
        ]

    def __str__(self) -> str:
        return self.key
