"""The pages behind the links in mails.

GET and HEAD change nothing: mail scanners follow links ahead of people. The POST of RFC 8058 comes
from mail programs and providers, without cookies and without ever having seen the page; it gets its
answer with 200, no redirect. The token is all it takes, and it is told to no other site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, HttpResponseNotAllowed, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from delivery.unsubscribing import MailLink, read_link
from inbound.unsubscribe import service
from inbound.unsubscribe.choices import ALL
from verification.tokens.languages import LANGUAGES, RIGHT_TO_LEFT, choose_language

if TYPE_CHECKING:
    from django.http import HttpRequest

    from delivery.services.suppressions import Scope

_RETRY_SECONDS = "5"
_MAX_FIELDS = 500
_MAX_BODY_BYTES = 65_536
#: The one pair that a conforming body holds (RFC 8058 §3.2).
_ONE_CLICK = ("List-Unsubscribe", "One-Click")
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)


@method_decorator(csrf_exempt, name="dispatch")
class _LinkPage(View):
    """A page that needs nothing but its link."""

    http_method_names = ["get", "head", "post", "options"]
    max_body_bytes = _MAX_BODY_BYTES

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer; without the database, with a page that says so."""
        _forget_cookies(request)
        try:
            link = read_link(kwargs.pop("token"))
            if link is None and request.method in {"GET", "HEAD", "POST"}:
                response = page(request, "gone", status=404)
            else:
                answer = super().dispatch(request, *args, link=link, **kwargs)
                assert isinstance(answer, HttpResponse)  # noqa: S101 - for the type checker
                response = answer
        except (OperationalError, InterfaceError):
            response = page(request, "away", status=503)
            response["Retry-After"] = _RETRY_SECONDS
        return _closed(response)

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Refuse other methods, without the log entry that would name the path."""
        del request, args, kwargs
        return HttpResponseNotAllowed(["GET", "HEAD", "POST", "OPTIONS"])


class UnsubscribePage(_LinkPage):
    """Asks whether to unsubscribe, and does."""

    def get(self, request: HttpRequest, link: MailLink) -> HttpResponse:
        """Show the button."""
        return _unsubscribe_page(request, link, "ask")

    def post(self, request: HttpRequest, link: MailLink) -> HttpResponse:
        """Unsubscribe if that is what the body says; else show the button again."""
        if _ONE_CLICK not in _pairs(request):
            return _unsubscribe_page(request, link, "ask", status=400)
        service.unsubscribe(link)
        return _unsubscribe_page(request, link, "done")


class PreferencesPage(_LinkPage):
    """Shows what an address gets, and takes what it wants."""

    def get(self, request: HttpRequest, link: MailLink) -> HttpResponse:
        """Show the choices."""
        return _preferences_page(request, link)

    def post(self, request: HttpRequest, link: MailLink) -> HttpResponse:
        """Write the choices down."""
        pairs = _pairs(request)
        action = dict(pairs).get("action")
        if action == "none":
            service.unsubscribe_from_marketing(link)
        elif action == "save":
            service.save_preferences(
                link,
                wanted=_wanted(link, pairs),
                refuses_tracking=("tracking", "no") in pairs,
            )
        else:
            return _preferences_page(request, link, status=400)
        return _preferences_page(request, link, is_saved=True)


def page(
    request: HttpRequest, kind: str, *, status: int = 200, template: str = "notice", **context: Any
) -> HttpResponse:
    """Return a page in the reader's language."""
    language = choose_language(
        [request.GET.get("lang", "")], request.headers.get("Accept-Language", "")
    )
    context |= {
        "kind": kind,
        "language": language,
        "direction": "rtl" if language in RIGHT_TO_LEFT else "ltr",
        "languages": LANGUAGES if request.method in {"GET", "HEAD"} else {},
        "query": f"?lang={language}" if request.GET.get("lang") else "",
    }
    with translation.override(language):
        html = render_to_string(f"inbound/{template}.html", context)
    response = HttpResponse(html, status=status)
    response["Content-Language"] = language
    response["Vary"] = "Accept-Language"
    return response


def _unsubscribe_page(
    request: HttpRequest, link: MailLink, kind: str, *, status: int = 200
) -> HttpResponse:
    return page(
        request,
        kind,
        status=status,
        template="unsubscribe",
        email=link.address,
        title=service.title_of(link),
        preferences=f"{request.path}/preferences",
    )


def _preferences_page(
    request: HttpRequest, link: MailLink, *, is_saved: bool = False, status: int = 200
) -> HttpResponse:
    return page(
        request,
        "done" if is_saved else "ask",
        status=status,
        template="preferences",
        email=link.address,
        preferences=service.preferences_of(link),
        is_saved=is_saved,
    )


def _wanted(link: MailLink, pairs: list[tuple[str, str]]) -> frozenset[Scope]:
    """Return what is ticked."""
    wanted = {(value, "") for name, value in pairs if name == "type"}
    if link.list_key and ("list", "yes") in pairs:
        wanted.add(("", link.list_key))
    if ("needed", "yes") in pairs:
        wanted.add(ALL)
    return frozenset(wanted)


def _forget_cookies(request: HttpRequest) -> None:
    """Have no cookie set, renewed or removed, whatever cookies came along."""
    request.COOKIES = {}
    request.META.pop("CSRF_COOKIE_NEEDS_UPDATE", None)


def _pairs(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the fields of a form in either encoding; none if it is no form."""
    try:
        if request.content_type == "multipart/form-data":
            return [(name, value) for name, values in request.POST.lists() for value in values]
        # Read here: whatever the type or charset is said to be, the octets are ASCII.
        body = request.body[:_MAX_BODY_BYTES].decode("utf-8", "replace")
        found = parse_qsl(body, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except (
        BadRequest,
        MultiPartParserError,
        RequestDataTooBig,
        SuspiciousOperation,
        UnreadablePostError,
        ValueError,
    ):
        return []
    return [(name.strip(), value.strip()) for name, value in found]


def _closed(response: HttpResponse) -> HttpResponse:
    """Keep the link from caches, other sites and search engines."""
    response["Cache-Control"] = "no-store, private"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    response["Content-Security-Policy"] = _POLICY
    # The server's log of refused requests would name the path.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001 - Django's mark
    return response
