"""Models of several kinds, each with a form of its own: the kind is asked for first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model

from accounts.admin.console import ConsoleAdmin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django import forms
    from django.http import HttpRequest, HttpResponse

ModelT = TypeVar("ModelT", bound=Model)


class FormsByKind(ConsoleAdmin[ModelT]):
    """A model with a column `kind` that is chosen when one is added and stays."""

    kind_forms: ClassVar[Mapping[str, type[forms.ModelForm[Any]]]]
    #: The form of a kind that is not known.
    any_form: ClassVar[type[forms.ModelForm[Any]]]
    #: (kind, title, icon, what it is for), as offered.
    kind_cards: ClassVar[Sequence[tuple[str, str, str, str]]]
    kind_title: ClassVar[str]
    kind_question: ClassVar[str]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the kind first: each has its own form."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.GET.get("kind") not in self.kind_forms:
            return self.page(
                request,
                "console/kinds.html",
                title=self.kind_title,
                question=self.kind_question,
                kinds=self.kind_cards,
            )
        response: HttpResponse = super().add_view(request, form_url, extra_context)
        return response

    def get_form(
        self,
        request: HttpRequest,
        obj: ModelT | None = None,
        change: bool = False,  # noqa: FBT001, FBT002 - Django's signature
        **kwargs: Any,
    ) -> Any:
        """Return the form of the object's kind."""
        kwargs["form"] = self.form_of(request, obj)
        return super().get_form(request, obj, change=change, **kwargs)

    def form_of(self, request: HttpRequest, obj: ModelT | None) -> Any:
        """Return the form's class for an object, or for the kind that is asked for."""
        kind = request.GET.get("kind", "") if obj is None else getattr(obj, "kind", "")
        return self.kind_forms.get(kind, self.any_form)
