"""Sign the links in mails with a new key from now on; earlier links go on working."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from delivery.link_keys import CACHE_SECONDS, add_link_key


class Command(BaseCommand):
    """Make a new key for the links in mails; all earlier links go on working."""

    help = __doc__

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Make it."""
        try:
            number = add_link_key()
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"Key {number} signs new links, in every process within {CACHE_SECONDS:g} seconds."
        )
