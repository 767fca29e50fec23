"""Where the gateway does not connect to.

The address is judged, not the name: a name may resolve to anything, to another thing a moment
later, and `0x7f.1` is a name too. So every address of a host is looked at when a connection is
made, one that is not public spoils them all, and the connection goes to the address looked at.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def may_connect(address: str, *, private: bool) -> bool:
    """Whether `address` (as the resolver writes it) may be connected to.

    With `private`, private networks and this machine may be; link-local addresses, where clouds
    keep their credentials, never are.
    """
    try:
        plain = _inner(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if plain.is_link_local or plain.is_multicast or plain.is_unspecified:
        return False
    if private:
        return plain.is_loopback or not plain.is_reserved
    return plain.is_global and not plain.is_reserved


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
