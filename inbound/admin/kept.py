"""What lists of things from outside share: nobody adds or deletes, all can be done anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.db.models import Model
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from accounts.admin.console import counted
from accounts.admin.keyset import KeysetAdmin

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Protocol
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    class TryAgain(Protocol):
        """Has rows worked off again; returns how many were not waiting already."""

        def __call__(self, *, ids: Collection[UUID]) -> int:
            """Take the rows' ids."""
            ...


_Row = TypeVar("_Row", bound=Model)


class KeptAdmin(KeysetAdmin[_Row]):
    """Lists what came from outside; it is forgotten by itself."""

    actions: ClassVar[tuple[str, ...]] = ("again",)
    #: What they are called, of one.
    noun: str
    #: The service behind the button and the action, as a static method.
    try_again: TryAgain

    def get_urls(self) -> list[URLPattern]:
        """Add the button of one."""
        again = self.admin_site.admin_view(require_POST(self.again_view))
        return [
            path("<uuid:object_id>/again/", again, name=f"{self.url_prefix}_again"),
            *super().get_urls(),
        ]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Allow none: they come from outside."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Allow none: they are forgotten by themselves."""
        return False

    def again_url(self, request: HttpRequest, row: _Row) -> str:
        """Return where the button of one leads; empty for who may not press it."""
        return self.url("again", row.pk) if self.has_change_permission(request, row) else ""

    def again_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Have one worked off again."""
        self.require_change(request)
        row = self.get_or_404(request, object_id)
        if self.try_again(ids=[row.pk]):
            self.note(request, [row], "Tried again.")
            messages.success(request, "It is worked off again in a moment.")
        else:
            messages.info(request, "It is waiting already.")
        return self.back_to(self.url("change", row.pk))

    @admin.action(description="Try again", permissions=["change"])
    def again(self, request: HttpRequest, queryset: Any) -> None:
        """Have the chosen ones worked off again."""
        rows = list(queryset)
        count = self.try_again(ids=[row.pk for row in rows])
        self.note(request, rows, "Tried again.")
        messages.success(request, f"{counted(count, self.noun)} will be worked off again.")
