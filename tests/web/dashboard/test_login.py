"""Signing in and out: forms prove where they come from, tries are bounded, each session is a new one (S2, S3)."""

from __future__ import annotations

import pytest

pytest.importorskip("jinja2")

from tests.web.dashboard.asking import PASSWORD, Browser, sign_in, token_of

SECRET = "time-execution"


def test_a_wrong_password_opens_nothing(browser):
    """The form is shown again, with what was wrong."""
    answer = sign_in(browser, "wrong")
    assert answer.status == 403
    assert "This password is not right." in answer.text
    assert "wrong" not in answer.text.replace("wrong passwords", "")
    assert SECRET not in browser.cookies
    assert browser.get("/").status == 303


def test_ten_wrong_passwords_lock_out_even_the_right_one(browser, clock):
    """With how long to wait; after that, the right one is right."""
    for _ in range(10):
        assert sign_in(browser, "wrong").status == 403
    answer = sign_in(browser)
    assert answer.status == 429
    assert answer.header("Retry-After") == "900"
    assert "Please wait 15 minutes." in answer.text
    clock.advance(900)
    assert sign_in(browser).status == 303


def test_one_client_that_is_locked_out_does_not_lock_out_others(guarded):
    """Tries count by the address that a request came from, whatever its headers say."""
    attacker, other = Browser(guarded, client="10.0.0.9"), Browser(guarded, client="10.0.0.1")
    answers = [sign_in(attacker, "wrong", x_forwarded_for=f"10.1.1.{number}") for number in range(11)]
    assert answers[-1].status == 429
    assert sign_in(other).status == 303


def test_each_sign_in_is_a_new_session(browser, guarded):
    """An id that somebody planted before is not the one in force after, and the one before ends."""
    sign_in(browser)
    first = browser.cookies[SECRET]
    sign_in(browser)
    assert browser.cookies[SECRET] != first
    old = Browser(guarded)
    old.cookies = {SECRET: first}
    assert old.get("/").status == 303
    planted = Browser(guarded)
    planted.cookies = {SECRET: "planted"}
    sign_in(planted)
    assert planted.cookies[SECRET] != "planted"


def test_cookies_are_out_of_reach_for_scripts_and_other_sites(browser):
    """Over HTTP without `Secure`, which would lose them."""
    sign_in(browser)
    form, session = browser.set_cookies[0], next(each for each in browser.set_cookies if each.startswith(f"{SECRET}="))
    assert session.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Lax"
    assert form.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Strict"


def test_over_https_cookies_are_secure_and_bound_to_the_host(guarded):
    """By the prefix that keeps other hosts of the domain from setting them."""
    browser = Browser(guarded, scheme="https")
    sign_in(browser)
    session = next(each for each in browser.set_cookies if each.startswith("__Host-time-execution="))
    assert session.partition("; ")[2] == "Path=/; HttpOnly; Secure; SameSite=Lax"
    assert browser.get("/").status == 200


def test_a_session_ends_by_itself(browser, clock):
    """After an hour without a request."""
    sign_in(browser)
    clock.advance(3601)
    assert browser.get("/data/overview").status == 401


# ---- where forms come from -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "\N{SNOWMAN}"])
def test_a_form_without_its_token_is_refused(browser, token):
    """The right password does not help."""
    browser.get("/login")
    answer = browser.post("/login", {"token": token, "password": PASSWORD})
    assert answer.status == 403
    assert SECRET not in browser.cookies


def test_a_form_of_another_browser_is_refused(guarded):
    """A token is worth nothing without the cookie that it was made for."""
    mine, theirs = Browser(guarded), Browser(guarded)
    token = token_of(theirs.get("/login"))
    assert mine.post("/login", {"token": token, "password": PASSWORD}).status == 403
    mine.get("/login")
    assert mine.post("/login", {"token": token, "password": PASSWORD}).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:8765.evil.example"},
        {"origin": "http://localhost:1"},
        {"origin": "ftp://localhost:8765"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_what_another_site_sends_is_refused(browser, headers):
    """Signing in as well as signing out, with everything else right."""
    assert sign_in(browser, **headers).status == 403
    sign_in(browser)
    token = token_of(browser.get("/"))
    assert browser.post("/logout", {"token": token}, **headers).status == 403
    assert browser.get("/").status == 200


@pytest.mark.parametrize(
    "headers", [{"origin": "http://localhost:8765", "sec_fetch_site": "same-origin"}, {"sec_fetch_site": "none"}, {}]
)
def test_what_this_site_sends_is_taken(browser, headers):
    """Also from programs that say nothing of where they are."""
    assert sign_in(browser, **headers).status == 303


def test_only_a_form_is_read(browser):
    """The same fields in another type of body are no form."""
    token = token_of(browser.get("/login"))
    body = f"token={token}&password=correct+horse".encode()
    assert browser.ask("POST", "/login", body=body, content_type="text/plain").status == 403
    assert browser.ask("POST", "/login", body=body + b"&a=1" * 50, content_type="application/x-www-form-urlencoded")
    assert SECRET not in browser.cookies


def test_no_other_method_signs_in_or_out(browser):
    """A link or an image cannot end a session."""
    sign_in(browser)
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert browser.ask(method, "/logout").status == 405
    assert browser.ask("PUT", "/login").status == 405
    assert browser.get("/").status == 200


def test_signing_out_ends_the_session(browser):
    """The form of each page carries its token; the old cookie opens nothing any more."""
    sign_in(browser)
    key = browser.cookies[SECRET]
    token = token_of(browser.get("/functions/detail?name=x"))
    assert browser.post("/logout", {"token": "x"}).status == 403
    assert browser.post("/logout", {"token": token}).status == 303
    assert SECRET not in browser.cookies
    browser.cookies[SECRET] = key
    assert browser.get("/").status == 303
    assert browser.post("/logout", {"token": token}).header("Location") == "/login"


# ---- where to go afterwards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "onward", ["/", "/functions?range=5m", "/functions/detail?name=a.b%20c&range=1h", "/logs?request_id=7f3a"]
)
def test_after_signing_in_the_page_that_was_asked_for_appears(browser, onward):
    """With its range and its filters."""
    asked = browser.get(onward)
    form = browser.get(asked.header("Location"))
    token = token_of(form)
    assert sign_in(browser, onward=onward).header("Location") == onward
    assert token


@pytest.mark.parametrize(
    "onward",
    [
        "",
        "http://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        " //evil.example",
        "evil.example",
        "/a\r\nSet-Cookie: x=y",
        "/login?next=/login",
        "/logout",
        "/" + "a" * 5000,
    ],
)
def test_no_address_leads_to_another_site(browser, onward):
    """Nor back to the form, nor out of the session."""
    answer = sign_in(browser, onward=onward)
    assert answer.status == 303
    assert answer.header("Location") == "/"


def test_what_the_address_says_is_text_in_the_form(browser):
    """Markup in `next` stays the value of a field."""
    text = browser.get("/login?next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
    assert "<script>alert" not in text
    assert 'value="/%22%3E%3Cscript%3Ealert(1)%3C/script%3E"' in text
