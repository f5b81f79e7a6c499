"""Which addresses are the internet's, and which lie in somebody's own network.

Whoever may name a host must not reach through us what only we can reach.
"""

from __future__ import annotations

import ipaddress
import socket

#: Where the internet is, in IPv6. Outside lie loopback, private, link-local and multicast
#: addresses, and those that carry an IPv4 address (mapped, compatible, NAT64).
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED = [
    ipaddress.ip_network(text)
    for text in (
        "2002::/16",  # 6to4: carries an IPv4 address (RFC 3056)
        "2001::/23",  # Teredo and other protocols of the IETF (RFC 2928)
        "192.0.0.0/24",  # protocols of the IETF; metadata of Oracle's cloud
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "168.63.129.16/32",  # the platform of Azure, public in form only
    )
]


class PrivateNetworkError(OSError):
    """A host has no address outside private and reserved networks."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} lies in a private or reserved network, where accounts of users must not go "
            "(OUTGOING_HTTP_ALLOW_PRIVATE allows it)"
        )


def is_public(text: str) -> bool:
    """Tell whether an IP address is one of the internet's, so that requests may go there."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_V6:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in network for network in _REFUSED)


def is_named_private(host: str) -> bool:
    """Tell whether a host is seen to lie in a private network without looking it up."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return not is_public(host)


def public_addresses(host: str, port: int) -> list[str]:
    """Return a host's addresses on the internet, to connect to these and not to look again.

    Raises `PrivateNetworkError` if it has none, `OSError` or `UnicodeError` if it cannot be found.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    usable = [each for each in dict.fromkeys(str(info[4][0]) for info in found) if is_public(each)]
    if not usable:
        raise PrivateNetworkError(host)
    return usable
