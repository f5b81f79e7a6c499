"""Middleware that only pages need: requests of the API pass by.

The API knows no cookies and answers JSON to programs. What pages have to have (static files,
sessions, the signed-in user, protection against forged forms and framing) would cost each of its
requests more than reading the mail does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import BadRequest
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]  # ships none

if TYPE_CHECKING:
    from django.http import HttpRequest

API_PREFIX = "/api/"
#: Pixels and links of mails, too, know no cookies and are asked for often.
_PLAIN_PREFIXES = (API_PREFIX, "/o/", "/c/")
#: For whoever opens an answer of the API in a browser after all.
API_POLICY = "default-src 'none'; frame-ancestors 'none'"


class _PagesOnly:
    """Passes the API's requests on as they are; first among the bases."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        """Do what the middleware does, for pages."""
        if request.path_info.startswith(_PLAIN_PREFIXES):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]  # the middleware's, next in line


class ContentPolicy(CSPMiddleware):
    """Sets the pages' Content-Security-Policy, and a fixed one on answers of the API."""

    def __call__(self, request: HttpRequest) -> Any:
        """Answer with a policy, unless the view has set one."""
        if not request.path_info.startswith(_PLAIN_PREFIXES):
            return super().__call__(request)
        response: Any = self.get_response(request)
        response.setdefault("Content-Security-Policy", API_POLICY)
        return response


class StaticFiles(_PagesOnly, WhiteNoiseMiddleware):  # type: ignore[misc]  # as above
    """Serves static files."""


class NulRefusal(_PagesOnly, MiddlewareMixin):
    """Refuses the console's addresses with a NUL: none has one, and PostgreSQL takes none.

    Filters of lists hand over what stands in the address as it is. The API names the parameter,
    and to pages for everybody a link with a NUL is one that does not work.
    """

    def process_view(self, request: HttpRequest, *_view: object) -> None:
        """Raise `BadRequest` for a NUL in path or query."""
        has_nul = "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", "")
        match = request.resolver_match
        if has_nul and match is not None and "admin" in match.app_names:
            raise BadRequest("There is a NUL in the address.")


class Sessions(_PagesOnly, SessionMiddleware):
    """Gives pages a session."""


class Csrf(_PagesOnly, CsrfViewMiddleware):
    """Refuses forged forms; views of the API are exempt."""


class Authentication(_PagesOnly, AuthenticationMiddleware):
    """Gives pages the signed-in user."""


class Messages(_PagesOnly, MessageMiddleware):
    """Carries messages from one page to the next."""


class FrameOptions(_PagesOnly, XFrameOptionsMiddleware):
    """Keeps pages out of other sites' frames."""
