"""Templates in and out of the console: what is shown before, what is done, what is refused."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.models import User
from templates_app.exchange import exported, files_of, write_zip
from templates_app.models import Template, TemplateVersion
from templates_app.services import create_template, publish, save_draft


def url(page: str, *args: object) -> str:
    return reverse(f"admin:templates_template_{page}", args=args)


def write(template: Template, html: str, locale: str = "", **fields: Any) -> None:
    text = {"subject": "Hi", "text": "", "format": "html", **fields}
    save_draft(template_id=template.pk, locale=locale, html=html, **text)


@pytest.fixture
def welcome(db: None) -> Template:
    made = create_template(owner_id=None, slug="welcome", title="Welcome")
    write(made, "<p>one</p>")
    publish(template_id=made.pk, by=None)
    return made


def zipped(**templates: dict[str, str]) -> bytes:
    """Return a zip of templates in HTML by name and language."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for slug, texts in templates.items():
            manifest = {
                "mailservice_template": 1, "slug": slug, "kind": "mail", "title": slug.title(),
                "language": "en",
                "texts": {name: {"subject": "Hi", "format": "html"} for name in texts},
            }  # fmt: skip
            archive.writestr(f"{slug}/template.json", json.dumps(manifest))
            for name, html in texts.items():
                archive.writestr(f"{slug}/{name}.html", html)
    return made.getvalue()


def upload(client: Client, data: bytes, name: str = "mails.zip", **fields: str) -> Any:
    file = SimpleUploadedFile(name, data)
    return client.post(url("import"), {"file": file, "whose": "everybody", **fields})


def confirm(client: Client, answer: Any, **fields: str) -> Any:
    return client.post(url("import"), {**answer.context["hidden"], **fields})


# --- out ------------------------------------------------------------------------------------------


def test_one_template_is_exported_as_it_is_in_use_or_in_a_version(
    root: Client, welcome: Template
) -> None:
    write(welcome, "<p>two</p>")
    answer = root.get(url("export", welcome.pk))
    assert answer["Content-Disposition"] == 'attachment; filename="welcome.zip"'
    assert answer["Content-Type"] == "application/zip"
    assert answer.content == write_zip(files_of([exported(welcome, 1)]))
    draft = root.get(url("export", welcome.pk), {"version": "2"})
    assert draft.content == write_zip(files_of([exported(welcome, 2)]))
    assert root.get(url("export", welcome.pk), {"version": "9"}).status_code == 404


def test_those_ticked_are_exported_together(root: Client, welcome: Template) -> None:
    other = create_template(owner_id=None, slug="receipt")
    ticked = {"action": "export_selected", "_selected_action": [welcome.pk, other.pk]}
    answer = root.post(url("changelist"), ticked)
    assert answer.content == write_zip(files_of([exported(other, None), exported(welcome, 1)]))


def test_two_templates_of_one_name_are_not_mixed_up(
    root: Client, welcome: Template, superuser: User
) -> None:
    own = create_template(owner_id=superuser.pk, slug="welcome")
    ticked = {"action": "export_selected", "_selected_action": [welcome.pk, own.pk]}
    answer = root.post(url("changelist"), ticked, follow=True)
    assert "“welcome” is ticked twice" in answer.content.decode()


# --- in -------------------------------------------------------------------------------------------


def test_what_files_cannot_hold_is_said_and_nothing_breaks(root: Client, welcome: Template) -> None:
    odd = create_template(owner_id=None, slug="odd")
    TemplateVersion.objects.create(template=odd, number=1, locale="default", subject="Hi")
    said = "Not exported: A language cannot be called &#x27;default&#x27;."
    answer = root.get(url("export", odd.pk), follow=True)
    assert said in answer.content.decode()
    ticked = {"action": "export_selected", "_selected_action": [str(welcome.pk), str(odd.pk)]}
    assert said in root.post(url("changelist"), ticked, follow=True).content.decode()


def test_what_would_change_is_shown_and_nothing_is_written(root: Client, welcome: Template) -> None:
    answer = upload(
        root,
        zipped(welcome={"default": "<p>1</p>\n<p>2</p>"}, news={"de": "<p>x</p>", "default": "y"}),
    )
    shown = {one.slug: (one.action, one.lines) for one in answer.context["changes"]}
    assert shown == {
        "news": ("created", ("languages: default, de",)),
        "welcome": ("updated", ("details: language", "default: html +2 -1")),
    }
    assert Template.objects.count() == 1
    assert welcome.versions.count() == 1


def test_a_confirmed_import_writes_drafts_and_says_so(root: Client, welcome: Template) -> None:
    answer = upload(root, zipped(welcome={"default": "<p>1</p>"}, news={"default": "<p>x</p>"}))
    done = confirm(root, answer)
    assert done.status_code == 302
    assert welcome.versions.get(published_at__isnull=True).html == "<p>1</p>"
    assert Template.objects.get(slug="news").owner_id is None
    assert LogEntry.objects.filter(change_message="Imported.").count() == 2
    told = root.get(done.url).content.decode()
    assert "2 templates imported: 1 created, 1 updated." in told


def test_the_same_import_twice_changes_nothing(root: Client, welcome: Template) -> None:
    same = write_zip(files_of([exported(welcome, 1)]))
    answer = upload(root, same)
    assert [one.action for one in answer.context["changes"]] == ["unchanged"]
    assert "Import 1 template" not in answer.content.decode()
    confirm(root, answer)
    confirm(root, answer)
    assert welcome.versions.count() == 1


def test_own_templates_are_written_beside_shared_ones_and_published_if_wished(
    root: Client, welcome: Template, superuser: User
) -> None:
    data = zipped(welcome={"default": "<p>mine</p>"})
    answer = upload(root, data, whose="mine", publish="on", note="from files")
    assert answer.context["changes"][0].published == 1
    confirm(root, answer)
    own = Template.objects.get(slug="welcome", owner=superuser)
    version = own.versions.get()
    assert (version.note, version.published_by_id) == ("from files", superuser.pk)
    assert welcome.versions.count() == 1


def test_a_json_file_is_taken_too(root: Client, db: None) -> None:
    given = {
        "mailservice_template": 1, "slug": "note", "kind": "mail", "language": "en",
        "texts": {"default": {"subject": "Hi", "html": "<p>x</p>"}},
    }  # fmt: skip
    answer = upload(root, json.dumps({"templates": [given]}).encode(), "note.json")
    assert [one.slug for one in answer.context["changes"]] == ["note"]


def test_faults_are_told_by_file_and_line(root: Client, welcome: Template) -> None:
    data = zipped(
        welcome={"default": "<p>fine</p>", "de": "<p>\n{% if %}</p>"}, news={"default": "{{ x"}
    )
    answer = upload(root, data)
    found = {(one.file, one.line) for one in answer.context["faults"]}
    assert found == {("welcome/de.html", "2:4"), ("news/default.html", "1:1")}
    assert "token" not in answer.context
    assert welcome.versions.count() == 1


@pytest.mark.parametrize(
    ("data", "file", "words"),
    [
        (b"PK no zip", "mails.zip", "no zip archive"),
        (b"\x00\x01", "mails.zip", "no zip archive"),
        (b"{", "mails.zip", "not JSON"),
        (zipped(), "mails.zip", "no template in it"),
        (zipped(**{"a-b": {"nope!": "x"}}), "a-b/template.json", "nope!"),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(
    root: Client, db: None, data: bytes, file: str, words: str
) -> None:
    faults = upload(root, data).context["faults"]
    assert faults[0].file == file
    assert words in faults[0].message


def test_names_in_a_hostile_file_are_escaped(root: Client, db: None) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("<script>alert(1)</script>/x.html", "x")
    page = upload(root, made.getvalue()).content.decode()
    assert "<script>alert" not in page


def test_an_empty_file_or_none_is_asked_for_again(root: Client, db: None) -> None:
    assert "file" in upload(root, b"").context["form"].errors
    answer = root.post(url("import"), {"whose": "everybody"})
    assert "file" in answer.context["form"].errors


def test_a_file_that_is_gone_or_somebody_elses_is_asked_for_again(
    root: Client, staff_with, welcome: Template
) -> None:
    answer = upload(root, zipped(news={"default": "<p>x</p>"}))
    other = staff_with(
        "templates.add_template", "templates.change_template", "templates.view_template"
    )
    assert confirm(other, answer).url == url("import")
    assert confirm(root, answer, token="no uuid").url == url("import")
    cache.clear()
    assert confirm(root, answer).url == url("import")
    assert Template.objects.count() == 1


def test_what_changed_after_the_look_is_judged_again(root: Client, welcome: Template) -> None:
    answer = upload(root, zipped(news={"default": '{% render "line" %}'}))
    assert answer.context["faults"][0].file == "news/default.html"
    line = create_template(owner_id=None, slug="line", kind="partial")
    write(line, "x", subject="")
    publish(template_id=line.pk, by=None)
    answer = upload(root, zipped(news={"default": '{% render "line" %}'}))
    line.versions.all().delete()
    refused = confirm(root, answer)
    assert refused.context["faults"][0].file == "news/default.html"
    assert not Template.objects.filter(slug="news").exists()


def test_importing_and_publishing_need_their_rights(staff_with, db: None) -> None:
    writer = staff_with(
        "templates.add_template", "templates.change_template", "templates.view_template"
    )
    data = zipped(news={"default": "<p>x</p>"})
    refused = upload(writer, data, publish="on")
    assert "publish" in refused.context["form"].errors
    answer = upload(writer, data)
    assert confirm(writer, answer, publish="on").url == url("import")
    assert not Template.objects.exists()
    reader = staff_with("templates.view_template")
    assert upload(reader, data).status_code == 403
    assert "Import" not in reader.get(url("changelist")).content.decode()
    assert Client().get(url("import")).status_code == 302
