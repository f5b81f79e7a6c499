"""Posts of providers: whether they are genuine, and which events are in them.

django-anymail's webhook views know every provider's format and signature; they are used as readers,
each with the account's own key.
"""

from __future__ import annotations

import hmac
import threading
import time
import warnings
from functools import lru_cache
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any

from django.core.handlers.wsgi import WSGIRequest

from mailservice.core.signing import parse_secret, signed_headers
from providers.adapters.esp.webhooks import HOOKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

#: Headers that reading a post needs later.
KEPT_HEADERS = ("svix-id", "x-amz-sns-message-type", "x-amz-sns-message-id", "user-agent")
#: Signed posts older or newer than this are repetitions by somebody else.
_TOLERANCE_SECONDS = 300
#: Some readers insist on a key even where nothing is checked.
_NO_KEY = "none"

# `catch_warnings` is not safe between threads.
_warnings_lock = threading.Lock()


class ForgedError(Exception):
    """A post that does not come from the provider, or cannot be told to."""


class KeyFormatError(ValueError):
    """A key of the wrong form; the message is for people."""


def check(request: HttpRequest, *, kind: str, key: str, url: str) -> None:
    """Check the signature of a post by the provider's rules. Raises `ForgedError`.

    Without a key there is nothing to check: the secret address vouches alone. `url` is the address
    as the provider knows it.
    """
    if not key:
        return
    if kind == "resend":
        _check_standard(request, key)
        return
    reader = _reader(kind, key, url)
    try:
        reader.run_validators(request)
    except Exception as error:  # whatever a forger makes the reader stumble over
        raise ForgedError(f"The signature is wrong ({type(error).__name__}).") from error


def check_key(kind: str, key: str) -> None:
    """Make sure that a key can verify anything at all. Raises `KeyFormatError`."""
    try:
        if kind == "resend":
            parse_secret(key)
            return
        reader = _reader(kind, key, "")
        if kind == "postal":
            _load_public_key(key)
        reader.run_validators(rebuilt(b"{}", "application/json", {}))
    except ValueError as error:
        raise KeyFormatError("That is no key as this provider makes them.") from error
    except Exception:  # noqa: BLE001 - the empty post is refused, as it should be
        return


def events_in(body: bytes, content_type: str, headers: Mapping[str, str], *, kind: str) -> Any:
    """Return the events of a stored post, as anymail normalises them.

    Raises whatever a reader raises about data that it does not expect.
    """
    return _reader(kind, "", "").parse_events(rebuilt(body, content_type, headers))


def rebuilt(body: bytes, content_type: str, headers: Mapping[str, str]) -> HttpRequest:
    """Return the request as it came."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
    for name, value in headers.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return WSGIRequest(environ)


def _reader(kind: str, key: str, url: str) -> Any:
    """Return anymail's view for an account; Mandrill's keeps state of a post, others are shared."""
    return _made(kind, key, url) if kind == "mandrill" else _shared(kind, key, url)


@lru_cache(maxsize=256)
def _shared(kind: str, key: str, url: str) -> Any:
    return _made(kind, key, url)


def _made(kind: str, key: str, url: str) -> Any:
    """Return anymail's view for an account; `ValueError` if it cannot take the key."""
    hook = HOOKS[kind]
    view = getattr(import_module(f"anymail.webhooks.{hook.module}"), hook.view)
    # Else each would be looked up in Django's settings.
    arguments: dict[str, Any] = {"webhook_secret": [], "session_params": {}, "client_params": {}}
    arguments |= {"auto_confirm_sns_subscriptions": False, "track_initial_open_as_opened": False}
    if kind == "mandrill":
        arguments["webhook_url"] = url
    if hook.argument:
        empty = None if kind in {"mailtrap", "sendgrid"} else _NO_KEY
        arguments[hook.argument] = key or empty
    known = {name: value for name, value in arguments.items() if _takes(kind, hook.argument, name)}
    with _warnings_lock, warnings.catch_warnings():
        # The secret address stands in for basic authentication.
        warnings.simplefilter("ignore")
        return view(**known)


def _takes(kind: str, argument: str, name: str) -> bool:
    """Tell whether the reader of a kind takes an argument; others it would keep as attributes."""
    only = {
        "session_params": "amazon_ses",
        "client_params": "amazon_ses",
        "auto_confirm_sns_subscriptions": "amazon_ses",
        "track_initial_open_as_opened": "sparkpost",
        "webhook_url": "mandrill",
    }
    return name in {"webhook_secret", argument} or only.get(name) == kind


def _load_public_key(key: str) -> None:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - Postal only
        load_pem_public_key,
    )

    load_pem_public_key(f"-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----".encode())


def _check_standard(request: HttpRequest, key: str) -> None:
    """Check a signature by Standard Webhooks, whose headers Svix calls by its own name."""
    headers = request.headers
    given = headers.get("svix-signature", "").split()
    try:
        stamp = int(headers.get("svix-timestamp", ""))
        expected = signed_headers(
            secret=key,
            message_id=headers.get("svix-id", ""),
            timestamp_seconds=stamp,
            body=request.body,
        )["webhook-signature"]
    except ValueError as error:
        raise ForgedError("The signature is missing.") from error
    if abs(time.time() - stamp) > _TOLERANCE_SECONDS:
        raise ForgedError("The signature is too old.")
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
        raise ForgedError("The signature is wrong.")
