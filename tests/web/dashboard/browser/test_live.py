"""Pages stay as they are while their figures change; when the server goes they say so, and go on when it is back."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest

from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric

FASTER = "const real = setTimeout; window.setTimeout = (run, wait, ...rest) => real(run, wait / 10, ...rest);"
WAITS = """
  const real = setTimeout;
  window.waits = [];
  window.setTimeout = (run, wait, ...rest) => (waits.push(wait), real(run, wait, ...rest));
"""
HIDES = """
  window.isHidden = false;
  Object.defineProperty(document, "hidden", {get: () => window.isHidden});
  window.hide = (isHidden) => {
    window.isHidden = isHidden;
    document.dispatchEvent(new Event("visibilitychange"));
  };
"""


class Growing:
    """A database that grows while it is watched."""

    def __init__(self, path):
        self.path = path
        self._backend = SQLiteBackend(path)

    def add(self, name, calls, *, took=5.0, **fields):
        now = time.time_ns()
        made = [Metric({"name": name, "value": took, "timestamp": now - number, **fields}) for number in range(calls)]
        self._backend.write_many(made)

    def close(self):
        self._backend.close()


@pytest.fixture
def growing(tmp_path):
    store = Growing(tmp_path / "metrics.db")
    for number in range(60):
        store.add(f"shop.module_{number:02}.work", 5, took=float(number + 1))
    yield store
    store.close()


@pytest.fixture
def served(growing):
    pytest.importorskip("waitress")
    from tests.web.dashboard.serving import serving

    with serving(growing.path) as address:
        yield address


PLACE = "[row.getBoundingClientRect().top, String(getSelection())]"


def calls_of(name):
    rows = "[...document.querySelectorAll('#functions tr')]"
    return f"{rows}.find((row) => row.cells[0].title === '{name}')?.cells[1].innerText"


def test_a_refresh_changes_cells_and_nothing_else(visitor, served, growing):
    """The row is the same element, in view, with its focus and the text that was marked in it."""
    visitor = visitor(served, script=FASTER)
    page = visitor.open("functions?range=5m&sort=name")
    name = "shop.module_30.work"
    visitor.wait(f"{calls_of(name)} === '5'")
    visitor.ask(
        """(name) => {
      window.row = [...document.querySelectorAll("#functions tbody tr")].find((row) => row.cells[0].title === name);
      row.querySelector("a").focus({preventScroll: true});
      scrollTo(0, 700);
      getSelection().selectAllChildren(row.cells[5]);
    }""",
        name,
    )
    before = visitor.ask(PLACE)
    growing.add(name, 3, took=31.0)
    growing.add("shop.module_00.a_new_one", 1)
    visitor.wait(f"{calls_of(name)} === '8'")
    visitor.wait("document.querySelectorAll('#functions tbody tr').length === 61")
    assert visitor.ask("row.isConnected && row.contains(document.activeElement)")
    assert visitor.ask(PLACE) == before
    assert visitor.ask("scrollY > 0")
    assert page.get_attribute('th[data-key="name"]', "aria-sort") == "ascending"
    assert visitor.is_content()


def test_rows_find_their_place_in_the_order(visitor, served, growing):
    """What becomes the most costly moves to the top, and keeps the focus if it had it; so does one that others pass."""
    visitor = visitor(served, script=FASTER)
    visitor.open("functions?range=5m")
    visitor.wait("document.querySelectorAll('#functions tbody tr.opens').length === 60")
    visitor.ask("document.querySelectorAll('#functions tbody a')[3].focus()")
    focused = "document.activeElement.closest('td')?.title"
    assert visitor.ask(focused) == "shop.module_56.work"
    growing.add("shop.module_01.work", 5, took=60_000.0)
    visitor.wait("document.querySelector('#functions tbody td').title === 'shop.module_01.work'")
    assert visitor.ask(focused) == "shop.module_56.work"
    growing.add("shop.module_56.work", 5, took=90_000.0)
    visitor.wait("document.querySelector('#functions tbody td').title === 'shop.module_56.work'")
    assert visitor.ask(focused) == "shop.module_56.work"
    titles = visitor.ask("[...document.querySelectorAll('#functions tbody tr')].map((row) => row.cells[0].title)")
    order = ["56", "01", "59", "58", "57", "55"]
    assert titles[:6] == [f"shop.module_{number}.work" for number in order]


def test_one_refresh_is_one_request(visitor, served):
    """However many figures and plots a page has, and while the answer takes its time."""
    visitor = visitor(served)
    visitor.page.clock.install()
    page = visitor.open("?range=5m")
    held = []
    page.route("**/data/**", lambda route: held.append(route))  # noqa: PLW0108 - it is asked what it is
    for _ in range(3):
        page.clock.run_for(15_000)  # less than the page waits for an answer
        visitor.until(lambda: held)
        assert [urlsplit(route.request.url).path for route in held] == ["/data/overview"]
        with page.expect_response("**/data/overview**"):
            held.pop().continue_()
        visitor.wait("document.body.dataset.live === 'live'")


def test_a_paused_page_asks_for_nothing(visitor, served):
    """It says since when, and goes on with a click; until then, hours may pass."""
    visitor = visitor(served)
    visitor.page.clock.install()
    page = visitor.open("functions?range=5m")
    page.click("#live")
    assert page.inner_text("#live-text").startswith("Paused at ")
    del visitor.paths[:]
    page.clock.run_for(600_000)
    assert visitor.asked == []
    with page.expect_response("**/data/functions**"):
        page.click("#live")
    visitor.wait("document.body.dataset.live === 'live'")
    assert page.inner_text("#live") == "Pause"


def test_an_answer_that_comes_after_the_pause_asks_for_no_other(visitor, served):
    """What was on its way when somebody paused is shown, and that is all."""
    visitor = visitor(served)
    visitor.page.clock.install()
    page = visitor.open("functions?range=5m")
    held = []
    page.route("**/data/**", lambda route: held.append(route))  # noqa: PLW0108 - it is asked what it is
    with page.expect_request("**/data/functions**"):
        page.keyboard.press("u")
    page.click("#live")
    visitor.until(lambda: held)
    with page.expect_response("**/data/functions**"):
        held.pop().continue_()
    visitor.wait("document.body.dataset.live === 'paused'")
    page.clock.run_for(600_000)
    assert held == []


def test_a_page_that_nobody_sees_rests(visitor, served):
    """No request while its tab is hidden, and one at once when it is seen again."""
    visitor = visitor(served, script=HIDES)
    visitor.page.clock.install()
    page = visitor.open("functions?range=5m")
    del visitor.paths[:]
    visitor.ask("hide(true)")
    page.clock.run_for(600_000)
    assert visitor.asked == []
    with page.expect_response("**/data/functions**"):
        visitor.ask("hide(false)")


@pytest.mark.parametrize(("range_", "seconds"), [("5m", 2), ("1h", 5), ("24h", 30), ("7d", 60)])
def test_a_page_asks_more_seldom_the_longer_its_range(visitor, served, range_, seconds):
    """Every two seconds for five minutes, once a minute for a week."""
    visitor = visitor(served, script=WAITS)
    visitor.open(f"functions?range={range_}")
    visitor.wait(f"window.waits.includes({seconds * 1000})")
    assert {1000 * each for each in (2, 5, 30, 60)} & set(visitor.ask("window.waits")) == {1000 * seconds}


def test_when_the_server_is_gone_figures_stay_and_turn_grey(visitor, growing):
    """With since when, and what to do; when it is back, all is as before."""
    from tests.web.dashboard.serving import Served

    served = Served(growing.path)
    visitor = visitor(served.address, script=FASTER)
    page = visitor.open("functions?range=5m")
    visitor.wait("document.querySelectorAll('#functions tbody tr.opens').length === 60")
    served.stop()
    visitor.wait("document.body.dataset.live === 'stale'")
    told = page.inner_text("#notice")
    assert "The server does not answer." in told
    assert "The figures are those of " in told
    assert page.locator("#functions tbody tr.opens").count() == 60
    assert visitor.ask("getComputedStyle(document.querySelector('#content')).filter") == "grayscale(1)"
    again = Served(growing.path, "--port", served.port)
    try:
        visitor.wait("document.body.dataset.live === 'live'")
        assert page.inner_text("#notice") == ""
    finally:
        again.stop()


def test_a_thousand_functions_scroll_smoothly(visitor, tmp_path):
    """They are drawn within a second, and no frame of scrolling through them takes long."""
    from tests.patience import least_time
    from tests.web.dashboard.serving import serving

    store = Growing(tmp_path / "many.db")
    now = time.time_ns()
    names = [f"shop.module_{number % 37}.Service{number % 11}.operation_{number}" for number in range(1000)]
    store._backend.write_many(
        [Metric({"name": name, "value": 5.0, "timestamp": now}) for name in names for _ in (1, 2)]
    )
    store.close()
    with serving(tmp_path / "many.db") as address:
        visitor = visitor(address)
        visitor.open("functions")
        visitor.wait("document.querySelectorAll('#functions tbody tr.opens').length === 1000")
        longest = least_time(lambda: visitor.ask(SCROLL), 100)
    assert longest < 100


SCROLL = """() => new Promise((done) => {
  let last = performance.now(), longest = 0, steps = 0;
  const step = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    scrollBy(0, 400);
    if ((steps += 1) < 60) requestAnimationFrame(step);
    else done(longest);
  };
  requestAnimationFrame(step);
})"""
