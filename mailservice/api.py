"""The routes of the REST API under `/api/v1/` and `/api/`, with or without a final slash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import URLPattern, re_path

from accounts.api.views import Me
from delivery.api.attachments import Attachment, Attachments, Download
from delivery.api.changes import DONE, ChangeEmail, ChangeEmails
from delivery.api.emails import Email, EmailBatch, Emails, EmailsByStatus
from delivery.api.idempotency import idempotent
from delivery.api.suppressions import Suppressions, SuppressionView
from delivery.api.template_tests import TemplateTest
from delivery.api.tracking_refusals import TrackingRefusals
from inbound.api.events import ProviderEvent, ProviderEvents, RetryProviderEvent
from inbound.api.sources import EventAddress, RotateEventAddress, SigningKey, Topic
from providers.api.budgets import Budgets, BudgetView
from providers.api.costs import CostForecast, Costs, CostSplit
from providers.api.performance import Performance
from providers.api.providers import ProviderKinds, Providers, ProviderTest, ProviderView
from providers.api.quotas import Quotas
from providers.api.routing import ExplainRouting, RoutingRules, RoutingRuleView
from providers.api.smtp_configs import SmtpConfig, SmtpConfigs, SmtpConfigTest
from templates_app.api.rendering import Render
from templates_app.api.templates import Draft, DraftLocale, TemplateItem, Templates
from templates_app.api.transfer import Export, Import
from templates_app.api.versions import Diff, Publish, Republish, RollBack, Version, Versions
from verification.api.sender_domains import CheckSenderDomain, SenderDomains, SenderDomainView
from verification.api.validations import (
    Validation,
    ValidationCancel,
    ValidationDownload,
    ValidationResults,
    Validations,
)
from verification.api.verifications import (
    CancelVerification,
    ResendVerification,
    Verifications,
    VerificationSettings,
    VerificationView,
)
from webhooks.api.deliveries import Deliveries, Replay
from webhooks.api.endpoints import Endpoints, EndpointTest, EndpointView, Kinds, RotateSecret

if TYPE_CHECKING:
    from rest_framework.views import APIView

_VERB = f"(?P<verb>{'|'.join(DONE)})"


def _route(pattern: str, view: type[APIView]) -> URLPattern:
    return re_path(rf"^{pattern}/?$", view.as_view())


urlpatterns: list[URLPattern] = [
    _route("emails", idempotent(Emails, locate="email_id")),
    _route("emails/batch", idempotent(EmailBatch)),
    _route("emails/status/(?P<status>[^/]+)", EmailsByStatus),
    _route(f"emails/{_VERB}", idempotent(ChangeEmails)),
    _route("emails/(?P<message_id>[^/]+)", Email),
    _route(f"emails/(?P<message_id>[^/]+)/{_VERB}", idempotent(ChangeEmail)),
    _route("attachments", idempotent(Attachments, locate="id")),
    _route("attachments/(?P<attachment_id>[^/]+)", Attachment),
    _route("attachments/(?P<attachment_id>[^/]+)/download", Download),
    _route("smtp-configs", idempotent(SmtpConfigs, locate="config_id")),
    _route("smtp-configs/(?P<config_id>[^/]+)", SmtpConfig),
    _route("smtp-configs/(?P<config_id>[^/]+)/test", SmtpConfigTest),
    _route("providers", idempotent(Providers, locate="id")),
    _route("providers/kinds", ProviderKinds),
    _route("providers/(?P<provider_id>[^/]+)", ProviderView),
    _route("providers/(?P<provider_id>[^/]+)/test", ProviderTest),
    _route("providers/(?P<provider_id>[^/]+)/event-address", EventAddress),
    _route("providers/(?P<provider_id>[^/]+)/event-address/rotate", RotateEventAddress),
    _route("providers/(?P<provider_id>[^/]+)/event-address/signing-key", SigningKey),
    _route("providers/(?P<provider_id>[^/]+)/event-address/topic", Topic),
    _route("provider-events", ProviderEvents),
    _route("provider-events/(?P<event_id>[^/]+)", ProviderEvent),
    _route("provider-events/(?P<event_id>[^/]+)/retry", RetryProviderEvent),
    _route("quotas", Quotas),
    _route("performance", Performance),
    _route("routing-rules", idempotent(RoutingRules, locate="id")),
    _route("routing-rules/(?P<rule_id>[^/]+)", RoutingRuleView),
    _route("routing/explain", ExplainRouting),
    _route("costs", Costs),
    _route("costs/forecast", CostForecast),
    _route("costs/split", CostSplit),
    _route("budgets", idempotent(Budgets, locate="id")),
    _route("budgets/(?P<budget_id>[^/]+)", BudgetView),
    _route("templates", idempotent(Templates, locate="id")),
    _route("templates/import", idempotent(Import)),
    _route("templates/(?P<name>[^/]+)", TemplateItem),
    _route("templates/(?P<name>[^/]+)/draft", Draft),
    _route("templates/(?P<name>[^/]+)/draft/(?P<locale>[^/]+)", DraftLocale),
    _route("templates/(?P<name>[^/]+)/publish", idempotent(Publish)),
    _route("templates/(?P<name>[^/]+)/republish", idempotent(Republish)),
    _route("templates/(?P<name>[^/]+)/roll-back", idempotent(RollBack)),
    _route("templates/(?P<name>[^/]+)/versions", Versions),
    _route("templates/(?P<name>[^/]+)/versions/(?P<number>[^/]+)", Version),
    _route("templates/(?P<name>[^/]+)/diff", Diff),
    _route("templates/(?P<name>[^/]+)/render", Render),
    _route("templates/(?P<name>[^/]+)/test-send", idempotent(TemplateTest)),
    _route("templates/(?P<name>[^/]+)/export", Export),
    _route("validations", idempotent(Validations)),
    _route("validations/(?P<job_id>[^/]+)", Validation),
    _route("validations/(?P<job_id>[^/]+)/cancel", idempotent(ValidationCancel)),
    _route("validations/(?P<job_id>[^/]+)/results", ValidationResults),
    _route("validations/(?P<job_id>[^/]+)/download", ValidationDownload),
    _route("verifications", idempotent(Verifications, locate="id")),
    _route("verifications/settings", VerificationSettings),
    _route("verifications/(?P<verification_id>[^/]+)", VerificationView),
    _route("verifications/(?P<verification_id>[^/]+)/resend", idempotent(ResendVerification)),
    _route("verifications/(?P<verification_id>[^/]+)/cancel", idempotent(CancelVerification)),
    _route("sender-domains", idempotent(SenderDomains, locate="id")),
    _route("sender-domains/(?P<domain_id>[^/]+)", SenderDomainView),
    _route("sender-domains/(?P<domain_id>[^/]+)/check", CheckSenderDomain),
    _route("suppressions", idempotent(Suppressions)),
    _route("suppressions/(?P<suppression_id>[^/]+)", SuppressionView),
    _route("tracking-refusals", idempotent(TrackingRefusals)),
    _route("webhooks", Endpoints),
    _route("webhooks/kinds", Kinds),
    _route("webhooks/(?P<endpoint_id>[^/]+)", EndpointView),
    _route("webhooks/(?P<endpoint_id>[^/]+)/rotate-secret", RotateSecret),
    _route("webhooks/(?P<endpoint_id>[^/]+)/test", EndpointTest),
    _route("webhooks/(?P<endpoint_id>[^/]+)/deliveries", Deliveries),
    _route("webhooks/(?P<endpoint_id>[^/]+)/replay", Replay),
    _route("me", Me),
]
