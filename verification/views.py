"""The page behind a verification's link.

GET and HEAD change nothing: mail scanners and browsers follow links ahead of people. The POST of
its button confirms; pressed again at once, as impatient people do, it gets the same answer and
confirms nothing more. The link's secret is all it needs, so there is no cookie, no session and no
CSRF token; and it must not get out, so pages are not stored and tell no other site where one came
from. Links that are used up, expired, replaced or made up get one and the same page.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, HttpResponseNotAllowed
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from verification.selectors.tokens import find_confirmed, find_live, profile_of
from verification.services.letters import app_name
from verification.services.token_settings import redirect_after
from verification.services.tokens import confirm
from verification.tokens.languages import LANGUAGES, RIGHT_TO_LEFT, choose_language
from verification.tokens.shown import shown_address

if TYPE_CHECKING:
    from django.http import HttpRequest

    from verification.models import Verification

_ASK, _DONE, _GONE, _AWAY = "ask", "done", "gone", "away"
_STATUS = {_ASK: 200, _DONE: 200, _GONE: 410, _AWAY: 503}
_RETRY_SECONDS = "5"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
#: The button pressed again within so long gets the answer again: browsers show the last one only.
REPEAT = timedelta(seconds=30)


@method_decorator(csrf_exempt, name="dispatch")
class VerifyPage(View):
    """Asks for the confirmation, and takes it."""

    http_method_names = ["get", "head", "post", "options"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer; without the database, with a page that says so."""
        try:
            response = super().dispatch(request, *args, **kwargs)
        except (OperationalError, InterfaceError):
            response = _page(request, _AWAY)
            response["Retry-After"] = _RETRY_SECONDS
        assert isinstance(response, HttpResponse)  # noqa: S101 - for the type checker
        return _closed(response)

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Refuse other methods, without the log entry that would name the path."""
        del request, args, kwargs
        return HttpResponseNotAllowed(["GET", "HEAD", "POST", "OPTIONS"])

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        """Show the button, if the link works."""
        verification = find_live(token, now=timezone.now())
        return _page(request, _ASK if verification else _GONE, verification)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Confirm, then show that; the page goes on to where the application wants it.

        A redirect would have to keep to the policy of the form to its very end, and where the
        application's own redirects lead is not known here.
        """
        verification = confirm(token=token) or find_confirmed(token, since=timezone.now() - REPEAT)
        if verification is None:
            return _page(request, _GONE)
        return _page(request, _DONE, verification, goal=redirect_after(verification))


def _page(
    request: HttpRequest, kind: str, verification: Verification | None = None, *, goal: str = ""
) -> HttpResponse:
    wishes = [request.GET.get("lang", ""), verification.locale if verification else ""]
    language = choose_language(wishes, request.headers.get("Accept-Language", ""))
    context: dict[str, Any] = {
        "kind": kind,
        "language": language,
        "direction": "rtl" if language in RIGHT_TO_LEFT else "ltr",
        "languages": LANGUAGES if kind == _ASK else {},
        "goal": goal,
    }
    if verification is not None:
        profile = profile_of(verification.owner_id)
        local, _, domain = shown_address(verification.email).rpartition("@")
        context |= {
            # Long addresses break at the @-sign first.
            "email": format_html("{}<wbr>@{}", local, domain),
            # A name in another direction of writing keeps its order within the sentence.
            "app": format_html("<bdi>{}</bdi>", app_name(verification, profile)),
        }
    with translation.override(language):
        html = render_to_string("verification/page.html", context)
    response = HttpResponse(html, status=_STATUS[kind])
    response["Content-Language"] = language
    response["Vary"] = "Accept-Language"
    response["Content-Security-Policy"] = _POLICY
    return response


def _closed(response: HttpResponse) -> HttpResponse:
    """Keep the link's secret from caches, other sites and search engines."""
    response["Cache-Control"] = "no-store, private"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    # The server's log of refused requests would name the path.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001 - Django's mark
    return response
