import ipaddress

import pytest

from tailrace.submissions.push.address_rules import AddressRules, RefusedAddress

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"]
PUBLIC += ["64:ff9b::808:808"]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "169.254.1.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2002:808:808::",
    "2001:0:808:808::",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "4000::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_connected_to(address: str) -> None:
    AddressRules().check(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_others_may_not(address: str) -> None:
    with pytest.raises(RefusedAddress, match="TAILRACE_CALLBACK_ALLOWED_NETWORKS"):
        AddressRules().check(ipaddress.ip_address(address))


def test_a_setting_allows_a_network_and_no_more() -> None:
    rules = AddressRules(["10.1.0.0/16", "fd12::/16"])

    for allowed in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1"):
        rules.check(ipaddress.ip_address(allowed))
    for refused in ("10.2.0.1", "::ffff:10.2.0.1", "fd13::1", "127.0.0.1"):
        with pytest.raises(RefusedAddress):
            rules.check(ipaddress.ip_address(refused))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("169.254.169.254", "169.254.0.0/16"),
        ("::ffff:169.254.169.254", "169.254.0.0/16"),
        ("100.100.100.200", "100.64.0.0/10"),
        ("fd00:ec2::254", "fc00::/7"),
        ("168.63.129.16", "0.0.0.0/0"),
    ],
)
def test_what_hands_out_credentials_has_to_be_allowed_by_its_own_address(
    address: str, network: str
) -> None:
    meant = ipaddress.ip_address(address)

    with pytest.raises(RefusedAddress):
        AddressRules([network]).check(meant)
    AddressRules([address.removeprefix("::ffff:")]).check(meant)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "example.com", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match="network|bits"):
        AddressRules([network])
