"""Starting, repeating, calling off and confirming verifications.

Whoever asks learns the same for every address: a mail is queued, whether somebody reads it or not.
The secret of a link exists in memory while its mail is queued and in the mail; no service returns
it but for test keys, whose mail nobody gets and whose verifications prove nothing. One address has
one pending verification per owner: the next request or mail voids the link before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction

from mailservice.core.addresses import AddressError, normalized, parse_email
from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from mailservice.core.ids import uuid7
from mailservice.core.sql import advisory_key, database_now, lock_for_transaction
from verification.errors import TooManyRequestsError
from verification.models import Verification, VerificationProfile, VerificationState
from verification.services.letters import link, send_link
from verification.services.token_limits import check_address_limit, count_for_key
from verification.services.token_settings import checked_redirect
from verification.signals import verified
from verification.tokens.secret import digest_of, new_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from verification.models.tokens import VerificationQuerySet

DEFAULT_LIFETIME_SECONDS = 3_600
MIN_LIFETIME_SECONDS = 60
MAX_LIFETIME_SECONDS = 7 * 86_400
#: Between two mails of one verification.
COOL_DOWN = timedelta(seconds=60)
MAX_RESENDS = 5
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks."""

    user_id: UUID
    api_key_id: UUID | None = None
    is_test: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationRequest:
    """What is asked for; texts may be empty for "not given"."""

    email: str
    template: str = ""
    locale: str = ""
    redirect_url: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    lifetime_seconds: int = DEFAULT_LIFETIME_SECONDS


class Mailed(NamedTuple):
    """A verification whose mail is queued."""

    verification: Verification
    #: The link that no mail of a test key brings; empty in earnest.
    test_url: str


def start_verification(*, request: VerificationRequest, requester: Requester) -> Mailed:
    """Queue a mail with a fresh link and void what was pending for this owner and address.

    Raises `InvalidInputError` naming the field, and `TooManyRequestsError`.
    """
    email = _checked_email(request.email)
    _check_lifetime(request.lifetime_seconds)
    profile = VerificationProfile.objects.filter(owner_id=requester.user_id).first()
    redirect_url = checked_redirect(request.redirect_url, profile)
    count_for_key(requester.api_key_id)
    token = new_token()
    address = normalized(email)
    with transaction.atomic():
        # Also two requests at once for one address are one after the other.
        _lock(address)
        now = database_now()
        check_address_limit(address, requester.user_id, now, is_test=requester.is_test)
        mine = Verification.objects.filter(
            owner_id=requester.user_id, address=address, is_test=requester.is_test
        )
        mine.overdue(now).leave_pending(VerificationState.EXPIRED, now)
        mine.leave_pending(VerificationState.SUPERSEDED, now)
        verification = Verification(
            id=uuid7(),
            owner_id=requester.user_id,
            api_key_id=requester.api_key_id,
            is_test=requester.is_test,
            email=email,
            address=address,
            token_hash=digest_of(token),
            locale=request.locale,
            template=request.template or (profile.template if profile else ""),
            redirect_url=redirect_url,
            metadata=request.metadata,
            lifetime_seconds=request.lifetime_seconds,
            created_at=now,
            expires_at=now + timedelta(seconds=request.lifetime_seconds),
            mailed_at=[now],
            last_mail_at=now,
        )
        verification.save(force_insert=True)
        _send(verification, profile, token)
    return _mailed(verification, token)


def resend(*, verification_id: UUID, requester: Requester) -> Mailed:
    """Queue another mail with a fresh link, which voids the one before; its time starts anew.

    Raises `NotFoundError`, `ConflictError` (`wrong_state`, `resend_limit`, `test_key`) and
    `TooManyRequestsError`.
    """
    token, owner_id = new_token(), requester.user_id
    found = _find(verification_id, owner_id)
    if requester.is_test and not found.is_test:
        raise ConflictError("A test key sends no mail to people.", code="test_key")
    address = found.address
    with transaction.atomic():
        _lock(address)
        verification = _find(verification_id, owner_id, is_locked=True)
        now = database_now()
        _check_live(verification, now)
        if len(verification.mailed_at) > MAX_RESENDS:
            raise ConflictError(
                f"The mail was sent {len(verification.mailed_at)} times; start a new verification.",
                code="resend_limit",
            )
        wait = verification.last_mail_at + COOL_DOWN - now
        if wait > timedelta(0):
            raise TooManyRequestsError(
                "The last mail was sent a moment ago.", retry_after_seconds=wait.total_seconds()
            )
        check_address_limit(address, owner_id, now, is_test=verification.is_test)
        verification.token_hash = digest_of(token) or b""
        verification.expires_at = now + timedelta(seconds=verification.lifetime_seconds)
        verification.mailed_at = [*verification.mailed_at, now]
        verification.last_mail_at = now
        verification.save(update_fields=["token_hash", "expires_at", "mailed_at", "last_mail_at"])
        profile = VerificationProfile.objects.filter(owner_id=owner_id).first()
        _send(verification, profile, token)
    return _mailed(verification, token)


def cancel(*, verification_id: UUID, owner_id: UUID | None = None) -> Verification:
    """Void the link. Raises `NotFoundError` and `ConflictError` unless it is pending.

    Without an owner, an operator acts on anybody's.
    """
    with transaction.atomic():
        verification = _find(verification_id, owner_id, is_locked=True)
        now = database_now()
        _check_live(verification, now)
        verification.state, verification.ended_at = VerificationState.CANCELLED, now
        verification.save(update_fields=["state", "ended_at"])
    return verification


def confirm(*, token: str) -> Verification | None:
    """Use a link up: return its verification, or None if it does not work (any more).

    One UPDATE decides: of any number of requests at once, one is served. Tells `signals.verified`.
    """
    digest = digest_of(token)
    if digest is None:
        return None
    with transaction.atomic():
        now = database_now()
        works = Verification.objects.filter(token_hash=digest).live(now)
        if not works.update(state=VerificationState.CONFIRMED, ended_at=now):
            return None
        verification = Verification.objects.select_related("owner").get(token_hash=digest)
        verified.send(sender=Verification, verification=verification)
    return verification


def end_overdue(*, now: datetime) -> int:
    """Write down what has expired, in short statements; return how many."""
    return sum(
        Verification.objects.filter(pk__in=ids)
        .overdue(now)
        .leave_pending(VerificationState.EXPIRED, now)
        for ids in _batches(lambda: Verification.objects.overdue(now))
    )


def delete_old(*, now: datetime) -> int:
    """Forget what was begun `VERIFICATION_DAYS` ago, in short statements; return how many."""
    before = now - timedelta(days=settings.VERIFICATION_DAYS)
    # Ids are in time order, so this needs no index of its own.
    first = UUID(int=int(before.timestamp() * 1_000) << 80)
    old = Verification.objects.filter(pk__lt=first).exclude(state=VerificationState.PENDING)
    return sum(Verification.objects.filter(pk__in=ids).delete()[0] for ids in _batches(lambda: old))


def _batches(rest: Callable[[], VerificationQuerySet]) -> Iterable[list[UUID]]:
    """Yield ids of what is still to do, which what is done with them must reduce."""
    while ids := list(rest().order_by("pk").values_list("pk", flat=True)[:_BATCH]):
        yield ids
        if len(ids) < _BATCH:
            return


def _send(verification: Verification, profile: VerificationProfile | None, token: str) -> None:
    try:
        send_link(verification, profile, token=token)
    except InvalidInputError as error:
        raise _in_our_words(error) from None


def _mailed(verification: Verification, token: str) -> Mailed:
    return Mailed(verification, link(token, verification.locale) if verification.is_test else "")


def _in_our_words(error: InvalidInputError) -> InvalidInputError:
    """Return the queue's refusal with the request's names: what the caller gave, or the template.

    Of the template's context only `metadata` is the caller's; what else it asks for is its fault.
    """
    known = {"template": "template", "to": "email", "to[0]": "email"}
    faults = []
    for path, found in error.details.items():
        name, words = known.get(path, "template"), ""
        if path.startswith("context.metadata"):
            name = path.removeprefix("context.")
        elif path.startswith("context."):
            words = f"{path.removeprefix('context.')}: "
        faults += [(name, fault["code"], words + fault["message"]) for fault in found]
    return InvalidInputError.for_fields(faults) if faults else error


def _find(verification_id: UUID, owner_id: UUID | None, *, is_locked: bool = False) -> Verification:
    rows = Verification.objects.filter(pk=verification_id)
    if owner_id is not None:
        rows = rows.filter(owner_id=owner_id)
    if is_locked:
        rows = rows.select_for_update()
    verification = rows.first()
    if verification is None:
        raise NotFoundError("There is no such verification.")
    return verification


def _check_live(verification: Verification, now: datetime) -> None:
    state = verification.state_at(now)
    if state != VerificationState.PENDING:
        raise ConflictError(f"The verification is {state.value}.", code="wrong_state")


def _checked_email(email: str) -> str:
    try:
        return parse_email(email)
    except AddressError as error:
        raise InvalidInputError.for_field("email", error.message, code=error.code) from None


def _check_lifetime(seconds: int) -> None:
    if not MIN_LIFETIME_SECONDS <= seconds <= MAX_LIFETIME_SECONDS:
        raise InvalidInputError.for_field(
            "expires_in",
            f"Give {MIN_LIFETIME_SECONDS} to {MAX_LIFETIME_SECONDS} seconds (7 days).",
            code="out_of_range",
        )


def _lock(address: str) -> None:
    lock_for_transaction(advisory_key("verification", address))
