"""What makes pages a pleasure to read: alignment, colours that mean something, words and dates as people write them."""

from __future__ import annotations

import re
import time

import pytest

from tests.web.dashboard.browser.shown import PAGES
from tests.web.dashboard.browser.test_live import Growing
from time_execution.types import Metric

ENDS = """() => [...document.querySelectorAll(".flush table")].flatMap((table) =>
  [...table.rows].filter((row) => row.offsetHeight).map((row) => {
    const last = [...row.cells].filter((cell) => cell.offsetWidth).at(-1);
    return getComputedStyle(last).paddingRight;
  }))"""
AXES = """() => [...document.querySelectorAll(".plot")].filter((each) => each.offsetWidth).map((each) => {
  const [canvas, heading] = [".canvas", "h2"].map((part) => each.querySelector(part));
  return [each.offsetTop, canvas.getBoundingClientRect().bottom, heading.offsetHeight];
})"""
# As the last plot tells its highest after midnight; two lines where it is narrow.
LAST_DAY = """() => {
  const told = [...document.querySelectorAll(".plot .summary")].filter((each) => each.offsetWidth).pop();
  told.textContent = "Highest 1,080 connections at 23 November, 23:58";
}"""
RED = """(id) => {
  const canvas = document.querySelector(`${id} canvas`);
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let red = 0;
  for (let at = 0; at < data.length; at += 4) red += data[at + 3] > 200 && data[at] > data[at + 1] + 80;
  return red;
}"""
NUMBERS = """async ([name, ...values]) => {
  const numbers = await import("./static/numbers.js");
  return numbers[name](...values);
}"""
SHOWN = "document.querySelectorAll('#functions tbody tr.opens').length"


@pytest.fixture
def growing(tmp_path):
    store = Growing(tmp_path / "metrics.db")
    yield store
    store.close()


@pytest.fixture
def served(growing):
    pytest.importorskip("waitress")
    from tests.web.dashboard.serving import serving

    growing.add("shop.work", 3)
    with serving(growing.path) as address:
        yield address


# ---- layout --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["functions", "requests", "delivery", "request"])
@pytest.mark.parametrize(("width", "pad"), [(1440, 20), (1280, 20), (1200, 20), (1001, 20), (390, 14)])
def test_tables_end_where_their_heading_ends(visitor, lively, name, width, pad):
    """Whatever columns a width leaves out, the last one that stays is as far from the edge as the first."""
    visitor = visitor(width=width)
    visitor.open(PAGES[name])
    assert set(visitor.ask(ENDS)) == {f"{pad}px"}
    assert visitor.ask("document.documentElement.scrollWidth <= innerWidth")


def test_a_laptop_shows_what_matters_of_a_table(visitor):
    """At 1280 pixels: the percentiles, the share of all time and the trend, with room for names."""
    visitor = visitor()
    page = visitor.open("functions?range=24h")
    visitor.wait(f"{SHOWN} === 30")
    shown = [head.inner_text().split("\n")[0] for head in page.locator("#functions th").all() if head.is_visible()]
    assert shown == ["Function", "Calls", "Errors", "p50", "p95", "p99", "Total", "Share of total", "Trend"]
    cut = (
        "[...document.querySelectorAll('.leaf, .module')].filter((each) => each.scrollWidth > each.clientWidth).length"
    )
    assert visitor.ask(cut) == 0


@pytest.mark.parametrize("width", [1010, 1280, 1440])
@pytest.mark.parametrize("name", ["requests", "system", "request"])
def test_plots_side_by_side_have_their_axes_at_one_height(visitor, name, width):
    """However many lines their legends and what is told below take; a heading never breaks for a legend."""
    visitor = visitor(width=width)
    visitor.open(PAGES[name])
    visitor.wait("document.querySelectorAll('.plot canvas').length > 1")
    visitor.ask(LAST_DAY)
    rows = visitor.ask(AXES)
    assert {height for _, _, height in rows} == {20}
    bottoms = {}
    for top, bottom, _ in rows:
        bottoms.setdefault(top, set()).add(round(bottom))
    assert {len(each) for each in bottoms.values()} == {1}


def test_requests_of_an_error_take_a_line_each_on_a_telephone(visitor):
    """Their messages do not become columns of single letters."""
    visitor = visitor(width=390)
    visitor.open("errors?range=24h")
    visitor.wait("document.querySelectorAll('details[open] tbody tr').length > 2")
    heights = visitor.ask("[...document.querySelectorAll('details[open] tbody tr')].map((row) => row.offsetHeight)")
    assert max(heights) < 90


def test_a_short_module_stands_by_its_function(visitor, served):
    """No gap between the dot and the name."""
    visitor = visitor(served)
    visitor.open("functions?range=1h")
    visitor.wait(f"{SHOWN} === 1")
    gap = """(() => {
      const [module, leaf] = ["module", "leaf"].map((each) => document.querySelector(`.${each}`));
      const range = document.createRange();
      range.selectNodeContents(module);
      return leaf.getBoundingClientRect().left - range.getBoundingClientRect().right;
    })()"""
    assert abs(visitor.ask(gap)) < 1


def test_a_printed_page_says_what_time_it_shows(visitor):
    """And leaves out what nobody can press on paper."""
    visitor = visitor()
    page = visitor.open("requests?range=24h")
    page.emulate_media(media="print")
    assert page.is_visible('[data-range="24h"]')
    for each in ('[data-range="1h"]', "#live", "#filter", "nav", ".as-table"):
        assert not page.locator(each).first.is_visible(), each
    assert visitor.ask("getComputedStyle(document.body).backgroundImage") == "none"


# ---- colours and words ---------------------------------------------------------------------------------------------


def health(store, status):
    now = time.time_ns()
    fields = {"name": "health.check", "value": 1.0, "service": "mail", "status": status, "output": ""}
    if status == "unhealthy":
        fields["error_type"] = "OSError"
    moments = [now - number * 10**10 for number in range(6)]
    store._backend.write_many(
        [Metric({**fields, "timestamp": each}, kind="gauge", unit="ms", labels=("service",)) for each in moments]
    )


@pytest.mark.parametrize(("status", "is_red"), [("healthy", False), ("unhealthy", True)])
def test_red_is_for_trouble(visitor, served, growing, status, is_red):
    """The course of health is drawn in red where a check fails, and quietly where none does."""
    health(growing, status)
    visitor = visitor(served)
    visitor.open("?range=5m")
    visitor.wait("document.querySelector('[data-tile=\"health\"] canvas')")
    visitor.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    red = visitor.ask(RED, '[data-tile="health"]')
    assert (red > 0) is is_red
    drawn = "document.querySelector('[data-tile=\"health\"] .canvas').getAttribute('aria-label')"
    assert ("Always 0 checks" in visitor.ask(drawn)) is not is_red


def test_where_nothing_failed_there_is_no_highest_nothing(visitor, served, growing):
    """The plot of errors says so in words."""
    health(growing, "healthy")
    visitor = visitor(served)
    page = visitor.open("errors?range=5m")
    visitor.wait("document.querySelector('#count canvas')")
    assert page.inner_text("#count .summary") == "None in the time shown."


def test_a_route_is_told_by_its_heading_alone(visitor):
    """Its calls say what tells them apart."""
    visitor = visitor()
    visitor.open(PAGES["request"])
    visitor.wait("document.querySelectorAll('#slowest tbody tr:not(.waiting)').length > 3")
    told = visitor.page.locator("#slowest .pairs").first.text_content()
    assert "request_id=" in told
    assert "method=" not in told
    assert "route=" not in told


@pytest.mark.parametrize(
    ("locale", "day"), [("en-GB", "1 May"), ("en-US", "May 1"), ("de-DE", "1. Mai"), ("th-TH", None), ("ar-EG", None)]
)
def test_dates_are_as_the_visitor_writes_them(visitor, shop, locale, day):
    """In the language of the browser, with 24 hours, the years of the log and its figures; numbers are English."""
    visitor = visitor(locale=locale)
    visitor.open("services")
    midnight = 925509600  # the first of May 1999, in Berlin

    def told(name, *values):
        return visitor.ask(NUMBERS, [name, *values])

    assert day in {told("day", midnight), None}
    assert {*re.findall(r"\d+", told("moment", midnight), re.ASCII)} == {"1", "1999", "00"}
    assert told("clock", midnight + 75_599).replace(".", ":") == "20:59:59"
    assert told("isMidnight", midnight)
    assert not told("isMidnight", midnight + 3600)
    assert told("exact", 1234567.5, "ms") == "1,234,567.5 ms"
    assert told("count", 9876) == "9,876"


def test_the_same_day_of_another_year_is_not_today(visitor, shop):
    """A clock alone is of today."""
    visitor = visitor()
    visitor.open("services")
    ago = visitor.ask("new Date().setFullYear(new Date().getFullYear() - 1) / 1e3")
    year = visitor.ask("String(new Date().getFullYear() - 1)")
    assert year in visitor.ask(NUMBERS, ["moment", ago])
    assert len(visitor.ask(NUMBERS, ["moment", visitor.ask("Date.now() / 1e3")])) == 8
