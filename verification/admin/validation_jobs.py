"""Validation jobs with their progress and results, and pages that check a list or one address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.console import Confirmation, Fact, Link, counted, show_faults, signed_in
from accounts.admin.keyset import KeysetAdmin
from mailservice.core.errors import DomainError
from mailservice.core.presentation import moment
from verification.admin.validation_forms import ListForm, TryForm
from verification.models import JobStatus, ValidationJob
from verification.selectors.validation import Place, csv_lines, result_page
from verification.services.validation import validate_many
from verification.services.validation_jobs import (
    cancel_job,
    create_job,
    delete_job,
    table_addresses,
)
from verification.validation import Result, Verdict

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

#: Results on one page.
PAGE_SIZE = 100
TONES = {
    Verdict.VALID: "success",
    Verdict.RISKY: "warning",
    Verdict.INVALID: "danger",
    Verdict.UNKNOWN: "info",
}
_WHAT_NOW = {
    Verdict.VALID: "Nothing speaks against this address.",
    Verdict.RISKY: "Mail may arrive, but look twice.",
    Verdict.INVALID: "Mail cannot arrive.",
    Verdict.UNKNOWN: "The domain could not be looked up; try again later.",
}


@admin.register(ValidationJob)
class ValidationJobAdmin(KeysetAdmin[ValidationJob]):
    """List jobs, start, read, cancel and delete them; try one address."""

    list_display = ("job", "owner", "status_label", "progress", "verdicts", "created")
    list_display_links = ("job",)
    list_filter = ("status", "owner")
    list_filter_submit = True
    list_select_related = ("owner",)
    search_fields = ("name", "owner__email")
    search_help_text = "Name or owner"
    actions = None

    def get_urls(self) -> list[URLPattern]:
        """Add starting, trying, cancelling and the file of results."""
        wrap = self.admin_site.admin_view
        prefix = self.url_prefix
        return [
            path("try/", wrap(self.try_view), name=f"{prefix}_try"),
            path("list/", wrap(self.list_view), name=f"{prefix}_list"),
            path("<uuid:job_id>/cancel/", wrap(self.cancel_view), name=f"{prefix}_cancel"),
            path("<uuid:job_id>/download/", wrap(self.download_view), name=f"{prefix}_download"),
            *super().get_urls(),
        ]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Jobs have no form: they are made of a list, here or through the API."""
        return False

    def list_links(self, request: HttpRequest) -> list[Link]:
        """Offer to check a list, or to try an address."""
        links = [Link("Try an address", self.url("try"), "search_check")]
        if self.has_change_permission(request):
            links.append(Link("Check a list", self.url("list"), "upload"))
        return links

    # --- pages ------------------------------------------------------------------------------------

    def try_view(self, request: HttpRequest) -> HttpResponse:
        """Validate one address; nothing is written, and no mail server is asked."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = TryForm(request.POST or None)
        result = None
        if form.is_bound and form.is_valid():
            budget = float(settings.DNS_TIMEOUT_SECONDS)
            (result,) = validate_many([form.cleaned_data["email"]], budget_seconds=budget)
        return self.page(
            request,
            "console/validation_try.html",
            title="Try an address",
            form=form,
            result=result,
            tone=TONES[result.verdict] if result else "",
            what_now=_WHAT_NOW[result.verdict] if result else "",
            facts=_facts(result) if result else [],
            back=self.url("changelist"),
            media=self.media + form.media,
        )

    def list_view(self, request: HttpRequest) -> HttpResponse:
        """Make a job of a file, in the name of whoever uploads it."""
        self.require_change(request)
        form = ListForm(request.POST or None, request.FILES or None)
        if form.is_bound and form.is_valid():
            file = form.cleaned_data["file"]
            try:
                job = create_job(
                    owner_id=signed_in(request).pk,
                    addresses=table_addresses(file, column=form.cleaned_data["column"]),
                    name=form.cleaned_data["name"] or file.name or "",
                    source="file",
                )
            except DomainError as error:
                show_faults(form, error)
            else:
                self.note(request, [job], "Started.")
                return self.back_to(self.url("change", job.pk))
        return self.page(
            request,
            "console/validation_list.html",
            title="Check a list",
            form=form,
            most=settings.VALIDATION_MAX_ADDRESSES,
            days=settings.VALIDATION_RESULT_DAYS,
            back=self.url("changelist"),
            media=self.media + form.media,
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a job: how far it is and what it has found."""
        del form_url, extra_context
        job = self.get_or_404(request, object_id)
        verdict = request.GET.get("verdict", "")
        try:
            place = Place.from_text(request.GET.get("cursor"))
        except DomainError as error:
            raise Http404(error.message) from None
        page = result_page(
            job, place=place, limit=PAGE_SIZE, verdict=verdict if verdict in set(Verdict) else ""
        )
        return self.page(
            request,
            "console/validation_job.html",
            title=_title(job),
            obj=job,
            job=job,
            name=_title(job),
            status_tone=_status_tones().get(job.status, ""),
            tiles=[
                (each.value, getattr(job, f"{each.value}_count"), TONES[each]) for each in Verdict
            ],
            verdict=verdict,
            rows=[(result, TONES[result.verdict]) for result in page.results],
            # A page that looked for a rare verdict in vain may still have more behind it.
            next_cursor=page.after.text if page.after and page.after != place else "",
            is_first=place == Place(),
            console_links=self._links(request, job),
        )

    def _links(self, request: HttpRequest, job: ValidationJob) -> list[Link]:
        links = [Link("Jobs", self.url("changelist"), "arrow_back")]
        if not job.is_open:
            links.append(Link("Download CSV", self.url("download", job.pk), "download"))
        else:
            links.append(Link("Refresh", self.url("change", job.pk), "refresh"))
        if job.is_open and self.has_change_permission(request):
            links.append(Link("Cancel", self.url("cancel", job.pk), "cancel"))
        if self.has_delete_permission(request, job):
            links.append(Link("Delete", self.url("delete", job.pk), "delete"))
        return links

    def download_view(self, request: HttpRequest, job_id: str) -> StreamingHttpResponse:
        """Return the results as CSV."""
        job = self.get_or_404(request, str(job_id))
        response = StreamingHttpResponse(csv_lines(job), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="validation-{job.pk}.csv"'
        response["Cache-Control"] = "no-store, private"
        return response

    def cancel_view(self, request: HttpRequest, job_id: str) -> HttpResponse:
        """Ask, then stop a job."""
        self.require_change(request)
        job = self.get_or_404(request, str(job_id))
        back = self.url("change", job.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question="Cancel this validation?",
                effect=f"{counted(job.total_count - job.done_count, 'address', 'addresses')} will "
                "not be looked at; what was found stays.",
                button="Cancel the job",
                back=back,
                is_dangerous=True,
            )
            return self.confirm(request, confirmation, obj=job)
        try:
            cancel_job(job)
        except DomainError as error:
            messages.error(request, error.message)
        else:
            self.note(request, [job], "Cancelled.")
            messages.success(request, "The job is cancelled.")
        return self.back_to(back)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, then remove a job with its results."""
        del extra_context
        job = self.get_or_404(request, object_id)
        if not self.has_delete_permission(request, job):
            raise PermissionDenied
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Delete “{_title(job)}”?",
                effect="Its addresses and results go; if it still runs, it stops.",
                button="Delete",
                back=self.url("change", job.pk),
                is_dangerous=True,
            )
            return self.confirm(request, confirmation, obj=job)
        self.note(request, [job], "", is_deletion=True)
        delete_job(job)
        messages.success(request, "The job is deleted.")
        return self.back_to(self.url("changelist"))

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Job")
    def job(self, job: ValidationJob) -> str:
        """Return the name, or how many addresses it has."""
        return _title(job)

    @display(
        description="Status",
        label={"queued": "", "running": "info", "finished": "success", "cancelled": "warning"},
    )
    def status_label(self, job: ValidationJob) -> tuple[str, str]:
        """Return where it is."""
        return job.status, job.get_status_display()

    @display(description="Done")
    def progress(self, job: ValidationJob) -> SafeString:
        """Return how far it is, as a bar."""
        return format_html(
            '<span class="ms-quota"><b>{}</b> of {}'
            '<progress class="ms-progress" max="100" value="{}"></progress></span>',
            f"{job.done_count:,}",
            f"{job.total_count:,}",
            job.percent,
        )

    @display(description="Valid · risky · invalid · unknown")
    def verdicts(self, job: ValidationJob) -> str:
        """Return the counts."""
        counts = (job.valid_count, job.risky_count, job.invalid_count, job.unknown_count)
        return " · ".join(f"{count:,}" for count in counts)

    @display(description="Created")
    def created(self, job: ValidationJob) -> SafeString:
        """Return when it was made."""
        return moment(job.created_at)


def _title(job: ValidationJob) -> str:
    """Return what people know a job by: ids tell them nothing."""
    return job.name or counted(job.total_count, "address", "addresses")


def _status_tones() -> dict[str, str]:
    return {
        JobStatus.RUNNING.value: "info",
        JobStatus.FINISHED.value: "success",
        JobStatus.CANCELLED.value: "warning",
    }


def _facts(result: Result) -> list[Fact]:
    """Return what was looked at, in words."""
    checks = result.as_json()["checks"]
    words = {True: "yes", False: "no", None: "not looked at"}
    return [
        Fact("Sent to", result.normalized or "nothing", is_code=bool(result.normalized)),
        Fact("Syntax", checks["syntax"]),
        Fact("Domain", checks["domain"].replace("_", " ")),
        Fact("Mail route", _ROUTES[checks["mx"]]),
        Fact("Disposable", words[checks["disposable"]]),
        Fact("Role", words[checks["role"]]),
        Fact("Free provider", words[checks["free"]]),
        Fact("Duplicate key", result.duplicate_key or "none", is_code=bool(result.duplicate_key)),
    ]


_ROUTES = {
    "mx": "MX records",
    "address": "no MX, but an address record",
    "null": "null MX: takes no mail",
    "none": "none",
    "unknown": "not known",
    "not_checked": "not looked at",
}
