"""Event addresses and posts in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import User
from inbound.models import EventSource, RawEvent
from inbound.services.events import work_off_batch
from inbound.services.sources import hook_url
from mailservice.core.ids import uuid7
from providers.models import Provider
from tests.inbound.test_events import account, tell
from tests.support.webhooks.samples import MAKERS, Mail

pytestmark = pytest.mark.django_db

SOURCES, POSTS = "/admin/inbound/eventsource/", "/admin/inbound/rawevent/"
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com", "secret"))
    return client


def html(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def unmatched(**fields: Any) -> RawEvent:
    source = account("brevo", **fields)
    data = MAKERS["brevo"](Mail(uuid7(), "x", to=HOSTILE), "delivered")
    tell(source, "brevo", data)
    RawEvent.objects.update(patient_until=timezone.now())
    work_off_batch()
    return RawEvent.objects.get()


def test_an_address_is_made_shown_and_renewed(root: Client) -> None:
    provider = Provider.objects.create(name="main", kind="mailgun")
    Provider.objects.create(name="plain", kind="smtp")
    page = html(root, f"{SOURCES}add/")
    assert "main" in page
    assert "plain" not in page
    root.post(f"{SOURCES}add/", {"provider": provider.pk})
    source = EventSource.objects.get()
    page = html(root, f"{SOURCES}{source.pk}/change/")
    assert hook_url(source) in page
    assert "its address alone: enter the key" in page
    assert root.get(f"{SOURCES}{source.pk}/renew/").status_code == 200
    assert EventSource.objects.get().token == source.token
    root.post(f"{SOURCES}{source.pk}/renew/")
    assert EventSource.objects.get().token != source.token
    root.post(f"{SOURCES}{source.pk}/trust/", {"key": "signing"})
    assert EventSource.objects.get().secrets == {"key": "signing"}
    assert "signing" not in html(root, f"{SOURCES}{source.pk}/trust/").replace("signing key", "")
    root.post(f"{SOURCES}{source.pk}/trust/", {"has_no_key": "on"})
    assert EventSource.objects.get().secrets is None


def test_a_wrong_key_or_topic_stands_beside_its_field(root: Client) -> None:
    source = account("amazon_ses", secrets={})
    response = root.post(f"{SOURCES}{source.pk}/trust/", {"topic_arn": "nonsense"})
    assert "Must be the ARN of a topic" in response.content.decode()


def test_who_may_only_look_does_not_see_the_address(db: None) -> None:
    source = account("brevo")
    viewer = User.objects.create_user("v@example.com", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_eventsource"))
    client = Client()
    client.force_login(viewer)
    assert source.token not in html(client, f"{SOURCES}{source.pk}/change/")
    assert client.post(f"{SOURCES}{source.pk}/renew/").status_code == 403
    assert client.post(f"{SOURCES}{source.pk}/trust/", {}).status_code == 403


def test_an_unmatched_post_is_shown_safely_and_tried_again(root: Client) -> None:
    row = unmatched(name=HOSTILE)
    assert HOSTILE not in html(root, POSTS)
    page = html(root, f"{POSTS}{row.pk}/change/")
    assert HOSTILE not in page
    assert "belong to no mail" in page
    assert root.get(f"{POSTS}{row.pk}/again/").status_code == 405
    root.post(f"{POSTS}{row.pk}/again/")
    assert RawEvent.objects.get().status == "new"
    assert "Try again" not in html(root, f"{POSTS}{row.pk}/change/")


def test_chosen_posts_are_tried_again(root: Client) -> None:
    row = unmatched()
    root.post(POSTS, {"action": "again", "_selected_action": [str(row.pk)]})
    assert RawEvent.objects.get().status == "new"


def test_lists_take_few_statements(root: Client, django_assert_max_num_queries: Any) -> None:
    for n in range(5):
        tell(account("brevo", name=f"b{n}"), "brevo", {"event": "request"})
    for path in (SOURCES, POSTS):
        html(root, path)
        with django_assert_max_num_queries(12):
            html(root, path)
