"""Templates in and out of the console, as the same files that commands and the API know.

django-import-export, which the console uses for tables, reads and writes rows. A template is no
row: it is a folder of sources in several languages, which has to come back to the octet and is
written into drafts by the services. So this is an own page over `templates_app.exchange`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.contrib import admin, messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from redis.exceptions import RedisError

from accounts.admin.console import ConsoleAdmin, Link, counted, signed_in
from mailservice.core.errors import DomainError, InvalidInputError, NotFoundError
from templates_app.admin.changes import Change, changes
from templates_app.admin.forms import ImportForm
from templates_app.exchange import (
    ImportOptions,
    TemplateData,
    exported,
    files_of,
    import_templates,
    read_zip,
    templates_from,
    templates_in,
    write_zip,
)
from templates_app.exchange.archive import MAX_ARCHIVE_BYTES
from templates_app.lookup import number_of, standings
from templates_app.models import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.db.models import QuerySet

    from templates_app.exchange import Imported

#: Somebody waits for the page; the command takes more.
_MAX_TEXTS = 300
_KEPT_SECONDS = 900
_ZIP_MARK = b"PK"
_DRAFT_FAULT = re.compile(r"(?P<slug>[\w-]+)\.draft\.(?P<locale>[\w-]+)\.(?P<part>\w+)$")
_FIELD_FAULT = re.compile(r"(?P<slug>[\w-]+)\.(?P<field>.+)$")
_ENDS = {"html": "html", "mjml": "mjml", "text": "txt"}
_PLACE = re.compile(r"line (\d+), column (\d+)", re.IGNORECASE)
_TOLD = re.compile(r"^Line \d+, column \d+: | \(line \d+, column \d+\)")


@dataclass(frozen=True, slots=True)
class FileFault:
    """What is wrong with a file; `line` is empty if the place is unknown."""

    file: str
    line: str
    message: str


class TransferPages(ConsoleAdmin[Template]):
    """Export of one, of those ticked; import with a look before."""

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of import and export."""
        wrap, prefix = self.admin_site.admin_view, self.url_prefix
        return [
            path("import/", wrap(self.import_view), name=f"{prefix}_import"),
            path("<uuid:template_id>/export/", wrap(self.export_view), name=f"{prefix}_export"),
            *super().get_urls(),
        ]

    def list_links(self, request: HttpRequest) -> list[Link]:
        """Offer the import to those who may write."""
        links = super().list_links(request)
        if self._may_import(request):
            links.append(Link("Import", self.url("import"), "upload_file"))
        return links

    # --- out --------------------------------------------------------------------------------------

    def export_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Answer a zip of one version: the one asked for, else what is in use, else the draft."""
        template = self.get_or_404(request, str(template_id))
        now = standings([template.pk]).get(template.pk)
        asked = request.GET.get("version", "")
        try:
            number = number_of(template, asked) if asked else (now and (now.published or now.draft))
            return _zip([exported(template, number)], f"{template.slug}.zip")
        except NotFoundError as error:
            raise Http404(error.message) from error
        except DomainError as error:
            messages.error(request, f"Not exported: {error.message}")
            return self.back_to(self.url("change", template.pk))

    @admin.action(description="Export as files", permissions=["view"])
    def export_selected(
        self, request: HttpRequest, queryset: QuerySet[Template]
    ) -> HttpResponse | None:
        """Answer a zip of those ticked: of each what is in use, else the draft."""
        chosen = list(queryset.order_by("slug"))
        slugs = [one.slug for one in chosen]
        if len(set(slugs)) < len(slugs):
            twice = next(slug for slug in slugs if slugs.count(slug) > 1)
            messages.error(request, f"“{twice}” is ticked twice: in files a name is one template.")
            return None
        now = standings([one.pk for one in chosen])
        data = []
        try:
            for one in chosen:
                stands = now.get(one.pk)
                data.append(exported(one, (stands.published or stands.draft) if stands else None))
            return _zip(data, "templates.zip")
        except DomainError as error:
            messages.error(request, f"Not exported: {error.message}")
            return None

    # --- in ---------------------------------------------------------------------------------------

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Take a file, tell what it would change, then do it."""
        if not self._may_import(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._ask(request, ImportForm(may_publish=self._may_publish(request)))
        if "token" in request.POST:
            return self._confirmed(request)
        form = ImportForm(request.POST, request.FILES, may_publish=self._may_publish(request))
        if not form.is_valid():
            return self._ask(request, form)
        file = form.cleaned_data["file"]
        # One octet more than is allowed shows that there are too many.
        data = file.read(MAX_ARCHIVE_BYTES + 1)
        options = _options(request, form.cleaned_data, dry_run=True)
        try:
            templates = _read(data)
            before = _present(templates, options.owner_id)
            done = import_templates(templates, options)
        except DomainError as error:
            return self._ask(request, form, faults_in(error, file.name or "file"))
        token = _keep(data, signed_in(request).pk)
        if token is None:
            form.add_error(None, "The cache does not answer: nothing can be imported now.")
            return self._ask(request, form)
        return self._show(request, form, changes(before, templates, done), token)

    def _may_import(self, request: HttpRequest) -> bool:
        return bool(self.has_add_permission(request) and self.has_change_permission(request))

    def _may_publish(self, request: HttpRequest) -> bool:
        return signed_in(request).has_perm("templates.publish_template")

    def _ask(
        self, request: HttpRequest, form: ImportForm, faults: Iterable[FileFault] = ()
    ) -> HttpResponse:
        return self.page(
            request,
            "console/template_import.html",
            title="Import templates",
            form=form,
            faults=list(faults),
            back=self.url("changelist"),
            media=self.media + form.media,
        )

    def _show(
        self, request: HttpRequest, form: ImportForm, found: list[Change], token: UUID
    ) -> HttpResponse:
        data = form.cleaned_data
        return self.page(
            request,
            "console/template_import_look.html",
            title="Import templates",
            changes=found,
            changing=sum(one.action != "unchanged" for one in found),
            is_published=data["publish"],
            is_shared=data["whose"] == ImportForm.EVERYBODY,
            hidden={
                "token": str(token),
                "whose": data["whose"],
                "publish": "on" if data["publish"] else "",
                "note": data["note"],
            },
            file_name=data["file"].name,
            back=self.url("import"),
            media=self.media,
        )

    def _confirmed(self, request: HttpRequest) -> HttpResponse:
        form = ImportForm(request.POST, may_publish=self._may_publish(request), is_confirmed=True)
        data = _kept(request.POST.get("token", ""), signed_in(request).pk)
        if data is None or not form.is_valid():
            messages.error(request, "The file is no longer here: choose it once more.")
            return self.back_to(self.url("import"))
        options = _options(request, form.cleaned_data, dry_run=False)
        try:
            done = import_templates(_read(data), options)
        except DomainError as error:
            return self._ask(request, form, faults_in(error, "file"))
        self._tell(request, done, options)
        return self.back_to(self.url("changelist"))

    def _tell(self, request: HttpRequest, done: list[Imported], options: ImportOptions) -> None:
        touched = {one.slug: one for one in done if one.action != "unchanged" or one.published}
        written = Template.objects.filter(owner_id=options.owner_id, slug__in=touched)
        self.note(request, written, "Imported.")
        count = {action: sum(one.action == action for one in done) for action in _ACTIONS}
        words = ", ".join(f"{number} {action}" for action, number in count.items() if number)
        messages.success(request, f"{counted(len(done), 'template')} imported: {words}.")


_ACTIONS = ("created", "updated", "unchanged")


def faults_in(error: DomainError, file_name: str) -> list[FileFault]:
    """Return the faults of an import by the file a person finds them in."""
    if not isinstance(error, InvalidInputError):
        return [FileFault(file_name, "", error.message)]
    return [
        _fault(path, str(fault["message"]), file_name)
        for path, faults in error.details.items()
        for fault in faults
    ]


def _fault(path: str, message: str, file_name: str) -> FileFault:
    file, _, member = path.partition(": ")
    if found := _DRAFT_FAULT.match(path):
        end = _ENDS.get(found["part"])
        file = f"{found['slug']}/{found['locale']}.{end}" if end else ""
        member = "" if end else f"texts.{found['locale']}.{found['part']}"
        file = file or f"{found['slug']}/template.json"
    elif "/" not in file and (named := _FIELD_FAULT.match(path)):
        file, member = f"{named['slug']}/template.json", named["field"]
    elif "/" not in file and not file.endswith("template.json"):
        file, member = file_name, "" if path == "file" else path
    place = _PLACE.search(message)
    told = _TOLD.sub("", message)
    told = told[:1].upper() + told[1:]
    line = f"{place[1]}:{place[2]}" if place else ""
    return FileFault(file, line, f"{member}: {told}" if member else told)


def _zip(templates: Iterable[TemplateData], name: str) -> HttpResponse:
    response = HttpResponse(write_zip(files_of(templates)), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store, private"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _options(request: HttpRequest, data: Mapping[str, Any], *, dry_run: bool) -> ImportOptions:
    user = signed_in(request)
    return ImportOptions(
        owner_id=None if data["whose"] == ImportForm.EVERYBODY else user.pk,
        by=user.pk,
        publish=data["publish"],
        note=data["note"],
        dry_run=dry_run,
    )


def _read(data: bytes) -> list[TemplateData]:
    """Return the templates in a zip or JSON file. Raises `InvalidInputError`."""
    if data[:2] == _ZIP_MARK or data.lstrip()[:1] not in {b"{", b"["}:
        templates = templates_in(read_zip(data))
    elif len(data) > MAX_ARCHIVE_BYTES:
        raise InvalidInputError.for_field("file", "The file is too large.", code="too_large")
    else:
        try:
            templates = templates_from(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise InvalidInputError.for_field("file", f"This is not JSON: {error}") from error
    if sum(len(one.texts) for one in templates) > _MAX_TEXTS:
        message = f"At most {_MAX_TEXTS} texts at once here; the command takes more."
        raise InvalidInputError.for_field("file", message, code="too_many")
    return templates


def _present(templates: Iterable[TemplateData], owner_id: UUID | None) -> dict[str, TemplateData]:
    """Return what there is of them, as it stands in the newest version, by name."""
    slugs = [one.slug for one in templates]
    found = list(Template.objects.filter(owner_id=owner_id, slug__in=slugs))
    now = standings([one.pk for one in found])
    present = {}
    for one in found:
        stands = now.get(one.pk)
        present[one.slug] = exported(one, (stands.draft or stands.published) if stands else None)
    return present


def _keep(data: bytes, user_id: object) -> UUID | None:
    """Keep a file until its author has looked; None if that cannot be."""
    token = uuid4()
    try:
        cache.set(_key(user_id, token), data, _KEPT_SECONDS)
    except (RedisError, OSError):
        return None
    return token


def _kept(text: str, user_id: object) -> bytes | None:
    try:
        found = cache.get(_key(user_id, UUID(text)))
    except (ValueError, RedisError, OSError):
        return None
    return found if isinstance(found, bytes) else None


def _key(user_id: object, token: UUID) -> str:
    return f"template-import:{user_id}:{token}"
