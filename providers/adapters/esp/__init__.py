"""Providers with an HTTP API, through django-anymail: one table of kinds, one adapter for them."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, cast

from providers.adapters.esp.catalog import KINDS, kind_schema
from providers.adapters.esp.kinds import Capabilities, EspKind
from providers.adapters.esp.settings import faults_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from providers.adapters.faults import Fault
    from providers.ports import AccountConfig, Adapter

__all__ = ["KINDS", "Capabilities", "EspKind", "adapter_of", "kind_schema", "validator_of"]


def adapter_of(config: AccountConfig) -> Adapter:
    """Return the adapter of an account. Raises `SettingsError`.

    HTTP libraries and Django's mail classes are loaded with the first one, not with this package.
    """
    if config.kind == "amazon_ses":
        adapter = import_module("providers.adapters.esp.ses_adapter").SesAdapter(config)
    else:
        adapter = import_module("providers.adapters.esp.adapter").EspAdapter(config)
    return cast("Adapter", adapter)


def validator_of(
    kind: str,
) -> Callable[[Mapping[str, Any], Mapping[str, str]], list[Fault]]:
    """Return what says what is wrong with an account's settings and credentials."""
    return partial(faults_in, KINDS[kind])
