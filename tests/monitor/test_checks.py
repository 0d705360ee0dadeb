"""What URLs stand for, and the check that only connects."""

from __future__ import annotations

import socket

import pytest

from tests.child import printed_by
from tests.monitor.checked import unlogged  # noqa: F401 - a fixture
from tests.monitor.silent_server import SilentServer
from time_execution.exceptions import ConfigurationError
from time_execution.monitor.checks import TCPCheck, check_of
from time_execution.monitor.health import HealthChecks

pytestmark = pytest.mark.usefixtures("unlogged")


@pytest.fixture
def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_somebody_listens():
    """A port where somebody listens is healthy, though nobody ever says a word there."""
    with SilentServer() as server:
        found = TCPCheck("127.0.0.1", server.port)()
        assert (found.status, found.output) == ("healthy", "")
        assert server.left.wait(10.0)


def test_nobody_listens(closed_port):
    """A closed port is a failure that names host and port."""
    found = TCPCheck("127.0.0.1", closed_port)()
    assert (found.status, found.output) == ("failed", f"127.0.0.1:{closed_port}: nobody listens there")
    assert found.error_type == "ConnectionRefusedError"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64, "a..b"])
def test_a_name_that_there_is_not(host):
    """A name that cannot be looked up is a failure, whatever the resolver thinks of it."""
    found = TCPCheck(host, 80).probe(5.0)
    assert found.status == "failed"
    assert found.output.isprintable()


def test_addresses_are_tried_in_turn(closed_port, monkeypatch):
    """A host is healthy when one of its addresses is; one that swallows everything leaves time for the next."""
    with SilentServer() as server, socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = fill(full.getsockname())
        places = [("127.0.0.1", closed_port), full.getsockname(), ("127.0.0.1", server.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert TCPCheck("shop.example.com", 80).probe(1.0).status == "healthy"
        assert server.left.wait(10.0)
        for filler in fillers:
            filler.close()


def fill(place):
    """Connect to a server that accepts nobody until the system answers no more of it."""
    made = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(place)
        made.append(filler)
    return made


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("", 80), "host must be"),
        (("a b", 80), "host must be"),
        (("a/b", 80), "host must be"),
        (("anna@host", 80), "host must be"),
        ((None, 80), "host must be"),
        (("host", 0), "port must be"),
        (("host", "80"), "port must be"),
    ],
)
def test_wrong_places_are_refused(arguments, words):
    """Host and port are checked when the check is made."""
    with pytest.raises(ConfigurationError, match=words):
        TCPCheck(*arguments)


@pytest.mark.parametrize(
    ("url", "shown", "kind"),
    [
        ("tcp://mail.example.com:25", "TCPCheck('mail.example.com', 25)", "tcp"),
        ("tcp://[::1]:25", "TCPCheck('::1', 25)", "tcp"),
        ("http://example.com/ping", "HTTPCheck('http://example.com/ping')", "http"),
        ("HTTPS://example.com", "HTTPCheck('https://example.com')", "http"),
    ],
)
def test_what_urls_stand_for(url, shown, kind):
    """Each scheme has its check, and nothing is connected to."""
    check = check_of(url)
    assert (repr(check), check.kind) == (shown, kind)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("hello", "begins with a scheme"),
        ("", "begins with a scheme"),
        ("ftp://example.com", "no check is called ftp://; did you mean"),
        ("kafka://example.com", "no check is called kafka://; there are"),
        ("htttp://example.com", "did you mean 'http'"),
        ("tcp://example.com", "write tcp://host:port"),
        ("tcp://a:1,b:2", "write tcp://host:port"),
        ("tcp://example.com:25/path", "write tcp://host:port"),
        ("tcp://user:hunter2@example.com:25", "write tcp://host:port"),
        ("tcp://example.com:x", "a port from 1"),
        ("tcp://[::1", "that is no URL"),
        ("http://", "its host or its port is none"),
        ("http://exa mple/", "no blank"),
    ],
)
def test_urls_that_stand_for_nothing_are_refused(url, words):
    """The error says what is wrong, and shows no password."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        check_of(url)
    assert "hunter2" not in str(caught.value)


def test_a_url_can_be_registered():
    """A URL text is enough to register a check, and its type shows in the report."""
    checks = HealthChecks()
    with SilentServer() as server:
        checks.register("mail", f"tcp://127.0.0.1:{server.port}")
        report = checks.run()
    assert (report["status"], report["checks"]["mail"]["type"]) == ("healthy", "tcp")


def test_importing_checks_loads_no_client():
    """Neither the checks nor a URL of the web brings a client along that is not needed."""
    code = (
        "import sys\n"
        "from time_execution.monitor.checks import check_of\n"
        "from time_execution.monitor.health import HealthChecks\n"
        "HealthChecks().register('a', 'tcp://localhost:1')\n"
        "check_of('http://localhost/')\n"
        "print(*sorted({'sqlalchemy', 'redis', 'psutil', 'flask'} & set(sys.modules)), 'end')"
    )
    assert printed_by(code) == ["end"]


def test_an_unknown_name_is_an_attribute_error():
    """The package of checks has what it lists, and says so of what it has not."""
    from time_execution.monitor import checks

    assert all(getattr(checks, name) for name in ("Check", "HTTPCheck", "TCPCheck", "check_of"))
    with pytest.raises(AttributeError, match="FTPCheck"):
        checks.FTPCheck  # noqa: B018 - asking is the point
