"""The benchmark's mail as Django writes it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.mail import EmailMultiAlternatives
from django.template import engines

from bench.mail import SENDER, SUBJECT, TEXT, html

if TYPE_CHECKING:
    from collections.abc import Mapping


@lru_cache
def _templates() -> tuple[Any, ...]:
    engine = engines["django"]
    return tuple(engine.from_string(source) for source in (SUBJECT, TEXT, html(loop=True)))


def rendered(context: Mapping[str, object]) -> tuple[str, str, str]:
    """Return subject, text and HTML, from templates compiled once."""
    subject, text, body = (template.render(dict(context)) for template in _templates())
    return subject, text, body


def message(recipient: str, context: Mapping[str, object]) -> EmailMultiAlternatives:
    """Return one mail, rendered."""
    subject, text, body = rendered(context)
    mail = EmailMultiAlternatives(subject, text, SENDER, [recipient])
    mail.attach_alternative(body, "text/html")
    return mail
