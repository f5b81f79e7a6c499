"""People: log-in by e-mail address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.utils.html import format_html
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from accounts.admin.console import ConsoleAdmin, signed_in
from accounts.models import User
from accounts.roles import may_more, permissions_beyond
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from django.db.models import ManyToManyField
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


class NewUserForm(UserCreationForm):
    """Address and password of a new user."""

    class Meta:
        model = User
        fields = ("email",)

    def clean_email(self) -> str:
        """Return the address in the one form that log-in compares."""
        return str(self.cleaned_data["email"]).strip().lower()


class ChangeUserForm(UserChangeForm):
    """Everything about a user but the password."""

    class Meta:
        model = User
        fields = "__all__"

    def clean_email(self) -> str:
        """Return the address in the one form that log-in compares."""
        return str(self.cleaned_data["email"]).strip().lower()


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ConsoleAdmin[User]):  # type: ignore[type-arg,misc]  # two bases, both untyped in part
    """List, add and change users."""

    form = ChangeUserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("person", "roles", "staff", "active", "seen", "joined")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")
    list_filter_submit = True
    search_fields = ("email", "full_name")
    ordering = ("email",)
    readonly_fields = ("password_state", "last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("email", "full_name", "password_state")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "full_name", "password1", "password2")}),
        ("Access", {"fields": ("is_staff", "is_superuser", "groups")}),
    )

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Choose roles by typing, of those that hold no more rights than one's own."""
        if db_field.name == "groups":
            beyond = permissions_beyond(signed_in(request))
            kwargs["queryset"] = Group.objects.exclude(permissions__in=beyond)
        kwargs["widget"] = widget = UnfoldAdminSelect2MultipleWidget()
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is None:
            return None
        field.widget.attrs["class"] = widget.attrs["class"]  # the theme puts its own there
        field.help_text = ""
        return field

    def get_queryset(self, request: HttpRequest) -> Any:
        """Bring the roles along."""
        return super().get_queryset(request).prefetch_related("groups")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Leave people to those who have their rights: a new password would hand them over."""
        if obj is not None and may_more(obj, signed_in(request)):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, _request: HttpRequest, _obj: User | None = None) -> bool:
        """Switch people off instead: their mail and keys keep their owner."""
        return False

    @display(description="Password")
    def password_state(self, user: User) -> SafeString:
        """Tell whether there is one, and where to change it; not even its hash is shown."""
        return format_html(
            '{} <a class="ms-link" href="../password/">{}</a>',
            "Set." if user.has_usable_password() else "None: this user cannot log in.",
            "Change it" if user.has_usable_password() else "Set one",
        )

    @display(description="User", header=True, ordering="email")
    def person(self, user: User) -> list[str]:
        """Return address and name."""
        return [user.email, user.full_name, (user.full_name or user.email)[:1]]

    @display(description="Roles")
    def roles(self, user: User) -> str:
        """Return the roles' names."""
        if user.is_superuser:
            return "Administrator"
        return ", ".join(group.name for group in user.groups.all()) or "none"

    @display(description="Admin", boolean=True, ordering="is_staff")
    def staff(self, user: User) -> bool:
        """Tell whether the user may log in here."""
        return user.is_staff

    @display(description="Active", boolean=True, ordering="is_active")
    def active(self, user: User) -> bool:
        """Tell whether the user may log in at all."""
        return user.is_active

    @display(description="Last log-in", ordering="last_login")
    def seen(self, user: User) -> SafeString:
        """Return when the user was last here."""
        return moment(user.last_login, empty="never")

    @display(description="Since", ordering="date_joined")
    def joined(self, user: User) -> SafeString:
        """Return when the user was created."""
        return moment(user.date_joined)

    def get_form(
        self,
        request: HttpRequest,
        obj: Any = None,
        change: bool = False,  # noqa: FBT001, FBT002 - Django's signature
        **kwargs: Any,
    ) -> Any:
        """Return the form; only an administrator makes administrators."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if not signed_in(request).is_superuser and "is_superuser" in form.base_fields:
            field = form.base_fields["is_superuser"]
            field.disabled = True
            field.help_text = "Only an administrator makes administrators."
        return form
