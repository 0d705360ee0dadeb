"""`--trusted-proxy`: what a proxy there says of its clients is believed, and what anybody else says is not."""

from __future__ import annotations

import re
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlencode

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("waitress")

from tests.web.dashboard.asking import PASSWORD
from tests.web.dashboard.serving import serving
from time_execution.cli import dashboard
from time_execution.web.dashboard.password import hash_password

HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"
HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}
TRIES = 10


class Client:
    """Somebody at the other side of a proxy, who keeps cookies."""

    def __init__(self, address, **headers):
        self._port = int(address.rpartition(":")[2])
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.cookies = {}
        self.set_cookies = []

    def ask(self, method, path, form=None, **headers):
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, None if form is None else urlencode(form), sent)
            answer = connection.getresponse()
            self._keep(answer.headers.get_all("Set-Cookie") or [])
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def _keep(self, cookies):
        for each in cookies:
            self.set_cookies.append(each)
            name, _, value = each.partition(";")[0].partition("=")
            self.cookies[name] = value

    def enter(self, password=PASSWORD, **headers):
        """Send the form, and return the status."""
        token = re.search(r'name="token" value="([^"]+)"', self.ask("GET", "/login", **headers)[2])[1]
        form = {"token": token, "password": password, "next": "/"}
        return self.ask("POST", "/login", form, **headers)[0]


@pytest.fixture(scope="module")
def hashed():
    return hash_password(PASSWORD)


@pytest.fixture
def guarded(tmp_path, hashed):
    """Return a function that serves with a password, behind a proxy or none."""

    @contextmanager
    def make(*options):
        with serving(tmp_path / "metrics.db", *options, environment={dashboard.VARIABLE: hashed}) as address:
            yield address

    return make


def test_a_trusted_proxy_says_that_it_is_https(guarded):
    """Cookies are for HTTPS alone then, and the form of the page at the proxy's own name is taken."""
    with guarded("--trusted-proxy", HERE) as address:
        client = Client(address, **HTTPS)
        assert client.enter(Origin="https://shop.example") == 303
        assert all(re.match(r"__Host-time-execution(-form)?=.*; Secure", each) for each in client.set_cookies)
        assert len(client.set_cookies) == 3
        assert client.ask("GET", "/functions")[0] == 200
        assert Client(address, **HTTPS).enter(Origin="https://evil.example") == 403


@pytest.mark.parametrize("options", [(), ("--trusted-proxy", ELSEWHERE)])
def test_nobody_else_says_so(guarded, options):
    """Without a proxy, or from another address, such headers mean nothing: neither the scheme nor the host."""
    with guarded(*options) as address:
        client = Client(address, **HTTPS)
        assert client.enter(Origin="https://shop.example") == 403
        assert client.enter() == 303
        assert [each for each in client.set_cookies if "Secure" in each or "__Host-" in each] == []


def test_behind_a_proxy_tries_are_counted_by_true_addresses(guarded):
    """Who tried too often waits, and others do not; what a client claims before the proxy's word changes nothing."""
    with guarded("--trusted-proxy", HERE) as address:
        told = [
            Client(address, X_Forwarded_For=f"10.0.0.{number}, 203.0.113.5").enter("wrong") for number in range(TRIES)
        ]
        assert told == [403] * TRIES
        assert Client(address, X_Forwarded_For="203.0.113.5").enter() == 429
        assert Client(address, X_Forwarded_For="203.0.113.6").enter() == 303


@pytest.mark.parametrize("options", [(), ("--trusted-proxy", ELSEWHERE)])
@pytest.mark.parametrize("header", ["X_Forwarded_For", "Forwarded", "X_Real_IP"])
def test_nobody_gets_more_tries_by_naming_other_addresses(guarded, options, header):
    """The connection's own address is what counts."""
    with guarded(*options) as address:
        told = [
            Client(address, **{header: f"for=10.0.0.{number}" if header == "Forwarded" else f"10.0.0.{number}"}).enter(
                "wrong"
            )
            for number in range(TRIES + 1)
        ]
        assert told == [403] * TRIES + [429]


def test_of_a_trusted_proxy_only_known_headers_are_believed(guarded):
    """What it passes on as a client sent it is no word of its own."""
    with guarded("--trusted-proxy", HERE) as address:
        told = [
            Client(address, Forwarded=f"for=10.0.0.{number};proto=https;host=shop.example").enter("wrong")
            for number in range(TRIES + 1)
        ]
        assert told == [403] * TRIES + [429]
