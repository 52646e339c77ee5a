"""Where a webhook may go."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.webhooks.address import (
    SPECIAL_NETWORKS,
    AddressRefused,
    check_url,
    is_public,
    look_up_in,
    remedy,
    resolve,
)

PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")

PRIVATE = (
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.31.255.255",
    "192.0.0.8",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:93.184.215.14",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)

LOOPBACK_SPELLINGS = (
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "017700000001",
    "0177.1",
    "0",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]",
    "localhost",
)


def spelled(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/hooks/1?of=imagen&x=%20",
        "HTTPS://Example.COM./",
        "https://bücher.example/ü",
        "https://a-b_c.example/",
        *(f"https://{spelled(address)}/" for address in PUBLIC),
    ],
)
def test_a_public_https_url_will_do(url: str) -> None:
    assert check_url(url, allow_private=False) is None
    assert check_url(url, allow_private=True) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "is not an http or https URL"),
        ("example.com/hook", "is not an http or https URL"),
        ("//example.com/hook", "is not an http or https URL"),
        (" https://example.com/", "is not an http or https URL"),
        ("ftp://example.com/", "is not an http or https URL"),
        ("file:///etc/passwd", "is not an http or https URL"),
        ("unix:///run/redis.sock", "is not an http or https URL"),
        ("https:example.com", "has no valid host"),
        ("https:///hook", "has no valid host"),
        ("https://a..b/", "has no valid host"),
        ("https://ex ample.com/", "has no valid host"),
        ("https://%31%32%37.0.0.1/", "has no valid host"),
        ("https://[fe80::1%25eth0]/", "has no valid host"),
        (f"https://{'a' * 64}.com/", "has no valid host"),
        (f"https://{'a.' * 127}com/", "has no valid host"),
        ("https://[::1/", "is not a URL"),
        ("https://1.2.3.256/", "is not a URL"),
        ("https://example.com/\n", "is not a URL"),
        ("https://example.com/\ud800", "is not a URL"),
        ("https://example.com:port/", "is not a URL"),
        ("https://example.com:0/", "has no valid port"),
        ("https://example.com:65536/", "has no valid port"),
        ("https://ada@example.com/", "has a user name in it"),
        ("https://ada:secret@example.com/", "has a user name in it"),
        ("https://example.com\\@127.0.0.1/", "has a user name in it"),
        ("https://example.com/#hook", "has a fragment"),
        (f"https://example.com/{'a' * 2000}", "is longer than 2000 characters"),
    ],
)
def test_what_is_wrong_with_a_url_is_told(url: str, problem: str) -> None:
    assert check_url(url, allow_private=False) == problem
    assert check_url(url, allow_private=True) == problem


@pytest.mark.parametrize(
    "host", [*LOOPBACK_SPELLINGS, "LocalHost.", "imagen.localhost", *map(spelled, PRIVATE)]
)
def test_a_private_address_is_refused_at_once_where_private_ones_are(host: str) -> None:
    assert check_url(f"https://{host}:8000/", allow_private=False) == "is of a private address"
    assert check_url(f"http://{host}:8000/", allow_private=True) is None


def test_connections_are_encrypted_unless_private_addresses_are_allowed() -> None:
    assert check_url("http://example.com/", allow_private=False) == "does not use https"
    assert check_url("http://example.com/", allow_private=True) is None
    assert "an https URL of a public host" in remedy(allow_private=False)
    assert "an http or https URL" in remedy(allow_private=True)


@given(st.text() | st.builds("https://{}".format, st.text()), st.booleans())
@example("https://\u3002/", False)
def test_no_text_is_too_odd_to_be_checked(url: str, allow_private: bool) -> None:
    if check_url(url, allow_private=allow_private) is None:
        assert httpx.URL(url).copy_with(host="127.0.0.1").host == "127.0.0.1"


@given(st.ip_addresses())
def test_what_we_take_for_public_is_public_for_python_too(
    address: IPv4Address | IPv6Address,
) -> None:
    """Of some later Python, which knows more of the special networks than 3.11.0 did."""
    assert not is_public(address) or (address.is_global and not address.is_multicast)


def test_special_networks_are_private_from_end_to_end() -> None:
    for network in SPECIAL_NETWORKS:
        assert not is_public(network[0])
        assert not is_public(network[-1])


async def found(*addresses: str) -> Sequence[str]:
    async def look_up(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("xn--bcher-kva.test", 443)
        return addresses

    return await resolve(httpx.URL("https://bücher.test"), allow_private=False, look_up=look_up)


async def test_a_name_with_public_addresses_has_those() -> None:
    assert await found(*PUBLIC) == PUBLIC


@pytest.mark.parametrize("address", [*PRIVATE, "fe80::1%eth0"])
async def test_a_name_with_a_private_address_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused, match=r"private address"):
        await found(address)
    with pytest.raises(AddressRefused):
        await found(*PUBLIC, address)


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
async def test_the_systems_own_reading_of_a_host_is_what_counts(host: str) -> None:
    """Even where the URL was accepted under another setting, or by another version."""
    url, look_up = httpx.URL(f"http://{host}"), look_up_in(None)
    addresses = await resolve(url, allow_private=True, look_up=look_up)
    assert not is_public(ip_address(addresses[0]))
    with pytest.raises(AddressRefused):
        await resolve(url, allow_private=False, look_up=look_up)
