"""How an owner's verifications look, and where they may lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin.console import ConsoleAdmin
from verification.models import VerificationProfile
from verification.services.token_settings import profile_faults, save_profile

if TYPE_CHECKING:
    from django.http import HttpRequest


class ProfileForm(forms.ModelForm[VerificationProfile]):
    """The settings, one redirect per line."""

    redirects = forms.CharField(
        required=False,
        max_length=30_000,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 4, "placeholder": "https://app.example.com/welcome"}
        ),
        help_text="Pages that may come after a confirmation, one per line: this path and all "
        "below it. Nothing else is ever redirected to.",
    )

    class Meta:
        model = VerificationProfile
        fields = ("owner", "app_name", "from_email", "template", "redirects")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.redirects:
            self.initial["redirects"] = "\n".join(self.instance.redirects)

    def clean_redirects(self) -> list[str]:
        """Return the entries."""
        text: str = self.cleaned_data["redirects"]
        return text.split()

    def clean(self) -> dict[str, Any]:
        """Ask the service for every fault and put each beside its field."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        owner = data.get("owner") or self.instance.owner
        for path, message in profile_faults(owner_id=owner.pk, **self.values()):
            self.add_error(path.partition("[")[0], message)
        return data

    def values(self) -> dict[str, Any]:
        """Return the settings as the service takes them."""
        names = ("app_name", "from_email", "template", "redirects")
        return {name: self.cleaned_data[name] for name in names}


@admin.register(VerificationProfile)
class VerificationProfileAdmin(ConsoleAdmin[VerificationProfile]):
    """List and change the settings of owners."""

    form = ProfileForm
    list_display = ("owner", "app_name", "from_email", "mail", "redirect_count")
    list_select_related = ("owner",)
    search_fields = ("owner__email", "app_name")
    search_help_text = "Owner or name of the application"
    ordering = ("owner__email",)
    sortable_by = ()
    actions = None
    fieldsets = (
        (None, {"fields": ("owner", ("app_name", "from_email"), "template", "redirects")}),
    )

    def get_readonly_fields(
        self, _request: HttpRequest, obj: VerificationProfile | None = None
    ) -> tuple[str, ...]:
        """Keep settings with their owner."""
        return ("owner",) if obj else ()

    def save_model(
        self,
        request: HttpRequest,
        obj: VerificationProfile,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save through the service that the API uses too."""
        del request, change
        assert isinstance(form, ProfileForm)  # noqa: S101 - for the type checker
        save_profile(owner_id=obj.owner_id, **form.values())

    @display(description="Mail")
    def mail(self, row: VerificationProfile) -> str:
        """Return which mail is sent."""
        return row.template or "built in"

    @display(description="Redirects")
    def redirect_count(self, row: VerificationProfile) -> int:
        """Return how many entries there are."""
        return len(row.redirects)
