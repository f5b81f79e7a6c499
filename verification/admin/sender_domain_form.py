"""The form of a sender domain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.models import User
from verification.domains.conventions import CONVENTIONS

if TYPE_CHECKING:
    from mailservice.core.errors import DomainError
    from verification.models import SenderDomain

_TYPES = ("TXT", "CNAME")
#: Providers as people write them.
_KINDS = {name.lower(): kind for kind, entry in CONVENTIONS.items() for name in (kind, entry.label)}


class SenderDomainForm(forms.Form):
    """What is expected of a domain; the service checks it."""

    domain = forms.CharField(
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "example.com"}),
        max_length=253,
        help_text="What stands behind the @ of the From.",
    )
    owner = forms.ModelChoiceField(
        User.objects.filter(is_active=True),
        required=False,
        empty_label="Everybody",
        widget=UnfoldAdminSelectWidget,
        help_text="Whose mail it counts for, and who sees it by API.",
    )
    providers = forms.MultipleChoiceField(
        required=False,
        choices=[(kind, entry.label) for kind, entry in CONVENTIONS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Who sends for it. What they want in the DNS is known and added.",
    )
    dkim = forms.CharField(
        label="DKIM keys",
        required=False,
        max_length=50_000,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 4, "placeholder": "s1 CNAME s1.domainkey.u123.wl456.sendgrid.net"}
        ),
        help_text="One per line: selector, TXT or CNAME, and the value that the provider shows. "
        "Without a value any valid key will do. If several providers hand out keys, put before "
        "each whose it is, such as “sendgrid:”.",
    )
    spf_includes = forms.CharField(
        label="SPF includes",
        required=False,
        max_length=3_000,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "_spf.example.net"}),
        help_text="Further names that the SPF record has to include.",
    )
    return_path_domain = forms.CharField(
        label="Return path",
        required=False,
        max_length=253,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "bounces.example.com"}),
        help_text="Where bounces go, if not to the domain itself.",
    )
    return_path_target = forms.CharField(
        label="Return path leads to",
        required=False,
        max_length=253,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "pm.mtasv.net"}),
        help_text="The CNAME's target; empty where MX and SPF stand there instead.",
    )

    def values(self) -> dict[str, Any]:
        """Return what was entered as the service takes it."""
        data = self.cleaned_data
        return {
            "domain": data["domain"],
            "providers": data["providers"],
            "dkim": [_key(line) for line in data["dkim"].splitlines() if line.strip()],
            "spf_includes": [part for part in re.split(r"[\s,]+", data["spf_includes"]) if part],
            "return_path_domain": data["return_path_domain"],
            "return_path_target": data["return_path_target"],
        }

    def show(self, error: DomainError) -> None:
        """Put the service's refusal beside the fields."""
        for path, faults in error.details.items():
            field, bracket, _ = path.partition("[")
            number = re.search(r"\[(\d+)\]", path)
            line = f"Entry {int(number[1]) + 1}: " if bracket and number else ""
            for fault in faults:
                self.add_error(field if field in self.fields else None, f"{line}{fault['message']}")
        if not error.details:
            self.add_error(None, error.message)


def initial_of(row: SenderDomain) -> dict[str, Any]:
    """Return what the form shows of a domain."""
    return {
        "domain": row.domain,
        "owner": row.owner_id,
        "providers": row.providers,
        "dkim": "\n".join(
            f"{key['provider']}: {key['selector']} {key['type']} {key['value']}".removeprefix(
                ": "
            ).strip()
            for key in row.dkim
        ),
        "spf_includes": ", ".join(row.spf_includes),
        "return_path_domain": row.return_path_domain,
        "return_path_target": row.return_path_target,
    }


def _key(line: str) -> dict[str, str]:
    provider, colon, rest = line.partition(":")
    kind = _KINDS.get(provider.strip().lower(), "") if colon else ""
    if not kind:  # values hold colons, too
        rest = line
    selector, _, rest = rest.strip().partition(" ")
    word, _, value = rest.strip().partition(" ")
    if word.upper() not in _TYPES:
        word, value = "TXT", rest
    return {
        "selector": selector,
        "type": word.upper(),
        "value": value.strip(),
        "provider": kind,
    }
