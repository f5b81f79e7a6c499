"""`/verifications`: prove that somebody reads the mail of an address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils import timezone
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.rest import page_body, page_params, paginate
from verification.api.verification_fields import read_query, read_request, read_settings
from verification.selectors.tokens import profile_of, verifications_of
from verification.services.token_settings import save_profile
from verification.services.tokens import Mailed, Requester, cancel, resend, start_verification

if TYPE_CHECKING:
    from rest_framework.request import Request

    from verification.models import Verification, VerificationProfile


def _present(verification: Verification) -> dict[str, Any]:
    """Return a verification as the API shows it: never its link."""
    now = timezone.now()
    return {
        "id": verification.pk,
        "email": verification.email,
        "status": verification.state_at(now).value,
        "locale": verification.locale or None,
        "template": verification.template or None,
        "redirect_url": verification.redirect_url or None,
        "metadata": verification.metadata,
        "created_at": verification.created_at,
        "expires_at": verification.expires_at,
        "confirmed_at": verification.ended_at if verification.state == "confirmed" else None,
        "mail_count": len(verification.mailed_at),
        "last_mail_at": verification.last_mail_at,
    }


def _present_mailed(mailed: Mailed) -> dict[str, Any]:
    """Return it with the link, if it is a test key's: nobody gets the mail it stands in."""
    body = _present(mailed.verification)
    return {**body, "verification_url": mailed.test_url} if mailed.test_url else body


def _id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("There is no such verification.") from None


class Verifications(APIView):
    """List verifications, or start one."""

    scopes = {"GET": Scope.VERIFICATIONS_READ, "POST": Scope.VERIFICATIONS_WRITE}

    def get(self, request: Request) -> Response:
        """List one's own, newest first."""
        email, state = read_query(request.query_params)
        cursor, limit = page_params(request.query_params)
        rows = verifications_of(
            key_of(request).user_id, email=email, state=state, now=timezone.now()
        )
        found, next_cursor = paginate(rows, cursor=cursor, limit=limit)
        return Response(page_body([_present(row) for row in found], next_cursor))

    def post(self, request: Request) -> Response:
        """Queue a mail with a link; the answer is the same for every address."""
        key = key_of(request)
        mailed = start_verification(
            request=read_request(request.data),
            requester=Requester(key.user_id, key.pk, is_test=key.is_test),
        )
        return Response(_present_mailed(mailed), status=202)


class VerificationView(APIView):
    """One verification."""

    scopes = {"GET": Scope.VERIFICATIONS_READ}

    def get(self, request: Request, verification_id: str) -> Response:
        """Tell how far it has come."""
        rows = verifications_of(key_of(request).user_id, now=timezone.now())
        verification = rows.filter(pk=_id_of(verification_id)).first()
        if verification is None:
            raise NotFoundError("There is no such verification.")
        return Response(_present(verification))


class ResendVerification(APIView):
    """Another mail."""

    scopes = {"POST": Scope.VERIFICATIONS_WRITE}

    def post(self, request: Request, verification_id: str) -> Response:
        """Send a new link, which voids the one before."""
        _refuse_fields(request.data)
        key = key_of(request)
        mailed = resend(
            verification_id=_id_of(verification_id),
            requester=Requester(key.user_id, key.pk, is_test=key.is_test),
        )
        return Response(_present_mailed(mailed), status=202)


class CancelVerification(APIView):
    """The end of a pending one."""

    scopes = {"POST": Scope.VERIFICATIONS_WRITE}

    def post(self, request: Request, verification_id: str) -> Response:
        """Void the link."""
        _refuse_fields(request.data)
        found = cancel(verification_id=_id_of(verification_id), owner_id=key_of(request).user_id)
        return Response(_present(found))


class VerificationSettings(APIView):
    """How one's verifications look, and where they may lead."""

    scopes = {"GET": Scope.VERIFICATIONS_READ, "PATCH": Scope.VERIFICATIONS_SETTINGS}

    def get(self, request: Request) -> Response:
        """Read the settings."""
        return Response(_settings(profile_of(key_of(request).user_id)))

    def patch(self, request: Request) -> Response:
        """Change what is given."""
        user_id = key_of(request).user_id
        changes = read_settings(request.data)
        held = profile_of(user_id)
        fields = ("app_name", "from_email", "template", "redirects")
        saved = save_profile(
            owner_id=user_id, **{name: changes.get(name, getattr(held, name)) for name in fields}
        )
        return Response(_settings(saved))


def _settings(profile: VerificationProfile) -> dict[str, Any]:
    return {
        "app_name": profile.app_name,
        "from_email": profile.from_email,
        "template": profile.template,
        "redirects": profile.redirects,
    }


def _refuse_fields(data: object) -> None:
    if isinstance(data, dict) and data:
        raise InvalidInputError.for_field(
            str(min(data, key=str))[:64], "There is no such field.", code="unknown_field"
        )
