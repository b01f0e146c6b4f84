"""Which addresses a stranger's URL may lead to: an address in, yes or no out.

    public (global unicast)                  yes
    private, shared (100.64/10), loopback    only with `allow_private`
    metadata servers, link-local             never: they hand out the node's own credentials
    multicast, reserved, documentation       only with `allow_private`, where nothing answers to them

`resolver` asks it of each address that a name has, `http` of each address in the moment of connecting.

The one subtle rule: an IPv6 address with an IPv4 one inside (mapped, NAT64) is judged by what is inside, for
that is where its packets go. NAT64 of a public address is allowed: nodes with IPv6 alone reach IPv4 so.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052. Python calls it global, whatever is inside."""

_NEVER: Final = tuple(
    ip_network(network)
    for network in (
        "169.254.0.0/16",  # the metadata servers of all large clouds
        "fe80::/10",
        "fd00:ec2::/32",  # AWS: metadata, and Pod Identity
        "fd20:ce::/32",  # Google: metadata
        "100.100.100.200/32",  # Alibaba: metadata
        "168.63.129.16/32",  # Azure: WireServer, a public address that the node alone answers to
        "192.0.0.192/32",  # Oracle: metadata, before it moved
    )
)
_NOT_PUBLIC: Final = tuple(
    ip_network(network)
    for network in (
        "192.88.99.0/24",  # 6to4 relays (RFC 7526: deprecated)
        "2001::/32",  # Teredo: an IPv4 address inside, in disguise
        "2002::/16",  # 6to4: the same
        "3fff::/20",  # documentation (RFC 9637); Python before 3.12.5 does not know it
    )
)
"""What Python takes for global and is not for us."""

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that IANA has given out of IPv6 (RFC 4291, 2.4)."""


def is_allowed(text: str, *, allow_private: bool) -> bool:
    """text: an IP address; what is none is not allowed."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    inner = _unwrap(address)
    if any(inner in network or address in network for network in _NEVER):
        return False
    return allow_private or _is_public(inner)


def _unwrap(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    refused = address.is_multicast or address.is_reserved or not address.is_global
    return not refused and not any(address in network for network in _NOT_PUBLIC)
