"""What the service checks of an account, and what the choice among accounts sees of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from mailservice.core.errors import InvalidInputError
from providers import figures, health
from providers.models import Provider, ProviderHealth, ProviderMinute
from providers.ports import Outcome, Reason, Reply, Scope, SendResult
from providers.selectors import take_snapshot
from providers.services import create_provider, delete_provider, update_provider

pytestmark = pytest.mark.django_db

FAULT = SendResult(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER, Reply(text="refused"))


def create(**fields: Any) -> Provider:
    values: dict[str, Any] = {"name": "relay", "kind": "simulator", "settings": {}, "secrets": {}}
    return create_provider(owner_id=None, **values | fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("monthly_limit", 0),
        ("priority_reserve", 51),
        ("rate_per_second", 0),
        ("rate_per_second", -1.0),
        ("warm_up", {"starts_on": "tomorrow", "daily": [1]}),
        ("warm_up", {"starts_on": "2026-03-01", "daily": []}),
        ("warm_up", []),
    ],
)
def test_a_wrong_limit_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidInputError) as refused:
        create(**{field: value})
    assert list(refused.value.details) == [field]


def test_limits_are_kept_as_given() -> None:
    plan = {"starts_on": "2026-03-01", "daily": [50, 100]}
    provider = create(monthly_limit=1000, priority_reserve=10, rate_per_second=0.5, warm_up=plan)
    provider.refresh_from_db()
    assert (provider.monthly_limit, provider.priority_reserve) == (1000, 10)
    assert (provider.rate_per_second, provider.warm_up) == (0.5, plan)


def test_a_stored_key_does_not_move_to_another_address() -> None:
    provider = create(kind="postmark", secrets={"server_token": "s3cret"})
    elsewhere = {"api_url": "https://evil.example.com/"}
    with pytest.raises(InvalidInputError) as refused:
        update_provider(provider.pk, settings=elsewhere)
    assert list(refused.value.details) == ["secrets.server_token"]
    update_provider(provider.pk, settings=elsewhere, secrets={"server_token": "s3cret"})


def test_the_choice_sees_breaker_and_figures() -> None:
    provider = create()
    book = figures.TallyBook()
    for _ in range(3):
        book.note(provider.pk, SendResult(Outcome.ACCEPTED), 100, mails=1)
    figures.add(provider.pk, book.take()[provider.pk], timezone.now())
    health.open_breaker(provider.pk, FAULT)
    (state,) = take_snapshot(timezone.now()).providers
    assert state.breaker_until is not None
    assert state.breaker_until > timezone.now()
    assert 64 <= state.latency_p50_ms < 128
    assert state.success_rate == 22 / 23


def test_a_changed_account_is_tried_at_once() -> None:
    provider = create()
    health.open_breaker(provider.pk, FAULT)
    update_provider(provider.pk, name="mended")
    (state,) = take_snapshot(timezone.now()).providers
    assert state.breaker_until is None


def test_an_account_goes_with_its_health_and_figures() -> None:
    provider = create()
    health.open_breaker(provider.pk, FAULT)
    figures.add(provider.pk, figures.Tally(), timezone.now())
    delete_provider(provider.pk)
    assert not Provider.objects.exists()
    assert not ProviderHealth.objects.exists()
    assert not ProviderMinute.objects.exists()
