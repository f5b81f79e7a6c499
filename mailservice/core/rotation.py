"""The change of encryption keys: everything encrypted is written again under the newest one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models, transaction
from django.db.models.functions import Cast

from mailservice.core.secrets import DecryptionError, EncryptedJSONField, decrypt, is_newest

if TYPE_CHECKING:
    from collections.abc import Iterator


class Step(StrEnum):
    """What became of one value."""

    #: It was under an older key; now it is under the newest, unless this was a dry run.
    ROTATED = "rotated"
    #: It was under the newest key already.
    CURRENT = "current"
    #: No configured key can read it; it stays as it is.
    UNREADABLE = "unreadable"
    #: It was emptied or deleted meanwhile.
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an encrypted value stands."""

    #: Such as `providers.provider.secrets`.
    column: str
    pk: str


@dataclass(slots=True)
class Rotation:
    """What a rotation did, or a dry run would do."""

    rotated: int = 0
    current: int = 0
    unreadable: tuple[Place, ...] = ()

    @property
    def count(self) -> int:
        """Return how many values there are."""
        return self.rotated + self.current + len(self.unreadable)


def rotate(*, is_dry_run: bool = False) -> Rotation:
    """Encrypt every encrypted value of the database under the newest key.

    One short transaction per value, so it can run beside everything else, twice, or be killed: what
    is done stays done, and the next run goes on with the rest. A value that no configured key can
    read stops nobody else's.
    """
    done = Rotation()
    for model, name in _columns():
        for pk in list(_rows(model, name).values_list("pk", flat=True)):
            step = _rotate_one(model, name, pk, is_dry_run=is_dry_run)
            if step is Step.ROTATED:
                done.rotated += 1
            elif step is Step.CURRENT:
                done.current += 1
            elif step is Step.UNREADABLE:
                done.unreadable += (Place(f"{model._meta.label_lower}.{name}", str(pk)),)
    return done


def _columns() -> Iterator[tuple[type[models.Model], str]]:
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedJSONField):
                yield model, field.name


def _rows(model: type[models.Model], name: str) -> models.QuerySet[Any]:
    return model._base_manager.filter(**{f"{name}__isnull": False}).order_by("pk")  # noqa: SLF001 - past the managers that hide rows


def _rotate_one(model: type[models.Model], name: str, pk: Any, *, is_dry_run: bool) -> Step:
    with transaction.atomic():
        rows = _rows(model, name).filter(pk=pk)
        # Whoever edits it meanwhile waits, and is not overwritten with what was there before.
        locked = rows if is_dry_run else rows.select_for_update(no_key=True)
        token = locked.values_list(Cast(name, models.TextField()), flat=True).first()
        if token is None:
            return Step.GONE
        if is_newest(token):
            return Step.CURRENT
        try:
            value = decrypt(token)
        except DecryptionError:
            return Step.UNREADABLE
        if not is_dry_run:
            rows.update(**{name: value})
        return Step.ROTATED
