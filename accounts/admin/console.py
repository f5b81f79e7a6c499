"""What all pages of the operator console share: own pages, confirmation, audit, faults in forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin

from accounts.models import User
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ModelT = TypeVar("ModelT", bound=Model)


@dataclass(frozen=True)
class Link:
    """A button in the head of a page; it leads to a page and changes nothing."""

    title: str
    path: str
    icon: str = ""


@dataclass(frozen=True)
class Confirmation:
    """What a person is told before anything happens, and what the POST carries."""

    question: str
    #: What will happen, in a sentence or two.
    effect: str
    #: Label of the button that does it.
    button: str
    back: str
    is_dangerous: bool = False
    #: Some of what is concerned, one line each.
    items: Sequence[str] = ()
    #: (name, value) pairs sent along.
    hidden: Sequence[tuple[str, str]] = ()
    #: Fields to fill in, if any.
    form: forms.Form | None = None
    #: How many more than `items` are concerned.
    more_count: int = 0


@dataclass(frozen=True)
class Fact:
    """One line of a list of facts."""

    label: str
    value: object
    href: str = ""
    hint: str = field(default="")
    is_code: bool = False


class ConsoleAdmin(ModelAdmin[ModelT]):
    """A model's pages in the console."""

    change_form_template = "console/change_form.html"
    change_list_template = "console/change_list.html"
    list_per_page = 50
    list_disable_select_all = True
    show_full_result_count = True
    show_facets = ShowFacets.NEVER
    warn_unsaved_form = True
    list_fullwidth = True

    # --- addresses --------------------------------------------------------------------------------

    @property
    def url_prefix(self) -> str:
        """Return what the names of this model's addresses begin with."""
        return f"{self.opts.app_label}_{self.opts.model_name}"

    def url(self, page: str, *args: object) -> str:
        """Return the address of one of this model's pages, such as `changelist`."""
        return reverse(f"{self.admin_site.name}:{self.url_prefix}_{page}", args=args)

    # --- pages ------------------------------------------------------------------------------------

    def page(
        self,
        request: HttpRequest,
        template: str,
        *,
        title: str,
        obj: Model | None = None,
        **context: Any,
    ) -> TemplateResponse:
        """Return one of our own pages in the console's frame; nobody but the reader may keep it."""
        request.current_app = self.admin_site.name
        response = TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "original": obj,
                "model_admin": self,
                "has_change_permission": self.has_change_permission(request),
                **context,
            },
        )
        response["Cache-Control"] = "no-store, private"
        return response

    def confirm(
        self, request: HttpRequest, confirmation: Confirmation, *, obj: Model | None = None
    ) -> TemplateResponse:
        """Return the page that asks before something happens."""
        return self.page(
            request,
            "console/confirm.html",
            title=confirmation.question,
            obj=obj,
            confirmation=confirmation,
            media=self.media + (confirmation.form.media if confirmation.form else forms.Media()),
        )

    def form_page(
        self,
        request: HttpRequest,
        form: forms.Form,
        *,
        title: str,
        button: str,
        obj: Model | None = None,
    ) -> TemplateResponse:
        """Return a page with a form of ours; back leads to the object, else to the list."""
        return self.page(
            request,
            "console/form.html",
            title=title,
            obj=obj,
            form=form,
            button=button,
            back=self.url("change", obj.pk) if obj else self.url("changelist"),
            media=self.media + form.media,
        )

    def back_to(self, url: str) -> HttpResponseRedirect:
        """Return a redirect to a page of ours."""
        return HttpResponseRedirect(url)

    # --- who may ----------------------------------------------------------------------------------

    def get_or_404(self, request: HttpRequest, object_id: str) -> ModelT:
        """Return the object of a page. Raises `Http404` and `PermissionDenied`."""
        obj: ModelT | None = self.get_object(request, unquote(str(object_id)))
        if obj is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        return obj

    def require_change(self, request: HttpRequest) -> None:
        """Raise `PermissionDenied` unless the user may change this model."""
        if not self.has_change_permission(request):
            raise PermissionDenied

    # --- what happened ----------------------------------------------------------------------------

    def note(
        self,
        request: HttpRequest,
        objects: Iterable[Model],
        text: str,
        *,
        is_deletion: bool = False,
    ) -> None:
        """Write an entry of the audit trail for each object."""
        concerned = list(objects)
        if concerned:
            LogEntry.objects.log_actions(
                user_id=signed_in(request).pk,
                queryset=concerned,
                action_flag=DELETION if is_deletion else CHANGE,
                change_message=text,
                single_object=False,
            )

    def note_all(self, request: HttpRequest, text: str) -> None:
        """Write an entry of the audit trail about the model's objects as a whole."""
        LogEntry.objects.create(
            user_id=signed_in(request).pk,
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=str(self.opts.verbose_name_plural),
            action_flag=CHANGE,
            change_message=text,
        )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show and save the form; a refusal by the service becomes a message, not an error page."""
        context = {"console_links": self.form_links(request, object_id), **(extra_context or {})}
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except DomainError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.get_full_path())

    def form_links(self, _request: HttpRequest, _object_id: str | None) -> list[Link]:
        """Return the buttons in the head of the form."""
        return []

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, under its own name.

        Raises `BadRequest` for a filter in the address that no row can have, such as a number
        beyond those of the column.
        """
        context = {
            "title": str(self.opts.verbose_name_plural).capitalize(),
            "console_links": self.list_links(request),
            **(extra_context or {}),
        }
        try:
            response: HttpResponse = super().changelist_view(request, context)
        except OverflowError as error:
            if request.method != "GET":
                raise
            raise BadRequest("The database cannot look for this.") from error
        return response

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[ModelT]
    ) -> HttpResponse | None:
        """Do what was chosen with the rows that were ticked. Raises `BadRequest` for odd ids."""
        try:
            for value in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(value)
        except ValidationError as error:
            raise BadRequest("Somebody ticked what is no row.") from error
        response: HttpResponse | None = super().response_action(request, queryset)
        return response

    def list_links(self, _request: HttpRequest) -> list[Link]:
        """Return the buttons in the head of the list."""
        return []


def signed_in(request: HttpRequest) -> User:
    """Return the user; every page of the console has one."""
    user = request.user
    if not isinstance(user, User):
        raise PermissionDenied
    return user


def actor_of(request: HttpRequest) -> str:
    """Return the user as events name them."""
    return f"user:{signed_in(request).email}"


def show_faults(
    form: forms.BaseForm, error: DomainError, names: Mapping[str, str] | None = None
) -> None:
    """Put a service's refusal beside the fields it names; `names` maps them to the form's."""
    if not error.details:
        form.add_error(None, error.message)
        return
    for path, faults in error.details.items():
        target = (names or {}).get(path, path.rpartition(".")[2])
        for fault in faults if isinstance(faults, list) else []:
            text = fault["message"]
            if target in form.fields:
                form.add_error(target, text)
            else:
                form.add_error(None, f"{path}: {text}")


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return “1 message” or “2 messages”."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def ids_of(values: Iterable[str]) -> list[UUID]:
    """Return what among posted values is an id."""
    found = []
    for value in values:
        try:
            found.append(UUID(value))
        except ValueError:
            continue
    return found


def pk_strings(queryset: QuerySet[Any], limit: int) -> list[str]:
    """Return the ids of at most `limit` rows as text."""
    return [str(pk) for pk in queryset.order_by().values_list("pk", flat=True)[:limit]]
