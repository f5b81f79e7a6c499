"""Keys of the links in mails."""

from __future__ import annotations

from django.db import models

from mailservice.core.secrets import EncryptedJSONField


class LinkKey(models.Model):
    """A key that signs links in mails: the newest signs, and none is ever deleted.

    Links stand in mails that people keep for years, so a key lives as long as the service.
    """

    #: Stands in the links: one octet.
    number = models.PositiveSmallIntegerField(primary_key=True)
    #: 32 octets in hexadecimal.
    secret = EncryptedJSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.number)
