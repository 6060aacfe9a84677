"""Spellings of an address, and what kind of place it is."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from convergence.kit.addresses import is_link_local, is_public, read_addresses

LOOPBACK = ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "0x7f000001"]
INSIDE = [
    ("::ffff:10.0.0.1", "10.0.0.1"),
    ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
    ("64:ff9b:1::a9fe:a9fe", "169.254.169.254"),
    ("2002:a9fe:a9fe::", "169.254.169.254"),
    ("::169.254.169.254", "169.254.169.254"),
]
LINK_LOCAL = ["169.254.0.1", "169.254.169.254", "100.100.100.200", "192.0.0.192", "fe80::1", "fd00:ec2::254"]
NOT_PUBLIC = ["10.0.0.1", "127.0.0.1", "::1", "fc00::1", "224.0.0.1", "192.0.0.8", "2002:808:808::", "64:ff9b::808:808"]


@pytest.mark.parametrize("spelling", LOOPBACK)
def test_one_address_has_many_spellings(spelling: str) -> None:
    assert read_addresses(spelling) == (ip_address("127.0.0.1"),)


@pytest.mark.parametrize(("outer", "inner"), INSIDE)
def test_an_ipv6_address_is_read_with_the_ipv4_one_inside_it(outer: str, inner: str) -> None:
    assert read_addresses(outer) == (ip_address(outer), ip_address(inner))


def test_a_zone_does_not_matter() -> None:
    assert read_addresses("fe80::1%eth0") == (ip_address("fe80::1"),)


@pytest.mark.parametrize("name", ["api.openai.com", "localhost", "", "0x7g.1", "1.2.3.4.5", "é.example"])
def test_a_name_is_no_address(name: str) -> None:
    assert read_addresses(name) == ()


@pytest.mark.parametrize("text", LINK_LOCAL)
def test_link_local_and_metadata_services(text: str) -> None:
    assert is_link_local(ip_address(text)) is True


@pytest.mark.parametrize("text", ["8.8.8.8", "127.0.0.1", "10.0.0.1", "2001:4860:4860::8888"])
def test_other_addresses_are_not_link_local(text: str) -> None:
    assert is_link_local(ip_address(text)) is False


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_is_no_plain_host_of_the_internet(text: str) -> None:
    assert is_public(ip_address(text)) is False


@pytest.mark.parametrize("text", ["8.8.8.8", "2001:4860:4860::8888"])
def test_hosts_of_the_internet(text: str) -> None:
    assert is_public(ip_address(text)) is True
