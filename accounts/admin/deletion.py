"""Deleting in the console: a question first, then the service that knows what depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model

from accounts.admin.console import Confirmation, ConsoleAdmin
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

ModelT = TypeVar("ModelT", bound=Model)


class DeletingAdmin(ConsoleAdmin[ModelT]):
    """A model whose objects are deleted one by one, by its service."""

    #: One of them in a word, as buttons name it.
    deleted_noun: ClassVar[str]
    #: What else deleting does, in a sentence or two.
    deletion_effect: ClassVar[str]

    def delete_by_service(self, obj: ModelT) -> None:
        """Delete it. Raises `DomainError` if it is needed."""
        raise NotImplementedError

    def deleted_name(self, obj: ModelT) -> str:
        """Return how the question and the answer name it."""
        return f"the {self.deleted_noun} “{obj}”"

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, then delete; a refusal by the service is told in its words."""
        del extra_context
        obj = self.get_or_404(request, object_id)
        if not self.has_delete_permission(request, obj):
            raise PermissionDenied
        name, back = self.deleted_name(obj), self.url("change", obj.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Delete {name}?",
                effect=self.deletion_effect,
                button=f"Delete {self.deleted_noun}",
                back=back,
                is_dangerous=True,
            )
            return self.confirm(request, confirmation, obj=obj)
        try:
            self.delete_by_service(obj)
        except DomainError as error:
            messages.error(request, error.message)
            return self.back_to(back)
        self.note(request, [obj], "", is_deletion=True)
        messages.success(request, f"{name[:1].upper()}{name[1:]} is deleted.")
        return self.back_to(self.url("changelist"))
