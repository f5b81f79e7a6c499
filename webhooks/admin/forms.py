"""What an operator fills in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.models import User
from webhooks.kinds import MEANINGS
from webhooks.models import DESCRIPTION_CHARS, URL_CHARS, Endpoint

if TYPE_CHECKING:
    from webhooks.services.endpoints import EndpointChanges


class EndpointForm(forms.Form):
    """An endpoint as it is changed."""

    url = forms.CharField(
        label="URL",
        max_length=URL_CHARS,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "https://example.com/hooks/mail"}),
        help_text="Takes POST requests and answers 2xx within ten seconds.",
    )
    description = forms.CharField(
        max_length=DESCRIPTION_CHARS, required=False, widget=UnfoldAdminTextInputWidget
    )
    kinds = forms.MultipleChoiceField(
        choices=[(kind, f"{kind}: {text}") for kind, text in MEANINGS.items()],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None ticked: all of them.",
    )
    reaches_all = forms.BooleanField(
        label="Everybody's mail",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Not only that of its user.",
    )

    def changes(self) -> EndpointChanges:
        """Return what was filled in."""
        data = self.cleaned_data
        return {
            "url": data["url"],
            "description": data["description"],
            "kinds": data["kinds"],
            "reaches_all": data["reaches_all"],
        }


class NewEndpointForm(EndpointForm):
    """An endpoint as it is made."""

    user = forms.ModelChoiceField(
        User.objects.filter(is_active=True),
        widget=UnfoldAdminSelectWidget,
        help_text="It is told of this user's mail.",
    )
    field_order = ["user"]


def values_of(endpoint: Endpoint) -> dict[str, Any]:
    """Return what the form begins with."""
    return {
        "url": endpoint.url,
        "description": endpoint.description,
        "kinds": endpoint.kinds,
        "reaches_all": endpoint.reaches_all,
    }
