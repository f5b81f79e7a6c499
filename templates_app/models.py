"""Templates and their frozen versions."""

from __future__ import annotations

from django.db import models

from accounts.models import User
from mailservice.core.ids import uuid7


class Template(models.Model):
    """A mail that people maintain, sent by its name or id."""

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
    description = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]
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

    Versions count up per template; the newest published one is what new mail uses.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    #: BCP 47 tag such as `pt-BR`; empty for the default.
    locale = models.CharField(max_length=35, blank=True, default="")
    subject = models.TextField()
    html = models.TextField(blank=True)
    text = models.TextField(blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["template", "-number", "locale"]
        constraints = [
            # One text per version and language.
            models.UniqueConstraint(
                fields=["template", "number", "locale"], name="templates_version_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.template.slug} v{self.number} {self.locale}".rstrip()
