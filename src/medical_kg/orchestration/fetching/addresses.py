"""Which internet addresses are public, and hosts that spell one.

The lists are IANA's registries of special-purpose addresses; they are written out because the standard library's
``is_global`` answers differently from one patch release of Python to the next.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # between a provider and its customers
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, where clouds answer for their machines' secrets
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
GLOBAL_UNICAST = IPv6Network("2000::/3")
NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?", re.DOTALL)


def is_public(address: Address) -> bool:
    """Whether an address is anybody's on the internet; one that carries an IPv4 address is judged by that."""
    plain = _carried(address)
    if isinstance(plain, IPv4Address):
        return not any(plain in network for network in NOT_PUBLIC_4)
    return plain in GLOBAL_UNICAST and not any(plain in network for network in NOT_PUBLIC_6)


def is_no_hosts(address: Address) -> bool:
    """Whether no name of a service means this address: link-local (clouds' metadata), multicast, unspecified."""
    plain = _carried(address)
    return plain.is_link_local or plain.is_multicast or plain.is_unspecified


def _carried(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def spelt(host: str) -> Address | None:
    """Return the address that a host spells out; None for a name.

    Raises:
        ValueError: it is an address in a spelling that systems read in several ways (``2130706433``, ``0x7f.1``,
            ``127.1``, ``0177.0.0.1``).
    """
    if ":" in host or ENDS_IN_NUMBER.fullmatch(host):
        return ip_address(host)
    return None
