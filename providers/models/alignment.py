"""From domains whose mail passes DMARC when accounts of a kind send it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import User
from providers.models.accounts import ProviderKind


class AlignedDomains(models.Model):
    """What the choice of an account needs to know of sender domains; written from above.

    Rows are replaced, never changed: their ids tell whether anything was.
    """

    kind = models.CharField(max_length=20, choices=ProviderKind.choices)
    owner = models.ForeignKey(
        User,
        on_delete=models.CASCADE,
        null=True,
        db_index=False,
        related_name="+",
        help_text="Whose mail it is about; empty for everybody's.",
    )
    #: `example.com`, and `*.example.com` for all below it.
    patterns = ArrayField(models.CharField(max_length=255))

    class Meta:
        constraints = [
            # One owner's domains at a kind are in one row.
            models.UniqueConstraint(fields=["kind", "owner"], name="providers_aligned_once"),
            models.UniqueConstraint(
                fields=["kind"],
                condition=Q(owner__isnull=True),
                name="providers_aligned_shared_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{len(self.patterns)} at {self.kind}"
