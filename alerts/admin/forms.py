"""One form per kind of channel."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from alerts.channel_services import SECRET_NAMES, channel_faults
from alerts.models import Channel, ChannelKind

_KEPT_SECRET = "One is stored. Leave empty to keep it."  # noqa: S105 - a help text


class LinesField(forms.CharField):
    """Several values, separated by commas or lines."""

    def prepare_value(self, value: Any) -> Any:
        """Show a list as it is typed."""
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the values."""
        text = str(super().to_python(value) or "")
        parts = text.replace("\n", ",").replace(";", ",").split(",")
        return [part.strip() for part in parts if part.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the values, not how they are typed."""
        return bool((initial or []) != self.to_python(data))


class ChannelForm(forms.ModelForm[Channel]):
    """What all kinds have in common."""

    kind: ClassVar[ChannelKind]
    own_fields: ClassVar[tuple[str, ...]] = ()

    kinds = LinesField(
        label="Only these kinds",
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "provider., budget."}),
        help_text="What the alert's kind begins with, such as provider. or provider.refused; empty "
        "for all alerts.",
    )

    class Meta:
        model = Channel
        fields = ("name", "is_active", "min_severity", "kinds", "tells_closing")

    def clean(self) -> dict[str, Any]:
        """Ask the service for every fault and put each beside its field."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        candidate = Channel(
            name=data["name"].strip(),
            kind=self.kind,
            addresses=data.get("addresses", []),
            min_severity=data["min_severity"],
            kinds=data["kinds"],
        )
        for path, _, text in channel_faults(candidate, self._all_secrets()):
            field = path.partition("[")[0]
            self.add_error(field if field in self.fields else None, text)
        return data

    def own_secrets(self) -> dict[str, str | None]:
        """Return secrets that were typed; an absent one stays."""
        typed = {name: self.cleaned_data.get(name) for name in SECRET_NAMES[self.kind]}
        return {name: value for name, value in typed.items() if value}

    def describe_secrets(self) -> None:
        """Tell of each secret whether one is stored, never which."""
        stored = self._stored()
        for name in SECRET_NAMES[self.kind]:
            if stored.get(name):
                field = self.fields[name]
                field.required = False
                field.help_text = _KEPT_SECRET
                field.widget.attrs["placeholder"] = "••••••••••"

    def _stored(self) -> dict[str, str]:
        is_new = self.instance._state.adding  # noqa: SLF001 - Django's documented way to ask
        return {} if is_new else (self.instance.secrets or {})

    def _all_secrets(self) -> dict[str, str]:
        merged = {**self._stored(), **self.own_secrets()}
        return {name: value for name, value in merged.items() if value}


class MailForm(ChannelForm):
    """A channel that mails."""

    kind = ChannelKind.MAIL
    own_fields = ("addresses",)

    addresses = LinesField(
        max_length=8000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "ops@example.com"}),
        help_text="Separated by commas or lines. The mail goes through this service itself: if no "
        "account can send, it waits like all mail. Have a chat or webhook beside it.",
    )


class SlackForm(ChannelForm):
    """A channel in a chat."""

    kind = ChannelKind.SLACK
    own_fields: ClassVar[tuple[str, ...]] = ("url",)

    url = forms.CharField(
        label="Webhook URL",
        max_length=2000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="The chat's “incoming webhook”. Stored encrypted; nobody can read it here again.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe_secrets()


class WebhookForm(SlackForm):
    """A channel that tells a machine."""

    kind = ChannelKind.WEBHOOK
    own_fields = ("url", "signing_secret")

    signing_secret = forms.CharField(
        required=False,
        max_length=200,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="whsec_ and base64 of 24 to 64 random bytes; requests are signed with it after "
        "Standard Webhooks. Empty: not signed.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self._stored().get("url"):
            self.fields["url"].help_text = "Stored encrypted; nobody can read it here again."


FORMS: dict[str, type[ChannelForm]] = {
    form.kind.value: form for form in (MailForm, SlackForm, WebhookForm)
}
