"""CPU cost of writing one mail: our two ways against Django's EmailMultiAlternatives.

    .venv/bin/python -m bench.compose [--count 2000]

The message is the one of PERF.md: 5.1 KB of HTML with ten variables and a ten-item loop, 0.5 KB of
text, each to another recipient. Prints CPU microseconds per message, the median of five rounds.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from statistics import median
from time import process_time
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from bench.mail import SENDER, SUBJECT, TEXT, context, html, recipient
from delivery.compose import CompiledContent, ContentSource, MailFields, compile_content
from mailservice.core.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5


def fields(number: int) -> MailFields:
    """Return what belongs to one message."""
    return MailFields(
        message_id=UUID(int=number),
        date=datetime(2026, 11, 21, tzinfo=UTC),
        to=(Address(recipient(number)),),
        context=context(number),
    )


def content(*, loop: bool, is_template: bool = True) -> CompiledContent:
    """Return the compiled content of the benchmark."""
    source = ContentSource(
        subject=SUBJECT if is_template else "Your order",
        html=html(loop=loop),
        text=TEXT,
        from_email=SENDER,
        from_name="The Shop",
        is_template=is_template,
    )
    return compile_content(source)


def django_mail(compiled: CompiledContent, mail: MailFields) -> bytes:
    """Write the mail as Django does, from bodies rendered by the same templates."""
    preview = compiled.render_preview(mail)
    message = EmailMultiAlternatives(
        preview.subject, preview.text, "The Shop <shop@shop.example>", [mail.to[0].email]
    )
    message.attach_alternative(preview.html, "text/html")
    return message.message().as_bytes(linesep="\r\n")  # type: ignore[call-arg]  # Django's SafeMIME takes it


def cost(step: Callable[[MailFields], object], mails: list[MailFields]) -> float:
    """Return the median CPU time of a step in microseconds per message."""
    rounds = []
    for _ in range(ROUNDS):
        start = process_time()
        for mail in mails:
            step(mail)
        rounds.append((process_time() - start) / len(mails) * 1e6)
    return median(rounds)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=2000)
    count = parser.parse_args().count
    settings.configure(DEFAULT_CHARSET="utf-8", USE_TZ=True, EMAIL_USE_LOCALTIME=False)
    mails = [fields(number) for number in range(count)]
    looped, slots, fixed = (
        content(loop=True),
        content(loop=False),
        content(loop=True, is_template=False),
    )
    steps: list[tuple[str, Callable[[MailFields], object]]] = [
        ("loop template: render only", looped.render_preview),
        ("loop template: direct", looped.compose),
        ("loop template: general", looped.compose_general),
        ("loop template: Django EmailMultiAlternatives", lambda mail: django_mail(looped, mail)),
        ("slots only: direct", slots.compose),
        ("no variables: direct", fixed.compose),
    ]
    for name, step in steps:
        sys.stdout.write(f"{name:48}{cost(step, mails):9.1f} us\n")
    sizes = [len(part.encode()) for part in looped.render_preview(mails[0])]
    total = len(looped.compose(mails[0]))
    sys.stdout.write(f"html {sizes[1]} B, text {sizes[2]} B, mail {total} B\n")


if __name__ == "__main__":
    main()
