"""An account's settings: what is wrong with them, and what a backend is given of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from providers.adapters.esp.catalog import KINDS
from providers.adapters.faults import Fault, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from providers.adapters.esp.fields import Field
    from providers.adapters.esp.kinds import EspKind
    from providers.ports import AccountConfig

#: Options of every backend, set so that none is looked up in Django's settings.
_ALWAYS: Mapping[str, Any] = {
    "ignore_unsupported_features": False,
    "ignore_recipient_status": True,
    "debug_api_requests": False,
    "send_defaults": {},
    "idna_encoder": "idna2008",
    "requests_timeout": 30,
}


@dataclass(frozen=True, slots=True)
class EspSettings:
    """One account, its settings complete with defaults."""

    kind: EspKind
    options: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    max_messages_per_connection: int = 0
    #: See `AccountConfig`.
    is_confined: bool = False

    @property
    def timeouts(self) -> tuple[float, float]:
        """Return how long to wait for a connection and for an answer, seconds."""
        options = self.options
        return float(options["connect_timeout_seconds"]), float(options["timeout_seconds"])

    def backend_arguments(self) -> dict[str, Any]:
        """Return everything that the account's backend would else ask Django's settings for."""
        given = {**self.options, **self.secrets}
        known = {one.name: given.get(one.name) for one in self.kind.fields}
        arranged = self.kind.arrange(given) if self.kind.arrange else {}
        fixed = {name: value for name, value in self.kind.fixed.items() if not known.get(name)}
        return {**_ALWAYS, **known, **fixed, **arranged, "timeout": self.timeouts}


def settings_of(config: AccountConfig) -> EspSettings:
    """Return the settings of an account. Raises `SettingsError`."""
    kind = KINDS[config.kind]
    faults = faults_in(kind, config.settings, config.secrets)
    if faults:
        raise SettingsError(faults)
    options = {one.name: config.settings.get(one.name) for one in kind.options}
    defaults = {one.name: one.default for one in kind.options if options[one.name] is None}
    return EspSettings(
        kind=kind,
        options={**options, **defaults},
        secrets={key: value for key, value in config.secrets.items() if value},
        max_messages_per_connection=config.max_messages_per_connection,
        is_confined=config.is_confined,
    )


def faults_in(
    kind: EspKind, settings: Mapping[str, Any], secrets: Mapping[str, str]
) -> list[Fault]:
    """Return what is wrong with an account, as (field, code, message); empty if nothing is.

    Fields of `secrets` are named `secrets.…`. A value of None counts as not given.
    """
    return [
        *_faults(kind.options, settings, prefix="", word="setting"),
        *_faults(kind.secrets, secrets, prefix="secrets.", word="secret"),
    ]


def _faults(
    fields: Iterable[Field], given: Mapping[str, Any], *, prefix: str, word: str
) -> list[Fault]:
    known = {one.name: one for one in fields}
    faults: list[Fault] = []
    for name, value in given.items():
        if name not in known:
            faults.append((f"{prefix}{name}", "unknown", f"There is no such {word}."))
        elif value is not None and (problem := known[name].problem_with(value)):
            faults.append((f"{prefix}{name}", "invalid", problem))
    faults += [
        (f"{prefix}{one.name}", "required", f"{one.label} is required.")
        for one in known.values()
        if one.is_required and given.get(one.name) is None
    ]
    return faults
