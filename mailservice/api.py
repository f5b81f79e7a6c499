"""The routes of the REST API under `/api/v1/` and `/api/`, with or without a final slash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import URLPattern, re_path

from accounts.api.views import Me
from delivery.api.attachments import Attachment, Attachments, Download
from delivery.api.changes import DONE, ChangeEmail, ChangeEmails
from delivery.api.emails import Email, EmailBatch, Emails, EmailsByStatus
from delivery.api.idempotency import idempotent
from providers.api.budgets import Budgets, BudgetView
from providers.api.costs import CostForecast, Costs, CostSplit
from providers.api.performance import Performance
from providers.api.providers import ProviderKinds, Providers, ProviderTest, ProviderView
from providers.api.quotas import Quotas
from providers.api.routing import ExplainRouting, RoutingRules, RoutingRuleView
from providers.api.smtp_configs import SmtpConfig, SmtpConfigs, SmtpConfigTest

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
    _route("me", Me),
]
