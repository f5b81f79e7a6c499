"""SMTP settings: defaults, and every fault with its field."""

from __future__ import annotations

from typing import Any

import pytest

from providers.adapters.faults import SettingsError
from providers.adapters.smtp.settings import SmtpSettings, validate_settings
from providers.ports import AccountConfig
from tests.support.smtp import PROVIDER_ID


def config(settings: dict[str, Any], secrets: dict[str, str] | None = None) -> AccountConfig:
    return AccountConfig(
        PROVIDER_ID, "test", "smtp", settings, secrets or {}, max_messages_per_connection=7
    )


def test_defaults_are_safe() -> None:
    settings = SmtpSettings.from_config(config({"host": "mail.example"}))
    assert settings == SmtpSettings(
        host="mail.example",
        port=587,
        verify_certificate=True,
        timeout_seconds=30.0,
        final_timeout_seconds=120.0,
        max_messages_per_connection=7,
    )


def test_implicit_tls_defaults_to_port_465() -> None:
    assert SmtpSettings.from_config(config({"host": "h", "use_ssl": True})).port == 465


def test_patience_after_the_data_follows_the_timeout() -> None:
    settings = SmtpSettings.from_config(config({"host": "h", "timeout_seconds": 5}))
    assert settings.final_timeout_seconds == 20.0


def test_everything_given_is_used() -> None:
    given = {
        "host": "[::1]",
        "port": 25,
        "use_tls": True,
        "username": "u",
        "verify_certificate": False,
        "timeout_seconds": 3.5,
        "final_timeout_seconds": 9,
        "ehlo_name": "[192.0.2.1]",
        "allow_plaintext_auth": True,
        "use_ssl": None,
    }
    settings = SmtpSettings.from_config(config(given, {"password": "p"}))
    assert settings == SmtpSettings(
        host="::1",
        port=25,
        use_tls=True,
        username="u",
        password="p",
        verify_certificate=False,
        timeout_seconds=3.5,
        final_timeout_seconds=9.0,
        ehlo_name="[192.0.2.1]",
        allow_plaintext_auth=True,
        max_messages_per_connection=7,
    )


def test_password_is_kept_out_of_reprs() -> None:
    settings = SmtpSettings.from_config(
        config({"host": "h", "username": "u"}, {"password": "hunter2"})
    )
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("settings", "secrets", "expected"),
    [
        ({}, {}, [("host", "required")]),
        ({"host": None}, {}, [("host", "required")]),
        ({"host": ""}, {}, [("host", "invalid")]),
        ({"host": "smtp://h"}, {}, [("host", "invalid")]),
        ({"host": "h:25"}, {}, [("host", "invalid")]),
        ({"host": "a b"}, {}, [("host", "invalid")]),
        ({"host": "a\r\nb"}, {}, [("host", "invalid")]),
        ({"host": "h\n"}, {}, [("host", "invalid")]),
        ({"host": 3}, {}, [("host", "invalid")]),
        ({"host": "a" * 254}, {}, [("host", "invalid")]),
        ({"host": "h", "port": 0}, {}, [("port", "invalid")]),
        ({"host": "h", "port": 65536}, {}, [("port", "invalid")]),
        ({"host": "h", "port": "25"}, {}, [("port", "invalid")]),
        ({"host": "h", "port": True}, {}, [("port", "invalid")]),
        ({"host": "h", "use_tls": "yes"}, {}, [("use_tls", "invalid")]),
        ({"host": "h", "use_tls": True, "use_ssl": True}, {}, [("use_ssl", "conflict")]),
        ({"host": "h", "timeout_seconds": 0}, {}, [("timeout_seconds", "invalid")]),
        ({"host": "h", "timeout_seconds": 601}, {}, [("timeout_seconds", "invalid")]),
        ({"host": "h", "timeout_seconds": float("nan")}, {}, [("timeout_seconds", "invalid")]),
        ({"host": "h", "ehlo_name": "a\r\nb"}, {}, [("ehlo_name", "invalid")]),
        ({"host": "h", "ehlo_name": "[nonsense]"}, {}, [("ehlo_name", "invalid")]),
        ({"host": "h", "ehlo_name": "::1"}, {}, [("ehlo_name", "invalid")]),
        ({"host": "h", "username": "u"}, {}, [("secrets.password", "required")]),
        ({"host": "h"}, {"password": "p"}, [("username", "required")]),
        ({"host": "h", "username": "a\0b"}, {"password": "p"}, [("username", "invalid")]),
        ({"host": "h", "username": "u"}, {"password": "a\0b"}, [("secrets.password", "invalid")]),
        ({"host": "h"}, {"token": "x"}, [("secrets.token", "unknown")]),
        ({"host": "h", "color": "red"}, {}, [("color", "unknown")]),
    ],
)
def test_faults_name_field_and_code(
    settings: dict[str, Any], secrets: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    faults = validate_settings(settings, secrets)
    assert [(field, code) for field, code, _ in faults] == expected
    with pytest.raises(SettingsError) as caught:
        SmtpSettings.from_config(config(settings, secrets))
    assert caught.value.faults == faults


def test_faults_never_show_the_password() -> None:
    faults = validate_settings({"host": "h"}, {"password": "hunter2\0"})
    assert "hunter2" not in repr(faults)
