from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper

from accounts.models import User
from delivery.models import Message
from templates_app.management.progress import Progress
from templates_app.models import Template, TemplateVersion

pytestmark = pytest.mark.django_db

MAIL = {
    "sample": {"name": "Ann"},
    "texts": {
        "default": {"subject": "Hi {{ name }}", "html": "<p>Hi {{ name }}</p>"},
        "de": {"subject": "Tag {{ name }}", "text": "Tag {{ name }}"},
    },
}


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def code_of(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as error:
        run(*arguments)
    return error.value.returncode, str(error.value)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "hello"
    path.mkdir(parents=True)
    (path / "template.json").write_text(json.dumps(MAIL))
    return tmp_path / "in"


@pytest.fixture
def hello(source: Path, user: User) -> Template:
    run("import_templates", str(source), "--owner", user.email, "--publish")
    return Template.objects.get()


def test_a_folder_is_imported_published_and_reported(source: Path, user: User) -> None:
    dry = json.loads(run("import_templates", str(source), "--shared", "--dry-run", "--json"))
    assert dry["dry_run"] is True
    assert not Template.objects.exists()
    said = run("import_templates", str(source), "--owner", "ANN@example.com", "--publish")
    assert said == "hello: created; wrote default, de; published as version 1\n"
    assert Template.objects.get().owner == user
    assert run("import_templates", str(source), "--owner", user.email) == "hello: unchanged\n"


def test_a_json_file_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps({"templates": [MAIL | {"slug": "hello"}]}))
    assert "created" in run("import_templates", str(path), "--shared")
    path.write_text("{")
    code, said = code_of("import_templates", str(path), "--shared")
    assert (code, said.partition(":")[0]) == (1, "all.json")


def test_exit_codes_of_an_import_tell_refusal_from_absence(source: Path, tmp_path: Path) -> None:
    assert code_of("import_templates", str(tmp_path / "none"), "--shared")[0] == 3
    (source / "hello" / "fr.html").write_text("x")
    code, said = code_of("import_templates", str(source), "--shared")
    assert (code, said) == (
        1,
        "hello/fr.html: template.json has no text of the language 'fr'.",
    )
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("import_templates", str(source), "--shared", "--json", stdout=out)
    assert json.loads(out.getvalue())["details"].keys() == {"hello/fr.html"}
    assert "no user" in code_of("import_templates", str(source), "--owner", "x@example.com")[1]


@pytest.mark.parametrize("target", ["out", "out.zip"])
def test_what_is_exported_is_imported_alike(
    hello: Template, user: User, tmp_path: Path, target: str
) -> None:
    path = tmp_path / target
    said = run("export_templates", str(path), "--owner", user.email)
    assert said.splitlines()[-1] == "1 templates exported."
    assert "created" in run("import_templates", str(path), "--shared", "--publish")
    rows = TemplateVersion.objects.order_by("locale")
    own, shared = (
        list(rows.filter(template__owner=who).values("locale", "subject", "html", "text"))
        for who in (user, None)
    )
    assert own == shared
    assert len(own) == 2


def test_an_export_chooses_by_name_and_owner_and_may_run_dry(
    hello: Template, user: User, tmp_path: Path
) -> None:
    path = str(tmp_path / "out")
    report = json.loads(
        run("export_templates", path, "hello", "--owner", user.email, "--dry-run", "--json")
    )
    assert report["files"] == ["hello/de.txt", "hello/default.html", "hello/template.json"]
    assert not (tmp_path / "out").exists()
    assert code_of("export_templates", path, "hello", "--shared")[0] == 1
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert code_of("export_templates", str(blocked), "--owner", user.email)[0] == 3


def test_a_template_is_tested_in_all_its_languages(hello: Template, user: User) -> None:
    report = json.loads(run("test_template", "hello", "--owner", user.email, "--json"))
    assert [(one["locale"], one["subject"]) for one in report["texts"]] == [
        ("default", "Hi Ann"),
        ("de", "Tag Ann"),
    ]
    shown = run("test_template", "hello", "--owner", user.email, "--locale", "fr", "--show")
    assert "hello/default v1: Hi Ann" in shown
    assert "<p>Hi Ann</p>" in shown


def test_exit_codes_of_a_test_tell_faults_from_remarks(
    hello: Template, user: User, tmp_path: Path
) -> None:
    mine = ("test_template", "hello", "--owner", user.email)
    assert code_of("test_template", "hello")[0] == 4
    assert code_of(*mine, "--release", "7")[0] == 4
    context = tmp_path / "context.json"
    context.write_text('{"nam": 1}')
    code, said = code_of(*mine, "--context", str(context))
    assert code == 1
    assert "hello/de: context: The variable 'name' is missing, did you mean 'nam'?" in said
    assert code_of(*mine, "--marketing")[0] == 3
    context.write_text("[")
    assert code_of(*mine, "--context", str(context))[0] == 1


def test_a_test_mail_is_queued_with_what_was_rendered(
    hello: Template, user: User, settings: Any
) -> None:
    settings.DEFAULT_FROM_EMAIL = "shop@example.com"
    settings.EMAIL_BACKEND = "delivery.backend.QueueBackend"
    mine = ("test_template", "hello", "--owner", user.email)
    run(*mine, "--locale", "de", "--to", "bob@example.net")
    message = Message.objects.get()
    assert (message.owner, message.content.subject) == (user, "Tag Ann")
    assert message.content.is_template is False
    assert message.metadata == {"template": "hello", "template_version": 1}
    assert "--to" in code_of(*mine, "--to", "nobody")[1]


def test_a_dry_run_checks_the_mail_and_sends_nothing(hello: Template, user: User) -> None:
    mine = ("test_template", "hello", "--owner", user.email, "--dry-run")
    said = run(*mine, "--to", "bob@example.net")
    assert said.splitlines()[-2:] == ["A mail to bob@example.net would be queued."] * 2
    report = json.loads(run(*mine, "--to", "bob@example.net", "--locale", "de", "--json"))
    assert (report["dry_run"], report["mails"]) == (True, ["bob@example.net"])
    assert "--to" in code_of(*mine, "--to", "nobody")[1]
    assert not Message.objects.exists()


@pytest.mark.parametrize("text", ['{"name": NaN}', '{"name": "\\ud800"}', '{"name": "\\u0000"}'])
def test_a_context_that_no_mail_can_hold_is_refused(
    hello: Template, user: User, tmp_path: Path, text: str
) -> None:
    context = tmp_path / "context.json"
    context.write_text(text)
    mine = ("test_template", "hello", "--owner", user.email, "--context", str(context))
    code, said = code_of(*mine)
    assert code == 1
    assert said.startswith("hello/default: context: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample", '{"a": 1e999}'),
        ("sample", '{"a": "\\ud800"}'),
        ("schema", '{"a": "\\u0000"}'),
        ("schema", '{"a": -Infinity}'),
        ("sample", '{"a": ' * 60 + "1" + "}" * 60),
    ],
)
def test_an_import_names_the_field_that_cannot_be_kept(
    tmp_path: Path, field: str, value: str
) -> None:
    path = tmp_path / "all.json"
    path.write_text(f'{{"slug": "hello", "{field}": {value}}}')
    code, said = code_of("import_templates", str(path), "--shared")
    assert (code, said.partition(":")[0]) == (1, field)


class Screen(StringIO):
    """A terminal that somebody watches."""

    def isatty(self) -> bool:
        return True


def test_what_takes_long_is_counted_on_a_terminal_and_nowhere_else() -> None:
    screen, pipe = Screen(), StringIO()
    for stream in (screen, pipe):
        with Progress(OutputWrapper(stream), "Importing") as progress:
            progress(1, 2_000)
            progress.due_at = 0.0
            progress(2, 2_000)
            progress(3, 2_000)
    assert screen.getvalue() == "\r\x1b[KImporting 2 of 2,000 …\r\x1b[K"
    assert pipe.getvalue() == ""
