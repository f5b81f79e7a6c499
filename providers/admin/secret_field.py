"""A form's field for a credential: typed anew, kept, or removed, but never shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanWidget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.utils.safestring import SafeString

_NEW = "Stored encrypted; nobody can read it here again."
_KEPT = "One is stored. Leave empty to keep it."


@dataclass(frozen=True, slots=True)
class Removal:
    """What a ticked “Remove” reads as."""

    #: Typed all the same.
    typed: str


class SecretWidget(UnfoldAdminPasswordWidget):
    """A password input, with a checkbox “Remove” beside it if there is something to remove."""

    is_removable = False

    def __init__(self) -> None:
        super().__init__(attrs={"autocomplete": "new-password"})

    def render(self, name: str, value: Any, *args: Any, **kwargs: Any) -> SafeString:
        """Return input and checkbox."""
        field: SafeString = super().render(name, value, *args, **kwargs)
        if not self.is_removable:
            return field
        box_id = f"id_{self._box(name)}"
        box = UnfoldBooleanWidget(attrs={"id": box_id}).render(self._box(name), None)
        return format_html(
            '<span class="ms-secret-field">{}<label for="{}">{} Remove</label></span>',
            field,
            box_id,
            box,
        )

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        """Return what was typed, or a `Removal`."""
        typed = super().value_from_datadict(data, files, name)
        is_ticked = self.is_removable and self._box(name) in data
        return Removal(typed or "") if is_ticked else typed

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        """Tell whether neither input nor checkbox was sent."""
        is_omitted: bool = super().value_omitted_from_data(data, files, name)
        return is_omitted and self._box(name) not in data

    @staticmethod
    def _box(name: str) -> str:
        return f"{name}-remove"


class SecretField(forms.CharField):
    """A credential; its clean value is the text typed, empty to keep, or None to remove."""

    widget: SecretWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=SecretWidget(), **kwargs)
        self._text = str(self.help_text)
        self.describe(is_stored=False)

    def describe(self, *, is_stored: bool, is_optional: bool = False) -> None:
        """Say whether one is stored, and if it is optional offer to remove it."""
        self.help_text = " ".join(filter(None, [self._text, _KEPT if is_stored else _NEW]))
        self.widget.is_removable = is_stored and is_optional
        if is_stored:
            self.widget.attrs["placeholder"] = "••••••••••"

    def clean(self, value: Any) -> str | None:
        """Return what is to become of the credential."""
        if not isinstance(value, Removal):
            typed: str = super().clean(value)
            return typed
        if value.typed:
            raise forms.ValidationError("Either type a new one or tick “Remove”.", "contradiction")
        return None

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Tell whether it is typed anew or removed."""
        del initial
        return bool(data)
