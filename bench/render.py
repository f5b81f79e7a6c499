"""Renders per second: our sandbox, python-liquid, Django and Jinja2's sandbox, same newsletter.

    .venv/bin/python -m bench.render [--count 1000]

The newsletter is that of `bench.mail`: 5.1 KB of HTML with ten variables and a ten-item loop,
which mean the same to all four; each must write the same text, escaped. Then a newsletter as people
write it, with a layout, a partial, style rules, dates and money: what finishing it costs once, and
what one more mail costs, written out ready for the wire. CPU time, the median of five rounds,
engines taking turns within each round.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from statistics import median
from time import process_time
from typing import TYPE_CHECKING
from uuid import UUID

from bench.mail import LOOP, NAMES, SENDER, SUBJECT, context, html, recipient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from templates_app.rendering import Finished

    Step = Callable[[int], object]

ROUNDS = 5
NOW = datetime(2026, 11, 21, tzinfo=UTC)
LAYOUT = (
    "<html><head><style>body { margin: 0 } p { margin: 0 0 12px; font: 14px/20px sans-serif } "
    "td { padding: 4px 8px; border-bottom: 1px solid {{ line }} } .foot { color: #777 }</style>"
    '</head><body>{{ content }}{% render "foot", shop: shop %}</body></html>'
)
FOOT = "<p class='foot'>{{ shop }} · {{ 'now' | date: 'long' }} · <a href='{{ link }}'>Stop</a></p>"
LETTER = (
    '{% layout "base" %}'
    + "<p>We have packed it with care and it leaves our warehouse today. Thank you.</p>\n" * 40
    + "".join(f"<p>{name}: {{{{ {name} }}}}</p>\n" for name in NAMES)
    + "<table>"
    + LOOP.replace("{{ item.price }}", "{{ item.price | money: 'EUR' }}")
    + "</table>"
)
MJML = (
    "<mjml><mj-body>{% for item in items %}<mj-section><mj-column><mj-text>{{ item.name }} "
    "{{ item.count }}</mj-text></mj-column></mj-section>{% endfor %}<mj-section><mj-column>"
    + "".join(f"<mj-text>{name}: {{{{ {name} }}}}</mj-text>" for name in NAMES)
    + "</mj-column></mj-section></mj-body></mjml>"
)


class _Shelf:
    """The layout and the partial of the newsletter."""

    def find(self, name: str, kind: str) -> object:
        """Return one of the two."""
        from templates_app.rendering import Shared

        return Shared(name, name, kind, 1, LAYOUT if name == "base" else FOOT, "", "html")

    def names(self, kind: str) -> list[str]:
        """Return both."""
        del kind
        return ["base", "foot"]


def engines(source: str) -> dict[str, tuple[Callable[[], object], Step]]:
    """Return what each engine does to read a template, and to fill it."""
    import django.template
    import jinja2.sandbox
    import liquid
    from django.conf import settings

    from templates_app.engine import compiled

    if not settings.configured:
        settings.configure(USE_I18N=False)
    plain = liquid.Environment(autoescape=True)
    sandbox = jinja2.sandbox.ImmutableSandboxedEnvironment(autoescape=True)
    django_engine = django.template.Engine()
    ours = compiled.compile_source(source, html=True)
    liquid_template = plain.from_string(source)
    jinja_template = sandbox.from_string(source)
    django_template = django_engine.from_string(source)
    contexts = [context(number) for number in range(50)]
    return {
        "ours (sandbox, strict)": (
            lambda: compiled._compile(source, True, False),  # noqa: FBT003, SLF001 - past its cache
            lambda n: ours.render(contexts[n % 50], now=NOW),
        ),
        "python-liquid, plain": (
            lambda: plain.from_string(source),
            lambda n: liquid_template.render(**contexts[n % 50]),
        ),
        "Django templates": (
            lambda: django_engine.from_string(source),
            lambda n: django_template.render(django.template.Context(contexts[n % 50])),
        ),
        "Jinja2 sandbox": (
            lambda: sandbox.from_string(source),
            lambda n: jinja_template.render(contexts[n % 50]),
        ),
    }


def costs(steps: Sequence[Step], count: int) -> list[float]:
    """Return the median CPU microseconds of each step, the steps taking turns."""
    rounds: list[list[float]] = [[] for _ in steps]
    for _ in range(ROUNDS):
        for step, found in zip(steps, rounds, strict=True):
            start = process_time()
            for number in range(count):
                step(number)
            found.append((process_time() - start) / count * 1e6)
    return [median(found) for found in rounds]


def finished(source: str, format_: str) -> Finished:
    """Return a newsletter with everything worked in."""
    from templates_app.rendering import MailSource, finish

    letter = MailSource(subject=SUBJECT, html=source, format=format_, language="de")
    return finish(letter, _Shelf())  # type: ignore[arg-type]  # imports wait for the settings


def compose_step(done: Finished) -> Step:
    """Return what writes one mail of a finished newsletter."""
    from delivery.compose import ContentSource, MailFields, compile_content
    from mailservice.core.addresses import Address

    source = ContentSource(
        subject=done.mail.subject,
        html=done.mail.html,
        text=done.mail.text,
        from_email=SENDER,
        from_name="The Shop",
        is_template=True,
        locale="de",
        inlines_css=done.mail.inlines_css,
    )
    compiled = compile_content(source)
    mails = [
        MailFields(
            message_id=UUID(int=number),
            date=NOW,
            to=(Address(recipient(number)),),
            context={**context(number), "line": "#ddd"},
        )
        for number in range(50)
    ]
    return lambda n: compiled.compose(mails[n % 50])


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=1000)
    count = parser.parse_args().count
    source = html(loop=True)
    found = engines(source)
    texts = {str(fill(3)) for _, fill in found.values()}
    assert len(texts) == 1, "the engines write different texts"
    print(f"{'engine':32}{'renders/s':>12}{'us':>9}{'parse us':>11}")
    fills = costs([fill for _, fill in found.values()], count)
    reads = costs([lambda _, read=read: read() for read, _ in found.values()], max(count // 10, 1))  # type: ignore[misc]  # a default binds it
    for name, fill, read in zip(found, fills, reads, strict=True):
        print(f"{name:32}{1e6 / fill:12,.0f}{fill:9.1f}{read:11.0f}")
    letters = {
        "layout, partial, style rules": (LETTER, "html"),
        "rules that need each mail": (
            LETTER.replace("<table", '<table class="{{ first }}"'),
            "html",
        ),
        "MJML": (MJML, "mjml"),
    }
    print(f"\n{'newsletter, to the wire':32}{'us a mail':>12}{'finish us':>11}{'bytes':>9}")
    for name, (letter, format_) in letters.items():
        step = compose_step(finished(letter, format_))
        (each,) = costs([step], count)
        (once,) = costs([lambda _, one=(letter, format_): finished(*one)], 20)  # type: ignore[misc]  # as above
        size = len(step(0))  # type: ignore[arg-type]  # octets
        print(f"{name:32}{each:12.1f}{once:11.0f}{size:9,}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
