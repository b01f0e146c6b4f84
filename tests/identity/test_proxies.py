"""Headers of proxies: believed from their addresses, and from nowhere else."""

from collections.abc import Mapping, Sequence

import pytest

from gateway_runtime.contract.tenant import ProxySubject
from gateway_runtime.engine.identity import Identity
from gateway_runtime.identity.proxies import TrustedProxies, read_address, read_network
from tests.contract.tables import build_tenant
from tests.identity.rig import Sender

TEAM, OTHER = build_tenant(name="a"), build_tenant(name="b")
SENT = {"x-team": "blue", "x-user": "ada"}


def proxy(
    name: str = "mesh",
    *addresses: str,
    value: str = "blue",
    header: str = "x-team",
    user_header: str | None = "x-user",
) -> ProxySubject:
    return ProxySubject(
        name=name,
        addresses=addresses or ("10.0.0.0/8",),
        header=header,
        value=value,
        user_header=user_header,
    )


def find(
    address: str | None, headers: Mapping[str, str] = SENT, proxies: Sequence[ProxySubject] = (proxy(),)
) -> Identity | None:
    return TrustedProxies([(TEAM, one) for one in proxies]).find(Sender(address, headers))


def test_a_proxy_names_the_tenant_and_the_user() -> None:
    assert find("10.1.2.3") == Identity(TEAM, "mesh", "ada")


@pytest.mark.parametrize("address", ["11.0.0.1", "127.0.0.1", "::1", "::ffff:11.0.0.1", "nonsense", "", None])
def test_the_same_headers_from_elsewhere_are_as_if_they_had_not_been_sent(address: str | None) -> None:
    assert find(address) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-user": "ada"},
        {"x-team": "green"},
        {"x-team": ""},
        {"x-team": "Blue"},
        {"x-team": "blue\udcff"},
    ],
)
def test_from_a_proxy_without_the_value_it_is_nobody(headers: dict[str, str]) -> None:
    assert find("10.1.2.3", headers) is None


@pytest.mark.parametrize(
    ("block", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.0.1", "9.255.255.255"),
        ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ("10.1.2.3/24", "10.1.2.200", "10.1.3.1"),
        ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
        ("::/0", "2001:db8::1", "203.0.113.1"),
        ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
        ("fe80::/10", "fe80::1%eth0", "2001:db8::1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:11.0.0.1"),
        ("::ffff:10.0.0.0/104", "10.0.0.1", "11.0.0.1"),
        ("::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "11.0.0.1"),
    ],
)
def test_blocks_hold_for_both_families_and_for_ipv4_over_ipv6(block: str, inside: str, outside: str) -> None:
    assert find(inside, proxies=[proxy("mesh", block)]) is not None
    assert find(outside, proxies=[proxy("mesh", block)]) is None


def test_any_of_several_blocks_will_do() -> None:
    mesh = proxy("mesh", "10.0.0.0/8", "192.168.0.0/16")

    assert find("192.168.1.1", proxies=[mesh]) is not None


def test_without_a_header_for_the_user_nobody_is_named() -> None:
    assert find("10.1.2.3", proxies=[proxy(user_header=None)]) == Identity(TEAM, "mesh")
    assert find("10.1.2.3", {"x-team": "blue"}) == Identity(TEAM, "mesh")


@pytest.mark.parametrize(
    ("sent", "user"), [("a" * 300, "a" * 256), ("a\tb", None), ("\udcff", None), ("", None)]
)
def test_a_user_that_cannot_be_printed_is_none(sent: str, user: str | None) -> None:
    assert find("10.1.2.3", {"x-team": "blue", "x-user": sent}) == Identity(TEAM, "mesh", user)


def test_the_first_proxy_that_fits_is_it() -> None:
    proxies = TrustedProxies(
        [
            (TEAM, proxy("blue")),
            (TEAM, proxy("green", value="green")),
            (OTHER, proxy("also-blue")),
            (OTHER, proxy("far", "11.0.0.0/8")),
        ]
    )

    assert proxies.find(Sender("10.0.0.1", SENT)) == Identity(TEAM, "blue", "ada")
    assert proxies.find(Sender("10.0.0.1", {"x-team": "green"})) == Identity(TEAM, "green")
    assert proxies.find(Sender("11.0.0.1", SENT)) == Identity(OTHER, "far", "ada")


def test_any_number_of_addresses_takes_bounded_memory() -> None:
    proxies = TrustedProxies([(TEAM, proxy())])
    found = [proxies.find(Sender(f"10.{i >> 8}.{i & 255}.1", SENT)) for i in range(10_000)]

    assert found == [Identity(TEAM, "mesh", "ada")] * 10_000
    assert len(proxies._rules_by_address) < 5_000


def test_what_is_no_block_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 network"):
        read_network("10.0.0.0/8/8")
    assert read_address("gateway.example.com") is None
