"""API keys: made here, shown once, revoked here; never edited, never shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.admin.console import Confirmation, ConsoleAdmin, Fact, Link, show_faults, signed_in
from accounts.models import ApiKey, User
from accounts.scopes import DEFAULT_SCOPES, Scope
from accounts.services import NewApiKey, create_api_key, revoke_api_key
from mailservice.core.errors import InvalidInputError
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

LIVE, TEST, REVOKED, EXPIRED = "live", "test", "revoked", "expired"


class NewKeyForm(forms.Form):
    """What a new key is for and may do."""

    user = forms.ModelChoiceField(
        User.objects.filter(is_active=True),
        widget=UnfoldAdminSelectWidget,
        help_text="Mail sent with the key belongs to this user.",
    )
    name = forms.CharField(
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="What uses it, such as “web shop”.",
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope.label} ({scope.value})") for scope in Scope],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=DEFAULT_SCOPES,
        help_text="The key can do only what is ticked.",
    )
    is_test = forms.BooleanField(
        label="Test key",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Everything runs as in earnest, but nothing is sent.",
    )
    expires_at = forms.SplitDateTimeField(
        label="Expires",
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="Empty: never.",
    )

    def clean_expires_at(self) -> datetime | None:
        """Refuse a key that would be born dead."""
        value: datetime | None = self.cleaned_data["expires_at"]
        if value is not None and value <= timezone.now():
            raise forms.ValidationError("That is in the past.")
        return value


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleAdmin[ApiKey]):
    """List keys with their state; make and revoke them."""

    list_display = ("key", "user", "state", "scope_labels", "last_used", "expires", "created")
    list_filter = ("is_test", "user")
    list_filter_submit = True
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__email")
    search_help_text = "Name, visible start of the key, or user"
    ordering = ("-created_at",)
    sortable_by = ()
    actions = None

    def get_urls(self) -> list[URLPattern]:
        """Add the page that revokes."""
        revoke = self.admin_site.admin_view(self.revoke_view)
        return [
            path("<uuid:key_id>/revoke/", revoke, name=f"{self.url_prefix}_revoke"),
            *super().get_urls(),
        ]

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Keys are revoked, so that the history keeps its names."""
        return False

    # --- pages ------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask what the key is for; answer the POST with the key itself, which is kept nowhere.

        The page is the only copy: it is not stored in session, cookie or cache.
        """
        del form_url, extra_context
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewKeyForm(request.POST or None, initial={"user": signed_in(request).pk})
        if request.method == "POST" and form.is_valid():
            made = self._create(request, form)
            if made is not None:
                return self.page(
                    request, "console/api_key_created.html", title="The new API key", made=made
                )
        return self.form_page(request, form, title="New API key", button="Create key")

    def _create(self, request: HttpRequest, form: NewKeyForm) -> NewApiKey | None:
        data = form.cleaned_data
        try:
            made = create_api_key(
                user=data["user"],
                name=data["name"],
                scopes=data["scopes"],
                is_test=data["is_test"],
                expires_at=data["expires_at"],
            )
        except InvalidInputError as error:
            show_faults(form, error)
            return None
        LogEntry.objects.log_actions(
            user_id=signed_in(request).pk,
            queryset=[made.api_key],
            action_flag=ADDITION,
            change_message=f"Created with {', '.join(made.api_key.scopes)}.",
            single_object=True,
        )
        return made

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a key's facts; there is nothing to edit."""
        del form_url, extra_context
        key = self.get_or_404(request, object_id)
        links = [Link("History", self.url("history", key.pk), "history")]
        if key.revoked_at is None and self.has_change_permission(request):
            links.insert(0, Link("Revoke", self.url("revoke", key.pk), "key_off"))
        facts = [
            Fact("Name", key.name),
            Fact("Key", f"{key.prefix}_…", is_code=True, hint="The rest is kept only as a hash."),
            Fact("User", key.user, href=_user_url(self, request, key)),
            Fact("State", self.state(key)[1]),
            Fact("Created", key.created_at),
            Fact("Last used", key.last_used_at or "never"),
            Fact("Expires", key.expires_at or "never"),
        ]
        if key.revoked_at:
            facts.append(Fact("Revoked", key.revoked_at))
        return self.page(
            request,
            "console/api_key.html",
            title=str(key),
            obj=key,
            facts=facts,
            scopes=[(value, Scope(value).label) for value in key.scopes if value in Scope.values],
            state=self.state(key)[0],
            console_links=links,
        )

    def revoke_view(self, request: HttpRequest, key_id: str) -> HttpResponse:
        """Ask, then close the door for good."""
        self.require_change(request)
        key = self.get_or_404(request, key_id)
        detail = self.url("change", key.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Revoke “{key.name}”?",
                effect="Requests with this key are refused within seconds. This cannot be undone; "
                "mail already accepted is still sent.",
                button="Revoke key",
                back=detail,
                is_dangerous=True,
                items=[f"{key.prefix}_… of {key.user}"],
            )
            return self.confirm(request, confirmation, obj=key)
        if revoke_api_key(key_id=key.pk):
            self.note(request, [key], "Revoked.")
            messages.success(request, f"“{key.name}” is revoked.")
        else:
            messages.warning(request, f"“{key.name}” was revoked already.")
        return self.back_to(detail)

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Key", header=True)
    def key(self, key: ApiKey) -> list[str]:
        """Return name and visible start."""
        return [key.name, f"{key.prefix}_…"]

    @display(
        description="State",
        label={LIVE: "success", TEST: "info", REVOKED: "danger", EXPIRED: "warning"},
    )
    def state(self, key: ApiKey) -> tuple[str, str]:
        """Return whether the key opens the door."""
        if key.revoked_at is not None:
            return REVOKED, "Revoked"
        if key.expires_at is not None and key.expires_at <= timezone.now():
            return EXPIRED, "Expired"
        return (TEST, "Test") if key.is_test else (LIVE, "Live")

    @display(description="May")
    def scope_labels(self, key: ApiKey) -> SafeString:
        """Return the scopes, short."""
        if set(key.scopes) == set(DEFAULT_SCOPES):
            return format_html('<span class="ms-chip">{}</span>', "everything of its user")
        return format_html_join(" ", '<span class="ms-chip">{}</span>', ((s,) for s in key.scopes))

    @display(description="Last used")
    def last_used(self, key: ApiKey) -> SafeString:
        """Return when, or never."""
        return moment(key.last_used_at, empty="never")

    @display(description="Expires")
    def expires(self, key: ApiKey) -> SafeString:
        """Return when, or never."""
        return moment(key.expires_at, empty="never")

    @display(description="Created")
    def created(self, key: ApiKey) -> SafeString:
        """Return when it was made."""
        return moment(key.created_at)


def _user_url(model_admin: ApiKeyAdmin, request: HttpRequest, key: ApiKey) -> str:
    users = model_admin.admin_site.get_model_admin(User)
    if not users.has_view_permission(request, key.user):
        return ""
    return (
        f"{users.url('changelist')}{key.user_id}/change/" if isinstance(users, ConsoleAdmin) else ""
    )
