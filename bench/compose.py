"""CPU cost of writing one mail: our two ways against Django's EmailMultiAlternatives.

    .venv/bin/python -m bench.compose [--count 2000]

The message is the one of PERF.md: 5.1 KB of HTML with ten variables and a ten-item loop, 0.5 KB of
text, each to another recipient; and the same with twenty links more, untracked and tracked. Prints
CPU microseconds per message, the median of five rounds.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from time import process_time
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from bench.mail import SENDER, SUBJECT, TEXT, context, html, recipient
from delivery.compose import (
    CompiledContent,
    ContentSource,
    MailFields,
    Marks,
    compile_content,
)
from delivery.links import KeyRing
from mailservice.core.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
LINK = (
    '<p style="margin:0 0 12px"><a href="https://shop.example.com/products/{}?utm_source=news&amp;c=7"'
    ' style="color:#123456;text-decoration:none" target="_blank">Article</a></p>\n'
)
_RING = KeyRing({0: b"k" * 32})


def fields(number: int) -> MailFields:
    """Return what belongs to one message."""
    return MailFields(
        message_id=UUID(int=number),
        date=datetime(2026, 11, 21, tzinfo=UTC),
        to=(Address(recipient(number)),),
        context=context(number),
    )


def tracked(mail: MailFields) -> MailFields:
    """Return what belongs to a tracked message."""
    marks = Marks(
        "https://mail.example.com", _RING, mail.message_id, b"abcd", opens=True, clicks=True
    )
    return replace(mail, marks=marks)


def content(*, loop: bool, is_template: bool = True, links: int = 0) -> CompiledContent:
    """Return the compiled content of the benchmark."""
    more = "".join(LINK.format(number) for number in range(links))
    source = ContentSource(
        subject=SUBJECT if is_template else "Your order",
        html=html(loop=loop).replace("</body>", f"{more}</body>"),
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
    linked, fixed_linked = (
        content(loop=True, links=20),
        content(loop=True, links=20, is_template=False),
    )
    steps: list[tuple[str, Callable[[MailFields], object]]] = [
        ("loop template: render only", looped.render_preview),
        ("loop template: direct", looped.compose),
        ("loop template: general", looped.compose_general),
        ("loop template: Django EmailMultiAlternatives", lambda mail: django_mail(looped, mail)),
        ("slots only: direct", slots.compose),
        ("no variables: direct", fixed.compose),
        ("20 links more, loop template: direct", linked.compose),
        ("20 links more, loop template: direct, tracked", lambda m: linked.compose(tracked(m))),
        ("20 links more, no variables: direct", fixed_linked.compose),
        (
            "20 links more, no variables: direct, tracked",
            lambda m: fixed_linked.compose(tracked(m)),
        ),
    ]
    for name, step in steps:
        sys.stdout.write(f"{name:48}{cost(step, mails):9.1f} us\n")
    sizes = [len(part.encode()) for part in looped.render_preview(mails[0])]
    total = len(looped.compose(mails[0]))
    sys.stdout.write(f"html {sizes[1]} B, text {sizes[2]} B, mail {total} B\n")


if __name__ == "__main__":
    main()
