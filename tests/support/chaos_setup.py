"""Fills a new database for the kill tests: one user, one key, one SMTP account.

    python -m tests.support.chaos_setup '{"port": 2525}'

A process of its own, since its database is not that of the tests. Prints JSON with the key.
"""

from __future__ import annotations

import json
import sys

import django
from django.core.management import call_command

#: Every first retry comes soon, and none is the last.
PATIENCE = {"retry_first_seconds": 1, "retry_max_seconds": 2, "max_attempts": 30_000}


def main(arguments: dict[str, int]) -> None:
    django.setup()
    # Models can be imported from here on.
    from accounts.models import User  # noqa: PLC0415
    from accounts.services import create_api_key  # noqa: PLC0415
    from delivery.models import EmailType  # noqa: PLC0415
    from tests.support.mail import smtp_account  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    user = User.objects.create_user("shop@example.com")
    key = create_api_key(user=user, name="chaos")
    limits = {"hourly_limit": 100_000_000, "daily_limit": 100_000_000}
    # Ten for each of eight processes: storms are to be about kills, not about waiting for a place.
    smtp_account(arguments["port"], name="sink", price_per_thousand=1, max_connections=80, **limits)
    EmailType.objects.update(**PATIENCE)
    sys.stdout.write(json.dumps({"secret": key.secret}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
