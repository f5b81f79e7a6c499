"""What is told to whoever listens: outgoing webhooks and others above this app.

The database writes announcements itself, by triggers on messages and events (first migration), so
no path forgets them; it writes only those of a kind that has a `Listener`.
"""

from __future__ import annotations

from django.db import models


class Listener(models.Model):
    """A kind of announcement that somebody wants; see `delivery.announcements`."""

    kind = models.CharField(max_length=40, primary_key=True)

    def __str__(self) -> str:
        return self.kind


class Announcement(models.Model):
    """One thing that happened to a message; whoever takes it deletes it in the same transaction."""

    id = models.BigAutoField(primary_key=True)
    #: `email.` and a status or a kind of event.
    kind = models.CharField(max_length=40)
    message_id = models.UUIDField()
    #: The event it tells of; None for a change of the message's status.
    event_id = models.UUIDField(null=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.kind
