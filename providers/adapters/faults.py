"""How every adapter says what is wrong with an account's settings."""

from __future__ import annotations

#: (field, stable code, message in words)
Fault = tuple[str, str, str]


class SettingsError(ValueError):
    """An account's settings are wrong; `faults` says where and why."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, _, message in faults))
        self.faults = faults
