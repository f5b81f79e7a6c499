"""The kinds of provider accounts and how to get an adapter for one.

Kinds that need more than plain Python (the local inbox needs the database) register themselves
when their app is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from providers.adapters import esp, simulator
from providers.adapters.faults import Fault, SettingsError
from providers.adapters.smtp import adapter as smtp_adapter
from providers.adapters.smtp import settings as smtp_settings
from providers.ports import AccountConfig, Adapter

__all__ = [
    "Fault",
    "SettingsError",
    "UnknownKindError",
    "adapter_for",
    "check_connection",
    "kinds",
    "register",
    "validate_settings",
]

Factory = Callable[[AccountConfig], Adapter]
Validator = Callable[[Mapping[str, Any], Mapping[str, str]], list[Fault]]


class UnknownKindError(LookupError):
    """No adapter is registered for this kind of account."""


@runtime_checkable
class _Checkable(Protocol):
    """An adapter with more to tell about a trial connection than that it worked."""

    def check(self) -> str:
        """Connect, ask for a sign of life, leave; describe it. Raises `ConnectError`."""


@dataclass(frozen=True, slots=True)
class _Kind:
    factory: Factory
    validator: Validator


def _accept_all(_settings: Mapping[str, Any], _secrets: Mapping[str, str]) -> list[Fault]:
    return []


_KINDS: dict[str, _Kind] = {}


def register(kind: str, factory: Factory, validator: Validator = _accept_all) -> None:
    """Make `kind` known, or replace it."""
    _KINDS[kind] = _Kind(factory, validator)


def kinds() -> tuple[str, ...]:
    """Return the registered kinds, sorted."""
    return tuple(sorted(_KINDS))


def adapter_for(config: AccountConfig) -> Adapter:
    """Return the adapter of an account, without connecting.

    Raises `UnknownKindError`, and `SettingsError` if the settings were never validated.
    """
    return _kind(config.kind).factory(config)


def validate_settings(
    kind: str, settings: Mapping[str, Any], secrets: Mapping[str, str]
) -> list[Fault]:
    """Return what is wrong with an account of `kind`, empty if nothing is.

    Raises `UnknownKindError`.
    """
    return _kind(kind).validator(settings, secrets)


def check_connection(config: AccountConfig) -> str:
    """Connect to an account, log in, leave, send nothing; return a short report for a human.

    Raises `ConnectError`, whose result holds the reason and the dialogue, and what `adapter_for`
    raises.
    """
    adapter = adapter_for(config)
    if isinstance(adapter, _Checkable):
        return adapter.check()
    adapter.open().close()
    return "Connected."


def _kind(kind: str) -> _Kind:
    try:
        return _KINDS[kind]
    except KeyError:
        raise UnknownKindError(f"no adapter for accounts of kind {kind!r}") from None


register("smtp", smtp_adapter.SmtpAdapter, smtp_settings.validate_settings)
register("simulator", simulator.SimulatorAdapter, simulator.validate_settings)
for _kind_name in esp.KINDS:
    register(_kind_name, esp.adapter_of, esp.validator_of(_kind_name))
