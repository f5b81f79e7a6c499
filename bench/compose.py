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

from delivery.compose import CompiledContent, ContentSource, MailFields, compile_content
from mailservice.core.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
NAMES = ("first", "last", "city", "order", "total", "date", "shop", "phone", "agent", "link")
PARAGRAPH = (
    '<p style="margin:0 0 12px;font-size:14px;line-height:20px;color:#333">Dear {{ first }} '
    "{{ last }}, thank you for your order with us. We have packed it with care and it leaves our "
    "warehouse today.</p>\n"
)
LOOP = (
    "{% for item in items %}"
    '<tr><td style="padding:4px 8px">{{ item.name }}</td><td>{{ item.count }}</td>'
    "<td>{{ item.price }}</td></tr>\n"
    "{% endfor %}"
)
OUTPUTS = "\n".join(f"<p>{name}: {{{{ {name} }}}}</p>" for name in NAMES)
TEXT = (
    "Dear {{ first }} {{ last }},\n\n" + "Thank you for your order with us.\n" * 13 + "{{ link }}\n"
)


def html(*, loop: bool) -> str:
    """Return an HTML template whose mail is about 5.1 KB, with or without a loop."""
    fixed = PARAGRAPH.replace("{{ first }} {{ last }}", "customer")
    table = f"<table>{LOOP if loop else ''}</table>"
    padding = fixed * (22 if loop else 25)
    return f"<html><body>{padding}{OUTPUTS}{table}</body></html>"


def context(number: int) -> dict[str, object]:
    """Return the variables of one recipient."""
    values: dict[str, object] = {name: f"{name} {number}" for name in NAMES}
    values["items"] = [
        {"name": f"Article {index}", "count": index, "price": "12.50"} for index in range(10)
    ]
    return values


def fields(number: int) -> MailFields:
    """Return what belongs to one message."""
    return MailFields(
        message_id=UUID(int=number),
        date=datetime(2026, 11, 21, tzinfo=UTC),
        to=(Address(f"customer{number}@customers.example"),),
        context=context(number),
    )


def content(*, loop: bool, is_template: bool = True) -> CompiledContent:
    """Return the compiled content of the benchmark."""
    source = ContentSource(
        subject="Your order {{ order }}" if is_template else "Your order",
        html=html(loop=loop),
        text=TEXT,
        from_email="shop@shop.example",
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
