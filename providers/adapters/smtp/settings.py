"""An SMTP account's settings: their meaning, their defaults and what makes them wrong."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from providers.adapters.faults import Fault, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from providers.ports import AccountConfig

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_ADDRESS_LITERAL = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\]")
_MAX_HOST_CHARS = 253
_MAX_TIMEOUT_SECONDS = 600
_TIMEOUT_SECONDS = 30.0
_MAX_PORT = 65_535
_SUBMISSION_PORT, _SUBMISSIONS_PORT = 587, 465


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """How to reach and use one SMTP account."""

    host: str
    port: int
    #: STARTTLS (RFC 3207); the connection is given up if the server does not offer it.
    use_tls: bool = False
    #: TLS from the first byte (RFC 8314).
    use_ssl: bool = False
    #: No login if empty.
    username: str = ""
    password: str = field(default="", repr=False)
    verify_certificate: bool = True
    #: Bounds every wait for progress: connecting, TLS, each reply, each write.
    timeout_seconds: float = _TIMEOUT_SECONDS
    #: Bounds the wait for the verdict after the data. RFC 5321 §4.5.3.2.6 asks for much patience
    #: here, since giving up leaves the mail in doubt. Default: four times `timeout_seconds`.
    final_timeout_seconds: float = 4 * _TIMEOUT_SECONDS
    #: What to call ourselves; empty: the connection's own address literal.
    ehlo_name: str = ""
    #: Log in without TLS even if the peer is another host.
    allow_plaintext_auth: bool = False
    max_messages_per_connection: int = 0
    #: See `AccountConfig`.
    is_confined: bool = False

    @classmethod
    def from_config(cls, config: AccountConfig) -> SmtpSettings:
        """Return the settings of an account. Raises `SettingsError`."""
        faults = validate_settings(config.settings, config.secrets)
        if faults:
            raise SettingsError(faults)
        given = {key: value for key, value in config.settings.items() if value is not None}
        timeout = float(given.get("timeout_seconds", _TIMEOUT_SECONDS))
        default_port = _SUBMISSIONS_PORT if given.get("use_ssl") else _SUBMISSION_PORT
        return cls(
            host=given["host"].strip("[]"),
            port=given.get("port", default_port),
            use_tls=given.get("use_tls", False),
            use_ssl=given.get("use_ssl", False),
            username=given.get("username", ""),
            password=config.secrets.get("password", ""),
            verify_certificate=given.get("verify_certificate", True),
            timeout_seconds=timeout,
            final_timeout_seconds=float(given.get("final_timeout_seconds", 4 * timeout)),
            ehlo_name=given.get("ehlo_name", ""),
            allow_plaintext_auth=given.get("allow_plaintext_auth", False),
            max_messages_per_connection=config.max_messages_per_connection,
            is_confined=config.is_confined,
        )


def validate_settings(settings: Mapping[str, Any], secrets: Mapping[str, str]) -> list[Fault]:
    """Return what is wrong with an SMTP account, as (field, code, message); empty if nothing is.

    Fields of `secrets` are named `secrets.…`. A value of None counts as not given.
    """
    faults: list[Fault] = []
    given = {key: value for key, value in settings.items() if value is not None}
    for name, value in given.items():
        check = _CHECKS.get(name)
        if check is None:
            faults.append((name, "unknown", "There is no such setting."))
        elif fault := check(value):
            faults.append((name, *fault))
    if "host" not in given:
        faults.append(("host", "required", "Name the server."))
    return faults + _contradictions(given, secrets)


def _contradictions(given: Mapping[str, Any], secrets: Mapping[str, str]) -> list[Fault]:
    faults: list[Fault] = []
    if given.get("use_tls") is True and given.get("use_ssl") is True:
        message = "Choose STARTTLS (use_tls) or implicit TLS (use_ssl), not both."
        faults.append(("use_ssl", "conflict", message))
    if given.get("username") and not secrets.get("password"):
        faults.append(("secrets.password", "required", "A user name needs a password."))
    if secrets.get("password") and not given.get("username"):
        faults.append(("username", "required", "A password needs a user name."))
    faults.extend(
        (f"secrets.{name}", "unknown", "There is no such secret.")
        for name in secrets
        if name != "password"
    )
    if "\0" in str(secrets.get("password", "")):
        faults.append(("secrets.password", "invalid", "Not allowed: the NUL character."))
    return faults


_Problem = tuple[str, str] | None


def _check_host(value: object) -> _Problem:
    if not isinstance(value, str) or not value:
        return ("invalid", "Name the server.")
    if len(value) <= _MAX_HOST_CHARS and _HOST_NAME.fullmatch(value):
        return None
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        return ("invalid", "Not a host name or an IP address (no scheme, port or path).")
    return None


def _check_ehlo_name(value: object) -> _Problem:
    if not isinstance(value, str):
        return ("invalid", "Must be text.")
    literal = _ADDRESS_LITERAL.fullmatch(value)
    if not value or _HOST_NAME.fullmatch(value):
        return None if len(value) <= _MAX_HOST_CHARS else ("invalid", "Too long.")
    try:
        ipaddress.ip_address(literal[1] if literal else value)
    except ValueError:
        return ("invalid", "Not a host name or an address literal such as [192.0.2.1].")
    return None if literal else ("invalid", "Put an IP address in square brackets.")


def _check_username(value: object) -> _Problem:
    if not isinstance(value, str) or "\0" in value:
        return ("invalid", "Must be text without NUL.")
    return None


def _check_port(value: object) -> _Problem:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_PORT:
        return ("invalid", f"Must be a whole number from 1 to {_MAX_PORT}.")
    return None


def _check_flag(value: object) -> _Problem:
    return None if isinstance(value, bool) else ("invalid", "Must be true or false.")


def _check_seconds(value: object) -> _Problem:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < float(str(value)) <= _MAX_TIMEOUT_SECONDS:
        return ("invalid", f"Must be a number of seconds above 0, at most {_MAX_TIMEOUT_SECONDS}.")
    return None


_CHECKS: dict[str, Callable[[object], _Problem]] = {
    "host": _check_host,
    "port": _check_port,
    "use_tls": _check_flag,
    "use_ssl": _check_flag,
    "username": _check_username,
    "verify_certificate": _check_flag,
    "timeout_seconds": _check_seconds,
    "final_timeout_seconds": _check_seconds,
    "ehlo_name": _check_ehlo_name,
    "allow_plaintext_auth": _check_flag,
}
