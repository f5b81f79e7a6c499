"""What the service checks of an account, and what the choice among accounts sees of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from alerts.models import Alert
from mailservice.core.errors import InvalidInputError
from providers import figures, health
from providers.models import Provider, ProviderHealth, ProviderMinute
from providers.ports import Outcome, Reason, Reply, Scope, SendResult
from providers.selectors import take_snapshot
from providers.services import create_provider, delete_provider, update_provider
from providers.watch import watch

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


def test_the_longest_wait_is_not_shorter_than_the_first() -> None:
    with pytest.raises(InvalidInputError) as refused:
        create(retry_first_seconds=600, retry_max_seconds=60)
    assert list(refused.value.details) == ["retry_max_seconds"]
    provider = create(retry_first_seconds=60, retry_max_seconds=60)
    with pytest.raises(InvalidInputError):
        update_provider(provider.pk, retry_first_seconds=61)
    update_provider(provider.pk, retry_first_seconds=61, retry_max_seconds=None)


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


SMTP: dict[str, Any] = {
    "kind": "smtp",
    "settings": {"host": "mx.example.com", "username": "me"},
    "secrets": {"password": "old"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"settings_patch": {"port": 2525}},
        {"settings": {"host": "mx.example.com", "username": "you"}},
        {"secrets": {"password": "new"}},
        {"is_active": False},
    ],
)
def test_an_account_whose_connection_was_changed_is_tried_at_once(change: Any) -> None:
    provider = create(**SMTP)
    health.open_breaker(provider.pk, FAULT)
    update_provider(provider.pk, **change)
    (state,) = take_snapshot(timezone.now()).providers
    assert state.breaker_until is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other", "daily_limit": 5, "time_zone": "Asia/Tokyo", "from_name": "Shop"},
        {"settings": SMTP["settings"], "secrets": {"password": "old"}, "is_active": True},
        {"settings_patch": {"username": "me"}, "secrets": {}},
    ],
)
def test_other_changes_leave_breaker_and_alert(change: Any) -> None:
    provider = create(**SMTP)
    health.open_breaker(provider.pk, replace(FAULT, reason=Reason.AUTHENTICATION))
    update_provider(provider.pk, **change)
    (state,) = take_snapshot(timezone.now()).providers
    assert state.breaker_until is not None
    watch(timezone.now())
    assert Alert.objects.open().get().kind == "provider.refused"


def test_the_alert_of_an_account_that_was_changed_ends_with_the_truth() -> None:
    provider = create(**SMTP)
    health.open_breaker(provider.pk, replace(FAULT, reason=Reason.AUTHENTICATION))
    update_provider(provider.pk, secrets={"password": "new"})
    alert = Alert.objects.get()
    assert alert.closed_at is not None
    assert alert.closing == "Its settings were changed; the next mail shows whether it takes mail."
    # And is told anew if it does not.
    health.open_breaker(provider.pk, replace(FAULT, reason=Reason.AUTHENTICATION))
    assert Alert.objects.open().get().kind == "provider.refused"


def test_an_account_that_is_switched_off_is_told_to_be_off() -> None:
    provider = create(**SMTP)
    health.open_breaker(provider.pk, replace(FAULT, reason=Reason.AUTHENTICATION))
    update_provider(provider.pk, is_active=False)
    watch(timezone.now())
    assert Alert.objects.get().closing == "The account is switched off or gone."


def test_an_account_goes_with_its_health_and_figures() -> None:
    provider = create()
    health.open_breaker(provider.pk, FAULT)
    figures.add(provider.pk, figures.Tally(), timezone.now())
    delete_provider(provider.pk)
    assert not Provider.objects.exists()
    assert not ProviderHealth.objects.exists()
    assert not ProviderMinute.objects.exists()
