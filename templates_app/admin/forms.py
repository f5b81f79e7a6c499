"""The forms of templates; what they mean is checked by the services."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from templates_app.engine.limits import MAX_SOURCE_CHARS
from templates_app.models import Format, Template, TemplateVersion
from templates_app.services import template_faults

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_DATA_CHARS = 200_000


class DataField(forms.CharField):
    """A JSON object that the database can hold; empty for `{}`."""

    def __init__(self, *, rows: int = 10, **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget(
            attrs={"rows": rows, "class": "ms-code", "spellcheck": "false", "data-mode": "json"}
        )
        super().__init__(required=False, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show data as a person would write it."""
        if isinstance(value, dict):
            return json.dumps(value, indent=2, ensure_ascii=False)
        return value

    def clean(self, value: Any) -> dict[str, Any]:
        """Return the object. Raises `ValidationError` saying where it is none."""
        text = super().clean(value)
        return parsed_data(text)


def parsed_data(text: str) -> dict[str, Any]:
    """Return the object that a JSON text says. Raises `ValidationError`."""
    if not text.strip():
        return {}
    if len(text) > _MAX_DATA_CHARS:
        raise forms.ValidationError(f"At most {_MAX_DATA_CHARS:,} characters.")
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
        plain = json.dumps(data, ensure_ascii=False)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise forms.ValidationError(f"This is no JSON: {error.msg} ({place}).") from error
    except RecursionError as error:
        raise forms.ValidationError("This is nested too deeply.") from error
    except ValueError as error:
        raise forms.ValidationError(str(error)) from error
    if not isinstance(data, dict):
        raise forms.ValidationError('Write an object: {"name": "Ada"}.')
    _check_characters(plain)
    return data


def _check_characters(plain: str) -> None:
    """Refuse what PostgreSQL cannot keep."""
    try:
        plain.encode()
    except UnicodeEncodeError as error:
        raise forms.ValidationError("This holds half of a character (\\ud800 and such).") from error
    if "\\u0000" in plain:
        raise forms.ValidationError("Not allowed: the NUL character.")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON.")


class TemplateForm(forms.ModelForm[Template]):
    """What a template has beside its texts."""

    sample = DataField(
        label="Sample data",
        help_text="Fills previews and test mails. The editor shows what it makes of them.",
    )
    schema = DataField(
        label="Schema",
        help_text="JSON Schema of the data a mail must come with; empty: what the texts use.",
    )

    class Meta:
        model = Template
        fields = (
            "slug",
            "title",
            "kind",
            "category",
            "language",
            "owner",
            "description",
            "sample",
            "schema",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "owner" in self.fields:
            self.fields["owner"].empty_label = "Everybody"  # type: ignore[attr-defined] # a choice of users
        is_written = TemplateVersion.objects.filter(template_id=self.instance.pk).exists()
        if "kind" in self.fields and is_written:
            self.fields["kind"].disabled = True
            self.fields["kind"].help_text = "Fixed once there is a text."

    def clean(self) -> dict[str, Any]:
        """Ask the service for every fault."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        for field, _, text in template_faults(Template(pk=self.instance.pk, **data)):
            name = field.partition(".")[0]
            self.add_error(name, text if name == field else f"{field}: {text}")
        return data

    def validate_unique(self) -> None:
        """Leave it to the service, which names the field."""

    def validate_constraints(self) -> None:
        """Leave it to the service, which names the field."""


def with_plain_lines(source: str) -> str:
    r"""Return a source with `\n` at the end of its lines: browsers post `\r\n`."""
    return source.replace("\r\n", "\n").replace("\r", "\n")


class DraftForm(forms.Form):
    """One language of the draft."""

    locale = forms.CharField(required=False, max_length=35, widget=forms.HiddenInput)
    unchanged_since = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)
    subject = forms.CharField(
        required=False,
        max_length=998,
        widget=UnfoldAdminTextInputWidget(attrs={"spellcheck": "true"}),
    )
    preheader = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(
            attrs={"placeholder": "The line that mail programs show beside the subject"}
        ),
    )
    format = forms.ChoiceField(
        required=False,
        choices=Format.choices,
        widget=UnfoldAdminSelectWidget,
    )
    html = forms.CharField(
        label="HTML",
        required=False,
        strip=False,
        max_length=MAX_SOURCE_CHARS,
        widget=UnfoldAdminTextareaWidget(
            attrs={
                "rows": 24,
                "class": "ms-code",
                "spellcheck": "false",
                "dir": "ltr",
                "data-mode": "liquid",
            }
        ),
    )
    text = forms.CharField(
        required=False,
        strip=False,
        max_length=MAX_SOURCE_CHARS,
        widget=UnfoldAdminTextareaWidget(
            attrs={
                "rows": 16,
                "class": "ms-code",
                "placeholder": "Empty: made from the HTML.",
                "data-mode": "liquid",
            }
        ),
    )
    sample = DataField(rows=16, label="Sample data")

    def clean_html(self) -> str:
        """Return the source with the lines its author sees."""
        return with_plain_lines(self.cleaned_data["html"])

    def clean_text(self) -> str:
        """Return the source with the lines its author sees."""
        return with_plain_lines(self.cleaned_data["text"])

    def clean_format(self) -> str:
        """Return HTML if nothing was chosen."""
        return self.cleaned_data["format"] or Format.HTML.value

    def clean_unchanged_since(self) -> datetime | None:
        """Return when the text being edited was saved, if it was."""
        text = self.cleaned_data["unchanged_since"]
        try:
            return datetime.fromisoformat(text) if text else None
        except ValueError:
            return None

    @property
    def has_sample(self) -> bool:
        """True if the sample data came along: a program that posts a text may leave it out."""
        return "sample" in self.data


class NoteForm(forms.Form):
    """Why a version is made."""

    note = forms.CharField(
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "Shown in the history"}),
        help_text="What changed, for those who look later.",
    )


class PublishForm(NoteForm):
    """The same, with what to do about mails that use a layout or partial."""

    republish = forms.BooleanField(
        required=False,
        label="Publish the mails that use it anew",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Otherwise they keep what was worked into them until they are published again.",
    )

    def __init__(self, *args: Any, is_shared: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not is_shared:
            del self.fields["republish"]


class TestForm(forms.Form):
    """Which text to send as a test."""

    locale = forms.ChoiceField(required=False, label="Language", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, locales: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["locale"].choices = list(locales)  # type: ignore[attr-defined] # a choice field
        # What is left out asks for the default text, which there need not be.
        self.fields["locale"].required = all(tag for tag, _ in locales)


class ImportForm(forms.Form):
    """A file of templates, and what to do with them."""

    EVERYBODY, MINE = "everybody", "mine"

    file = forms.FileField(
        allow_empty_file=False,
        help_text="A zip as the export makes it, or the same as JSON. You see what would change "
        "before anything does.",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".zip,.json"}),
    )
    whose = forms.ChoiceField(
        label="For",
        choices=[(EVERYBODY, "the mail of everybody"), (MINE, "my own mail")],
        widget=UnfoldAdminSelectWidget,
    )
    publish = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="New mail uses them at once. Otherwise they are drafts to look at first.",
    )
    note = forms.CharField(
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "Shown in the history"}),
    )

    def __init__(
        self, *args: Any, may_publish: bool, is_confirmed: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._may_publish = may_publish
        if is_confirmed:
            del self.fields["file"]

    def clean(self) -> dict[str, Any]:
        """Leave shared templates to those who may publish them."""
        data = super().clean() or self.cleaned_data
        is_shared = data.get("whose") == self.EVERYBODY
        if data.get("publish") and is_shared and not self._may_publish:
            self.add_error("publish", "You may write templates for everybody, not publish them.")
        return data
