"""Callers that a proxy in front of us has authenticated: a Peer in, an Identity out, or None.

`authenticator` asks for callers without a key. A header proves nothing by itself; it counts on a connection
that comes from one of the subject's addresses, and from anywhere else it is as if it had not been sent.

The one subtle rule: an IPv4 address that came over an IPv6 socket (`::ffff:10.0.0.1`) is that IPv4 address,
or else blocks would hold on some hosts only.
"""

import hmac
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

from gateway_runtime.contract.tenant import ProxySubject, Tenant
from gateway_runtime.engine.identity import Identity
from gateway_runtime.identity.claims import check_name
from gateway_runtime.identity.peer import Peer

_ADDRESSES_KEPT: Final = 4096

_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class _Rule(NamedTuple):
    tenant: Tenant
    subject: ProxySubject
    networks: tuple[IPv4Network | IPv6Network, ...]


class TrustedProxies:
    """Of one table."""

    def __init__(self, proxies: Iterable[tuple[Tenant, ProxySubject]]) -> None:
        """In the order in which they are tried. Raises ValueError for an address that is no CIDR block."""
        self._rules = tuple(
            _Rule(tenant, subject, tuple(read_network(text) for text in subject.addresses))
            for tenant, subject in proxies
        )
        self._rules_by_address: dict[str | None, tuple[_Rule, ...]] = {None: ()}
        """Once asked: 0.1 µs instead of 5 for the first block alone."""

    def find(self, peer: Peer) -> Identity | None:
        address = peer.address
        rules = self._rules_by_address.get(address)
        if rules is None:
            rules = self._find_rules(address or "")
        for rule in rules:
            subject = rule.subject
            value = peer.find_header(subject.header)
            if value is not None and _is_equal(value, subject.value):
                user = None if subject.user_header is None else peer.find_header(subject.user_header)
                return Identity(rule.tenant, subject.name, None if user is None else check_name(user))
        return None

    def _find_rules(self, address: str) -> tuple[_Rule, ...]:
        if len(self._rules_by_address) > _ADDRESSES_KEPT:
            self._rules_by_address = {None: ()}
        found = read_address(address)
        rules = tuple(
            rule for rule in self._rules if found is not None and any(found in net for net in rule.networks)
        )
        self._rules_by_address[address] = rules
        return rules


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """text: as the socket tells it. None: it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def read_network(text: str) -> IPv4Network | IPv6Network:
    """Bits behind the prefix are no matter. Raises ValueError."""
    network = ip_network(text, strict=False)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _is_equal(one: str, other: str) -> bool:
    """The value may be a secret between the proxy and us."""
    return hmac.compare_digest(
        one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape")
    )
