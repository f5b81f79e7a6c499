"""Statements of the queue keep to their partial indexes, also when prepared and grown old.

A condition that moves from a statement's text into a parameter is enough to lose the index: nothing
would fail, every sweep would read the whole table. On ten million rows: `python -m bench.flat`.
"""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from bench.flat import INDEXES, explained, faults
from bench.flat_plans import explain
from bench.flat_table import fill
from bench.flat_work import make_people, queue_work, top_up, worker
from providers.models import Provider

pytestmark = pytest.mark.django_db

FINISHED = 4000


@pytest.fixture
def _full_table() -> None:
    make_people()
    owners = list(User.objects.values_list("pk", flat=True))
    providers = list(Provider.objects.values_list("pk", flat=True))
    fill(count=FINISHED, owners=owners, providers=providers, now=timezone.now())


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE delivery_message, delivery_attempt, delivery_event")


@pytest.mark.usefixtures("_full_table")
@pytest.mark.parametrize("is_analyzed", [True, False], ids=["analyzed", "never analyzed"])
def test_the_queue_uses_its_partial_indexes(is_analyzed: bool) -> None:  # noqa: FBT001 - a parameter
    one = worker()
    top_up(one, count=200)
    if is_analyzed:
        analyze()
    found = explained(queue_work(one))
    assert faults(found, "in the test") == []
    assert {name for name in INDEXES if not name.startswith(("list", "console"))} <= found.keys()


@pytest.mark.usefixtures("_full_table")
def test_a_condition_given_as_a_parameter_is_noticed() -> None:
    analyze()
    text = "SELECT id FROM delivery_message WHERE lane = %s AND NOT awaits_turn AND status = "
    literal = explain(f"{text} 'queued' LIMIT 1", [2])
    parameter = explain(f"{text} %s LIMIT 1", [2, "queued"])
    assert literal.indexes == {"delivery_message_claim"}
    assert parameter.is_generic
    assert parameter.scanned == {"delivery_message"}
