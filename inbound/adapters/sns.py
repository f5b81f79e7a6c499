"""Messages of Amazon SNS: whether the signature is Amazon's, and which addresses may be asked.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.conf import settings
from django.utils import timezone

from inbound.adapters.posts import ForgedError
from mailservice.core import http

if TYPE_CHECKING:
    from datetime import datetime

NOTIFICATION = "Notification"
SUBSCRIPTION = "SubscriptionConfirmation"
_UNSUBSCRIBED = "UnsubscribeConfirmation"

_HOST = re.compile(r"sns\.[a-z0-9-]{4,30}\.amazonaws\.com(?:\.cn)?\Z")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-zA-Z]{8,64}\.pem\Z")
_TIMEOUT_SECONDS = 5.0
_MAX_CERTIFICATES = 32
#: In this order; those that a message lacks are left out.
_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_SIGNED[_UNSUBSCRIBED] = _SIGNED[SUBSCRIPTION]

_lock = threading.Lock()
_certificates: dict[str, tuple[rsa.RSAPublicKey, datetime]] = {}


def parse(body: bytes) -> dict[str, Any]:
    """Return a message of SNS. Raises `ForgedError` if it is none."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ForgedError("That is no message of SNS.") from error
    is_sound = isinstance(message, dict) and message.get("Type") in _SIGNED
    texts = ("MessageId", "Timestamp", "TopicArn", "Signature", "SigningCertURL", "Message")
    if not is_sound or not all(isinstance(message.get(name), str) for name in texts):
        raise ForgedError("That is no message of SNS.")
    return dict(message)


def check(message: dict[str, Any]) -> None:
    """Check the signature of a message.

    Raises `ForgedError`, and `OutgoingHttpError` if Amazon's certificate cannot be had now.
    """
    key = _key_at(message["SigningCertURL"])
    # Version 1 is what topics have unless told otherwise; only Amazon can make either.
    is_second = message.get("SignatureVersion") == "2"
    method = hashes.SHA256() if is_second else hashes.SHA1()  # noqa: S303 - the protocol's own
    try:
        signature = base64.b64decode(message["Signature"], validate=True)
        key.verify(signature, signed_text(message), padding.PKCS1v15(), method)
    except (binascii.Error, InvalidSignature) as error:
        raise ForgedError("The signature is wrong.") from error


def signed_text(message: dict[str, Any]) -> bytes:
    """Return what the signature of a message is about."""
    names = [name for name in _SIGNED[message["Type"]] if message.get(name) is not None]
    return "".join(f"{name}\n{message[name]}\n" for name in names).encode()


def confirm(url: str) -> None:
    """Confirm a subscription. Raises `ForgedError` and `OutgoingHttpError`."""
    if not is_amazons(url):
        raise ForgedError("The address to confirm at is not Amazon's.")
    answer = http.get(url, timeout_seconds=_TIMEOUT_SECONDS)
    if not answer.is_ok:
        raise http.OutgoingHttpError(f"SNS answered {answer.status} to the confirmation.")


def is_amazons(url: str) -> bool:
    """Tell whether an address is one of SNS itself."""
    stand_in = settings.SNS_STAND_IN_URL
    if stand_in and url.startswith(f"{stand_in}/"):
        return True
    try:
        parts = urlsplit(url)
        is_plain = parts.netloc == parts.hostname
    except ValueError:
        return False
    return parts.scheme == "https" and is_plain and bool(_HOST.match(parts.netloc))


def forget_certificates() -> None:
    """Make the next check fetch its certificate."""
    with _lock:
        _certificates.clear()


def _key_at(url: str) -> rsa.RSAPublicKey:
    if not is_amazons(url) or not _CERTIFICATE.search(urlsplit(url).path) or "?" in url:
        raise ForgedError("The certificate is not Amazon's.")
    held = _certificates.get(url)
    if held is None or held[1] < timezone.now():
        held = _fetched(url)
        with _lock:
            if len(_certificates) >= _MAX_CERTIFICATES:
                _certificates.clear()
            _certificates[url] = held
    return held[0]


def _fetched(url: str) -> tuple[rsa.RSAPublicKey, datetime]:
    answer = http.get(url, timeout_seconds=_TIMEOUT_SECONDS)
    if not answer.is_ok:
        raise http.OutgoingHttpError(f"SNS answered {answer.status} for its certificate.")
    try:
        certificate = x509.load_pem_x509_certificate(answer.body)
        key = certificate.public_key()
    except ValueError as error:
        raise ForgedError("The certificate cannot be read.") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ForgedError("The certificate has no RSA key.")
    if certificate.not_valid_after_utc < timezone.now():
        raise ForgedError("The certificate is out of date.")
    return key, certificate.not_valid_after_utc
