"""Drafts, versions, roll-back, republishing, previews."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction

from accounts.models import User
from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from templates_app.models import Template, TemplateVersion
from templates_app.selectors import (
    MAX_HISTORY,
    Outdated,
    context_schema,
    dependents,
    diff_versions,
    history,
    may_edit,
    may_publish,
    outdated,
    published_text,
)
from templates_app.services import (
    DraftFaultsError,
    Reader,
    Republished,
    catch_up,
    create_template,
    delete_template,
    discard_draft,
    preview_source,
    preview_version,
    publish,
    remove_draft_locale,
    republish,
    roll_back,
    save_draft,
    save_drafts,
    update_template,
)

pytestmark = pytest.mark.django_db


def make(user: User | None = None, slug: str = "welcome", **fields: Any) -> Template:
    return create_template(slug=slug, owner_id=user.pk if user else None, **fields)


def draft(template: Template, locale: str = "", **text: Any) -> TemplateVersion:
    given = {"subject": "Hi {{ name }}", "html": "<p>{{ name }}</p>", "text": "", **text}
    return save_draft(template_id=template.pk, locale=locale, **given)


def shared(slug: str, html: str, kind: str = "partial", **text: Any) -> Template:
    template = make(slug=slug, kind=kind)
    draft(template, subject="", html=html, **text)
    publish(template_id=template.pk)
    return template


def faults(call: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidInputError) as caught:
        call()
    return {
        field: [one["message"] for one in found] for field, found in caught.value.details.items()
    }


def text_of(template: Template, locale: str = "", user: User | None = None) -> str:
    owner = user or template.owner
    assert owner is not None
    return published_text(name=template.slug, user_id=owner.pk, locale=locale).html


# --- templates ------------------------------------------------------------------------------------


def test_bad_fields_are_named(user: User) -> None:
    found = faults(
        lambda: make(
            user,
            slug="a b",
            kind="letter",
            title="x" * 201,
            language="nonsense tag",
            sample=[],
            schema={"type": "text"},
        )
    )
    assert set(found) == {"slug", "kind", "title", "language", "sample", "schema.type"}
    assert not Template.objects.exists()


def test_only_what_is_given_changes(user: User) -> None:
    template = make(user, title="Welcome", schema={"type": "object"})
    changed = update_template(template_id=template.pk, category=" Onboarding ")
    assert (changed.slug, changed.title, changed.category) == ("welcome", "Welcome", "Onboarding")
    assert changed.owner_id == user.pk


def test_the_kind_stays_once_there_is_a_text(user: User) -> None:
    template = make(user)
    update_template(template_id=template.pk, kind="layout")
    update_template(template_id=template.pk, kind="mail")
    draft(template)
    assert "kind" in faults(lambda: update_template(template_id=template.pk, kind="partial"))


def test_what_others_use_keeps_its_name_and_stays_in_their_reach(user: User) -> None:
    foot = shared("foot", "<i>one</i>")
    assert update_template(template_id=foot.pk, slug="feet").slug == "feet"
    for name in "abcdefg":
        draft(make(user, slug=name), html='<body>{% render "feet" %}</body>')
    other = User.objects.create_user("eve@example.com")
    assert faults(lambda: update_template(template_id=foot.pk, slug="foot")) == {
        "slug": ["Used by a, b, c, d, e and 2 more: they would not find it under another name."]
    }
    assert list(faults(lambda: update_template(template_id=foot.pk, owner_id=other.pk))) == [
        "owner"
    ]
    assert update_template(template_id=foot.pk, owner_id=user.pk, title="x").owner_id == user.pk
    assert update_template(template_id=foot.pk, owner_id=None).owner_id is None
    for one in user.templates.all():
        draft(one, html="<body></body>")
    assert update_template(template_id=foot.pk, slug="foot").slug == "foot"


def test_a_published_template_cannot_be_deleted(user: User) -> None:
    template = make(user)
    draft(template)
    publish(template_id=template.pk)
    with pytest.raises(ConflictError):
        delete_template(template_id=template.pk)
    other = make(user, slug="other")
    draft(other)
    delete_template(template_id=other.pk)
    assert list(Template.objects.all()) == [template]


# --- drafts ---------------------------------------------------------------------------------------


def test_a_draft_must_be_fit_to_publish(user: User) -> None:
    template = make(user)
    assert faults(lambda: draft(template, html='a\n{% render "foot" %}')) == {
        "html": ["Line 2, column 1: there is no published partial 'foot'"]
    }
    assert set(faults(lambda: draft(template, subject=" ", html="", locale="x y"))) == {
        "locale",
        "subject",
        "html",
    }
    assert "format" in faults(lambda: draft(template, format="word"))
    assert "preheader" in faults(lambda: draft(template, preheader="{{ x"))
    assert not TemplateVersion.objects.exists()


def test_who_saves_over_somebody_elses_draft_is_told(user: User) -> None:
    template = make(user)
    seen = draft(template)
    draft(template, html="<p>theirs</p>", unchanged_since=seen.updated_at)
    with pytest.raises(ConflictError) as caught:
        draft(template, html="<p>mine</p>", unchanged_since=seen.updated_at)
    assert caught.value.code == "draft_changed"
    assert template.versions.get().html == "<p>theirs</p>"


def test_who_begins_a_draft_of_what_is_published_is_in_nobodys_way(user: User) -> None:
    template = make(user)
    for locale in ("", "de"):
        draft(template, locale)
    publish(template_id=template.pk)
    seen = {one.locale: one.updated_at for one in template.versions.all()}
    draft(template, "de", html="<p>neu</p>", unchanged_since=seen["de"])
    draft(template, html="<p>new</p>", unchanged_since=seen[""])
    with pytest.raises(ConflictError):
        draft(template, "de", html="<p>late</p>", unchanged_since=seen["de"])
    texts = {one.locale: one.html for one in template.versions.filter(number=2)}
    assert texts == {"": "<p>new</p>", "de": "<p>neu</p>"}


def test_publishing_and_copies_keep_when_the_author_saved_a_text(user: User) -> None:
    foot = shared("foot", "one")
    template = make(user)
    saved = draft(template, html='<body>{% render "foot" %}</body>').updated_at
    publish(template_id=template.pk)
    draft(foot, subject="", html="two")
    publish(template_id=foot.pk)
    catch_up(template_id=template.pk)
    roll_back(template_id=template.pk, number=1)
    rows = template.versions.values_list("number", "updated_at")
    assert sorted(rows) == [(number, saved) for number in (1, 2, 3)]
    draft(template, html="<p>new</p>", unchanged_since=saved)


def test_what_was_rolled_back_meanwhile_is_not_written_over_unasked(user: User) -> None:
    template = make(user)
    draft(template)
    publish(template_id=template.pk)
    seen = draft(template, html="<p>two</p>").updated_at
    publish(template_id=template.pk)
    roll_back(template_id=template.pk, number=1)
    with pytest.raises(ConflictError):
        draft(template, html="<p>three</p>", unchanged_since=seen)
    assert template.versions.count() == 3


def test_one_language_can_be_dropped_but_not_the_last(user: User) -> None:
    template = make(user)
    draft(template)
    draft(template, "de")
    assert remove_draft_locale(template_id=template.pk, locale="de")
    assert not remove_draft_locale(template_id=template.pk, locale="de")
    with pytest.raises(ConflictError):
        remove_draft_locale(template_id=template.pk, locale="")
    publish(template_id=template.pk)
    assert not remove_draft_locale(template_id=template.pk, locale="fr")
    assert [one.number for one in history(template.pk)] == [1]


def test_two_spellings_are_one_language(user: User) -> None:
    template = make(user)
    draft(template)
    draft(template, "pt-BR", html="<p>one</p>")
    assert draft(template, "pt_br", html="<p>two</p>").locale == "pt-BR"
    assert [one.html for one in template.versions.filter(locale="pt-BR")] == ["<p>two</p>"]
    with pytest.raises(IntegrityError), transaction.atomic():
        TemplateVersion.objects.create(template=template, number=1, locale="pt-br")
    publish(template_id=template.pk)
    draft(template, "PT-BR", html="<p>three</p>")
    publish(template_id=template.pk)
    assert "three" in text_of(template, "pt-br")
    assert remove_draft_locale(template_id=template.pk, locale="pt-br")
    assert not remove_draft_locale(template_id=template.pk, locale="\x00")
    assert [one.locales for one in history(template.pk)] == [("",), ("", "pt-BR"), ("", "pt-BR")]


# --- the default ----------------------------------------------------------------------------------


def test_a_version_without_anything_for_other_readers_is_not_published(user: User) -> None:
    template = make(user)
    draft(template, "ar")
    draft(template, "de-AT")
    message = (
        "Readers of other languages need a text: write the default one, or one in the template's "
        "language (en)."
    )
    assert faults(lambda: publish(template_id=template.pk)) == {"draft.default": [message]}
    assert history(template.pk)[0].is_draft
    update_template(template_id=template.pk, language="de")
    assert "draft.default" in faults(lambda: publish(template_id=template.pk))
    update_template(template_id=template.pk, language="de-at")
    assert publish(template_id=template.pk) == 1


def test_a_text_in_the_templates_language_stands_for_the_default(user: User) -> None:
    foot = make(slug="foot", kind="partial", language="en")
    template = make(user, language="en-GB")
    for locale in ("ar", "en"):
        draft(foot, locale, subject="", html=f"foot {locale}")
    publish(template_id=foot.pk)
    for locale in ("ar", "en", "fr"):
        draft(template, locale, html=f'<body>mail {locale}, {{% render "foot" %}}</body>')
    publish(template_id=template.pk)
    assert [text_of(template, locale)[6:13] for locale in ("", "es", "ar-EG", "en-US")] == [
        "mail en",
        "mail en",
        "mail ar",
        "mail en",
    ]
    assert "foot en" in text_of(template, "fr")


def test_the_language_stays_while_its_text_stands_for_the_default(user: User) -> None:
    template = make(user, language="en")
    for locale in ("ar", "en"):
        draft(template, locale)
    publish(template_id=template.pk)
    found = faults(lambda: update_template(template_id=template.pk, language="fr"))
    assert list(found) == ["language"]
    assert update_template(template_id=template.pk, language="en-GB").language == "en-GB"
    draft(template)
    publish(template_id=template.pk)
    assert update_template(template_id=template.pk, language="fr").language == "fr"
    with pytest.raises(ConflictError) as caught:
        roll_back(template_id=template.pk, number=1)
    assert caught.value.code == "no_default"


# --- publishing -----------------------------------------------------------------------------------


def test_what_is_published_never_changes_with_its_parts(user: User) -> None:
    foot = shared("foot", "<i>one</i>")
    template = make(user)
    draft(template, html='<body>{% render "foot" %}</body>')
    publish(template_id=template.pk, by=user.pk, note="first")
    draft(foot, subject="", html="<i>two</i>")
    publish(template_id=foot.pk)
    assert text_of(template) == "<body>{% isolate  %}<i>one</i>{% endisolate %}</body>"
    one = history(template.pk)[0]
    assert (one.number, one.published_by, one.note) == (1, user.email, "first")


def test_the_database_refuses_to_change_a_published_version(user: User) -> None:
    template = make(user)
    draft(template)
    publish(template_id=template.pk)
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        TemplateVersion.objects.update(final_html="<p>other</p>")


def test_dependents_are_told_and_republished_in_one_go(user: User) -> None:
    foot = shared("foot", "<i>one</i>")
    base = shared("base", '<body>{{ content }}{% render "foot" %}</body>', "layout")
    inside, direct, only_draft = (make(user, slug=slug) for slug in ("inside", "direct", "only"))
    draft(inside, html='{% layout "base" %}a')
    draft(inside, "de", html='{% layout "base" %}b')
    draft(direct, html='<body>{% render "foot" %}</body>')
    draft(only_draft, html='{% render "foot" %}')
    publish(template_id=inside.pk)
    publish(template_id=direct.pk)
    draft(direct, html="<body>draft</body>")
    assert [(one.template.slug, one.is_published, one.in_draft) for one in dependents(foot.pk)] == [
        ("base", True, False),
        ("direct", True, False),
        ("inside", True, False),
        ("only", False, True),
    ]
    assert [one.template.slug for one in dependents(base.pk)] == ["inside"]
    draft(foot, subject="", html="<i>two</i>")
    publish(template_id=foot.pk)
    result = republish(used_id=foot.pk, by=user.pk)
    assert (result.done, result.failed) == ([("direct", 2), ("inside", 2)], [])
    assert "<i>two</i>" in text_of(direct)
    assert "b{% isolate  %}<i>two</i>" in text_of(inside, "de")
    assert [(one.number, one.is_draft) for one in history(direct.pk)] == [
        (3, True),
        (2, False),
        (1, False),
    ]
    assert history(direct.pk)[1].note == "Republished with the new foot"
    assert direct.versions.get(number=3).html == "<body>draft</body>"


def test_a_mail_that_no_longer_fits_keeps_its_version(user: User) -> None:
    base = shared("base", "{% block a %}{% endblock %}{{ content }}", "layout")
    template = make(user)
    draft(template, html='{% layout "base" %}{% block a %}x{% endblock %}')
    publish(template_id=template.pk)
    draft(base, subject="", html="{{ content }}")
    publish(template_id=base.pk)
    result = republish(used_id=base.pk)
    assert result.done == []
    assert result.failed[0][0] == "welcome"
    assert "has no block 'a'" in result.failed[0][1]
    assert [one.number for one in history(template.pk)] == [1]


def test_a_mail_catches_up_with_its_parts_once(user: User) -> None:
    foot = shared("foot", "<i>one</i>")
    base = shared("base", '<body>{{ content }}{% render "foot" %}</body>', "layout")
    template = make(user)
    draft(template, html='{% layout "base" %}a')
    publish(template_id=template.pk)
    assert outdated([template.pk, foot.pk, base.pk]) == {}
    draft(foot, subject="", html="<i>two</i>")
    assert outdated([template.pk]) == {}, "a draft is nothing to catch up with"
    publish(template_id=foot.pk)
    assert outdated([template.pk, foot.pk, base.pk]) == {
        template.pk: [Outdated("foot", "partial", 1, 2)]
    }
    assert [one.is_behind for one in dependents(foot.pk)] == [False, True], "layout, mail"
    assert catch_up(template_id=template.pk, by=user.pk) == 2
    assert "<i>two</i>" in text_of(template)
    assert outdated([template.pk]) == {}
    with pytest.raises(ConflictError) as caught:
        catch_up(template_id=template.pk)
    assert caught.value.code == "is_current"
    assert republish(used_id=foot.pk) == Republished()
    roll_back(template_id=template.pk, number=1)
    assert [one.used for one in outdated([template.pk])[template.pk]] == [1]


def test_publishing_finishes_the_texts_with_what_its_parts_say_now(user: User) -> None:
    foot = shared("foot", "<i>one</i>")
    template = make(user)
    for locale in ("", "de"):
        draft(template, locale, html='<body>{% render "foot" %}</body>')
    draft(foot, subject="", html="<i>two</i>")
    publish(template_id=foot.pk)
    publish(template_id=template.pk, by=user.pk, note=" new ")
    rows = template.versions.order_by("locale")
    assert ["<i>two</i>" in one.final_html for one in rows] == [True, True]
    assert {(one.note, one.published_by_id, one.published_at) for one in rows} == {
        ("new", user.pk, rows[0].published_at)
    }
    assert {one.bundled[str(foot.pk)] for one in rows} == {2}


def test_the_history_is_read_in_pages_and_never_whole(user: User) -> None:
    template = make(user)
    TemplateVersion.objects.bulk_create(
        TemplateVersion(template=template, number=number, locale=locale, subject=f"{number}")
        for number in range(1, MAX_HISTORY + 11)
        for locale in ("", "de")
    )
    assert len(history(template.pk)) == MAX_HISTORY
    page = history(template.pk, before=8, limit=3)
    assert [(one.number, one.locales) for one in page] == [
        (7, ("", "de")),
        (6, ("", "de")),
        (5, ("", "de")),
    ]
    assert history(template.pk, drafts=False) == []


def test_texts_are_written_together_or_not_at_all(user: User) -> None:
    template = make(user)
    first = draft(template, "de")
    text: dict[str, Any] = {"subject": "Hi", "html": "", "text": "x"}
    with pytest.raises(DraftFaultsError) as caught:
        save_drafts(
            template_id=template.pk,
            texts=[
                {**text, "locale": "de", "text": "new"},  # type: ignore[typeddict-item] # a test's
                {**text, "locale": "fr", "text": "{{"},  # type: ignore[typeddict-item] # a test's
                {**text, "locale": "es", "subject": ""},  # type: ignore[typeddict-item] # a test's
            ],
        )
    assert {tag: [fault[0] for fault in one] for tag, one in caught.value.by_locale.items()} == {
        "fr": ["text"],
        "es": ["subject"],
    }
    assert list(template.versions.values_list("locale", "text", "updated_at")) == [
        ("de", "", first.updated_at)
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "a\x00"),
        ("description", "\ud800"),
        ("category", "\x00"),
        ("slug", "a\x00"),
        ("sample", {"a": float("nan")}),
        ("sample", {"a": "\udfff"}),
        ("schema", {"default": "\x00"}),
        ("schema", {"const": float("inf")}),
    ],
)
def test_what_cannot_be_kept_is_refused_whoever_asks(user: User, field: str, value: Any) -> None:
    fields = {"slug": "welcome", field: value}
    assert list(faults(lambda: make(user, **fields))) == [field]


@pytest.mark.parametrize("part", ["subject", "preheader", "html", "text"])
def test_half_characters_in_a_text_are_refused(user: User, part: str) -> None:
    template = make(user)
    assert list(faults(lambda: draft(template, **{part: "x\ud800"}))) == [part]


def test_an_old_version_comes_back_word_for_word(user: User) -> None:
    foot = shared("foot", "<i>one</i>")
    template = make(user)
    draft(template, html='<body>{% render "foot" %}</body>')
    publish(template_id=template.pk)
    old = text_of(template)
    draft(foot, subject="", html="<i>two</i>")
    publish(template_id=foot.pk)
    draft(template, html="<body>new</body>")
    publish(template_id=template.pk)
    draft(template, html="<body>draft</body>")
    assert roll_back(template_id=template.pk, number=1, by=user.pk) == 3
    assert text_of(template) == old
    newest, current, *_ = history(template.pk)
    assert (newest.number, newest.is_draft) == (4, True)
    assert (current.number, current.note) == (3, "Version 1 again")
    with pytest.raises(ConflictError):
        roll_back(template_id=template.pk, number=3)
    with pytest.raises(NotFoundError):
        roll_back(template_id=template.pk, number=4)


def test_versions_are_compared_by_part_and_language(user: User) -> None:
    template = make(user)
    draft(template, html="<p>a</p>\n<p>b</p>")
    draft(template, "de")
    publish(template_id=template.pk)
    draft(template, html="<p>a</p>\n<p>c</p>")
    draft(template, "fr")
    found = {(one.locale, one.part): one.diff for one in diff_versions(
        template_id=template.pk, old=1, new=2
    )}  # fmt: skip
    assert found[("", "html")] == (
        "--- v1 html\n+++ v2 html\n@@ -1,2 +1,2 @@\n <p>a</p>\n-<p>b</p>\n+<p>c</p>\n"
    )
    assert set(found) == {("", "html"), ("fr", "subject"), ("fr", "html"), ("fr", "format")}
    with pytest.raises(NotFoundError):
        diff_versions(template_id=template.pk, old=1, new=9)


def test_nothing_is_published_without_a_draft(user: User) -> None:
    template = make(user)
    with pytest.raises(ConflictError):
        publish(template_id=template.pk)
    draft(template)
    assert discard_draft(template_id=template.pk)
    assert not discard_draft(template_id=template.pk)


# --- who may use what -----------------------------------------------------------------------------


def test_other_peoples_partials_are_out_of_reach(user: User) -> None:
    other = User.objects.create_user("eve@example.com")
    theirs = make(other, slug="secret", kind="partial")
    draft(theirs, subject="", html="their words")
    publish(template_id=theirs.pk)
    template = make(user)
    for name in ("secret", "secrt"):
        message = faults(lambda name=name: draft(template, html=f'{{% render "{name}" %}}'))
        assert message == {"html": [f"Line 1, column 1: there is no published partial '{name}'"]}
    common = make(slug="common")
    assert "html" in faults(lambda: draft(common, html='{% render "secret" %}'))


def test_own_partials_win_over_shared_ones(user: User) -> None:
    shared("foot", "shared")
    mine = make(user, slug="foot", kind="partial")
    draft(mine, subject="", html="mine")
    publish(template_id=mine.pk)
    template = make(user)
    draft(template, html='<body>{% render "foot" %}</body>')
    assert "mine" in template.versions.get().final_html


def test_a_partial_comes_in_the_language_of_the_mail(user: User) -> None:
    foot = make(slug="foot", kind="partial")
    for locale, word in (("", "Bye"), ("de", "Tschüs")):
        draft(foot, locale, subject="", html=word)
    publish(template_id=foot.pk)
    template = make(user, language="en")
    for locale in ("", "de-AT", "fr"):
        draft(template, locale, html='<body>{% render "foot" %}</body>')
    publish(template_id=template.pk)
    assert "Tschüs" in text_of(template, "de-AT")
    assert "Bye" in text_of(template, "fr-FR")
    assert published_text(name="welcome", user_id=user.pk, locale="en-GB").locale == "en-GB"
    assert published_text(name="welcome", user_id=user.pk, locale="es").locale == "en"


def test_a_partial_must_not_contain_itself(user: User) -> None:
    shared("a", "x")
    shared("b", '{% render "a" %}')
    a = Template.objects.get(slug="a")
    assert "would contain itself" in str(
        faults(lambda: draft(a, subject="", html='{% render "b" %}'))
    )


def test_layouts_and_partials_are_not_mail(user: User) -> None:
    shared("foot", "x")
    with pytest.raises(InvalidInputError):
        published_text(name="foot", user_id=user.pk)


def test_owners_and_those_permitted_may_edit_and_publish(user: User) -> None:
    template = make(user)
    other = User.objects.create_user("eve@example.com")
    assert may_edit(user, template)
    assert may_publish(user, template)
    assert not may_edit(other, template)
    assert not may_publish(other, template)
    other.user_permissions.add(Permission.objects.get(codename="change_template"))
    other = User.objects.get(pk=other.pk)
    assert may_edit(other, template)
    assert not may_publish(other, template)
    assert Template.objects.visible_to(user).count() == 1
    assert Template.objects.visible_to(other).count() == 0


# --- previews -------------------------------------------------------------------------------------


def test_a_preview_is_what_is_sent(user: User) -> None:
    template = make(user, sample={"name": "Ann"}, language="de")
    version = draft(template, html="<style>p{margin:0}</style><p>{{ name }} {{ 2.5 | number }}</p>")
    before = preview_version(version)
    publish(template_id=template.pk)
    version.refresh_from_db()
    after = preview_version(version)
    assert (after.subject, after.html, after.text) == (before.subject, before.html, before.text)
    assert '<p style="margin: 0;">Ann 2,5</p>' in after.html
    assert before.variables == ("name",)
    assert before.schema == {"type": "object", "required": ["name"], "properties": {"name": {}}}


def test_a_preview_of_what_is_typed_tells_faults_where_they_are(user: User) -> None:
    shared("base", "<h1>\n{{ titel }}</h1>{{ content }}", "layout")
    template = make(user, sample={"name": "Ann", "title": "T"})
    text: Any = {"locale": "", "subject": "s", "text": "", "html": '{% layout "base" %}\n{{ nam }}'}
    found = faults(lambda: preview_source(template, text))
    assert found == {
        "context": [
            "The variable 'titel' is missing, did you mean 'title'? (line 2, column 4 in 'base')"
        ]
    }
    context = {"titel": 1, "name": "x"}
    found = faults(lambda: preview_source(template, text, Reader(context=context)))
    assert found == {
        "context": [
            "The variable 'nam' is missing, did you mean 'name'? (line 2, column 4 in the html)"
        ]
    }
    assert set(faults(lambda: preview_source(template, text | {"html": "{% fi %}"}))) == {"html"}


def test_layouts_and_partials_can_be_looked_at(user: User) -> None:
    layout = make(slug="base", kind="layout", sample={"n": 1})
    text: Any = {"locale": "", "subject": "", "text": "", "html": "<b>{{ n }}</b>{{ content }}"}
    assert "<b>1</b><p>…</p>" in preview_source(layout, text).html
    partial = make(slug="foot", kind="partial")
    shown = preview_source(partial, text | {"html": '<img src="cid:a">'})
    assert [one.code for one in shown.warnings] == ["no_alt"]


def test_the_schema_of_the_context_is_kept(user: User) -> None:
    schema = {"required": ["name"], "properties": {"name": {"type": "string"}}}
    template = make(user, schema=schema, sample={"name": 1})
    version = draft(template)
    assert faults(lambda: preview_version(version)) == {"context.name": ["This must be string."]}
    assert context_schema(template) == schema
    other = make(user, slug="other")
    draft(other)
    assert context_schema(other)["required"] == ["name"]
