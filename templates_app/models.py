"""Templates and their frozen versions."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.models import User
from mailservice.core.ids import uuid7


class Kind(models.TextChoices):
    """What a template is for."""

    #: Sent to people.
    MAIL = "mail", "Mail"
    #: Stands around mails: `{% layout "name" %}`.
    LAYOUT = "layout", "Layout"
    #: A piece of a mail or layout: `{% render "name" %}`.
    PARTIAL = "partial", "Partial"


class Format(models.TextChoices):
    """What the HTML source is written in."""

    HTML = "html", "HTML"
    MJML = "mjml", "MJML"


class TemplateQuerySet(models.QuerySet["Template"]):
    """Which templates a person may use or change."""

    def usable_by(self, user_id: object) -> TemplateQuerySet:
        """Return what mail of this user may use: own and shared templates.

        Without a user only shared ones: nobody's mail reaches other people's templates.
        """
        if user_id is None:
            return self.filter(owner__isnull=True)
        return self.filter(Q(owner__isnull=True) | Q(owner_id=user_id))

    def readable_by(self, user_id: object) -> TemplateQuerySet:
        """Return what this user's programs may read: own ones, and shared ones once published."""
        published = TemplateVersion.objects.filter(
            template_id=OuterRef("pk"), published_at__isnull=False
        )
        return self.usable_by(user_id).filter(Q(owner_id=user_id) | Exists(published))

    def visible_to(self, user: User) -> TemplateQuerySet:
        """Return what a person may read: all with the permission to view, else usable ones."""
        if user.has_perm("templates.view_template"):
            return self.all()
        return self.usable_by(user.pk)


class Template(models.Model):
    """A mail that people maintain, sent by its name or id; or a layout or partial of mails."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="templates",
        help_text="Whose mail may use it; empty for everybody's.",
    )
    slug = models.SlugField("name", max_length=100, help_text="By which the API refers to it.")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.MAIL)
    title = models.CharField(max_length=200, blank=True)
    description = models.CharField(max_length=200, blank=True)
    category = models.CharField(max_length=60, blank=True)
    language = models.CharField(
        max_length=35,
        blank=True,
        help_text="Of the default text, such as en or pt-BR; empty for the service's own.",
    )
    #: A context to preview with.
    sample = models.JSONField(default=dict, blank=True)
    #: JSON Schema of the context; empty asks for what the texts use.
    schema = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        permissions = [("publish_template", "Can publish templates")]
        constraints = [
            models.UniqueConstraint(fields=["owner", "slug"], name="templates_template_once"),
            models.UniqueConstraint(
                fields=["slug"],
                condition=models.Q(owner__isnull=True),
                name="templates_template_shared_once",
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class TemplateVersion(models.Model):
    """One locale of one version of a template; never changed once published.

    Versions count up per template; the newest published one is what new mail uses. `subject`,
    `preheader`, `html` and `text` are what the author wrote; the `final_` texts are what mail is
    made of: layout, partials, MJML and CSS are worked in when it is published, so that nothing
    that changes elsewhere changes a published mail.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    #: BCP 47 tag such as `pt-BR`; empty for the default.
    locale = models.CharField(max_length=35, blank=True, default="")
    #: Empty for layouts and partials.
    subject = models.TextField(blank=True)
    #: The line that mail programs show beside the subject.
    preheader = models.TextField(blank=True)
    html = models.TextField(blank=True)
    text = models.TextField(blank=True)
    format = models.CharField(max_length=4, choices=Format.choices, default=Format.HTML)
    final_subject = models.TextField(blank=True, editable=False)
    final_html = models.TextField(blank=True, editable=False)
    #: Empty if it can only be made from each filled HTML.
    final_text = models.TextField(blank=True, editable=False)
    #: True if CSS rules can only be written into the elements of each filled HTML.
    inlines_css = models.BooleanField(default=False, editable=False)
    #: Layouts and partials worked in: id to version number.
    bundled = models.JSONField(default=dict, blank=True, editable=False)
    note = models.CharField(max_length=200, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    #: When its author saved it; publishing and copying change nothing of that.
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["template", "-number", "locale"]
        constraints = [
            # One text per version and language, however its tag is spelled.
            models.UniqueConstraint(
                "template", "number", Lower("locale"), name="templates_version_once"
            )
        ]
        indexes = [
            # Which texts use this layout or partial?
            GinIndex(fields=["bundled"], name="templates_version_bundled"),
        ]

    def __str__(self) -> str:
        return f"{self.template.slug} v{self.number} {self.locale}".rstrip()
