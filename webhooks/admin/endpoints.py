"""Endpoints: their state, what they were told, and what an operator does about it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.urls import URLPattern, path
from unfold.decorators import display

from accounts.admin.console import Confirmation, Fact, Link, ids_of, show_faults, signed_in
from accounts.admin.deletion import DeletingAdmin
from mailservice.core.errors import DomainError, NotFoundError
from mailservice.core.presentation import moment
from mailservice.core.sql import database_now
from webhooks.admin.forms import EndpointForm, NewEndpointForm, values_of
from webhooks.models import Delivery, DeliveryState, Endpoint
from webhooks.selectors import logs_of
from webhooks.services.deliveries import replay_one, replay_range, send_test
from webhooks.services.endpoints import (
    create_endpoint,
    delete_endpoint,
    rotate_secret,
    update_endpoint,
)

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

#: Deliveries on an endpoint's page.
SHOWN = 25
_REPLAYED = timedelta(days=7)
ACTIVE, FAILING, OFF = "active", "failing", "off"
_TONES = {
    DeliveryState.PENDING: "info",
    DeliveryState.DELIVERED: "success",
    DeliveryState.FAILED: "danger",
}


@admin.register(Endpoint)
class EndpointAdmin(DeletingAdmin[Endpoint]):
    """List, make, change, try, replay, rotate, switch and delete endpoints."""

    list_display = ("endpoint", "owner", "state", "hears_of", "failing", "created")
    list_filter = ("is_active", "reaches_all")
    list_filter_submit = True
    list_select_related = ("owner",)
    search_fields = ("url", "description", "owner__email")
    search_help_text = "URL, description or user"
    ordering = ("-id",)
    sortable_by = ()
    actions = None
    empty_title = "Nobody is told of what happens to mail"
    empty_text = (
        "An endpoint is an address of an application that is told, signed, of deliveries, bounces, "
        "clicks and more. Applications make theirs by the API, or you make one here."
    )
    empty_icon = "webhook"
    deleted_noun = "endpoint"
    deletion_effect = "It is told nothing any more, not even what still waits for it."

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that do something."""
        pages = {
            "test": self.test_view,
            "replay": self.replay_view,
            "rotate": self.rotate_view,
            "switch": self.switch_view,
            "edit": self.edit_view,
        }
        own = [
            path(
                f"<uuid:endpoint_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"{self.url_prefix}_{name}",
            )
            for name, view in pages.items()
        ]
        return [*own, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave the secrets where they are."""
        return super().get_queryset(request).defer("secret", "previous_secret")

    # --- pages ------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for what it needs; the answer to the POST is the only page with the secret."""
        del form_url, extra_context
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewEndpointForm(request.POST or None, initial={"user": signed_in(request).pk})
        if request.method == "POST" and form.is_valid():
            owner = form.cleaned_data["user"]
            try:
                made = create_endpoint(owner_id=owner.pk, values=form.changes())
            except DomainError as error:
                show_faults(form, error)
            else:
                self.note(request, [made.endpoint], "Created.")
                return self._secret_page(request, made.endpoint, made.secret)
        return self.form_page(request, form, title="New webhook endpoint", button="Save")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show an endpoint and what it was told lately."""
        del form_url, extra_context
        endpoint = self.get_or_404(request, object_id)
        rows = Delivery.objects.filter(endpoint_id=endpoint.pk).select_related("occurrence")
        deliveries = list(rows.order_by("-pk")[:SHOWN])
        logs = logs_of([each.pk for each in deliveries])
        may_change = self.has_change_permission(request, endpoint)
        return self.page(
            request,
            "console/webhook_endpoint.html",
            title=endpoint.url,
            obj=endpoint,
            endpoint=endpoint,
            facts=_facts(endpoint),
            deliveries=[
                {
                    "row": each,
                    "label": DeliveryState(each.status).label,
                    "tone": _TONES[DeliveryState(each.status)],
                    "payload": json.dumps(each.occurrence.payload, indent=2, ensure_ascii=False),
                    "log": logs[each.pk],
                }
                for each in deliveries
            ],
            may_replay=may_change,
            replay_url=self.url("replay", endpoint.pk),
            console_links=self._links(request, endpoint) if may_change else [],
        )

    def _links(self, request: HttpRequest, endpoint: Endpoint) -> list[Link]:
        switch = ("Disable", "pause") if endpoint.is_active else ("Enable", "play_arrow")
        links = [
            Link("Send test", self.url("test", endpoint.pk), "send"),
            Link("Replay failed", self.url("replay", endpoint.pk), "replay"),
            Link("Rotate secret", self.url("rotate", endpoint.pk), "key"),
            Link(switch[0], self.url("switch", endpoint.pk), switch[1]),
            Link("Edit", self.url("edit", endpoint.pk), "edit"),
        ]
        if self.has_delete_permission(request, endpoint):
            links.append(Link("Delete", self.url("delete", endpoint.pk), "delete"))
        return links

    def edit_view(self, request: HttpRequest, endpoint_id: str) -> HttpResponse:
        """Change an endpoint."""
        self.require_change(request)
        endpoint = self.get_or_404(request, endpoint_id)
        back = self.url("change", endpoint.pk)
        form = EndpointForm(request.POST or None, initial=values_of(endpoint))
        if request.method == "POST" and form.is_valid():
            try:
                update_endpoint(endpoint.pk, form.changes())
            except DomainError as error:
                show_faults(form, error)
            else:
                self.note(request, [endpoint], "Changed.")
                messages.success(request, "The endpoint is changed.")
                return self.back_to(back)
        return self.form_page(
            request, form, title="Change webhook endpoint", button="Save", obj=endpoint
        )

    def test_view(self, request: HttpRequest, endpoint_id: str) -> HttpResponse:
        """Ask, then send a test and tell how it went."""
        self.require_change(request)
        endpoint = self.get_or_404(request, endpoint_id)
        if request.method != "POST":
            return self._ask(
                request,
                endpoint,
                "Send a test to this endpoint?",
                "It gets a webhook.test, once. This can take ten seconds if nobody answers.",
                "Send now",
            )
        _, result = send_test(endpoint.pk)
        self.note(request, [endpoint], "Test sent.")
        if result.is_ok:
            messages.success(
                request, f"Taken: HTTP {result.code} after {result.duration_ms:,} milliseconds."
            )
        else:
            messages.error(request, f"The test failed. {result.error}")
        return self.back_to(self.url("change", endpoint.pk))

    def replay_view(self, request: HttpRequest, endpoint_id: str) -> HttpResponse:
        """Ask, then have what failed, or one delivery, sent again."""
        self.require_change(request)
        endpoint = self.get_or_404(request, endpoint_id)
        one = request.GET.get("delivery", "")
        if request.method != "POST":
            what = "this delivery" if one else f"what failed in the last {_REPLAYED.days} days"
            return self._ask(
                request,
                endpoint,
                f"Send {what} again?",
                "Requests carry the ids they had, so a receiver that remembers them is not told "
                "twice. An endpoint that is off gets them once it is enabled.",
                "Replay",
            )
        try:
            count = self._replay(endpoint, one)
        except DomainError as error:
            messages.error(request, error.message)
        else:
            self.note(request, [endpoint], f"Replayed {count} deliveries.")
            messages.success(request, f"To be sent again: {count:,}.")
        return self.back_to(self.url("change", endpoint.pk))

    def _replay(self, endpoint: Endpoint, delivery_id: str) -> int:
        if delivery_id:
            found = ids_of([delivery_id])
            if not found:
                raise NotFoundError("There is no such delivery.")
            replay_one(endpoint_id=endpoint.pk, delivery_id=found[0])
            return 1
        now = database_now()
        done = replay_range(
            endpoint_id=endpoint.pk,
            since=now - _REPLAYED,
            until=now,
            statuses=[DeliveryState.FAILED.value],
        )
        return done.count

    def rotate_view(self, request: HttpRequest, endpoint_id: str) -> HttpResponse:
        """Ask, then show a new secret, this once."""
        self.require_change(request)
        endpoint = self.get_or_404(request, endpoint_id)
        if request.method != "POST":
            return self._ask(
                request,
                endpoint,
                "Make a new secret?",
                "For 24 hours requests are signed with the old and the new one. A secret from an "
                "earlier rotation stops at once.",
                "Rotate secret",
            )
        made = rotate_secret(endpoint.pk)
        self.note(request, [endpoint], "Secret rotated.")
        return self._secret_page(request, endpoint, made.secret)

    def switch_view(self, request: HttpRequest, endpoint_id: str) -> HttpResponse:
        """Ask, then enable or disable an endpoint."""
        self.require_change(request)
        endpoint = self.get_or_404(request, endpoint_id)
        is_on = endpoint.is_active
        if request.method != "POST":
            effect = (
                "What happens while it is off is never told to it; what waits is sent later."
                if is_on
                else "It hears of what happens from now on, and gets what still waits for it."
            )
            verb = "Disable" if is_on else "Enable"
            # What was asked is what is done, whatever others did meanwhile.
            wanted = [("active", "" if is_on else "on")]
            return self._ask(request, endpoint, f"{verb} this endpoint?", effect, verb, wanted)
        wants_on = request.POST.get("active") == "on"
        update_endpoint(endpoint.pk, {"is_active": wants_on})
        self.note(request, [endpoint], "Enabled." if wants_on else "Disabled.")
        messages.success(request, f"The endpoint is {'enabled' if wants_on else 'disabled'}.")
        return self.back_to(self.url("change", endpoint.pk))

    def delete_by_service(self, obj: Endpoint) -> None:
        """Delete an endpoint."""
        delete_endpoint(obj.pk)

    # --- parts ------------------------------------------------------------------------------------

    def _ask(
        self,
        request: HttpRequest,
        endpoint: Endpoint,
        question: str,
        effect: str,
        button: str,
        hidden: list[tuple[str, str]] | None = None,
    ) -> HttpResponse:
        confirmation = Confirmation(
            question=question,
            effect=effect,
            button=button,
            back=self.url("change", endpoint.pk),
            items=[endpoint.url],
            hidden=hidden or (),
        )
        return self.confirm(request, confirmation, obj=endpoint)

    def _secret_page(self, request: HttpRequest, endpoint: Endpoint, secret: str) -> HttpResponse:
        return self.page(
            request,
            "console/webhook_secret.html",
            title="The endpoint's secret",
            secret=secret,
            back=self.url("change", endpoint.pk),
        )

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Endpoint", header=True)
    def endpoint(self, endpoint: Endpoint) -> list[str]:
        """Return URL and description."""
        return [endpoint.url, endpoint.description]

    @display(description="State", label={ACTIVE: "success", FAILING: "warning", OFF: "danger"})
    def state(self, endpoint: Endpoint) -> tuple[str, str]:
        """Tell how it stands."""
        if not endpoint.is_active:
            return OFF, "Disabled"
        return (FAILING, "Failing") if endpoint.failing_since else (ACTIVE, "Active")

    @display(description="Is told of")
    def hears_of(self, endpoint: Endpoint) -> str:
        """Return the kinds, short."""
        what = f"{len(endpoint.kinds)} kinds" if endpoint.kinds else "everything"
        if len(endpoint.kinds) == 1:
            what = endpoint.kinds[0]
        return f"{what}, everybody's" if endpoint.reaches_all else what

    @display(description="Failing since")
    def failing(self, endpoint: Endpoint) -> SafeString:
        """Return since when nothing was taken."""
        return moment(endpoint.failing_since, empty="not")

    @display(description="Created")
    def created(self, endpoint: Endpoint) -> SafeString:
        """Return when it was made."""
        return moment(endpoint.created_at)


def _facts(endpoint: Endpoint) -> list[Fact]:
    facts = [
        Fact("URL", endpoint.url, is_code=True),
        Fact("Description", endpoint.description or "none"),
        Fact("User", str(endpoint.owner)),
        Fact("Mail", "everybody's" if endpoint.reaches_all else "its user's"),
        Fact("Is told of", ", ".join(endpoint.kinds) or "everything"),
        Fact("Created", endpoint.created_at),
    ]
    if endpoint.disabled_at:
        facts.append(Fact("Disabled", endpoint.disabled_at, hint=endpoint.disabled_reason))
    if endpoint.failing_since:
        facts.append(Fact("Failing since", endpoint.failing_since))
    if endpoint.paused_until:
        facts.append(Fact("Paused until", endpoint.paused_until, hint="The receiver asked for it."))
    if endpoint.previous_secret_expires_at:
        facts.append(Fact("Old secret signs until", endpoint.previous_secret_expires_at))
    return facts
