"""The console as a whole: the dashboard, and the pages of packages that know no theme."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django.utils import timezone
from django_celery_beat.admin import ClockedScheduleAdmin as StockClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as StockCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as StockPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin.console import ConsoleAdmin
from alerts.selectors import open_alerts
from delivery.admin.figures import dashboard_figures
from mailservice.core.presentation import moment
from providers.admin.figures import quotas_of, short_kind
from providers.models import Provider

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

#: More accounts than these are a list, not a picture.
MAX_PROVIDER_CARDS = 12
#: The list shows the rest.
MAX_ALERTS = 5


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the figures of the index page, as far as the user may see them.

    With `?fragment` the page is rendered without its frame, for the script that refreshes it.
    """
    user = request.user
    context["is_fragment"] = "fragment" in request.GET
    if user.has_perm("delivery.view_message"):
        context["figures"] = dashboard_figures()
    if user.has_perm("providers.view_provider"):
        now = timezone.now()
        providers = Provider.objects.select_related("usage").defer("secrets", "settings")
        context["provider_cards"] = [
            (provider, short_kind(provider.kind), *quotas_of(provider, now))
            for provider in providers[:MAX_PROVIDER_CARDS]
        ]
    if user.has_perm("alerts.view_alert"):
        context["alerts"] = open_alerts(MAX_ALERTS)
    context["read_at"] = timezone.now()
    return context


class _TaskSelectWidget(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The registered tasks, in the theme's clothes."""


class _PeriodicTaskForm(PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = _TaskSelectWidget()


class PeriodicTaskAdmin(StockPeriodicTaskAdmin, ConsoleAdmin[PeriodicTask]):
    """What beat does, and when; changes take effect within seconds."""

    form = _PeriodicTaskForm
    change_form_template = "console/change_form.html"  # the package's own has an inline script
    list_display = ("name", "enabled", "scheduler", "last_run", "total_run_count", "one_off")

    @display(description="Last run")
    def last_run(self, task: PeriodicTask) -> SafeString:
        """Return when beat last sent it."""
        return moment(task.last_run_at)


class ScheduleAdmin(ConsoleAdmin[Any]):
    """A schedule that tasks refer to."""


class CrontabScheduleAdmin(StockCrontabScheduleAdmin, ConsoleAdmin[CrontabSchedule]):
    """A schedule in the manner of cron."""


class ClockedScheduleAdmin(StockClockedScheduleAdmin, ConsoleAdmin[ClockedSchedule]):
    """A moment at which a task runs once."""


for _model, _admin in (
    (PeriodicTask, PeriodicTaskAdmin),
    (IntervalSchedule, ScheduleAdmin),
    (CrontabSchedule, CrontabScheduleAdmin),
    (SolarSchedule, ScheduleAdmin),
    (ClockedSchedule, ClockedScheduleAdmin),
):
    with suppress(NotRegistered):
        admin.site.unregister(_model)
    admin.site.register(_model, _admin)
