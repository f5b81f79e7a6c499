"""Addresses as their owners write them."""

from __future__ import annotations

import idna


def shown_address(email: str) -> str:
    """Return a wire form with its domain in the script it was registered in.

    For people to read: `ann@xn--bcher-kva.de` is shown as `ann@bücher.de`. Never raises.
    """
    local, at, domain = email.rpartition("@")
    return f"{local}{at}{shown_domain(domain)}"


def shown_domain(domain: str) -> str:
    """Return A-labels in their own script; as given where they have none."""
    try:
        return idna.decode(domain) if "xn--" in domain else domain
    except UnicodeError:  # idna's own errors are such
        return domain
