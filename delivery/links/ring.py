"""Sealed and signed tokens for URLs, and short signed ones for the local part of an address."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from binascii import b2a_base64
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Octets of a key.
KEY_BYTES = 32
#: Octets of the signature of a short token.
_MAC_BYTES = 7
_SEALED_MIN = 1 + 16
#: Octets of the signature of a token that stands in a URL.
_URL_MAC_BYTES = 12
_TO_URL = bytes.maketrans(b"+/", b"-_")


class KeyRing:
    """Keys by their number (0 to 255): the highest writes, every one reads.

    The same payload under the same key gives the same token, so that composing a mail twice gives
    the same octets. Safe to share between threads.
    """

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise ValueError("A ring needs a key.")
        self._number = max(keys)
        # Two derived keys each: a key never serves two purposes.
        self._sealing = {number: AESSIV(_derived(key, b"seal", 64)) for number, key in keys.items()}
        self._signing = {number: _derived(key, b"sign", 32) for number, key in keys.items()}
        self._newest = (bytes([self._number]), self._sealing[self._number])
        self._url_keys = {number: _derived(key, b"url", 32) for number, key in keys.items()}
        #: Hashes that have taken key and purpose in: copying one costs less than making one.
        self._url_macs: dict[tuple[int, bytes], hashlib.blake2b] = {}
        self._macs: dict[tuple[int, bytes], hashlib.blake2b] = {}

    @property
    def numbers(self) -> frozenset[int]:
        """Return the numbers of the keys it can read."""
        return frozenset(self._sealing)

    def seal(self, purpose: bytes, payload: bytes) -> str:
        """Return `payload` (not empty) encrypted and authenticated, in base64url (RFC 4648 §5).

        It has about 4/3 of the payload's octets and 23 more.
        """
        prefix, key = self._newest
        sealed = prefix + key.encrypt(payload, [purpose])
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def unseal(self, purpose: bytes, token: str) -> bytes | None:
        """Return what was sealed for this purpose; None for anything else. Never raises."""
        data = _decoded(token)
        if data is None or len(data) <= _SEALED_MIN:
            return None
        key = self._sealing.get(data[0])
        if key is None:
            return None
        try:
            return key.decrypt(data[1:], [purpose])
        except InvalidTag:
            return None

    def sign(self, purpose: bytes, payload: bytes) -> str:
        """Return `payload` with a short signature, in lower-case base32: fit for a local part.

        16 octets become 39 characters. The payload is not hidden.
        """
        head = bytes([self._number]) + payload
        mac = self._mac(self._number, purpose, head)
        return _base32(head + mac)

    def verified(self, purpose: bytes, token: str) -> bytes | None:
        """Return what was signed for this purpose, in any case; None for anything else."""
        try:
            data = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
        except (binascii.Error, ValueError):
            return None
        head, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if len(head) < 1 or head[0] not in self._signing:
            return None
        return head[1:] if hmac.compare_digest(mac, self._mac(head[0], purpose, head)) else None

    def sign_url(self, purpose: bytes, payload: bytes) -> str:
        """Return `payload` with a signature of 12 octets, in base64url: quick, and not hidden."""
        data = self._newest[0] + payload
        mac = self._url_mac(self._number, purpose, data)
        return b2a_base64(data + mac, newline=False).translate(_TO_URL).rstrip(b"=").decode()

    def read_url(self, purpose: bytes, token: str) -> bytes | None:
        """Return what was signed for this purpose by `sign_url`; None for anything else."""
        data = _decoded(token)
        if data is None or len(data) <= _URL_MAC_BYTES or data[0] not in self._url_keys:
            return None
        signed, mac = data[:-_URL_MAC_BYTES], data[-_URL_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._url_mac(data[0], purpose, signed)):
            return None
        # The spare bits of its last letter are not signed: one payload has one token.
        is_plain = base64.urlsafe_b64encode(data).rstrip(b"=") == token.encode()
        return signed[1:] if is_plain else None

    def knows(self, token: str) -> bool:
        """Tell whether the key that a sealed token, or one of `sign_url`, names is on the ring."""
        data = _decoded(token[:4])
        return not data or data[0] in self._sealing

    def knows_signed(self, token: str) -> bool:
        """Tell whether the key that a short signed token names is on the ring."""
        try:
            data = base64.b32decode(token[:8].upper())
        except (binascii.Error, ValueError):
            return True
        return not data or data[0] in self._signing

    def _url_mac(self, number: int, purpose: bytes, data: bytes) -> bytes:
        begun = self._url_macs.get((number, purpose))
        if begun is None:
            begun = self._url_macs[number, purpose] = hashlib.blake2b(
                key=self._url_keys[number], digest_size=_URL_MAC_BYTES, person=purpose
            )
        mac = begun.copy()
        mac.update(data)
        return mac.digest()

    def _mac(self, number: int, purpose: bytes, data: bytes) -> bytes:
        begun = self._macs.get((number, purpose))
        if begun is None:
            begun = self._macs[number, purpose] = hashlib.blake2b(
                key=self._signing[number], digest_size=_MAC_BYTES, person=purpose
            )
        mac = begun.copy()
        mac.update(data)
        return mac.digest()


def _derived(key: bytes, use: bytes, octets: int) -> bytes:
    return hashlib.blake2b(b"", key=key, digest_size=octets, person=use).digest()


_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = tuple(one + two for one in _LETTERS for two in _LETTERS)


def _base32(data: bytes) -> str:
    """Return octets in lower-case base32 without padding: the library takes twice the time."""
    bits = len(data) * 8
    missing = -bits % 10
    number = int.from_bytes(data, "big") << missing
    places = range(bits + missing - 10, -1, -10)
    return "".join([_PAIRS[number >> place & 1023] for place in places])[: -(-bits // 5)]


def _decoded(token: str) -> bytes | None:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
