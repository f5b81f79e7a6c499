"""What mails say, and the files they carry; each stands once, however many mails share it."""

from __future__ import annotations

from django.db import models

from accounts.models import User
from mailservice.core.ids import uuid7
from templates_app.models import TemplateVersion


class Content(models.Model):
    """What a mail says, frozen at acceptance; shared by all messages of a batch or campaign."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    from_email = models.CharField(max_length=320)
    from_name = models.CharField(max_length=200, blank=True)
    #: A list of {"email", "name"}.
    reply_to = models.JSONField(default=list)
    subject = models.TextField()
    html = models.TextField(blank=True)
    text = models.TextField(blank=True)
    #: True if subject and bodies are templates to be rendered with each message's context.
    is_template = models.BooleanField(default=False)
    #: How dates and numbers read in templates.
    locale = models.CharField(max_length=35, blank=True, default="", db_default="")
    #: True if CSS rules are written into the elements of each filled HTML.
    inlines_css = models.BooleanField(default=False, db_default=False)
    template_version = models.ForeignKey(
        TemplateVersion, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    #: None leaves the choice to the email type.
    track_opens = models.BooleanField(null=True)
    track_clicks = models.BooleanField(null=True)
    #: The mailing list it goes to, for unsubscribing; empty for none.
    list_key = models.CharField(max_length=64, blank=True, default="", db_default="")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.subject


class Blob(models.Model):
    """The bytes of attachments, stored once by their SHA-256 (hex)."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    size_bytes = models.PositiveIntegerField()
    #: Name in Django's default storage.
    stored_as = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    #: Renewed by every reference; the purge spares what was touched lately.
    touched_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.sha256


class Upload(models.Model):
    """A file uploaded once, to be attached to messages by its id."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="uploads")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="uploads")
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=127)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.filename


class Disposition(models.TextChoices):
    """How a part is shown (RFC 2183)."""

    ATTACHMENT = "attachment", "Attachment"
    INLINE = "inline", "Inline image"


class Attachment(models.Model):
    """A file attached to a content."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    content = models.ForeignKey(Content, on_delete=models.CASCADE, related_name="attachments")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="attachments")
    position = models.PositiveSmallIntegerField()
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=127)
    disposition = models.CharField(
        max_length=10, choices=Disposition.choices, default=Disposition.ATTACHMENT
    )
    #: Content-ID of an inline part, without angle brackets (RFC 2392).
    cid = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["content", "position"]
        constraints = [
            # The order of parts in the mail.
            models.UniqueConstraint(
                fields=["content", "position"], name="delivery_attachment_position"
            )
        ]

    def __str__(self) -> str:
        return self.filename
