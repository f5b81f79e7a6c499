"""Forms of accounts at HTTP providers, made from the table of kinds: each with exactly its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from providers.adapters.esp import KINDS
from providers.adapters.esp.fields import FieldType
from providers.admin.forms import ProviderForm
from providers.admin.secret_field import SecretField
from providers.models import ProviderKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.adapters.esp import EspKind
    from providers.adapters.esp.fields import Field


class EspForm(ProviderForm):
    """What the forms of all HTTP providers have in common."""

    esp: ClassVar[EspKind]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_new = self.instance._state.adding  # noqa: SLF001 - Django's documented way to ask
        stored = set() if is_new else set(self._stored())
        for one in self.esp.secrets:
            self._describe_secret(one, is_stored=one.name in stored)
        settings = self.instance.settings or {}
        for one in self.esp.options:
            # What is not set shows empty: the default applies, also one that changes later.
            self.initial[one.name] = settings.get(one.name, _initial(one))

    def own_settings(self) -> dict[str, Any]:
        """Return the kind's settings; None for what is left to the default."""
        return {one.name: self.cleaned_data[one.name] or None for one in self.esp.options}

    def own_secrets(self) -> dict[str, str | None]:
        """Return the credentials that were typed, and None for those to remove; the others stay."""
        given = {one.name: self.cleaned_data[one.name] for one in self.esp.secrets}
        return {name: value for name, value in given.items() if value != ""}

    def _describe_secret(self, one: Field, *, is_stored: bool) -> None:
        field = self.fields[one.name]
        assert isinstance(field, SecretField)  # noqa: S101 - for the type checker
        field.required = one.is_required and not is_stored
        field.describe(is_stored=is_stored, is_optional=not one.is_required)


def _initial(one: Field) -> str | bool | int | None:
    return one.default if one.type in {FieldType.CHOICE, FieldType.BOOLEAN} else None


def _form_field(one: Field) -> forms.Field:
    """Return the form's field for a setting or credential."""
    common: dict[str, Any] = {
        "label": one.label,
        "help_text": one.help,
        "required": one.is_required,
    }
    if one.is_secret:
        return SecretField(**common)
    if one.type is FieldType.CHOICE:
        return forms.ChoiceField(choices=one.choices, widget=UnfoldAdminSelectWidget, **common)
    if one.type is FieldType.BOOLEAN:
        common["required"] = False
        return forms.BooleanField(widget=UnfoldBooleanSwitchWidget, **common)
    attrs = {} if one.default is None else {"placeholder": str(one.default)}
    if one.type is FieldType.INTEGER:
        number = UnfoldAdminIntegerFieldWidget(attrs=attrs)
        return forms.IntegerField(
            min_value=one.minimum, max_value=one.maximum, widget=number, **common
        )
    return forms.CharField(widget=UnfoldAdminTextInputWidget(attrs=attrs), **common)


def _rows(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the names in rows of two."""
    return tuple(tuple(names[start : start + 2]) for start in range(0, len(names), 2))


def _form_for(esp: EspKind) -> type[ProviderForm]:
    every = (*esp.secrets, *esp.options)
    attributes: dict[str, Any] = {one.name: _form_field(one) for one in every}
    attributes |= {
        "__doc__": f"An account at {esp.label}.",
        "esp": esp,
        "kind": ProviderKind(esp.kind),
        "own_title": f"{esp.label} account",
        "own_fields": _rows([one.name for one in every]),
    }
    made: type[ProviderForm] = type(
        f"{esp.kind.title().replace('_', '')}Form", (EspForm,), attributes
    )
    return made


ESP_FORMS: dict[str, type[ProviderForm]] = {name: _form_for(esp) for name, esp in KINDS.items()}
