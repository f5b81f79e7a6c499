"""Every page of the console answers, and none of them tells a secret."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.services import NewApiKey
from delivery.models import Suppression
from mailservice.celery import app as celery_app
from providers.models import Provider
from templates_app.services import create_template, publish, save_draft
from tests.admin.conftest import Post

LISTS = sorted(
    f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry
)


@pytest.mark.parametrize("name", LISTS)
def test_every_list_answers_a_superuser(root: Client, name: str) -> None:
    assert root.get(reverse(f"admin:{name}_changelist")).status_code == 200


@pytest.mark.parametrize("name", LISTS)
def test_no_list_answers_staff_without_rights(staff_with, name: str) -> None:
    assert staff_with().get(reverse(f"admin:{name}_changelist")).status_code == 403


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("admin_logentry", "action_flag__in=99999999999999999999"),
        ("django_celery_beat_periodictask", "start_time__year=99999999999999999999"),
    ],
)
def test_a_filter_that_no_row_can_have_is_a_bad_request(
    root: Client, name: str, query: str
) -> None:
    assert root.get(f"{reverse(f'admin:{name}_changelist')}?{query}").status_code == 400


@pytest.mark.parametrize("ticked", ["x", "\x00"])
def test_an_action_on_what_is_no_row_is_a_bad_request(root: Client, ticked: str) -> None:
    fields = {"action": "export_selected", "_selected_action": ticked}
    answer = root.post(reverse("admin:templates_template_changelist"), fields)
    assert answer.status_code == 400


def test_a_visitor_is_sent_to_the_log_in(client: Client, db: None) -> None:
    answer = client.get(reverse("admin:index"))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("admin:login"))


def test_forms_of_adding_answer(root: Client) -> None:
    for name in (
        "accounts_user",
        "auth_group",
        "accounts_apikey",
        "providers_provider",
        "delivery_emailtype",
        "delivery_suppression",
        "templates_template",
        "django_celery_beat_periodictask",
    ):
        assert root.get(reverse(f"admin:{name}_add")).status_code == 200, name


def test_forms_of_changing_answer(
    root: Client, user: User, api_key: NewApiKey, inbox: Provider, smtp: Provider
) -> None:
    template = create_template(owner_id=None, slug="welcome")
    save_draft(template_id=template.pk, locale="", subject="Hi", html="<p>Hi</p>", text="")
    publish(template_id=template.pk)
    version = template.versions.get()
    pages = [
        reverse("admin:accounts_user_change", args=[user.pk]),
        reverse("admin:accounts_apikey_change", args=[api_key.api_key.pk]),
        reverse("admin:accounts_apikey_history", args=[api_key.api_key.pk]),
        reverse("admin:providers_provider_change", args=[inbox.pk]),
        reverse("admin:providers_provider_change", args=[smtp.pk]),
        reverse("admin:providers_provider_test", args=[smtp.pk]),
        reverse("admin:providers_provider_send_test", args=[smtp.pk]),
        reverse("admin:delivery_emailtype_change", args=["marketing"]),
        reverse(
            "admin:delivery_suppression_change",
            args=[Suppression.objects.create(address="a@example.com").pk],
        ),
        reverse("admin:templates_template_change", args=[template.pk]),
        reverse("admin:templates_template_draft", args=[template.pk]),
        reverse("admin:templates_template_version", args=[template.pk, version.pk]),
    ]
    for page in pages:
        assert root.get(page).status_code == 200, page


def test_pages_carry_a_policy_without_inline_scripts_and_have_none(
    root: Client, post: Post
) -> None:
    for page in (
        reverse("admin:index"),
        reverse("admin:delivery_message_changelist"),
        reverse("admin:delivery_message_change", args=[post()]),
        reverse("admin:django_celery_beat_periodictask_add"),
    ):
        answer = root.get(page)
        policy = answer["Content-Security-Policy"]
        assert "script-src 'self' 'unsafe-eval'" in policy
        html = answer.content.decode()
        scripts = [part.split(">")[0] for part in html.split("<script")[1:]]
        assert all("src=" in script or "application/json" in script for script in scripts), page
        assert "http://" not in html.replace("http://www.w3.org", "").replace(
            "http://testserver", ""
        )


def test_the_dashboard_shows_queue_and_providers(root: Client, post: Post, inbox: Provider) -> None:
    post()
    post(email_type="marketing", priority=5)
    post(status="held")
    html = root.get(reverse("admin:index")).content.decode()
    assert "1 queued" in html
    assert "Inbox" in html
    assert 'data-refresh="/admin/?fragment=1"' in html


def test_the_dashboards_fragment_is_the_dashboard_without_its_frame(root: Client) -> None:
    html = root.get(reverse("admin:index"), {"fragment": "1"}).content.decode()
    assert 'id="dashboard"' in html
    assert "<html" not in html


def test_the_dashboard_tells_staff_without_rights_nothing(
    staff_with, post: Post, inbox: Provider
) -> None:
    post()
    html = staff_with().get(reverse("admin:index")).content.decode()
    assert "queued" not in html
    assert "Inbox" not in html


def test_the_dashboard_costs_the_same_with_more_mail(
    root: Client, post: Post, inbox: Provider, django_assert_max_num_queries
) -> None:
    for _ in range(20):
        post()
    root.get(reverse("admin:index"))
    with django_assert_max_num_queries(12):
        root.get(reverse("admin:index"))


def test_periodic_tasks_can_be_edited(root: Client) -> None:
    assert celery_app.conf.beat_schedule
    answer = root.get(reverse("admin:django_celery_beat_periodictask_add"))
    assert "delivery.tasks.sweep" in answer.content.decode()
