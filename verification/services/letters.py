"""The mail with a verification's link: the owner's own template, or the built-in one."""

from __future__ import annotations

from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlsplit

from babel.core import UnknownLocaleError
from babel.dates import format_timedelta
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailservice.core.addresses import Address, format_address
from mailservice.core.mail import ServiceMail, Terms
from verification.tokens.languages import (
    LANGUAGES,
    RIGHT_TO_LEFT,
    choose_language,
    primary_language,
)
from verification.tokens.shown import shown_address

if TYPE_CHECKING:
    from verification.models import Verification, VerificationProfile

#: Somebody is waiting for it in front of a form.
PRIORITY = 1
_UNITS: tuple[tuple[Literal["day", "hour", "minute"], int], ...] = (
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
)
_NAME = "%(app)s"
_PERSIAN_DIGITS = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")


def send_link(
    verification: Verification, profile: VerificationProfile | None, *, token: str
) -> None:
    """Queue the mail, within the caller's transaction. Raises `DomainError`.

    A template gets `verification_url`, `email`, `app_name`, `expires_in` (in words), `expires_at`,
    `locale` and `metadata`. The link stays out of the database: it is sealed until the mail leaves.
    """
    language = choose_language([verification.locale])
    name = app_name(verification, profile)
    template = verification.template or None
    context = {
        "email": verification.email if template else shown_address(verification.email),
        "app_name": name,
        "expires_in": duration(verification.lifetime_seconds, verification.locale),
        "expires_at": verification.expires_at.isoformat(timespec="seconds"),
        "locale": verification.locale or language,
        "metadata": verification.metadata,
    }
    sender = profile.from_email if profile is not None else ""
    subject, html, text = ("", "", "") if template else built_in(language)
    mail = ServiceMail(
        subject=subject,
        body=text,
        from_email=format_address(Address(sender, name)) if sender else "",
        to=[verification.email],
        terms=Terms(
            owner_id=verification.owner_id,
            api_key_id=verification.api_key_id,
            is_test=verification.is_test,
            priority=PRIORITY,
            template=template,
            locale=verification.locale,
            context=context,
            secrets={"verification_url": link(token, verification.locale)},
            metadata={"verification_id": str(verification.pk)},
            from_name=name,
            expires_at=verification.expires_at,
        ),
    )
    if html:
        mail.attach_alternative(html, "text/html")
    mail.send(fail_silently=False)


def link(token: str, locale: str) -> str:
    """Return the address of the page; the language goes along, also for links that work no more."""
    query = f"?lang={quote(locale)}" if locale else ""
    return f"{settings.PUBLIC_URL}/verify/{token}{query}"


def app_name(verification: Verification, profile: VerificationProfile | None) -> str:
    """Return who asks, in one line."""
    chosen = profile.app_name if profile is not None else ""
    name = chosen or verification.owner.full_name or urlsplit(settings.PUBLIC_URL).hostname or ""
    return " ".join(name.split())[:100]


def built_in(language: str) -> tuple[str, str, str]:
    """Return subject, HTML and text of the built-in mail, with placeholders for the engine.

    They are the same for everybody; what is somebody's own comes in through the context.
    """
    # Written by us into the words, filled by the engine, which escapes what it fills in.
    app = "{{ app_name }}"
    with translation.override(language):
        request = _("%(app)s would like to know that this address is yours:")
        # A name in another direction of writing keeps its order within the sentence.
        before, _name, after = request.partition(_NAME)
        words = {
            "language": language,
            "direction": "rtl" if language in RIGHT_TO_LEFT else "ltr",
            "subject": _("Confirm your email address for %(app)s") % {"app": app},
            "heading": _("Confirm your email address"),
            "request": request % {"app": app},
            "request_html": format_html("{}<bdi>{}</bdi>{}", before, app, after),
            "button": _("Confirm this address"),
            "expiry": _("The link works once, within %(duration)s.")
            % {"duration": "{{ expires_in }}"},
            "fallback": _("If the button does not work, open this link in your browser:"),
            "ignore": _(
                "If you did not ask for this, ignore this mail: without your confirmation "
                "nothing happens."
            ),
            "email": "{{ email }}",
            "url": "{{ verification_url }}",
        }
        html = render_to_string("verification/mail.html", words)
        text = render_to_string("verification/mail.txt", words)
    return str(words["subject"]), html, text


def duration(seconds: int, locale: str) -> str:
    """Return a time span in words, in the largest unit that measures it exactly enough.

    Our own languages use the words of our mails, others what CLDR says; English if nobody knows.
    """
    unit, size = next(
        (entry for entry in _UNITS if seconds >= entry[1] and seconds % entry[1] == 0), _UNITS[-1]
    )
    count = max(1, seconds // size)
    language = primary_language(locale)
    if language and language not in LANGUAGES:
        try:
            return format_timedelta(
                timedelta(seconds=count * size),
                granularity=unit,
                threshold=inf,  # in this unit, however many
                locale=language,
            )
        except UnknownLocaleError:
            pass  # a language of which nobody knows the words
    words = _in_own_words(count, unit, choose_language([locale]))
    return words.translate(_PERSIAN_DIGITS) if language == "fa" else words


def _in_own_words(count: int, unit: str, language: str) -> str:
    with translation.override(language):
        if unit == "day":
            words = ngettext("%(count)d day", "%(count)d days", count)
        elif unit == "hour":
            words = ngettext("%(count)d hour", "%(count)d hours", count)
        else:
            words = ngettext("%(count)d minute", "%(count)d minutes", count)
        return words % {"count": count}
