"""One form per kind of account; each turns its fields into settings and credentials."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import available_timezones

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from providers.account_faults import faults_of, moved_secret_faults
from providers.adapters.scripted import SCRIPTED
from providers.admin.price_fields import PRICE_COLUMNS, PriceForm
from providers.admin.rule_forms import ListField
from providers.alignment import alignment_in_words
from providers.models import Provider, ProviderKind

if TYPE_CHECKING:
    from providers.services import ProviderFields

NONE, STARTTLS, TLS = "none", "starttls", "tls"
_ZONES = sorted(available_timezones())
_COLUMNS = (
    "from_email",
    "from_name",
    "return_path",
    "is_active",
    "position",
    "hourly_limit",
    "daily_limit",
    "time_zone",
    "max_connections",
    "max_messages_per_connection",
    "monthly_limit",
    "priority_reserve",
    "rate_per_second",
    "warm_up",
    "from_domains",
    "requires_alignment",
    "max_message_bytes",
    "takes_attachments",
    "retry_first_seconds",
    "retry_max_seconds",
    *PRICE_COLUMNS,
)


class PlanField(forms.JSONField):
    """A warm-up plan in one line, empty for none."""

    def __init__(self, **kwargs: Any) -> None:
        example = '{"starts_on": "2026-03-01", "daily": [50, 100, 200]}'
        widget = UnfoldAdminTextInputWidget(attrs={"placeholder": example})
        super().__init__(required=False, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show no plan as nothing."""
        return "" if value is None else super().prepare_value(value)


class ProviderForm(PriceForm, forms.ModelForm[Provider]):
    """What all kinds have in common; on its own, the form of an inbox."""

    kind: ClassVar[ProviderKind] = ProviderKind.INBOX
    #: Title and fields of the kind's own part.
    own_title: ClassVar[str] = ""
    own_fields: ClassVar[tuple[Any, ...]] = ()

    time_zone = forms.ChoiceField(
        choices=[(zone, zone) for zone in _ZONES],
        initial="UTC",
        widget=UnfoldAdminSelectWidget,
        help_text="In which its days begin.",
    )

    warm_up = PlanField(
        label="Warm-up plan",
        help_text="Mails (recipients) per day while the account is new; empty for none.",
    )
    from_domains = ListField(
        label="From domains",
        placeholder="example.com, *.example.org",
        help_text="It sends for these only; empty for any.",
    )

    class Meta:
        model = Provider
        fields = ("owner", "name", *_COLUMNS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "owner" in self.fields:
            self.fields["owner"].empty_label = "Everybody"  # type: ignore[attr-defined] # a choice of users
        if "requires_alignment" in self.fields:
            aligned = alignment_in_words(self.kind, self.instance.owner_id)
            now = f"Aligned now: {aligned}." if aligned else "Now none is: it would take no mail."
            self.fields["requires_alignment"].help_text = (
                f"It sends only for From domains that SPF or DKIM aligns at {self.kind.label}, as "
                f"Sender domains tell. {now}"
            )

    def own_settings(self) -> dict[str, Any]:
        """Return the settings that the form's own fields say."""
        return {}

    def own_secrets(self) -> dict[str, str | None]:
        """Return credentials to be changed: None removes, an absent one stays."""
        return {}

    def clean(self) -> dict[str, Any]:
        """Ask the service for every fault and put each beside its field."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        # Settings this form does not know stay.
        known = set(self.own_settings())
        kept = {k: v for k, v in (self.instance.settings or {}).items() if k not in known}
        fresh = {k: v for k, v in self.own_settings().items() if v is not None and v != ""}
        self.settings = {**kept, **fresh}
        candidate = Provider(
            pk=self.instance.pk,
            kind=self.kind,
            settings=self.settings,
            owner=data.get("owner"),
            name=data["name"].strip(),
            **self.columns(),
        )
        faults = faults_of(candidate, self._secrets_for_check())
        if not self.instance._state.adding:  # noqa: SLF001 - Django's own way to ask
            faults += moved_secret_faults(self.instance, self.settings, self.own_secrets())
        for path, _, text in faults:
            self._add_fault(path, text)
        return data

    def columns(self) -> ProviderFields:
        """Return the account's columns."""
        data = self.cleaned_data
        columns: ProviderFields = {name: data[name] for name in _COLUMNS if name in data}  # type: ignore[assignment]  # names are the fields
        return columns

    def validate_unique(self) -> None:
        """Leave it to the service, which names the field."""

    def validate_constraints(self) -> None:
        """Leave it to the service, which names the field."""

    def _secrets_for_check(self) -> dict[str, str]:
        kept = {} if self.instance._state.adding else dict(self._stored())  # noqa: SLF001 - names are the fields
        merged = {**kept, **self.own_secrets()}
        return {name: value for name, value in merged.items() if value is not None}

    def _stored(self) -> dict[str, str]:
        return self.instance.secrets or {}

    def _add_fault(self, path: str, text: str) -> None:
        field = path.rpartition(".")[2].partition("[")[0]
        field = {"use_ssl": "security", "use_tls": "security"}.get(field, field)
        if field in self.fields:
            self.add_error(field, text)
        else:
            self.add_error(None, f"{path}: {text}")


class SmtpForm(ProviderForm):
    """An SMTP account."""

    kind = ProviderKind.SMTP
    own_title = "SMTP server"
    own_fields = (
        ("host", "port"),
        ("security", "verify_certificate"),
        ("username", "password"),
        ("timeout_seconds", "allow_plaintext_auth"),
    )

    host = forms.CharField(
        max_length=253,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "smtp.example.com"}),
    )
    port = forms.IntegerField(
        min_value=1,
        max_value=65_535,
        initial=587,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="587 with STARTTLS, 465 with TLS, 25 between servers.",
    )
    security = forms.ChoiceField(
        choices=[
            (STARTTLS, "STARTTLS"),
            (TLS, "TLS from the first byte"),
            (NONE, "None: only on this machine or a trusted network"),
        ],
        initial=STARTTLS,
        widget=UnfoldAdminSelectWidget,
    )
    verify_certificate = forms.BooleanField(
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Off only for a server with its own certificate.",
    )
    username = forms.CharField(
        label="User name",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="Empty: no login.",
    )
    password = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )
    timeout_seconds = forms.IntegerField(
        label="Timeout (seconds)",
        min_value=1,
        max_value=600,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="How long to wait for progress; empty: 30.",
    )
    allow_plaintext_auth = forms.BooleanField(
        label="Log in without encryption",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Sends the password readable to anybody on the way. Rarely right.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["password"]
        if self.instance._state.adding:  # noqa: SLF001 - Django's documented way to ask
            field.help_text = "Stored encrypted; nobody can read it here again."
            return
        settings = self.instance.settings or {}
        for name in ("host", "port", "username", "timeout_seconds", "allow_plaintext_auth"):
            self.initial[name] = settings.get(name)
        self.initial["port"] = settings.get("port") or (465 if settings.get("use_ssl") else 587)
        self.initial["verify_certificate"] = settings.get("verify_certificate", True)
        self.initial["security"] = (
            TLS if settings.get("use_ssl") else STARTTLS if settings.get("use_tls") else NONE
        )
        if Provider.objects.filter(pk=self.instance.pk, secrets__isnull=False).exists():
            field.help_text = "One is stored. Leave empty to keep it. Without a user name it goes."
            field.widget.attrs["placeholder"] = "••••••••••"

    def own_settings(self) -> dict[str, Any]:
        """Return server, security and login name."""
        data = self.cleaned_data
        return {
            "host": data["host"],
            "port": data["port"],
            "use_tls": data["security"] == STARTTLS,
            "use_ssl": data["security"] == TLS,
            "verify_certificate": data["verify_certificate"],
            "username": data["username"],
            "timeout_seconds": data["timeout_seconds"],
            "allow_plaintext_auth": data["allow_plaintext_auth"] or None,
        }

    def own_secrets(self) -> dict[str, str | None]:
        """Return the password if one was typed; without a user name none is kept."""
        password = self.cleaned_data["password"]
        if password:
            return {"password": password}
        return {} if self.cleaned_data["username"] else {"password": None}


class SimulatorForm(ProviderForm):
    """A simulator."""

    kind = ProviderKind.SIMULATOR
    own_title = "Simulator"
    own_fields = (("latency_ms", "fail_connect"), "rules")

    latency_ms = forms.IntegerField(
        label="Latency (ms)",
        min_value=0,
        initial=0,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="How long each mail takes.",
    )
    fail_connect = forms.BooleanField(
        label="Refuse connections",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="As if the provider were down.",
    )
    rules = forms.JSONField(
        required=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 12, "class": "ms-code", "spellcheck": "false"}
        ),
        help_text="A JSON list; the first rule that matches a recipient counts, all others are "
        'accepted. For example [{"match": "*@bounce.example", "outcome": "rejected", "reason": '
        '"bad_recipient", "code": 550, "text": "5.1.1 No such user"}, {"match": "*", "fault": '
        '"drop_after_dot"}]. Outcomes: accepted, not_accepted, rejected, unknown. Faults: '
        f"{', '.join(SCRIPTED)}.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rules"].encoder = _Indented  # type: ignore[attr-defined]  # names are the fields
        if not self.instance._state.adding:  # noqa: SLF001 - Django's documented way to ask
            settings = self.instance.settings or {}
            self.initial["latency_ms"] = settings.get("latency_ms") or 0
            self.initial["fail_connect"] = settings.get("fail_connect", False)
            self.initial["rules"] = settings.get("rules") or []

    def own_settings(self) -> dict[str, Any]:
        """Return latency and rules."""
        data = self.cleaned_data
        return {
            "latency_ms": data["latency_ms"],
            "fail_connect": data["fail_connect"] or None,
            "rules": data["rules"] or None,
        }


class _Indented(json.JSONEncoder):
    """JSON that people can read and edit."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


FORMS: dict[str, type[ProviderForm]] = {
    form.kind.value: form for form in (SmtpForm, ProviderForm, SimulatorForm)
}
