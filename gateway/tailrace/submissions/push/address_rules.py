"""Which addresses callbacks may be at: public ones, and those that a setting allows.

Special networks are those of the IANA registries
https://www.iana.org/assignments/iana-ipv4-special-registry/ and
https://www.iana.org/assignments/iana-ipv6-special-registry/ , multicast, and what is reserved.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from tailrace.submissions.push.target import IpAddress

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_SPECIAL_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, and unspecified
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
# Of IPv6, only this much has been given out to the public, less what follows.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocols of the IETF, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4, which leads to an IPv4 address
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
# Addresses that are IPv4 addresses by another name: mapped, and by a translator (RFC 6052).
_CARRIES_V4 = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
# What hands out a machine's credentials; one of them has a public address.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)


class RefusedAddress(Exception):
    """An address that no callback may be at.

    Attributes:
        address: the address.
    """

    def __init__(self, address: IpAddress) -> None:
        """Keeps the address."""
        super().__init__(f"{address} is not public, and not in TAILRACE_CALLBACK_ALLOWED_NETWORKS")
        self.address = address


class AddressRules:
    """Which addresses may be connected to."""

    def __init__(self, allowed_networks: Iterable[str] = ()) -> None:
        """Takes networks that are allowed though they are not public.

        A cloud's metadata address is allowed only by a network of just that address.

        Raises:
            ValueError: one is not a network, such as `10.0.0.0/8`.
        """
        self._allowed = tuple(ipaddress.ip_network(text) for text in allowed_networks)

    def check(self, address: IpAddress) -> None:
        """Returns if an address may be connected to. Raises RefusedAddress."""
        meant = _meant(address)
        if meant in _METADATA:
            allowed = any(
                network.num_addresses == 1 and meant in network for network in self._allowed
            )
        else:
            allowed = _is_public(meant) or any(meant in network for network in self._allowed)
        if not allowed:
            raise RefusedAddress(address)


def _meant(address: IpAddress) -> IpAddress:
    """Returns the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address) and any(
        address in network for network in _CARRIES_V4
    ):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _SPECIAL_V6)
