"""Which addresses a stranger's URL may lead to."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.media.network import is_allowed

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.0",
    "172.32.0.1",
    "192.0.3.1",
    "2606:4700::1111",
    "2a00:1450:4001::64",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
OURS = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "ff02::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "64:ff9b:1::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::100.64.0.1",
]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.0.1",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::168.63.129.16",
]
NONE = ["", "localhost", "127.1", "2130706433", "0x7f000001", "127.0.0.01", "1.2.3.4.", "[::1]", "8.8.8.8:80"]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_is_allowed(address: str) -> None:
    assert is_allowed(address, allow_private=False)
    assert is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", OURS)
def test_what_is_not_public_is_allowed_to_those_alone_whose_owner_says_so(address: str) -> None:
    assert not is_allowed(address, allow_private=False)
    assert is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", METADATA)
def test_what_hands_out_credentials_of_the_node_is_never_allowed(address: str) -> None:
    assert not is_allowed(address, allow_private=False)
    assert not is_allowed(address, allow_private=True)


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_address_is_not_allowed(text: str) -> None:
    assert not is_allowed(text, allow_private=False)
    assert not is_allowed(text, allow_private=True)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "64:ff9b::"]), st.booleans())
def test_an_address_inside_another_is_judged_as_if_it_stood_alone(
    inner: IPv4Address, prefix: str, allow_private: bool
) -> None:
    outer = IPv6Address(int(IPv6Address(prefix)) | int(inner))

    assert is_allowed(str(outer), allow_private=allow_private) == is_allowed(
        str(inner), allow_private=allow_private
    )


@given(st.ip_addresses())
def test_whatever_is_allowed_at_all_is_allowed_with_private_ones(address: IPv4Address | IPv6Address) -> None:
    if is_allowed(str(address), allow_private=False):
        assert is_allowed(str(address), allow_private=True)
        assert address.is_global or isinstance(address, IPv6Address)
