"""Which addresses are public, and which spellings of one are refused."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from medical_kg.orchestration.fetching.addresses import is_no_hosts, is_public, spelt

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "130.14.29.110",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "193.62.192.80",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2001:200::1",
    "2606:4700::6810:84e5",
    "2607:f220:41e:4290::110",
    "2a00:1450:4001:80e::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize(("addresses", "expected"), [(PRIVATE, False), (PUBLIC, True)])
def test_only_public_addresses_are_public(addresses: list[str], *, expected: bool) -> None:
    """Every special range is refused, in IPv4, IPv6, and IPv4 inside IPv6; what stands beside the ranges is not."""
    assert {text for text in addresses if is_public(ip_address(text)) is not expected} == set()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("fe80::1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("224.0.0.1", True),
        ("ff02::1", True),
        ("10.0.0.1", False),
        ("127.0.0.1", False),
        ("fd12::1", False),
    ],
)
def test_some_addresses_belong_to_no_name(address: str, *, expected: bool) -> None:
    """Where clouds answer for their machines' secrets, no name of a service leads."""
    assert is_no_hosts(ip_address(address)) is expected


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0X7F.1",
        "0x7f.0.0.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.1.",
        "1.2.3.4.5",
        "256.1.1.1",
        "example.0x",
        "example.1",
        "1",
        "0x",
        "[::1]",
        "::g",
        "1::2::3",
    ],
)
def test_odd_spellings_are_no_addresses(host: str) -> None:
    """Decimal, octal, hexadecimal and shortened addresses are refused: systems read them differently."""
    with pytest.raises(ValueError, match=r"."):
        spelt(host)


def test_addresses_and_names_are_told_apart() -> None:
    """Four plain numbers or IPv6 are an address, anything else is a name."""
    hosts = ("127.0.0.1", "::1", "::ffff:7f00:1")
    assert [spelt(host) for host in hosts] == [ip_address(host) for host in hosts]
    names = ("example.org", "127.0.0.1.example.org", "1.example", "0xdead.org", "localhost", "a1", "example.org.")
    assert [spelt(host) for host in names] == [None] * len(names)
