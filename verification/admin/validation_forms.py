"""Forms of address validation: one address, or a list of them."""

from __future__ import annotations

from django import forms
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget


class TryForm(forms.Form):
    """One address."""

    email = forms.CharField(
        label="Address",
        max_length=1000,
        strip=False,
        widget=UnfoldAdminTextInputWidget(
            attrs={"placeholder": "ann@example.com", "autofocus": True, "spellcheck": "false"}
        ),
    )


class ListForm(forms.Form):
    """A list in a file."""

    file = forms.FileField(
        label="File",
        allow_empty_file=True,
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.txt,text/csv,text/plain"}),
        help_text="CSV or one address per line, as UTF-8 or UTF-16.",
    )
    column = forms.CharField(
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "email"}),
        help_text="Name of the column with the addresses, if it is not called email.",
    )
    name = forms.CharField(
        required=False,
        max_length=255,
        widget=UnfoldAdminTextInputWidget(),
        help_text="How the job is called in lists; empty for the name of the file.",
    )
