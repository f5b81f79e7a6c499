"""A customer's own template whose schema is strict still fits what verification gives."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from delivery.models import Message
from mailservice.core.errors import InvalidInputError
from templates_app.services import create_template, publish, save_draft
from tests.support.verification import QUEUE, mailbox, start
from verification.models import Verification

pytestmark = pytest.mark.django_db

STRICT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["verification_url", "metadata"],
    "properties": {
        "verification_url": {"type": "string", "format": "uri", "maxLength": 200},
        "metadata": {
            "type": "object",
            "required": ["plan"],
            "properties": {"plan": {"enum": ["gold", "free"]}},
        },
    },
}
TEXT = "{{ metadata.plan }}: {{ verification_url }}"


@pytest.fixture(autouse=True)
def _queue(settings: Any) -> None:
    settings.EMAIL_BACKEND = QUEUE
    settings.DEFAULT_FROM_EMAIL = "shop@example.com"


@pytest.fixture
def welcome(user: User) -> None:
    template = create_template(owner_id=user.pk, slug="welcome", schema=STRICT)
    save_draft(template_id=template.pk, locale="", subject="Hi", html="", text=TEXT)
    publish(template_id=template.pk)


def test_a_schema_without_further_names_takes_a_verification(user: User, welcome: None) -> None:
    with mailbox() as box:
        start(user, template="welcome", metadata={"plan": "gold"})
        text = box.newest().get_content()
    assert text.startswith("gold: http")
    assert "/verify/" in text


def test_what_the_caller_gives_is_still_checked(user: User, welcome: None) -> None:
    with pytest.raises(InvalidInputError) as refused:
        start(user, template="welcome", metadata={"plan": "silver"})
    assert list(refused.value.details) == ["metadata.plan"]
    assert not Verification.objects.exists()
    assert not Message.objects.exists()


def test_a_template_that_asks_for_more_than_there_is_is_at_fault(user: User) -> None:
    schema = {"type": "object", "required": ["order"]}
    template = create_template(owner_id=user.pk, slug="welcome", schema=schema)
    save_draft(template_id=template.pk, locale="", subject="Hi", html="", text="x")
    publish(template_id=template.pk)
    with pytest.raises(InvalidInputError) as refused:
        start(user, template="welcome")
    assert [one["message"] for one in refused.value.details["template"]] == [
        "order: This is missing."
    ]
