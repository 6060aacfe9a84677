"""What kind of place an IP address is, in whatever spelling. Names are resolved elsewhere."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

_METADATA: Final = frozenset(
    map(ip_address, ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
_TRANSLATED: Final = tuple(map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))
# Global by the registries' tables, yet a way to somewhere else: protocol assignments, tunnels, translators.
_SPECIAL: Final = tuple(map(ip_network, ("192.0.0.0/24", "2001::/32", "2002::/16", "64:ff9b::/96", "64:ff9b:1::/48")))


def read_addresses(host: str) -> tuple[Address, ...]:
    """The address that a literal spells, then the IPv4 ones inside it; nothing for a name.

    inet_aton reads what the C library reads: 127.1, 0x7f.1 and 2130706433 are all 127.0.0.1.
    """
    try:
        address = ip_address(host.split("%", maxsplit=1)[0])
    except ValueError:
        return _lenient_ipv4(host)
    return (address, *_embedded(address))


def is_link_local(address: Address) -> bool:
    """Whether it is of this machine's link, where clouds serve credentials to whoever asks."""
    return address.is_link_local or address in _METADATA


def is_public(address: Address) -> bool:
    """Whether it is plainly a host of the internet."""
    special = any(address.version == network.version and address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special


def _embedded(address: Address) -> tuple[Address, ...]:
    """IPv4 addresses that an IPv6 one stands for: mapped, translated, or tunnelled."""
    if isinstance(address, IPv4Address) or address.is_loopback:
        return ()
    found: list[Address] = [ip for ip in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if ip]
    if any(address in network for network in _TRANSLATED):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(found)


def _lenient_ipv4(host: str) -> tuple[Address, ...]:
    try:
        return (IPv4Address(socket.inet_aton(host)),)
    except (OSError, ValueError):
        return ()
