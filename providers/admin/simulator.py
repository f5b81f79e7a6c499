"""The routing simulator: a question about a mail that does not exist, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.admin.console import ids_of, signed_in
from accounts.models import ApiKey, User
from mailservice.core.addresses import AddressError, domain_of, normalized, parse_address
from providers.admin.rule_forms import ListField
from providers.mail_types import fault_of_type
from providers.models import Provider
from providers.pricing import MAX_PRICE
from providers.routing import MessageFacts, Snapshot, WhatIf, choose, price_text, suppose
from providers.selectors import take_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from django.http import HttpRequest

    from providers.routing import Candidate

_BYTES_PER_KILOBYTE = 1_000
_MAX_KILOBYTES = 2_000_000
_PRIORITIES = [(1, "1: most urgent"), (2, "2"), (3, "3"), (4, "4"), (5, "5")]


class QuestionForm(forms.Form):
    """The facts of a mail, and for each account what is supposed of it."""

    owner = forms.ModelChoiceField(
        label="Sender",
        queryset=User.objects.order_by("email"),
        widget=UnfoldAdminSelectWidget,
        help_text="Whose mail: decides which accounts and rules count.",
    )
    api_key = forms.ModelChoiceField(
        label="API key",
        queryset=ApiKey.objects.select_related("user").order_by("name"),
        required=False,
        empty_label="None",
        widget=UnfoldAdminSelectWidget,
    )
    from_email = forms.CharField(
        label="From address",
        required=False,
        max_length=320,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "shop@example.com"}),
    )
    to = ListField(placeholder="bob@example.net, …", label="Recipients")
    email_type = forms.CharField(
        initial="transactional", max_length=40, widget=UnfoldAdminTextInputWidget
    )
    tags = ListField(placeholder="none")
    size_kilobytes = forms.IntegerField(
        label="Size in kB",
        initial=10,
        min_value=0,
        max_value=_MAX_KILOBYTES,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    priority = forms.TypedChoiceField(
        choices=_PRIORITIES, initial=3, coerce=int, widget=UnfoldAdminSelectWidget
    )
    pinned = forms.ModelChoiceField(
        label="Pinned provider",
        queryset=Provider.objects.defer("secrets", "settings"),
        required=False,
        empty_label="None",
        widget=UnfoldAdminSelectWidget,
    )
    has_attachments = forms.BooleanField(required=False, widget=UnfoldBooleanSwitchWidget)

    def __init__(self, *args: Any, snapshot: Snapshot, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.snapshot = snapshot
        for state in snapshot.providers:
            key = state.provider_id.hex
            remaining = "no limit" if state.remaining is None else f"{state.remaining:,}"
            self.fields[f"down_{key}"] = forms.BooleanField(
                required=False, widget=UnfoldBooleanSwitchWidget
            )
            self.fields[f"price_{key}"] = forms.DecimalField(
                required=False,
                min_value=0,
                max_value=MAX_PRICE,
                decimal_places=6,
                widget=UnfoldAdminDecimalFieldWidget(
                    attrs={"placeholder": price_text(state.price), "step": "any"}
                ),
            )
            self.fields[f"left_{key}"] = forms.IntegerField(
                required=False,
                min_value=0,
                max_value=2_147_483_647,
                widget=UnfoldAdminIntegerFieldWidget(attrs={"placeholder": remaining}),
            )

    def facts_fields(self) -> Iterator[forms.BoundField]:
        """Yield the fields about the mail."""
        for name in self.base_fields:
            yield self[name]

    def supposed_rows(
        self,
    ) -> Iterator[tuple[str, forms.BoundField, forms.BoundField, forms.BoundField]]:
        """Yield per account its name and its fields: down, price, mails left."""
        for state in self.snapshot.providers:
            key = state.provider_id.hex
            yield state.name, self[f"down_{key}"], self[f"price_{key}"], self[f"left_{key}"]

    def clean_from_email(self) -> str:
        """Return the address in wire form."""
        return self._address("from_email", self.cleaned_data["from_email"])

    def clean_email_type(self) -> str:
        """Return a type that there is."""
        name: str = self.cleaned_data["email_type"]
        if words := fault_of_type(name):
            raise forms.ValidationError(words, code="not_found")
        return name

    def clean_to(self) -> list[str]:
        """Return the addresses in look-up form."""
        return [normalized(self._address("to", text)) for text in self.cleaned_data["to"]]

    def _address(self, field: str, text: str) -> str:
        if not text:
            return ""
        try:
            return parse_address(text).email
        except AddressError as error:
            raise forms.ValidationError(f"{text}: {error.message}", code=field) from None

    def facts(self) -> MessageFacts:
        """Return the mail as the choice sees it."""
        data = self.cleaned_data
        return MessageFacts(
            owner_id=data["owner"].pk,
            email_type=data["email_type"],
            from_email=data["from_email"],
            pinned_provider_id=data["pinned"].pk if data["pinned"] else None,
            api_key_id=data["api_key"].pk if data["api_key"] else None,
            tags=frozenset(data["tags"]),
            recipient_domains=frozenset(map(domain_of, data["to"])),
            size_bytes=data["size_kilobytes"] * _BYTES_PER_KILOBYTE,
            has_attachments=data["has_attachments"],
            priority=data["priority"],
            recipient_count=max(1, len(data["to"])),
        )

    def what_if(self) -> WhatIf:
        """Return what is supposed."""
        ids = {state.provider_id.hex: state.provider_id for state in self.snapshot.providers}

        def given(prefix: str) -> dict[UUID, Any]:
            found = {pk: self.cleaned_data[f"{prefix}_{key}"] for key, pk in ids.items()}
            return {pk: value for pk, value in found.items() if value is not None}

        down = frozenset(pk for pk, is_down in given("down").items() if is_down)
        return WhatIf(down, price=given("price"), remaining=given("left"))


@dataclass(frozen=True, slots=True)
class Row:
    """One account in the answer."""

    candidate: Candidate
    is_chosen: bool
    price: str
    remaining: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Which account would take the mail, in words and as a table."""

    sentence: str
    is_taken: bool
    rule_id: UUID | None
    rule_name: str
    strategy: str
    retry_at: datetime | None
    rows: list[Row]
    #: What would happen as things are, if anything was supposed and that differs.
    otherwise: str


def question_form(request: HttpRequest) -> QuestionForm:
    """Return the form as posted, or empty but for what the address says.

    That is `owner` (an id) and any number of `down` (ids of accounts): so other pages can ask.
    """
    snapshot = take_snapshot(timezone.now())
    if request.method == "POST":
        return QuestionForm(request.POST, snapshot=snapshot)
    initial: dict[str, Any] = {"owner": request.GET.get("owner") or signed_in(request).pk}
    initial |= {f"down_{each.hex}": True for each in ids_of(request.GET.getlist("down"))}
    return QuestionForm(initial=initial, snapshot=snapshot)


def answer(form: QuestionForm) -> Answer:
    """Return the answer to a valid question."""
    facts = form.facts()
    supposed = suppose(form.snapshot, form.what_if())
    decision = choose(facts, supposed)
    actual = choose(facts, form.snapshot)
    differs = actual.provider_id != decision.provider_id
    rule = decision.rule
    return Answer(
        sentence=decision.in_words(),
        is_taken=decision.provider_id is not None,
        rule_id=rule.rule_id if rule else None,
        rule_name=rule.name if rule else "",
        strategy=rule.strategy.label if rule else "",
        retry_at=decision.retry_at,
        rows=[_row(found, decision.provider_id, supposed) for found in decision.candidates],
        otherwise=actual.in_words() if differs else "",
    )


def _row(candidate: Candidate, chosen_id: UUID | None, snapshot: Snapshot) -> Row:
    state = snapshot.by_id[candidate.provider_id]
    return Row(
        candidate=candidate,
        is_chosen=candidate.provider_id == chosen_id,
        price=price_text(Decimal(state.price)),
        remaining=state.remaining,
    )
