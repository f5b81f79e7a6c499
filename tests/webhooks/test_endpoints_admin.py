"""Endpoints in the console."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests.support.esp.server import Answer, ApiServer
from tests.webhooks.conftest import Make
from webhooks.models import Delivery, Endpoint
from webhooks.services.deliveries import send_test

pytestmark = pytest.mark.django_db
LIST = "admin:webhooks_endpoint_changelist"


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com", "a long password"))
    return client


def page(name: str, endpoint: Endpoint) -> str:
    return reverse(f"admin:webhooks_endpoint_{name}", args=[endpoint.pk])


def test_the_list_shows_how_endpoints_stand_and_nothing_is_markup(root: Client, make: Make) -> None:
    assert "Nobody is told" in root.get(reverse(LIST)).content.decode()
    made = make(description="<script>alert(1)</script>", kinds=["email.sent"])
    html = root.get(reverse(LIST)).content.decode()
    assert "&lt;script&gt;alert(1)" in html
    assert "email.sent" in html
    assert made.secret not in html


def test_a_page_shows_request_and_response(root: Client, make: Make, hook: ApiServer) -> None:
    made = make()
    hook.then(Answer(500, b"<b>broken</b>"))
    send_test(made.endpoint.pk)
    html = root.get(page("change", made.endpoint)).content.decode()
    assert "&lt;b&gt;broken&lt;/b&gt;" in html
    assert "webhook.test" in html
    assert "The answer was HTTP 500." in html
    assert made.secret not in html


def test_buttons_ask_first_and_then_do(root: Client, make: Make, hook: ApiServer) -> None:
    endpoint = make().endpoint
    for name in ("test", "replay", "rotate", "switch"):
        assert root.get(page(name, endpoint)).status_code == 200
    assert hook.requests == []
    assert b"HTTP 200" in root.post(page("test", endpoint), follow=True).content
    assert len(hook.requests) == 1
    delivery = Delivery.objects.get()
    root.post(f"{page('replay', endpoint)}?delivery={delivery.pk}")
    delivery.refresh_from_db()
    assert delivery.status == "pending"
    assert b"whsec_" in root.post(page("rotate", endpoint)).content
    root.post(page("switch", endpoint), {"active": ""})
    endpoint.refresh_from_db()
    assert not endpoint.is_active
    root.post(page("switch", endpoint), {"active": "on"})
    endpoint.refresh_from_db()
    assert endpoint.is_active
    assert LogEntry.objects.count() == 5


def test_an_endpoint_is_made_changed_and_deleted(root: Client, user: User) -> None:
    form = {"user": user.pk, "url": "http://10.0.0.1/", "kinds": ["email.sent"]}
    add = reverse("admin:webhooks_endpoint_add")
    assert "private or reserved" in root.post(add, form).content.decode()
    answer = root.post(add, form | {"url": "https://example.com/a", "reaches_all": "on"})
    assert "whsec_" in answer.content.decode()
    endpoint = Endpoint.objects.get()
    assert (endpoint.owner, endpoint.reaches_all) == (user, True)
    root.post(page("edit", endpoint), {"url": "https://example.com/b"})
    endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.kinds, endpoint.reaches_all) == (
        "https://example.com/b",
        [],
        False,
    )
    root.post(page("delete", endpoint))
    assert not Endpoint.objects.exists()


def test_who_may_only_look_changes_nothing(make: Make, db: None) -> None:
    from django.contrib.auth.models import Permission  # noqa: PLC0415

    endpoint = make().endpoint
    user = User.objects.create_user("look@example.com", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_endpoint"))
    client = Client()
    client.force_login(user)
    assert client.get(page("change", endpoint)).status_code == 200
    for name in ("test", "replay", "rotate", "switch", "edit", "delete"):
        assert client.post(page(name, endpoint)).status_code == 403
