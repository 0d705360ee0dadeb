"""The dashboard as an application of its own: what is behind the password, and who is answered at all."""

from __future__ import annotations

import pytest

pytest.importorskip("jinja2")

from tests.web.dashboard.asking import Browser, sign_in
from time_execution.web.dashboard import pages, static
from time_execution.web.dashboard.data import PAGES as DATA
from time_execution.web.dashboard.standalone import Standalone, is_loopback
from time_execution.web.message import MAX_BODY

PATHS = [f"/{page.path}" for page in pages.PAGES]
DATA_PATHS = [f"/data/{name}" for name in DATA]


# ---- what is behind the password -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PATHS, "/nothing/here", "/admin", "/DATA/overview", "//data/overview"])
def test_without_a_session_every_page_leads_to_the_form(browser, path):
    """Whether there is such a page or not."""
    answer = browser.get(path)
    assert answer.status == 303
    assert answer.header("Location").startswith("/login?next=")
    assert answer.body == b""


@pytest.mark.parametrize("path", [*DATA_PATHS, "/data/nothing", "/data/"])
def test_without_a_session_there_is_no_data(browser, path):
    """The answer is an error that the page's script understands, and holds nothing else."""
    answer = browser.get(path)
    assert answer.status == 401
    assert answer.text == '{"error":"You are not signed in."}'


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/functions", "/data/overview"])
def test_no_method_gets_past_the_password(browser, method, path):
    """Whatever is asked for a page."""
    answer = browser.ask(method, path)
    assert answer.status in {303, 401}


def test_only_the_form_and_its_looks_are_open(browser):
    """The files of the package, which hold nothing of anybody's; all else asks for a session."""
    assert browser.get("/login").status == 200
    assert [browser.get(f"/static/{name}").status for name in static.NAMES] == [200] * len(static.NAMES)
    assert browser.get("/static/../data/overview").status == 404
    assert browser.get("/static/uplot.min.js.LICENSE.txt").status == 404


def test_with_the_password_every_page_answers(browser):
    """And its data as well."""
    assert sign_in(browser).status == 303
    assert [browser.get(path).status for path in PATHS] == [200] * len(PATHS)
    assert browser.get("/data/overview").status == 200
    assert browser.get("/nothing/here").status == 404


def test_a_session_of_somebody_else_is_none(browser, guarded):
    """An invented id, an empty one, and one that was left."""
    for value in ("", "x" * 43, "../../etc/passwd"):
        browser.cookies = {"time-execution": value}
        assert browser.get("/").status == 303


def test_an_odd_cookie_of_another_application_does_no_harm(browser):
    """What others on this host set comes along, in whatever form."""
    sign_in(browser)
    browser.cookies = {'a{"b': '"x,y\\', "@": "", **browser.cookies}
    assert browser.get("/").status == 200


# ---- without a password --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8765", "LOCALHOST:1", "127.0.0.1:8765", "127.8.9.1", "[::1]", "[::1]:8765"]
)
def test_without_a_password_names_of_this_machine_are_answered(tmp_path, host):
    """By name or address, whatever the port."""
    assert Browser(Standalone(str(tmp_path / "metrics.db")), host=host).get("/").status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "[::1",
        "[fe80::1]",
        "0.0.0.0",
    ],
)
@pytest.mark.parametrize("path", ["/", "/data/overview", "/static/dashboard.css"])
def test_without_a_password_no_other_name_is_answered(tmp_path, host, path):
    """A site that has its own name point at this machine gets nothing to read."""
    answer = Browser(Standalone(str(tmp_path / "metrics.db")), host=host).get(path)
    assert answer.status == 421
    assert b"has no password" in answer.body


def test_without_a_password_there_is_nothing_to_sign_out_of(tmp_path):
    """Neither a form for it, nor one to sign in."""
    browser = Browser(Standalone(str(tmp_path / "metrics.db")))
    assert 'action="./logout"' not in browser.get("/").text
    assert browser.get("/login").status == 404
    assert browser.post("/logout").status == 405


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_loopback_is_told_by_address(host, expected):
    """What listens at all addresses is open to others."""
    assert is_loopback(host) is expected


# ---- as WSGI has it ------------------------------------------------------------------------------------------------


def test_what_is_too_long_is_not_read(browser):
    """A body beyond the bound is refused before a byte of it is taken."""
    assert browser.ask("POST", "/login", body=b"x" * (MAX_BODY + 1)).status == 413
    assert browser.get("/login?" + "&".join(f"a{number}=1" for number in range(200))).status == 413


@pytest.mark.parametrize("length", ["-1", "many", "1e9", "9" * 30])
def test_a_length_that_is_none_is_refused(guarded, length):
    """What a client says of its body is no number to rely on."""
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/login", "CONTENT_LENGTH": length, "wsgi.input": None}
    told = []
    guarded(environ, lambda status, headers: told.append(status))
    assert told == ["413 Content Too Large"]


def test_head_is_answered_as_get_without_the_body(tmp_path):
    """With the length that the body has."""
    browser = Browser(Standalone(str(tmp_path / "metrics.db")))
    got, asked = browser.get("/functions"), browser.ask("HEAD", "/functions")
    assert asked.status == 200
    assert asked.body == b""
    assert asked.header("Content-Length") == str(len(got.body))


def test_an_error_says_nothing_of_itself(tmp_path, monkeypatch):
    """Whatever breaks, the text is always the same."""
    application = Standalone(str(tmp_path / "metrics.db"))
    monkeypatch.setattr(application, "handle", lambda _: 1 / 0)
    answer = Browser(application).get("/")
    assert answer.status == 500
    assert answer.body == b"something went wrong here\n"
