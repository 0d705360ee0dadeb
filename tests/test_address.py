"""Hosts and ports, as arguments and URLs name them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from time_execution.address import Host, address_of, host_of, host_texts
from time_execution.exceptions import ConfigurationError


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("kafka", "kafka", None),
        ("kafka:9092", "kafka", 9092),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]", "::1", None),
        ("[::1]:65535", "::1", 65_535),
        ("::1", "::1", None),
        ("fe80::1%25eth0", "fe80::1%eth0", None),
    ],
)
def test_a_host_may_have_a_port(text, name, port):
    """Names, IPv4 and IPv6 addresses are told from ports."""
    assert host_of(text) == Host(name, port)


@pytest.mark.parametrize("host", [Host("a", None), Host("a", 80), Host("::1", None), Host("::1", 80)])
def test_a_host_is_written_as_it_is_read(host):
    """What `str` returns is read as the same host."""
    assert host_of(str(host)) == host


@pytest.mark.parametrize(
    "text", ["", ":80", "a:0", "a:65536", "a:" + "1" * 5000, "a:x", "a:-1", "a:", "a b", "a/b", "u@h", "[::1]:x", "a:²"]
)
def test_what_is_no_host_is_refused(text):
    """An error says how a host is written, and does not show what was given: it may hold a password."""
    with pytest.raises(ConfigurationError, match="a host is written") as caught:
        host_of(text)
    assert len(text) < 3 or text not in str(caught.value)


def test_a_url_names_hosts_login_and_path():
    """All that stands between the scheme and the query is found, percent-decoded."""
    found = address_of(urlsplit("kafka://an%40na:s%2Fe%3Acret@one:9092,two,[::1]:9093/a%20b//c?x=1"))
    assert found.hosts == (Host("one", 9092), Host("two", None), Host("::1", 9093))
    assert (found.username, found.password) == ("an@na", "s/e:cret")
    assert found.path == ("a b", "c")
    assert found.login == {"username": "an@na", "password": "s/e:cret"}


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("x://h", {}),
        ("x://anna@h", {"username": "anna"}),
        ("x://:secret@h", {"password": "secret"}),
        ("x://anna:@h", {"username": "anna", "password": ""}),
    ],
)
def test_a_login_has_what_the_url_has(url, login):
    """What is not there is not invented, and an empty password is one."""
    assert address_of(urlsplit(url)).login == login


def test_a_url_without_a_host_has_none():
    """The path is all there is to a local socket."""
    found = address_of(urlsplit("statsd:///run/statsd.sock"))
    assert (found.hosts, found.path) == ((), ("run", "statsd.sock"))


@pytest.mark.parametrize("given", ["a,b", "a, b ,", ["a", "b"], ("a", " b ")])
def test_hosts_are_a_text_or_a_list(given):
    """Commas separate hosts in a text; blanks do not matter."""
    assert host_texts(given) == ("a", "b")
    assert host_texts(None, given) == ("a", "b")


@pytest.mark.parametrize(("hosts", "host"), [(None, None), ("", None), (None, []), (" , ", None)])
def test_no_host_at_all_is_refused(hosts, host):
    """The error names the parameter that was meant."""
    with pytest.raises(ConfigurationError, match=r"^hosts? must name at least one host"):
        host_texts(hosts, host)


@pytest.mark.parametrize("given", [5, {"a": 1}, [1], ["a", None], b"a"])
def test_hosts_of_another_type_are_refused(given):
    """A number, a dict or bytes are no hosts."""
    with pytest.raises(ConfigurationError, match="must be a text or a list of texts"):
        host_texts(given)


def test_both_names_at_once_are_refused():
    """``host`` is another name of ``hosts``, not a second list."""
    with pytest.raises(ConfigurationError, match="two names of one parameter"):
        host_texts("a", "b")
