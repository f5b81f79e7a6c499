"""What a benchmark puts into the database: nothing, an account, a queue of mails, a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.mail import SENDER, SUBJECT, TEXT, context, html, recipient

if TYPE_CHECKING:
    from delivery.intake import BatchInput
    from providers.rules import RuleFields

CHUNK = 1000


def empty_tables() -> None:
    """Remove all mail, accounts and what belongs to them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE delivery_message, delivery_content, delivery_attempt, delivery_event,"
            " delivery_lease, delivery_attachment, delivery_idempotencyrecord, providers_provider,"
            " providers_routingdecision, providers_routingrule,"
            " providers_costday, delivery_announcement CASCADE"
        )


def make_suppressions(count: int) -> None:
    """Suppress so many addresses that no mail of a benchmark goes to, a tenth of them by list."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM delivery_suppression")
        if cursor.fetchone()[0] == count:
            return
        cursor.execute("TRUNCATE delivery_suppression")
        cursor.execute(
            "INSERT INTO delivery_suppression (id, address, email_type, list_key, reason, note)"
            " SELECT gen_random_uuid(), md5(n::text) || '@left.example', '',"
            " CASE WHEN n %% 10 = 0 THEN 'news' ELSE '' END, 'unsubscribe', ''"
            " FROM generate_series(1, %s) n",
            [count],
        )
        cursor.execute("VACUUM ANALYZE delivery_suppression")


def let_rest() -> None:
    """Vacuum the queue as autovacuum would in time, and forget its wake-ups: all is quiet."""
    from django.db import connection

    from mailservice.core.broker import redis_client

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE delivery_message")
    redis_client().flushdb()


def make_accounts(port: int, *, connections: int, count: int = 1) -> None:
    """Make SMTP accounts that all send to the sink; if several, with limits and prices."""
    from providers.models import Provider

    for number in range(1, count + 1):
        choosy = {"daily_limit": 10_000_000, "price_per_thousand": number} if count > 1 else {}
        Provider.objects.create(
            name=f"sink {number}",
            kind="smtp",
            from_email=SENDER,
            settings={"host": "127.0.0.1", "port": port},
            max_connections=connections,
            **choosy,
        )


def make_rules(count: int, *, strategy: str) -> None:
    """Make rules that name all accounts; all but the last ask for what the mails are not."""
    from providers.models import Provider
    from providers.routing import Target
    from providers.rules import create_rule

    targets = [Target(pk) for pk in Provider.objects.order_by("name").values_list("pk", flat=True)]
    asked: tuple[RuleFields, ...] = (
        {"email_types": ["transactional"]},
        {"sender_domains": ["*.example.org"]},
        {"recipient_domains": ["*.gov.example", "bank.example"]},
        {"tags": ["two-factor"]},
    )
    for number in range(1, count + 1):
        fields: RuleFields = {"position": number, "strategy": strategy}
        if number < count:
            fields |= asked[number % len(asked)]
        create_rule(owner_id=None, name=f"rule {number}", targets=targets, **fields)


def make_key() -> str:
    """Return the secret of a new API key."""
    from accounts.models import User
    from accounts.services import create_api_key

    user, _ = User.objects.get_or_create(email="bench@example.com")
    return create_api_key(user=user, name="bench").secret


def queue_mails(count: int, *, start: int = 0, priority: int = 3, is_tracked: bool = False) -> None:
    """Accept bulk mails to distinct recipients through the services, in batches of a thousand."""
    from accounts.models import User
    from delivery.services.accept import Accepted, Sender, queue_messages

    user, _ = User.objects.get_or_create(email="bench@example.com")
    for first in range(start, start + count, CHUNK):
        batch = _batch(first, min(first + CHUNK, start + count), priority, is_tracked=is_tracked)
        results = queue_messages(
            messages=[item.message for item in batch.items if item.message is not None],
            sender=Sender(user.pk),
            is_shared_content=True,
        )
        refused = [result for result in results if not isinstance(result, Accepted)]
        if refused:
            raise SystemExit(f"Not accepted: {refused[0]}")


def _batch(first: int, end: int, priority: int, *, is_tracked: bool) -> BatchInput:
    from django.utils import timezone

    from delivery.intake import Limits, parse_batch

    shared = {
        "from": SENDER,
        "subject": SUBJECT,
        "html": html(loop=True),
        "text": TEXT,
        "email_type": "marketing",
        "track_opens": is_tracked,
        "track_clicks": is_tracked,
        "priority": priority,
        "recipients": [
            {"to": recipient(number), "context": context(number)} for number in range(first, end)
        ],
    }
    return parse_batch(shared, now=timezone.now(), limits=Limits(max_batch=CHUNK))
