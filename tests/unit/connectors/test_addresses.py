"""Where a connection may go, by the address that a name came out as."""

from __future__ import annotations

import pytest

from convergence.connectors.addresses import check_base_url, is_allowed
from convergence.errors import ConfigError

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "::169.254.169.254",
    "192.0.0.192",
    "100.100.100.200",
    "fd00:ec2::254",
    "0.0.0.0",  # noqa: S104 (an address to refuse)
    "::",
    "224.0.0.1",
    "ff02::1",
]
PRIVATE = ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "fc00::1", "::ffff:127.0.0.1"]
ODD = ["2002:0808:0808::", "64:ff9b::808:808", "100.64.0.1", "192.0.0.8", "198.18.0.1", "240.0.0.1"]
PUBLIC = ["8.8.8.8", "2001:4860:4860::8888", "104.18.6.192"]


@pytest.mark.parametrize("production", [True, False])
@pytest.mark.parametrize("address", NEVER)
def test_link_local_and_metadata_are_never_reached(address, production):
    assert is_allowed(address, production=production) is False


@pytest.mark.parametrize("address", PRIVATE + ODD)
def test_production_reaches_no_private_or_translated_address(address):
    assert is_allowed(address, production=True) is False


@pytest.mark.parametrize("address", PRIVATE)
def test_a_laptop_reaches_its_own_simulator(address):
    assert is_allowed(address, production=False) is True


@pytest.mark.parametrize("production", [True, False])
@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_everywhere(address, production):
    assert is_allowed(address, production=production) is True


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com@evil.example/v1",
        "https://user:pass@api.openai.com",
        "https://api.openai.com\\@evil.example",
        "ftp://api.openai.com",
        "file:///etc/passwd",
        "https://",
        "api.openai.com/v1",
        "https://api.openai.com/v1?key=1",
        "https://api.openai.com/v1#x",
    ],
)
def test_a_base_url_that_is_not_plain_is_refused_by_its_variable(url):
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL") as caught:
        check_base_url("openai", url, production=False)
    assert "pass@" not in str(caught.value)


def test_production_takes_https_only():
    with pytest.raises(ConfigError, match="https://host"):
        check_base_url("openai", "http://api.openai.com/v1", production=True)


def test_a_trailing_slash_does_not_matter():
    assert check_base_url("openai", "https://api.openai.com/v1/", production=True) == "https://api.openai.com/v1"
