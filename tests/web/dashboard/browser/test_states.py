"""Pages without figures: while they load, when there are none yet, when something is wrong, and before signing in."""

from __future__ import annotations

import pytest

from tests.web.dashboard.asking import PASSWORD

PAGES = ["", "functions", "requests", "errors", "delivery", "system", "services", "logs", "functions/detail?name=a.b"]
# The form to sign in, ready for whoever types: it is there a moment before the focus is.
FORM = "document.activeElement?.name === 'password'"


@pytest.fixture
def serve(tmp_path):
    """Return a function that serves the database of a test."""
    pytest.importorskip("jinja2")
    pytest.importorskip("waitress")
    from tests.web.dashboard.serving import Served

    made = []

    def start(*options, environment=None):
        made.append(Served(tmp_path / "metrics.db", *options, environment=environment))
        return made[-1].address

    yield start
    for each in made:
        each.stop()


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_page_says_what_to_paste(visitor, serve, path):
    """A heading, a sentence, and lines of Python to copy, which compile."""
    visitor = visitor(serve())
    page = visitor.open(path)
    visitor.wait("!document.getElementById('blank').hidden")
    assert len(page.inner_text("#blank h2")) > 10
    assert not page.is_visible("#content")
    compile(page.inner_text("#blank pre"), "pasted", "exec")
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click(".copy")
    visitor.wait("document.querySelector('.copy').textContent === 'Copied'")
    assert visitor.ask("navigator.clipboard.readText()") == page.inner_text("#blank pre")
    assert visitor.is_content()


def test_figures_appear_by_themselves_when_there_are_some(visitor, serve, tmp_path):
    """Nobody has to load the page again."""
    import time

    from tests.web.dashboard.browser.test_live import FASTER, Growing

    visitor = visitor(serve(), script=FASTER)
    visitor.open("functions?range=5m")
    store = Growing(tmp_path / "metrics.db")
    store.add("shop.work", 3)
    store.close()
    visitor.wait("document.querySelector('#functions tbody td')?.title === 'shop.work'")
    assert visitor.page.is_visible("#content")
    assert time.time() > 0


def test_an_old_store_offers_a_wider_range(visitor, serve, tmp_path):
    """What was stored last is told, and the range that has it is one click away."""
    import time

    from time_execution.backends.sqlite import SQLiteBackend
    from time_execution.types import Metric

    with SQLiteBackend(tmp_path / "metrics.db") as backend:
        moment = time.time_ns() - 3 * 3600 * 10**9
        backend.write_many([Metric({"name": "shop.work", "value": 5.0, "timestamp": moment})])
    visitor = visitor(serve())
    page = visitor.open("functions?range=5m")
    assert page.inner_text("#blank h2") == "No function ran in the last 5 minutes"
    assert "from 3 h ago" in page.inner_text("#blank-text")
    page.click("#blank-acts a")
    visitor.wait("document.querySelector('#functions tbody td')?.title === 'shop.work'")
    assert page.url.endswith("?range=24h")
    assert visitor.is_content()


def test_while_figures_load_the_page_is_laid_out(visitor, serve):
    """Headings, heads of tables and empty places, which readers for the blind are told of."""
    visitor = visitor(serve())
    visitor.page.route("**/data/**", lambda route: None)
    page = visitor.open("functions", until="document.body.dataset.live === 'loading'")
    assert page.locator("#functions tr.waiting td").count() > 100
    assert visitor.ask("getComputedStyle(document.querySelector('tr.waiting td'), '::before').width !== 'auto'")
    assert page.get_attribute("#content", "aria-busy") == "true"
    assert page.inner_text("#live-text") == "Loading"


def test_what_is_still_being_read_is_not_missing(visitor, serve):
    """A server that has not come to the end of a large store says so: the page waits, and asks again at once."""
    visitor = visitor(serve())
    answers = []

    def answer(route):
        answers.append(route)
        if len(answers) > 3:
            route.continue_()
            return
        found = {"warming": True, "now": 9, "range": {"from": 1, "to": 9, "step": 1}, "rows": [], "total_ms": 0}
        route.fulfill(json={**found, "store": {"state": "ok", "last": 5, "message": ""}})

    visitor.page.route("**/data/**", answer)
    page = visitor.open("functions", until="document.body.dataset.live === 'live'")
    assert not page.is_visible("#blank")
    assert page.get_attribute("#content", "aria-busy") == "true"
    visitor.wait("!document.getElementById('blank').hidden")
    assert len(answers) == 4


@pytest.mark.parametrize(("path", "told"), [("", "#errors"), ("errors", "#groups-none")])
def test_nobody_is_told_that_there_is_no_error_before_it_is_known(visitor, serve, tmp_path, path, told):
    """What a server has read so far is shown; that nothing is there is said when it has read all."""
    from tests.web.dashboard.browser.test_live import FASTER, Growing
    from tests.web.dashboard.browser.test_looks import health

    store = Growing(tmp_path / "metrics.db")
    health(store, "healthy")
    store.close()
    visitor = visitor(serve(), script=FASTER)
    is_warming = [True]

    def answer(route):
        answered = route.fetch()
        route.fulfill(response=answered, json={**answered.json(), "warming": is_warming[0]})

    visitor.page.route("**/data/**", answer)
    page = visitor.open(path, until="document.body.dataset.live === 'live'")
    for _ in range(2):
        with page.expect_response("**/data/**"):
            pass
    assert "No errors in" not in page.inner_text("main")
    is_warming[:] = [False]
    visitor.wait("(told) => document.querySelector(told).innerText.includes('No errors in')", told)
    assert visitor.is_content()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, "{}", "The server answered with an error (500)."),
        (502, "<html>", "The server answered with an error (502)."),
        (401, "{}", "You are not signed in any more."),
        (403, "", "You are not signed in any more."),
        (200, "nothing", "These figures could not be shown."),
    ],
)
def test_what_fails_is_told_with_what_to_try(visitor, serve, status, body, expected):
    """In words, with a button, and without what the server said beyond that."""
    visitor = visitor(serve())
    visitor.page.route("**/data/**", lambda route: route.fulfill(status=status, body=body))
    page = visitor.open("functions", until="document.querySelector('.note')")
    assert page.inner_text("#notice p").startswith(expected)
    page.unroute("**/data/**")
    if status not in {401, 403}:
        page.click("#notice button")
        visitor.wait("document.body.dataset.live === 'live'")


def test_a_file_that_is_no_database_is_told(visitor, serve, tmp_path):
    """In the words of the store, without figures that would mean nothing."""
    (tmp_path / "metrics.db").write_bytes(b"not a database" * 1000)
    visitor = visitor(serve())
    page = visitor.open("functions")
    assert page.inner_text("#blank h2") == "The figures cannot be read"
    assert len(page.inner_text("#blank-text")) > 10


# ---- signing in ----------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded_address(serve, tmp_path):
    from time_execution.web.dashboard.password import hash_password

    return serve(environment={"TIME_EXECUTION_DASHBOARD_PASSWORD_HASH": hash_password(PASSWORD)})


def test_signing_in_leads_to_what_was_asked_for_and_out_again(visitor, guarded_address):
    """With the keyboard alone; after leaving, the back button shows nothing."""
    visitor = visitor(guarded_address)
    page = visitor.open("functions?range=5m", until=FORM)
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    visitor.wait(f"document.getElementById('problem') && {FORM}")
    assert page.inner_text("#problem") == "This password is not right."
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    visitor.wait("document.body.dataset.page === 'functions'")
    assert page.url.endswith("/functions?range=5m")
    assert visitor.ask("document.cookie") == ""
    page.click('form[action="./logout"] button')
    visitor.wait("document.querySelector('[name=password]')")
    page.go_back()
    visitor.wait("document.querySelector('[name=password]')")
    visitor.troubles = [each for each in visitor.troubles if "status of 403" not in each]
    assert visitor.is_content()


def test_a_session_that_ends_is_told_on_the_open_page(visitor, guarded_address):
    """The figures stay, grey, and one click leads to the form."""
    visitor = visitor(guarded_address)
    page = visitor.open("delivery", until=FORM)
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    visitor.wait("document.body.dataset.live === 'live'")
    visitor.context.clear_cookies()
    page.keyboard.press("u")
    visitor.wait("document.querySelector('.note')")
    assert "You are not signed in any more." in page.inner_text("#notice")
    page.click("#notice button")
    visitor.wait("document.querySelector('[name=password]')")
