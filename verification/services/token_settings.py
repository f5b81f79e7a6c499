"""How an owner's verifications look, and where they may lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mailservice.core.addresses import AddressError, check_name, parse_email
from mailservice.core.errors import InvalidInputError
from verification.models import Verification, VerificationProfile
from verification.models.tokens import MAX_APP_NAME_CHARS, MAX_REDIRECT_CHARS, MAX_REDIRECTS
from verification.tokens.redirects import (
    RedirectError,
    is_allowed,
    read_prefix,
    read_target,
    with_outcome,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID


#: Asked for the name of a template and its user's id: each returns why their mail cannot be written
#: with it, or None. Apps above this one append theirs when they are ready.
template_checks: list[Callable[[UUID, str], str | None]] = []


def save_profile(
    *, owner_id: UUID, app_name: str, from_email: str, template: str, redirects: Sequence[str]
) -> VerificationProfile:
    """Set how an owner's verifications look and lead. Raises `InvalidInputError` by field."""
    values, faults = _read_profile(app_name, from_email, redirects)
    faults += _template_faults(owner_id, template)
    if faults:
        raise InvalidInputError.for_fields(faults)
    profile, _ = VerificationProfile.objects.update_or_create(
        owner_id=owner_id, defaults={**values, "template": template}
    )
    return profile


def profile_faults(
    *, owner_id: UUID, app_name: str, from_email: str, template: str, redirects: Sequence[str]
) -> list[tuple[str, str]]:
    """Return what `save_profile` would refuse, as (field, message)."""
    _, faults = _read_profile(app_name, from_email, redirects)
    faults += _template_faults(owner_id, template)
    return [(path, message) for path, _, message in faults]


def _read_profile(
    app_name: str, from_email: str, redirects: Sequence[str]
) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    faults: list[tuple[str, str, str]] = []
    try:
        app_name = " ".join(check_name(app_name).split())
    except AddressError as error:
        faults.append(("app_name", error.code, error.message))
    if len(app_name) > MAX_APP_NAME_CHARS:
        faults.append(("app_name", "too_long", f"At most {MAX_APP_NAME_CHARS} characters."))
    try:
        from_email = parse_email(from_email) if from_email else ""
    except AddressError as error:
        faults.append(("from_email", error.code, error.message))
    prefixes = _read_redirects(redirects, faults)
    return {"app_name": app_name, "from_email": from_email, "redirects": prefixes}, faults


def _template_faults(owner_id: UUID, template: str) -> list[tuple[str, str, str]]:
    """Return what is wrong with a template that is new in the settings."""
    held = VerificationProfile.objects.filter(owner_id=owner_id).values_list("template", flat=True)
    if not template or template == held.first():
        return []
    found = (check(owner_id, template) for check in template_checks)
    return [("template", "not_found", message) for message in found if message]


def checked_redirect(url: str, profile: VerificationProfile | None) -> str:
    """Return a wished redirect in its one form. Raises `InvalidInputError` if it is not allowed."""
    if not url:
        return ""
    try:
        target = read_target(url)
    except RedirectError as error:
        raise InvalidInputError.for_field("redirect_url", str(error)) from None
    if not is_allowed(target, profile.redirects if profile else ()):
        raise InvalidInputError.for_field(
            "redirect_url",
            "This address is not among the redirects of your verification settings.",
            code="not_allowed",
        )
    return target.url


def redirect_after(verification: Verification) -> str:
    """Return where a confirmed person goes next, or an empty text for our own page.

    The allow-list is asked again: it may have changed since the request.
    """
    if not verification.redirect_url:
        return ""
    profile = VerificationProfile.objects.filter(owner_id=verification.owner_id).first()
    target = read_target(verification.redirect_url)
    if not is_allowed(target, profile.redirects if profile else ()):
        return ""
    return with_outcome(
        target, {"verification_id": str(verification.pk), "status": verification.state}
    )


def _read_redirects(redirects: Sequence[str], faults: list[tuple[str, str, str]]) -> list[str]:
    if len(redirects) > MAX_REDIRECTS:
        faults.append(("redirects", "too_many", f"At most {MAX_REDIRECTS} entries."))
        return []
    found = []
    for index, text in enumerate(redirects):
        field = f"redirects[{index}]"
        try:
            prefix = read_prefix(text)
        except RedirectError as error:
            faults.append((field, "invalid", str(error)))
            continue
        if len(prefix) > MAX_REDIRECT_CHARS:
            faults.append((field, "too_long", f"At most {MAX_REDIRECT_CHARS} characters."))
        found.append(prefix)
    return list(dict.fromkeys(found))
