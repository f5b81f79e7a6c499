"""The test of an account's connection, told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mailservice.core.secrets import DecryptionError
from providers.adapters import SettingsError, UnknownKindError, check_connection
from providers.admin.states import fault_in_words
from providers.ports import ConnectError
from providers.selectors import account_config

if TYPE_CHECKING:
    from providers.models import Provider


def try_connection(provider: Provider) -> dict[str, Any]:
    """Connect, log in, send nothing, and return the context of `console/connection.html`."""
    try:
        report = check_connection(account_config(provider))
    except ConnectError as error:
        result = error.result
        code = f"{result.reply.code} {result.reply.enhanced_code}".strip("0 ")
        return {
            "is_ok": False,
            "verdict": fault_in_words(result.reason),
            "reply": f"{code} {result.reply.text}".strip(),
            "dialogue": result.dialogue,
        }
    except (SettingsError, UnknownKindError, DecryptionError) as error:
        return {"is_ok": False, "verdict": str(error), "reply": "", "dialogue": ""}
    lines = [line.partition(": ") for line in report.splitlines()]
    return {
        "is_ok": True,
        "verdict": "The connection works.",
        "facts": [(label, value) for label, mark, value in lines if mark],
        "remarks": [label for label, mark, _ in lines if not mark],
    }
