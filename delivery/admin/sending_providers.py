"""What delivery adds to the pages of provider accounts: a test mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminEmailInputWidget

from accounts.admin.console import Confirmation, Link, ids_of, show_faults, signed_in
from delivery.intake import MessageInput
from delivery.services.accept import Sender, queue_message
from mailservice.core.addresses import Address, AddressError, domain_of, parse_email
from mailservice.core.errors import DomainError
from providers.admin.accounts import ProviderAdmin
from providers.admin.states import AccountState, state_of
from providers.alignment import alignments
from providers.models import Provider
from providers.routing import NO_ALIGNMENT, is_among

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse


class TestMailForm(forms.Form):
    """To whom the test mail of an account goes."""

    recipient = forms.CharField(
        max_length=320, widget=UnfoldAdminEmailInputWidget, help_text="Gets one short mail."
    )

    def __init__(self, *args: Any, provider: Provider, user_id: UUID, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._provider = provider
        self._user_id = user_id

    def clean(self) -> dict[str, Any]:
        """Refuse a mail that this account would never take on account of its From."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        domains = frozenset(self._provider.from_domains)
        from_email = self._provider.from_email or settings.DEFAULT_FROM_EMAIL
        if domains and not is_among(domain_of(from_email.lower()), domains):
            raise forms.ValidationError(
                f"It sends for its From domains only, and {from_email or 'no address'} is not among"
                " them: give it a From address first."
            )
        domain = domain_of(from_email.lower())
        if self._provider.requires_alignment and not self._is_aligned(domain):
            raise forms.ValidationError(
                f"{domain} is not aligned (SPF or DKIM) at this account: see Sender domains."
            )
        return data

    def _is_aligned(self, domain: str) -> bool:
        found = alignments().get(self._provider.kind, NO_ALIGNMENT)
        return found.covers(domain, self._provider.owner_id or self._user_id)

    def clean_recipient(self) -> str:
        """Return the address as it goes on the wire."""
        try:
            return parse_email(self.cleaned_data["recipient"])
        except AddressError as error:
            raise forms.ValidationError(error.message) from None


class SendingProviderAdmin(ProviderAdmin):
    """The pages of accounts, with “Send test mail”."""

    def get_urls(self) -> list[URLPattern]:
        """Add the page that sends a test mail."""
        send = self.admin_site.admin_view(self.send_test_view)
        return [
            path("<uuid:provider_id>/send-test/", send, name=f"{self.url_prefix}_send_test"),
            *super().get_urls(),
        ]

    def form_links(self, request: HttpRequest, object_id: str | None) -> list[Link]:
        """Offer the test mail and the account's messages."""
        links = super().form_links(request, object_id)
        if not ids_of([object_id or ""]):
            return links
        if self.has_change_permission(request):
            links.append(Link("Send test mail", self.url("send_test", object_id), "send"))
        if request.user.has_perm("delivery.view_message"):
            listing = reverse(f"{self.admin_site.name}:delivery_message_changelist")
            links.append(Link("Messages", f"{listing}?provider={object_id}", "mail"))
        return links

    def send_test_view(self, request: HttpRequest, provider_id: str) -> HttpResponse:
        """Ask for a recipient, then queue a mail that only this account may take."""
        self.require_change(request)
        provider = self.get_or_404(request, provider_id)
        user = signed_in(request)
        form = TestMailForm(
            request.POST or None,
            initial={"recipient": user.email},
            provider=provider,
            user_id=user.pk,
        )
        if request.method == "POST" and form.is_valid():
            try:
                message_id = _queue_test_mail(provider, user.pk, form.cleaned_data["recipient"])
            except DomainError as error:
                show_faults(form, error)
            else:
                self.note(request, [provider], f"Test mail to {form.cleaned_data['recipient']}.")
                messages.success(request, "The test mail is queued.")
                return self.back_to(
                    reverse(f"{self.admin_site.name}:delivery_message_change", args=[message_id])
                )
        confirmation = Confirmation(
            question=f"Send a test mail through “{provider.name}”?",
            effect="One real mail is queued with top priority and pinned to this provider; its "
            f"page then shows what happens. {_delay(provider)}".strip(),
            button="Send test mail",
            back=self.url("change", provider.pk),
            form=form,
        )
        return self.confirm(request, confirmation, obj=provider)


def _delay(provider: Provider) -> str:
    """Return why the mail will have to wait; empty if it need not."""
    state = state_of(provider, timezone.now())
    if state.kind in {AccountState.ACTIVE, AccountState.URGENT_ONLY}:
        return ""
    return f"It will wait: {state.label[0].lower()}{state.label[1:]}. {state.reason}"


def _queue_test_mail(provider: Provider, user_id: UUID, recipient: str) -> UUID:
    at = timezone.now().strftime("%d %B %Y, %H:%M:%S %Z")
    text = (
        f"This is a test mail of the provider “{provider.name}”, sent on {at}.\n\n"
        "If you can read it, the account works.\n"
    )
    message = MessageInput(
        to=(Address(recipient),),
        subject=f"Test mail through {provider.name}",
        text=text,
        headers={},
        metadata={},
        priority=1,
        provider_id=provider.pk,
    )
    # An account of somebody else is used on its owner's behalf.
    owner_id = provider.owner_id or user_id
    return queue_message(message=message, sender=Sender(owner_id)).message_id


admin.site.unregister(Provider)
admin.site.register(Provider, SendingProviderAdmin)
