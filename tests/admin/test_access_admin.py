"""Users, API keys, suppressions, email types and templates in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, User
from accounts.services import NewApiKey, authenticate_key, forget_checked_keys
from delivery.models import EmailType, Suppression
from mailservice.core.errors import ConflictError, InvalidInputError
from templates_app.models import Template
from templates_app.selectors import published_version
from templates_app.services import create_template, discard_draft, publish, save_draft

KEYS = "/admin/accounts/apikey/"


def new_key(user: User, /, **changes: object) -> dict[str, object]:
    return {"user": str(user.pk), "name": "Shop", "scopes": ["emails:send"], **changes}


# --- keys -----------------------------------------------------------------------------------------


def test_a_new_key_is_shown_once_and_works(root: Client, user: User) -> None:
    answer = root.post(f"{KEYS}add/", new_key(user))
    secret = answer.context["made"].secret
    assert answer.content.decode().count(secret) == 2
    assert "no-store" in answer["Cache-Control"]
    key = authenticate_key(secret)
    assert key is not None
    assert key.scopes == ["emails:send"]
    entry = LogEntry.objects.get()
    assert secret not in entry.change_message + entry.object_repr
    for url in (KEYS, f"{KEYS}{key.pk}/change/", f"{KEYS}{key.pk}/history/"):
        assert secret.rpartition("_")[2] not in root.get(url).content.decode()
    assert secret not in str(dict(root.session))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "  "},
        {"scopes": ["everything"]},
        {"expires_at_0": "2001-01-01", "expires_at_1": "00:00"},
        {"user": "junk"},
    ],
)
def test_a_key_with_faults_is_not_made(
    root: Client, user: User, changes: dict[str, object]
) -> None:
    assert root.post(f"{KEYS}add/", new_key(user, **changes)).status_code == 200
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_after_the_question(root: Client, api_key: NewApiKey) -> None:
    url = reverse("admin:accounts_apikey_revoke", args=[api_key.api_key.pk])
    root.get(url)
    assert authenticate_key(api_key.secret) is not None
    root.post(url)
    forget_checked_keys()
    assert authenticate_key(api_key.secret) is None
    assert LogEntry.objects.get().change_message == "Revoked."


def test_keys_need_their_rights(staff_with, user: User, api_key: NewApiKey) -> None:
    looker = staff_with("accounts.view_apikey")
    assert looker.get(KEYS).status_code == 200
    assert looker.post(f"{KEYS}add/", new_key(user)).status_code == 403
    url = reverse("admin:accounts_apikey_revoke", args=[api_key.api_key.pk])
    assert looker.get(url).status_code == 403
    assert looker.post(url).status_code == 403
    assert ApiKey.objects.get().revoked_at is None


# --- users ----------------------------------------------------------------------------------------


def test_a_new_user_can_log_in_by_address(root: Client, client: Client) -> None:
    data = {
        "email": "New@Example.com",
        "full_name": "New Person",
        "password1": "a quite long phrase",
        "password2": "a quite long phrase",
        "usable_password": "true",
        "is_staff": "on",
    }
    assert root.post("/admin/accounts/user/add/", data).status_code == 302
    assert User.objects.get(email="new@example.com").full_name == "New Person"
    data = {"username": "NEW@example.com", "password": "a quite long phrase"}
    answer = client.post("/admin/login/", data)
    assert answer.status_code == 302
    assert answer["Location"] == "/admin/"


def test_not_even_the_hash_of_a_password_is_shown(root: Client, superuser: User) -> None:
    html = root.get(reverse("admin:accounts_user_change", args=[superuser.pk])).content.decode()
    assert superuser.password.split("$")[-1][:6] not in html
    assert "Change it" in html


def test_only_an_administrator_touches_administrators(staff_with, superuser: User) -> None:
    client = staff_with("accounts.view_user", "accounts.change_user")
    url = reverse("admin:accounts_user_change", args=[superuser.pk])
    assert client.get(url).status_code == 200
    assert client.post(url, {"email": "x@example.com"}).status_code == 403
    password = {"password1": "another long phrase", "password2": "another long phrase"}
    assert (
        client.post(f"/admin/accounts/user/{superuser.pk}/password/", password).status_code == 403
    )
    superuser.refresh_from_db()
    assert superuser.check_password("a long password")


def test_only_an_administrator_makes_administrators(staff_with, user: User) -> None:
    client = staff_with("accounts.view_user", "accounts.change_user")
    data = {
        "email": user.email,
        "full_name": "",
        "is_active": "on",
        "is_superuser": "on",
        "is_staff": "on",
    }
    client.post(reverse("admin:accounts_user_change", args=[user.pk]), data)
    user.refresh_from_db()
    assert not user.is_superuser


# --- suppressions, types --------------------------------------------------------------------------


def test_a_suppressed_address_is_kept_as_sending_compares_it(root: Client) -> None:
    data = {"address": "Bob@EXAMPLE.com", "email_type": "", "reason": "manual", "note": ""}
    root.post("/admin/delivery/suppression/add/", data)
    assert Suppression.objects.get().address == "bob@example.com"
    again = root.post("/admin/delivery/suppression/add/", data)
    assert again.status_code == 200
    assert (
        root.post("/admin/delivery/suppression/add/", {**data, "address": "nobody"}).status_code
        == 200
    )
    assert Suppression.objects.count() == 1
    found = root.get("/admin/delivery/suppression/", {"q": "BOB@example.com"}).context["cl"]
    assert len(found.result_list) == 1


def test_an_email_type_is_changed_but_never_deleted(root: Client) -> None:
    kind = EmailType.objects.get(name="marketing")
    url = reverse("admin:delivery_emailtype_change", args=[kind.pk])
    data = {
        "lane": "2",
        "priority": "5",
        "unknown_policy": "park",
        "retry_first_seconds": "60",
        "retry_max_seconds": "600",
        "retry_give_up_seconds": "3600",
        "max_attempts": "3",
    }
    assert root.post(url, data).status_code == 302
    kind.refresh_from_db()
    assert kind.priority == 5
    assert root.post(url, {**data, "priority": "6"}).status_code == 200
    assert root.post(reverse("admin:delivery_emailtype_delete", args=[kind.pk])).status_code == 403


# --- templates ------------------------------------------------------------------------------------


@pytest.fixture
def template(db: None) -> Template:
    return create_template(owner_id=None, slug="welcome")


def draft(template: Template, subject: str = "Hi {{ name }}", locale: str = "") -> None:
    save_draft(template_id=template.pk, locale=locale, subject=subject, html="<p>x</p>", text="")


def test_a_draft_is_written_and_published_in_the_console(root: Client, template: Template) -> None:
    url = reverse("admin:templates_template_draft", args=[template.pk])
    data = {"locale": "", "subject": "Hi {{ name }}", "html": "<p>x</p>", "text": ""}
    assert root.post(url, data).status_code == 302
    publish_url = reverse("admin:templates_template_publish", args=[template.pk])
    assert "Hi {{ name }}" in root.get(publish_url).content.decode()
    assert template.versions.get().published_at is None
    answer = root.post(publish_url, follow=True)
    assert "Version 1 is published." in answer.content.decode()
    assert template.versions.get().published_at is not None


def test_a_draft_that_cannot_be_read_is_refused_beside_its_field(
    root: Client, template: Template
) -> None:
    url = reverse("admin:templates_template_draft", args=[template.pk])
    answer = root.post(url, {"locale": "", "subject": "Hi", "html": "{% if %}", "text": ""})
    assert "html" in answer.context["form"].errors
    assert not template.versions.exists()


def test_templates_need_their_rights(staff_with, template: Template) -> None:
    draft(template)
    client = staff_with("templates.view_template")
    assert (
        client.get(reverse("admin:templates_template_change", args=[template.pk])).status_code
        == 200
    )
    for name in ("draft", "publish", "discard"):
        assert (
            client.post(reverse(f"admin:templates_template_{name}", args=[template.pk])).status_code
            == 403
        )
    assert template.versions.get().published_at is None


def test_a_template_with_texts_is_not_deleted(root: Client, template: Template) -> None:
    draft(template)
    url = reverse("admin:templates_template_delete", args=[template.pk])
    assert root.post(url, {"post": "yes"}).status_code == 403


def test_a_new_draft_starts_with_every_language_of_the_published_one(template: Template) -> None:
    draft(template)
    draft(template, "Hallo {{ name }}", "de")
    assert publish(template_id=template.pk) == 1
    draft(template, "Hello {{ name }}")
    assert publish(template_id=template.pk) == 2
    user = User.objects.create_user("u@example.com")
    german = published_version(name="welcome", user_id=user.pk, locale="de-AT")
    english = published_version(name="welcome", user_id=user.pk)
    assert (german.number, german.subject) == (2, "Hallo {{ name }}")
    assert (english.number, english.subject) == (2, "Hello {{ name }}")


def test_publishing_nothing_is_refused(template: Template) -> None:
    with pytest.raises(ConflictError):
        publish(template_id=template.pk)


def test_a_published_text_never_changes(template: Template) -> None:
    draft(template, "One")
    publish(template_id=template.pk)
    draft(template, "Two")
    assert template.versions.get(number=1).subject == "One"
    assert discard_draft(template_id=template.pk)
    assert not discard_draft(template_id=template.pk)
    assert template.versions.count() == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"subject": " "}, "subject"),
        ({"html": ""}, "html"),
        ({"html": "{{ x"}, "html"),
        ({"text": "{% for %}"}, "text"),
        ({"subject": "x" * 999}, "subject"),
        ({"locale": "not a tag"}, "locale"),
        ({"html": "a\x00b"}, "html"),
    ],
)
def test_faults_of_a_draft_are_named(
    template: Template, fields: dict[str, str], field: str
) -> None:
    given: Any = {"locale": "", "subject": "Hi", "html": "<p>x</p>", "text": "", **fields}
    with pytest.raises(InvalidInputError) as caught:
        save_draft(template_id=template.pk, **given)
    assert field in caught.value.details
    assert not template.versions.exists()


def test_one_owner_has_one_template_of_a_name(template: Template) -> None:
    with pytest.raises(InvalidInputError) as caught:
        create_template(owner_id=None, slug="welcome")
    assert set(caught.value.details) == {"slug"}
