from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from mailservice.core.errors import InvalidInputError
from templates_app.exchange import (
    ImportOptions,
    TemplateData,
    TextData,
    archive,
    as_json,
    exported,
    files_of,
    import_templates,
    read_folder,
    read_zip,
    templates_from,
    templates_in,
    write_folder,
    write_zip,
)
from templates_app.lookup import standing
from templates_app.models import Template, TemplateVersion
from templates_app.services import publish, save_draft

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)
LOCALES = st.lists(
    st.sampled_from(["", "de", "pt", "pt-BR", "zh-Hant-TW", "fa"]), unique=True, max_size=4
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def templates(draw: st.DrawFn) -> TemplateData:
    texts = [
        TextData(
            locale,
            subject=draw(TEXTS),
            preheader=draw(TEXTS),
            html=draw(TEXTS),
            text=draw(TEXTS),
            format=draw(st.sampled_from(["html", "mjml"])),
        )
        for locale in sorted(draw(LOCALES))
    ]
    return TemplateData(
        slug=draw(st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True)),
        kind=draw(st.sampled_from(["mail", "layout", "partial"])),
        title=draw(TEXTS).strip(),
        description=draw(TEXTS).strip(),
        sample=draw(st.dictionaries(TEXTS, VALUES, max_size=3)),
        schema=draw(st.dictionaries(TEXTS, VALUES, max_size=2)),
        texts=tuple(texts),
    )


def refused(data: bytes) -> dict[str, Any]:
    with pytest.raises(InvalidInputError) as refusal:
        templates_in(read_zip(data))
    return dict(refusal.value.details)


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return made.getvalue()


MANIFEST = json.dumps({"texts": {"default": {"subject": "A"}, "de": {"subject": "B"}}}).encode()


# --- the form -------------------------------------------------------------------------------------


@given(st.lists(templates(), min_size=1, max_size=3, unique_by=lambda one: one.slug))
def test_files_and_zip_read_back_as_what_was_written(made: list[TemplateData]) -> None:
    made.sort(key=lambda one: one.slug)
    files = files_of(made)
    data = write_zip(files)
    assert templates_in(read_zip(data)) == made
    assert write_zip(files_of(templates_in(read_zip(data)))) == data


@given(templates())
def test_json_reads_back_as_what_was_written(made: TemplateData) -> None:
    assert templates_from(json.loads(json.dumps(as_json(made)))) == [made]


def test_a_template_is_a_folder_people_can_edit() -> None:
    texts = (
        TextData("", subject="Hi", html="<p>\r\nHi</p>", text="Hi"),
        TextData("pt-BR", subject="Olá", html="<mjml></mjml>", format="mjml"),
    )
    files = files_of([TemplateData("welcome", title="Wïllkommen", texts=texts)])
    assert list(files) == [
        "welcome/default.html",
        "welcome/default.txt",
        "welcome/pt-BR.mjml",
        "welcome/template.json",
    ]
    assert files["welcome/default.html"] == b"<p>\r\nHi</p>"
    manifest = json.loads(files["welcome/template.json"])
    assert "Wïllkommen".encode() in files["welcome/template.json"]
    assert manifest["texts"]["pt-BR"] == {"subject": "Olá", "preheader": "", "format": "mjml"}


def test_a_folder_names_the_template_and_an_ending_the_format() -> None:
    entries = [("hi/template.json", MANIFEST), ("hi/default.mjml", b"<mjml>"), ("hi/de.txt", b"C")]
    (found,) = templates_in(read_zip(zipped(*entries)))
    assert found.slug == "hi"
    assert found.texts == (
        TextData("", subject="A", html="<mjml>", format="mjml"),
        TextData("de", subject="B", text="C"),
    )


def test_the_mark_that_editors_put_first_is_no_text() -> None:
    bom = "\ufeff".encode()
    entries = [("hi/template.json", bom + MANIFEST), ("hi/default.txt", bom + b"Hi")]
    (found,) = templates_in(read_zip(zipped(*entries)))
    assert found.texts[0].text == "Hi"


def test_what_systems_leave_in_an_archive_is_passed_over() -> None:
    litter = [("__MACOSX/hi/._template.json", b"\x00"), ("hi/.DS_Store", b"\x00")]
    (found,) = templates_in(read_zip(zipped(("hi/template.json", MANIFEST), *litter)))
    assert found.slug == "hi"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("hi/fr.html", b"x", "unknown_file"),
        ("hi/logo.png", b"x", "unknown_file"),
        ("hi/.html", b"x", "unknown_file"),
        ("hi/default.txt", b"caf\xe9\n", "encoding"),
        ("ho/default.txt", b"x", None),
    ],
)
def test_a_file_at_fault_is_named(name: str, content: bytes, code: str | None) -> None:
    details = refused(zipped(("hi/template.json", MANIFEST), (name, content)))
    if code is None:
        assert details["ho/template.json"][0]["code"] == "required"
    else:
        assert details[name][0]["code"] == code


@pytest.mark.parametrize(
    ("manifest", "field", "words"),
    [
        (b"{", "hi/template.json", "line 1"),
        (b"[]", "hi/template.json", "object"),
        (b'{"sample": {"x": NaN}}', "hi/template.json", "NaN"),
        (b"[" * 200_000, "hi/template.json", "deeply"),
        (b'\xff{"texts": {}}', "hi/template.json", "UTF-8"),
        (b'{"titel": "x"}', "hi/template.json: titel", "did you mean 'title'"),
        (b'{"sample": {"x": 1e999}}', "hi/template.json: sample", "finite"),
        (b'{"sample": {"x": 99999999999999999999}}', "hi/template.json: sample", "64 bits"),
        (b'{"sample": {"x": "\\u0000"}}', "hi/template.json: sample", "NUL"),
        (b'{"sample": {"\\ud800": 1}}', "hi/template.json: sample", "surrogate"),
        (b'{"title": "\\ud800"}', "hi/template.json: title", "surrogate"),
        (b'{"mailservice_template": 2}', "hi/template.json: mailservice_template", "version 1"),
        (b'{"texts": {"de": {"sbject": ""}}}', "hi/template.json: texts.de.sbject", "did you mean"),
        (b'{"texts": {"de": {}, "DE": {}}}', "hi/template.json: texts.DE", "Two texts"),
        (b'{"texts": []}', "hi/template.json: texts", "object"),
        (
            b'{"texts": {"de": {"html": "x", "mjml": "y"}}}',
            "hi/template.json: texts.de.mjml",
            "not",
        ),
    ],
)
def test_a_manifest_at_fault_says_where(manifest: bytes, field: str, words: str) -> None:
    details = refused(zipped(("hi/template.json", manifest)))
    assert list(details) == [field]
    assert words in details[field][0]["message"]


def test_two_templates_of_one_name_are_refused() -> None:
    one = b'{"slug": "same"}'
    assert "same" in refused(zipped(("a/template.json", one), ("b/template.json", one)))


# --- hostile archives -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../template.json",
        "/etc/template.json",
        "a/../../template.json",
        "a/./template.json",
        "a//template.json",
        "C:/a/template.json",
        "a\\template.json",
        "a/b/c/template.json",
        "a/b\x01/template.json",
        "a/" + "x" * 500,
    ],
)
def test_a_path_that_leads_outside_is_refused(name: str) -> None:
    details = refused(zipped((name, MANIFEST)))
    assert details["file"][0]["code"] == "invalid_path"


def test_a_bomb_is_refused_by_ratio_by_size_and_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    tight = zipped(("a/template.json", MANIFEST), ("a/default.txt", b"\0" * 3_000_000))
    assert len(tight) < 10_000
    assert refused(tight)["a/default.txt"][0]["code"] == "too_large"
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 100)
    entries = [(f"a/{number}.txt", b"x" * 60) for number in range(2)]
    assert refused(zipped(*entries))["file"][0]["code"] == "too_large"
    monkeypatch.undo()
    many = zipped(*((f"a/{number}", b"") for number in range(archive.MAX_FILES + 1)))
    assert refused(many)["file"][0]["code"] == "too_many"
    assert refused(b"PK" * archive.MAX_ARCHIVE_BYTES)["file"][0]["code"] == "too_large"


def test_a_file_larger_than_it_claims_is_refused() -> None:
    data = zipped(("a/default.txt", os.urandom(5000).hex().encode()))
    claimed = data.replace((10_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert claimed != data
    assert "file" in refused(claimed)


def test_links_and_encrypted_files_are_refused() -> None:
    link = zipfile.ZipInfo("a/default.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "no links" in refused(zipped((link, b"/etc/passwd")))["a/default.txt"][0]["message"]
    data = bytearray(zipped(("a/default.txt", b"secret")))
    data[6] |= 1
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    assert refused(bytes(data))["a/default.txt"][0]["code"] == "encrypted"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused() -> None:
    assert (
        refused(zipped(("a/de.txt", b"1"), ("a/de.txt", b"2")))["a/de.txt"][0]["code"] == "exists"
    )


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: zipped() + tail))
def test_octets_that_are_no_archive_are_refused_politely(data: bytes) -> None:
    refused(data)


@given(st.data())
def test_a_damaged_archive_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    sound = bytearray(zipped(("hi/template.json", MANIFEST), ("hi/default.txt", b"Hello " * 20)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(sound) - 1))
        sound[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidInputError):
        templates_in(read_zip(bytes(sound)))


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_reads_back_and_loses_the_languages_that_are_gone(tmp_path: Path) -> None:
    both = [TextData("", subject="A", text="B"), TextData("de", subject="C", html="D")]
    files = files_of([TemplateData("hi", texts=tuple(both)), TemplateData("ho")])
    assert write_folder(tmp_path, files) == []
    (tmp_path / "hi" / "README.md").write_text("mine")
    (tmp_path / "docs").mkdir()
    fewer = files_of([TemplateData("hi", texts=(both[0],))])
    assert write_folder(tmp_path, fewer) == ["hi/de.html"]
    assert (tmp_path / "hi" / "README.md").read_text() == "mine"
    (tmp_path / "hi" / "README.md").unlink()
    assert [one.slug for one in templates_in(read_folder(tmp_path))] == ["hi", "ho"]
    assert templates_in(read_folder(tmp_path / "hi"))[0].texts == (both[0],)
    assert not list(tmp_path.rglob("*.new"))


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "hi").mkdir()
    (tmp_path / "hi" / "template.json").write_bytes(MANIFEST)
    (tmp_path / "hi" / "default.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidInputError) as refusal:
        read_folder(tmp_path)
    assert "no links" in refusal.value.message


# --- writing --------------------------------------------------------------------------------------


def hello(slug: str = "hello", html: str = "<p>Hi {{ name }}</p>", **more: Any) -> TemplateData:
    text = TextData("", subject="Hi", html=html)
    return TemplateData(slug, texts=(text,), **more)


def test_an_import_creates_then_leaves_alone_then_updates(user: User) -> None:
    options = ImportOptions(owner_id=user.pk, by=user.pk, publish=True, note="first")
    (done,) = import_templates([hello()], options)
    assert (done.action, done.written, done.published) == ("created", ("",), 1)
    (done,) = import_templates([hello()], options)
    assert (done.action, done.written, done.published) == ("unchanged", (), None)
    (done,) = import_templates([hello(title="New")], options)
    assert (done.action, done.written, done.published) == ("updated", (), None)
    (done,) = import_templates([hello(html="<p>Ho</p>")], options)
    assert (done.action, done.written, done.published) == ("updated", ("",), 2)
    version = TemplateVersion.objects.get(number=1)
    assert (version.note, version.published_by) == ("first", user)


def test_the_spelling_of_a_language_is_no_change(user: User) -> None:
    options = ImportOptions(owner_id=user.pk, publish=True)
    text = {"subject": "Hi", "html": "<p>Hi</p>"}
    for tag in ("pt-BR", "pt_br"):
        given = templates_from({"slug": "hello", "texts": {"default": text, tag: text}})
        done = import_templates(given, options)[0]
    assert (done.action, done.written, done.dropped) == ("unchanged", (), ())


def test_languages_that_an_import_lacks_are_dropped_from_the_draft(user: User) -> None:
    options = ImportOptions(owner_id=user.pk, publish=True)
    german = TextData("de", subject="Tag", text="Tag")
    both = TemplateData("hello", texts=(*hello().texts, german))
    import_templates([both], options)
    (done,) = import_templates([hello()], options)
    assert (done.written, done.dropped, done.published) == ((), ("de",), 2)
    template = Template.objects.get()
    assert standing(template.pk).published_locales == ("",)
    assert exported(template, 1) == both
    (done,) = import_templates([TemplateData("hello")], options)
    assert (done.action, done.dropped) == ("unchanged", ())


def test_what_others_use_comes_before_them_in_any_order(user: User) -> None:
    layout = TextData("", html='<body>{{ content }}{% render "foot" %}</body>')
    given_ = [
        hello(html='{% layout "base" %}<p>Hi</p>'),
        TemplateData("base", kind="layout", texts=(layout,)),
        TemplateData("foot", kind="partial", texts=(TextData("", html="<i>Foot</i>"),)),
    ]
    done = import_templates(given_, ImportOptions(owner_id=user.pk, publish=True))
    assert [one.slug for one in done] == ["hello", "base", "foot"]
    mail = TemplateVersion.objects.get(template__slug="hello")
    assert "<p>Hi</p>" in mail.final_html
    assert "<i>Foot</i>" in mail.final_html


def test_partials_that_hold_each_other_are_refused(user: User) -> None:
    given_ = [
        TemplateData("a", kind="partial", texts=(TextData("", html='{% render "b" %}'),)),
        TemplateData("b", kind="partial", texts=(TextData("", html='{% render "a" %}'),)),
    ]
    with pytest.raises(InvalidInputError):
        import_templates(given_, ImportOptions(owner_id=user.pk, publish=True))
    assert not Template.objects.exists()


def test_a_dry_run_and_a_fault_write_nothing(user: User) -> None:
    (done,) = import_templates([hello()], ImportOptions(owner_id=user.pk, dry_run=True))
    assert done.action == "created"
    assert not Template.objects.exists()
    bad = [hello("good"), hello("bad", html="{{ x | upcas }}"), hello("b d")]
    with pytest.raises(InvalidInputError) as refusal:
        import_templates(bad, ImportOptions(owner_id=user.pk))
    assert list(refusal.value.details) == ["bad.draft.default.html", "b d.slug"]
    assert not Template.objects.exists()


def test_an_import_meets_templates_of_its_owner_only(user: User) -> None:
    shared = Template.objects.create(slug="hello", title="shared")
    (done,) = import_templates([hello()], ImportOptions(owner_id=user.pk))
    assert done.action == "created"
    shared.refresh_from_db()
    assert shared.title == "shared"
    (done,) = import_templates([hello()], ImportOptions(owner_id=None))
    assert done.action == "updated"


def test_an_import_replaces_a_draft_and_publishes_it_once(user: User) -> None:
    import_templates([hello()], ImportOptions(owner_id=user.pk, publish=True))
    template = Template.objects.get()
    save_draft(template_id=template.pk, locale="", subject="Mine", html="", text="x")
    (done,) = import_templates([hello()], ImportOptions(owner_id=user.pk))
    assert done.written == ("",)
    assert publish(template_id=template.pk) == 2
    assert exported(template, 2).texts == exported(template, 1).texts


@pytest.mark.django_db(transaction=True)
def test_two_imports_beside_each_other_create_each_template_once() -> None:
    user = User.objects.create_user("ann@example.com")
    options = ImportOptions(owner_id=user.pk, publish=True)
    both = [hello("one"), hello("two")]
    start = Barrier(2)

    def run(given_: list[TemplateData]) -> list[str]:
        try:
            start.wait(timeout=10)
            return sorted(one.action for one in import_templates(given_, options))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        actions = sorted(pool.map(run, [both, both[::-1]]))
    assert actions == [["created", "created"], ["unchanged", "unchanged"]]
    assert TemplateVersion.objects.count() == 2
