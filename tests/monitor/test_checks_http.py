"""`HTTPCheck` against servers that answer, misbehave, redirect, and lie about where they are (S6)."""

from __future__ import annotations

import base64
import pickle
import socket
import ssl
import threading
import time

import pytest

pytest.importorskip("trustme", reason="makes certificates")

import trustme

from tests.fault_server import DRIP, DROP, HALF, HANG, RESET, Answer, FaultServer
from time_execution.exceptions import ConfigurationError
from time_execution.monitor.checks import HTTPCheck


@pytest.fixture
def server():
    with FaultServer(200) as server:
        yield server


def resolver(*answers):
    """A resolver that leads to these addresses, in turn, and remembers for whom it was asked."""
    waiting = list(answers)

    def find(host, port, **options):
        find.asked.append(host)
        address = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return [(socket.AF_INET, options["type"], 6, "", (address, port))]

    find.asked = []
    return find


@pytest.mark.parametrize("status", [200, 204, 302, 399])
def test_an_expected_status_is_healthy(server, status):
    """The statuses from 200 to 399 are healthy, and the outcome says which it was."""
    server.answer(Answer(status, "page of the service"))
    found = HTTPCheck(f"{server.url}/ping?deep=1")()
    assert (found.status, found.output) == ("healthy", f"it answered {status}")
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/ping?deep=1")
    assert request.headers["Host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_another_status_is_a_failure(server, status):
    """Any other status fails, names server and status, and shows nothing of the page."""
    server.answer(Answer(status, "stack trace with hunter2"))
    found = HTTPCheck(f"{server.url}/ping?token=hunter2")()
    assert (found.status, found.output) == ("failed", f"127.0.0.1:{server.port}: it answered {status}")


def test_the_expected_statuses_can_be_chosen(server):
    """A status that is wanted is healthy and all others are not."""
    server.answer(401)
    assert HTTPCheck(server.url, expected=401)().status == "healthy"
    assert HTTPCheck(server.url, expected=(401, 403))().status == "healthy"
    assert HTTPCheck(server.url, expected=range(200, 300))().status == "failed"


def test_headers_login_and_method_are_sent(server):
    """Own headers go out instead of ours, and a login in the URL as basic authentication."""
    url = f"http://anna:s%40fe@127.0.0.1:{server.port}/"
    check = HTTPCheck(url, headers={"user-agent": "probe", "X-Key": "k", "Host": "shop"}, method="POST")
    assert check().status == "healthy"
    (request,) = server.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert request.method == "POST"
    assert headers["authorization"] == f"Basic {base64.b64encode(b'anna:s@fe').decode()}"
    assert (headers["user-agent"], headers["x-key"], headers["host"]) == ("probe", "k", "shop")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (RESET, "it broke the connection"),
        (DROP, "what it answers is not HTTP, or ends too early"),
        (HALF, "what it answers is not HTTP, or ends too early"),
    ],
)
def test_a_server_that_breaks_off_fails(server, fault, words):
    """Whoever breaks the connection, or promises more than it sends, does not work."""
    server.answer(fault)
    found = HTTPCheck(server.url)()
    assert found.status == "failed"
    assert found.output in {f"127.0.0.1:{server.port}: {words}", f"127.0.0.1:{server.port}: it broke the connection"}


@pytest.mark.parametrize("fault", [HANG, DRIP])
def test_a_server_that_hangs_is_left_in_time(server, fault):
    """One that never answers, or a byte at a time for ever, is waited for as long as the time-out, all in all."""
    server.answer(fault)
    began = time.monotonic()
    found = HTTPCheck(server.url).probe(0.3)
    assert (found.status, found.output) == ("failed", f"127.0.0.1:{server.port}: no answer in time")
    assert 0.3 <= time.monotonic() - began < 3.0


def test_headers_that_drip_are_left_in_time():
    """The time-out holds for all of the answer: bytes of a header that keep coming do not draw it out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def drip():
            taken, _ = listener.accept()
            with taken:
                taken.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while not stop.wait(0.02):
                    try:
                        taken.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        found = HTTPCheck(f"http://127.0.0.1:{listener.getsockname()[1]}/").probe(0.3)
        stop.set()
        thread.join(5.0)
    assert found.output.endswith("no answer in time")


def test_no_more_is_read_than_allowed(server):
    """Of a page without an end only so much is read, and nothing of it is kept."""
    server.answer(Answer(200, b"x" * 5_000_000))
    assert HTTPCheck(server.url, max_body=1000)().status == "healthy"
    assert HTTPCheck(server.url, max_body=0)().status == "healthy"
    assert "xxx" not in repr(HTTPCheck(server.url)())


def test_nobody_listens():
    """A port where nobody listens and a name that there is not are failures with plain words."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert HTTPCheck(f"http://127.0.0.1:{port}/")().output == f"127.0.0.1:{port}: nobody listens there"

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    found = HTTPCheck("http://no.example/", resolver=unknown)()
    assert (found.output, found.error_type) == ("no.example: the host's name cannot be looked up", "gaierror")


def test_what_is_no_http_fails():
    """A server that speaks something else is a failure, and what it said is not shown."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak():
            taken, _ = listener.accept()
            with taken:
                taken.recv(1000)
                taken.sendall(b"220 mail.example.com ESMTP hunter2\r\n")

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        found = HTTPCheck(f"http://127.0.0.1:{listener.getsockname()[1]}/")()
        thread.join(5.0)
    assert found.output.endswith("what it answers is not HTTP, or ends too early")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "shop.example.com").configure_cert(context)
    with FaultServer(200, context=context) as server:
        yield server


def test_certificates_are_checked(secure, authority, tmp_path):
    """A certificate has to be signed by an authority that is trusted, and to be for the host, unless one says no."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    assert "its certificate is not trusted" in HTTPCheck(secure.url)().output
    assert HTTPCheck(secure.url, ca_certs=str(trusted))().status == "healthy"
    assert HTTPCheck(secure.url, verify_certs=False)().status == "healthy"
    here = resolver("127.0.0.1")
    named = f"https://shop.example.com:{secure.port}/"
    assert HTTPCheck(named, ca_certs=str(trusted), resolver=here)().status == "healthy"
    other = f"https://other.example.com:{secure.port}/"
    assert "its certificate is not trusted" in HTTPCheck(other, ca_certs=str(trusted), resolver=here)().output


def test_tls_hangs_no_longer_than_the_time_out(secure):
    """With TLS, too, a byte at a time does not draw the time-out out."""
    secure.answer(DRIP)
    began = time.monotonic()
    assert HTTPCheck(secure.url, verify_certs=False).probe(0.3).output.endswith("no answer in time")
    assert time.monotonic() - began < 3.0


def test_no_tls_where_it_is_wanted(server):
    """A server without TLS under an https URL is a failure."""
    assert HTTPCheck(f"https://127.0.0.1:{server.port}/")().output.endswith("it does not speak TLS as we do")


# ---- redirections and strangers' URLs ------------------------------------------------------------------------------


def test_redirections_are_followed_if_asked_for(server):
    """By default a redirection is an answer; followed, its end counts, and five are enough."""
    server.answer(Answer(302, headers={"Location": "/b"}), Answer(307, headers={"Location": "c?d"}), Answer(500))
    assert HTTPCheck(server.url)().output == "it answered 302"
    assert HTTPCheck(server.url, redirects=True)().output.endswith("it answered 500")
    assert [request.path for request in server.requests] == ["/", "/", "/c?d"]
    server.answer(Answer(302, headers={"Location": "/again"}))
    assert HTTPCheck(server.url, redirects=True)().output.endswith("it redirects more than 5 times")


def test_secrets_do_not_follow_a_redirection_elsewhere(server):
    """Headers and login go to the server that they are meant for, and to no other that it leads to."""
    with FaultServer(200) as other:
        server.answer(Answer(302, headers={"Location": f"{other.url}/x"}))
        url = f"http://anna:hunter2@127.0.0.1:{server.port}/"
        assert HTTPCheck(url, headers={"X-Api-Key": "hunter2"}, redirects=True)().status == "healthy"
        (request,) = other.requests
    assert {"X-Api-Key", "Authorization"}.isdisjoint(request.headers)
    assert request.headers["User-Agent"] == "time-execution"


def test_a_strangers_url_may_not_lead_here(server):
    """A URL from a request is refused at once when it names this machine, and nothing is connected to."""
    for url in (server.url, f"http://0x7f000001:{server.port}/", f"http://[::ffff:127.0.0.1]:{server.port}/"):
        with pytest.raises(ConfigurationError):
            HTTPCheck(url, allow_private=False)
    assert server.connections == 0


def test_a_strangers_name_may_not_lead_here(server):
    """A name that leads to this machine fails when it is asked for, and nothing is connected to."""
    check = HTTPCheck(f"http://shop.example.com:{server.port}/", allow_private=False, resolver=resolver("127.0.0.1"))
    found = check()
    assert (found.status, server.connections) == ("failed", 0)
    assert found.output == f"shop.example.com:{server.port}: url: its address leads to this machine"


def test_a_name_is_looked_up_once(server):
    """Between check and connection the name is not asked for again: rebinding it changes nothing."""
    find = resolver("127.0.0.1", "127.0.0.2")
    options = {"allow_private": False, "allow": ["127.0.0.1"], "resolver": find}
    check = HTTPCheck(f"http://shop.example.com:{server.port}/", **options)
    assert check().status == "healthy"
    assert find.asked == ["shop.example.com"]
    assert check().output.endswith("its address leads to this machine")
    assert (find.asked, server.connections) == (["shop.example.com"] * 2, 1)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.2:{port}/",
        "http://2130706434:{port}/",
        "http://[::ffff:127.0.0.2]:{port}/",
        "http://inside.example.com:{port}/",
        "//127.0.0.2:{port}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "http://user@shop.example.com:{port}/",
        "http://shop.example.com:{port}\\@127.0.0.2/",
        "http:// /",
    ],
)
def test_a_redirection_is_checked_as_the_url_is(server, location):
    """A public page that redirects to a private address is not followed there."""
    find = resolver("127.0.0.1", "127.0.0.2")
    options = {"allow_private": False, "allow": ["127.0.0.1"], "resolver": find, "redirects": True}
    server.answer(Answer(302, headers={"Location": location.format(port=server.port)}))
    found = HTTPCheck(f"http://shop.example.com:{server.port}/", **options)()
    assert found.status == "failed"
    assert ": url: " in found.output
    assert (server.connections, len(server.requests)) == (1, 1)


def test_the_name_stays_the_name(secure, authority, tmp_path):
    """Connected to is an address, yet host header and certificate are those of the name."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    options = {"allow_private": False, "allow": ["127.0.0.1"], "resolver": resolver("127.0.0.1")}
    check = HTTPCheck(f"https://shop.example.com:{secure.port}/", ca_certs=str(trusted), **options)
    assert check().status == "healthy"
    assert secure.requests[0].headers["Host"] == f"shop.example.com:{secure.port}"


def test_proxies_of_the_environment_are_not_used(server, monkeypatch):
    """A proxy would look names up by itself, past every check."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    assert HTTPCheck(server.url)().status == "healthy"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expected": ()}, "expected must be"),
        ({"expected": "200"}, "expected must be"),
        ({"expected": 20}, "expected must be"),
        ({"expected": None}, "expected must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"method": "DELETE"}, "method must be"),
        ({"headers": {"a b": "c"}}, "a name that is none"),
        ({"headers": {"X-Key": "hunter2\r\nEvil: 1"}}, "the value of X-Key is none"),
        ({"headers": {"X-Key": None}}, "the value of X-Key is none"),
        ({"max_body": -1}, "max_body must be"),
        ({"max_body": 10**7}, "max_body must be at most"),
        ({"allow": ["10.0.0.0/8"]}, "allow is of no use"),
        ({"allow_private": "no"}, "allow_private must be"),
        ({"redirects": 1}, "redirects must be"),
        ({"ca_certs": "/nowhere.pem"}, "ca_certs"),
    ],
)
def test_wrong_options_are_refused(options, words):
    """Each is named when the check is made, and no value that may be secret is shown."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        HTTPCheck("http://example.com/", **options)
    assert "hunter2" not in str(caught.value)


def test_no_secret_of_the_url_is_shown(server):
    """Login, query and headers show neither in the check, nor in its attributes, nor in what it says."""
    server.answer(500)
    url = f"http://anna:hunter2@127.0.0.1:{server.port}/services/T0AB12CD3/B0EF45GH6/a1B2c3D4e5F6g7H8?key=hunter2"
    check = HTTPCheck(url, headers={"X-Api-Key": "hunter2"})
    shown = f"{check!r} {vars(check)} {check()}"
    assert "hunter2" not in shown
    assert "a1B2c3D4e5F6g7H8" not in shown
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        pickle.dumps(check)
    assert repr(check).startswith(f"HTTPCheck('http://127.0.0.1:{server.port}/services/")
