"""The look of the console: title, colours and navigation of the admin's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.templatetags.static import static
from django.urls import reverse_lazy

if TYPE_CHECKING:
    from django.http import HttpRequest


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    """Return a link to a model's list, shown to those who may view it."""
    app, _, name = model.partition(".")

    def is_allowed(request: HttpRequest) -> bool:
        return bool(request.user.has_perm(f"{app}.view_{name}"))

    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": is_allowed,
    }


def _style(_request: HttpRequest) -> str:
    return static("mailservice/admin.css")


def _script(_request: HttpRequest) -> str:
    return static("mailservice/admin.js")


def _icon(_request: HttpRequest) -> str:
    return static("mailservice/icon.svg")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "mailservice",
    "SITE_HEADER": "mailservice",
    "SITE_SUBHEADER": "Operator console",
    "SITE_URL": None,
    "SITE_SYMBOL": "mail",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _icon}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "DASHBOARD_CALLBACK": "mailservice.admin.dashboard",
    "STYLES": [_style],
    "SCRIPTS": [_script],
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.6)",
            "100": "oklch(93.2% .032 255.6)",
            "200": "oklch(88.2% .059 254.1)",
            "300": "oklch(80.9% .105 251.8)",
            "400": "oklch(70.7% .165 254.6)",
            "500": "oklch(62.3% .214 259.8)",
            "600": "oklch(54.6% .225 262.9)",
            "700": "oklch(48.8% .223 264.4)",
            "800": "oklch(42.4% .189 265.6)",
            "900": "oklch(37.9% .146 265.5)",
            "950": "oklch(28.2% .091 267.9)",
        },
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {
                        "title": "Dashboard",
                        "icon": "monitoring",
                        "link": reverse_lazy("admin:index"),
                    },
                    _item("Alerts", "notifications", "alerts.alert"),
                ],
            },
            {
                "title": "Mail",
                "separator": True,
                "items": [
                    _item("Messages", "mail", "delivery.message"),
                    _item("Opens and clicks", "ads_click", "inbound.hit"),
                    _item("Local inbox", "inbox", "providers.inboxmail"),
                ],
            },
            {
                "title": "Sending",
                "separator": True,
                "items": [
                    _item("Providers", "dns", "providers.provider"),
                    _item("Event addresses", "webhook", "inbound.eventsource"),
                    _item("Provider events", "forum", "inbound.rawevent"),
                    _item("Returned mail", "undo", "inbound.returnedmail"),
                    _item("Bounce mailboxes", "inbox", "inbound.bouncemailbox"),
                    _item("Routing rules", "alt_route", "providers.routingrule"),
                    _item("Costs", "payments", "providers.costday"),
                    _item("Budgets", "savings", "providers.budget"),
                    _item("Domain limits", "speed", "providers.domainlimit"),
                    _item("Slowed-down domains", "hourglass_top", "providers.domainslowdown"),
                    _item("Email types", "category", "delivery.emailtype"),
                    _item("Suppressions", "block", "delivery.suppression"),
                    _item("Tracking refusals", "visibility_off", "delivery.trackingrefusal"),
                ],
            },
            {
                "title": "Content",
                "separator": True,
                "items": [_item("Templates", "article", "templates.template")],
            },
            {
                "title": "Addresses",
                "separator": True,
                "items": [
                    _item("Sender domains", "verified", "verification.senderdomain"),
                    _item("Verifications", "mark_email_read", "verification.verification"),
                    _item("Verification settings", "tune", "verification.verificationprofile"),
                    _item("Validation", "fact_check", "verification.validationjob"),
                    _item("Domain lists", "domain", "verification.domainentry"),
                ],
            },
            {
                "title": "Access",
                "separator": True,
                "items": [
                    _item("Users", "person", "accounts.user"),
                    _item("Roles", "group", "auth.group"),
                    _item("API keys", "key", "accounts.apikey"),
                ],
            },
            {
                "title": "System",
                "separator": True,
                "items": [
                    _item("Webhooks", "webhook", "webhooks.endpoint"),
                    _item("Alert channels", "campaign", "alerts.channel"),
                    _item("Periodic tasks", "schedule", "django_celery_beat.periodictask"),
                    _item("Audit trail", "history", "admin.logentry"),
                ],
            },
        ],
    },
}
