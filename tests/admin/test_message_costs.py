"""What a message cost, on its page."""

from __future__ import annotations

import pytest
from django.test import Client

from delivery.models import Attempt
from tests.admin.conftest import Post, add_attempt
from tests.support.mail import simulator

pytestmark = pytest.mark.django_db


def test_the_page_tells_the_cost_of_each_attempt_and_of_all(root: Client, post: Post) -> None:
    provider, message_id = simulator(), post(status="sent")
    add_attempt(message_id, provider, outcome="unknown", cost_nanos=800_000)
    add_attempt(message_id, provider, number=2, cost_nanos=30_000_000)
    page = root.get(f"/admin/delivery/message/{message_id}/change/").content.decode()
    assert "0.00080 USD" in page
    assert "0.03 USD" in page
    total = page.partition("Cost</dt>")[2].partition("</dd>")[0]
    assert total.split()[-2:] == ["0.03", "USD"]


def test_a_free_mail_has_no_cost_on_its_page(root: Client, post: Post) -> None:
    message_id = post(status="sent")
    add_attempt(message_id, simulator())
    page = root.get(f"/admin/delivery/message/{message_id}/change/").content.decode()
    assert "USD" not in page
    assert Attempt.objects.get().cost_nanos == 0
