"""Where a stranger's URL may lead: the public internet, and nowhere else, however it is written (S6)."""

from __future__ import annotations

import ipaddress
import re
import socket

import pytest

from time_execution.address_guard import AddressGuard, AnyAddress, port_of, refusal, split_url
from time_execution.exceptions import ConfigurationError

pytestmark = pytest.mark.nooptionals

# Not allowed whatever a resolver says: the address or the form of the URL is enough.
REFUSED = [
    # Other schemes than the web's.
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "ftp://example.com/",
    "dict://127.0.0.1:11211/",
    "ldap://127.0.0.1/",
    "jar:http://example.com!/",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "//example.com/",
    "example.com",
    "",
    # This machine and its network, in every notation of IPv4.
    "http://127.0.0.1/",
    "http://127.8.9.1:8080/",
    "http://0.0.0.0/",
    "http://0/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://127.0.0.0x1/",
    "http://0127.0.0.1/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://224.0.0.1/",
    "http://239.255.255.255/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://4294967296/",
    "http://1.2.3.4.5/",
    "http://999.1.1.1/",
    # The same in IPv6, and IPv4 inside of it.
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[2606:4700::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[v1.x]/",
    "http://[1.1.1.1]/",
    "http://[example.com]/",
    "http://[2606:4700::1111]evil.example.com/",
    "http://[2606:4700::1111].evil.example.com:80/",
    "http://evil[2606:4700::1111]/",
    "http://[hello]/",
    "http://[::1",
    # Logins, and what readers of URLs take differently.
    "http://example.com@169.254.169.254/",
    "http://example.com:80@127.0.0.1/",
    "http://user:secret@example.com/",
    "http://@example.com/",
    "http://127.0.0.1:80\\@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://exam\tple.com/",
    "http://127.0.0.1\n.example.com/",
    "http://127.0.0.1\r\nHost: example.com/",
    " http://example.com/",
    "http://example.com/ HTTP/1.1",
    "http://example.com\x00.evil/",
    "http://\u2147xample.com/",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",
    "http://127\u30020\u30020\u30021/",
    "http://exa_mple..com/",
    "http://.example.com/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:80a/",
    "http://example.com:-1/",
    "http://example.com:\uff18\uff10/",
    "http://a,b/",
    "http://a;b/",
    "http://$(id)/",
    "http://%31%32%37.0.0.1/",
    "http://a%00.com/",
    f"http://{'a' * 64}.com/",
    f"http://{'a.' * 127}com/",
    "http://",
    "http:///path",
    "http://?query",
    "http://#fragment",
]

ALLOWED = [
    "http://example.com/",
    "https://example.com",
    "HTTPS://Example.COM:8443/a/b?c=d&e=f#g",
    "http://example.com./",
    "http://xn--bcher-kva.example/",
    "http://a_b.example.com/",
    "http://1password.com/",
    "http://0xample.com/",
    "http://127.0.0.1.example.com/",
    "http://localhost.example.com/",
    "http://1.1.1.1/",
    "http://172.15.255.255/",
    "http://172.32.0.1/",
    "http://100.63.255.255/",
    "http://[2606:4700:4700::1111]/",
    "http://[::ffff:1.1.1.1]/",
    "http://[64:ff9b::1.1.1.1]/",
    "http://example.com/@user",
    "http://example.com/?next=http://127.0.0.1/",
    "http://example.com?a@b",
]


def resolver(*addresses):
    """A resolver that finds these addresses, whatever the name; with several lists in turn, the next at each call."""
    lists = [addresses] if isinstance(addresses[0], str) else list(addresses)

    def find(host, port, **options):
        now = lists.pop(0) if len(lists) > 1 else lists[0]
        return [
            (
                socket.AF_INET6 if ":" in text else socket.AF_INET,
                options["type"],
                6,
                "",
                (text, port, 0, 0)[: 4 if ":" in text else 2],
            )
            for text in now
        ]

    return find


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_leads_elsewhere_is_refused(url):
    """No such URL passes, and the error quotes neither the URL nor a part of it."""
    with pytest.raises(ConfigurationError) as caught:
        AddressGuard(resolver=resolver("1.1.1.1")).check(url)
    assert str(caught.value).startswith("url: ")
    assert not url or url not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:secret@example.com/", "it may not hold a login"),
        ("http://example.com@127.0.0.1/", "it may not hold a login"),
        ("http://0x7f000001/", "its host is a number in disguise"),
        ("http://127.0.0.1/", "its address leads to this machine"),
        ("http://10.0.0.1/", "its address is a private one"),
        ("http://[fe80::1]/", "its address is a link-local one"),
        ("http://224.0.0.1/", "its address is a group's"),
        ("http://[100::1]/", "its address is reserved"),
        ("file:///x", "it must begin with http:// or https://"),
        ("http://a b/", "it may hold no blank, control character or backslash"),
        ("http://[hello]/", "its host"),
    ],
)
def test_the_reason_is_said(url, words):
    """Each refusal says which rule it goes by, for whoever reads the answer."""
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        AddressGuard().check(url)


@pytest.mark.parametrize("url", ALLOWED)
def test_a_public_url_passes(url):
    """What a stranger may well ask for is let through, with its parts as they are."""
    parts = AddressGuard().check(url)
    assert parts.geturl().lower().rstrip("/") == url.lower().rstrip("/")


@pytest.mark.parametrize("url", [None, 3, b"http://example.com/", ["http://example.com/"]])
def test_what_is_no_text_is_refused(url):
    """Anything but a text is refused by its type."""
    with pytest.raises(ConfigurationError, match="url must be a text"):
        AddressGuard().check(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "::ffff:10.0.0.1",
        "fe80::1%eth0",
        "fd00::1",
        "0.0.0.0",
        "nonsense",
    ],
)
def test_a_name_that_leads_to_a_private_address_is_refused(address):
    """What counts is where a name leads; one private address among public ones is enough, in any place."""
    for found in ((address,), ("1.1.1.1", address), (address, "1.1.1.1")):
        with pytest.raises(ConfigurationError, match="url: its address"):
            AddressGuard(resolver=resolver(*found)).addresses("example.com", 80)


def test_public_addresses_are_returned_to_be_connected_to():
    """All addresses of a name come back as the resolver gave them, asked for once."""
    guard = AddressGuard(resolver=resolver(("1.1.1.1", "2606:4700::1111"), ("127.0.0.1",)))
    found = guard.addresses("example.com", 8080)
    assert [place for *_, place in found] == [("1.1.1.1", 8080), ("2606:4700::1111", 8080, 0, 0)]
    with pytest.raises(ConfigurationError):
        guard.addresses("example.com", 8080)


def test_a_name_without_an_address_is_an_error():
    """A resolver that finds nothing is not taken for permission."""
    with pytest.raises(OSError, match="no address"):
        AddressGuard(resolver=lambda *_, **__: []).addresses("example.com", 80)


def test_networks_can_be_opened():
    """A network that is allowed is open by address and by name, and the one beside it is not."""
    guard = AddressGuard(["10.20.0.0/16", "fd00:1::/32", "127.0.0.1"], resolver=resolver("10.20.3.4"))
    for url in ("http://10.20.3.4/", "http://[fd00:1::5]/", "http://127.0.0.1:8000/", "http://[::ffff:10.20.1.1]/"):
        assert guard.check(url).scheme == "http"
    assert guard.addresses("inside.example.com", 80)
    for url in ("http://10.21.3.4/", "http://127.0.0.2/", "http://2130706433/", "http://[fd00:2::5]/"):
        with pytest.raises(ConfigurationError):
            guard.check(url)


@pytest.mark.parametrize("allow", ["10.0.0.0/8", ["10.0.0.1/8"], ["hello"], [None]])
def test_wrong_networks_are_refused(allow):
    """A list of networks is wanted, each with nothing behind its prefix."""
    with pytest.raises(ConfigurationError, match=r"^allow takes"):
        AddressGuard(allow)


def test_nothing_is_allowed_that_the_library_calls_private():
    """Ours is at least as strict as `ipaddress` for addresses all over both spaces."""
    for bits, kind in ((32, ipaddress.IPv4Address), (128, ipaddress.IPv6Address)):
        for high in range(1 << 12):
            for low in (0, 1):
                address = kind((high << (bits - 12)) | low)
                if refusal(str(address)) is None:
                    assert address.is_global, address
                    assert not address.is_multicast, address


def test_configured_urls_may_lead_anywhere():
    """A URL of the configuration may be private, and is still read strictly."""
    anywhere = AnyAddress(resolver=resolver("127.0.0.1"))
    assert anywhere.check("http://anna:secret@127.0.0.1:8000/").hostname == "127.0.0.1"
    assert anywhere.addresses("localhost", 8000)
    with pytest.raises(ConfigurationError):
        anywhere.check("file:///etc/passwd")
    for url in ("http://a b/", "http://127.0.0.1\\@example.com/", "http://a\tb/", "http://\uff11.1.1.1/"):
        with pytest.raises(ConfigurationError):
            anywhere.check(url)


@pytest.mark.parametrize(("url", "port"), [("http://a/", 80), ("https://a/", 443), ("https://a:8443/", 8443)])
def test_ports(url, port):
    """A URL without a port leads to the scheme's own."""
    assert port_of(split_url(url)) == port
