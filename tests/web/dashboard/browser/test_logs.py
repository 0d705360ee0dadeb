"""The log: searched, filtered, followed as it grows, and a request's id leads to all its lines."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.dashboard.browser.test_live import FASTER

LINES = "document.querySelectorAll('#lines > li:not(.waiting)').length"


class Log:
    """A structured log that a test writes."""

    def __init__(self, folder):
        folder.mkdir()
        self._path = folder / "shop_structured.json"
        self.number = 0

    def write(self, count=1, *, level="INFO", age=timedelta(), **fields):
        with self._path.open("a") as file:
            for _ in range(count):
                self.number += 1
                moment = (datetime.now(timezone.utc) - age).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                record = {"timestamp": moment, "level": level, "logger": "shop", "message": f"line {self.number}"}
                file.write(json.dumps(record | fields) + "\n")


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "logs")


@pytest.fixture
def served(tmp_path, log):
    pytest.importorskip("waitress")
    from tests.web.dashboard.serving import serving

    log.write(40)
    with serving(tmp_path / "metrics.db", "--logs", tmp_path / "logs") as address:
        yield address


def test_lines_are_shown_newest_first_and_followed(visitor, served, log):
    """What is written appears on top; the reader's place, and what is open, stay."""
    visitor = visitor(served, script=FASTER, height=500)
    page = visitor.open("logs")
    visitor.wait(f"{LINES} === 40")
    assert page.locator(".message").first.inner_text() == "line 40"
    page.locator("summary", has_text="line 12").click()
    visitor.ask("""() => {
      window.line = [...document.querySelectorAll("#lines > li")].find((line) => line.innerText.includes("line 12"));
      line.scrollIntoView({block: "center"});
    }""")
    place = visitor.ask("line.getBoundingClientRect().top")
    log.write(3)
    visitor.wait(f"{LINES} === 43")
    assert page.locator(".message").first.text_content() == "line 43"
    assert visitor.ask("line.isConnected && line.querySelector('details').open")
    assert abs(visitor.ask("line.getBoundingClientRect().top") - place) < 2
    assert visitor.is_content()


def test_levels_are_filtered(visitor, served, log):
    """From a level on; the address has it, and back brings the others."""
    log.write(2, level="ERROR")
    log.write(1, level="WARNING")
    visitor = visitor(served)
    page = visitor.open("logs")
    visitor.wait(f"{LINES} === 43")
    page.click('[data-level="WARNING"]')
    visitor.wait(f"{LINES} === 3")
    assert page.url.endswith("/logs?level=WARNING")
    assert {*page.locator(".level").all_inner_texts()} == {"ERROR", "WARNING"}
    page.go_back()
    visitor.wait(f"{LINES} === 43")
    assert visitor.is_content()


def test_messages_and_fields_are_searched(visitor, served, log):
    """While somebody types, and what is not there is told."""
    log.write(1, message="the lamp is broken", component="lamp post")
    visitor = visitor(served)
    page = visitor.open("logs")
    visitor.wait(f"{LINES} === 41")
    page.keyboard.press("/")
    page.keyboard.type("LAMP")
    visitor.wait(f"{LINES} === 1")
    assert page.locator(".message").inner_text() == "the lamp is broken"
    page.fill("#filter", "no such word")
    visitor.wait(f"{LINES} === 0")
    assert page.inner_text("#lines-none") == "No line of the log matches."
    assert visitor.is_content()


def test_a_request_leads_to_all_its_lines(visitor, served, log):
    """From a field of one line; a click on the mark shows all requests again."""
    log.write(3, request_id="7f3a9c")
    log.write(2, request_id="other")
    visitor = visitor(served)
    page = visitor.open("logs")
    visitor.wait(f"{LINES} === 45")
    page.locator("summary", has_text="line 42").click()
    page.click('.data a[href*="request_id=7f3a9c"]')
    visitor.wait(f"{LINES} === 3")
    assert page.inner_text("#request-text") == "request 7f3a9c"
    page.click("#request-clear")
    visitor.wait(f"{LINES} === 45")
    assert visitor.is_content()


def test_older_lines_come_when_asked_for(visitor, served, log):
    """Each once, in their order."""
    log.write(900)
    visitor = visitor(served)
    page = visitor.open("logs")
    visitor.wait(f"{LINES} >= 100 && !document.getElementById('older').hidden")
    while page.is_visible("#older"):
        number = visitor.ask(LINES)
        page.click("#older")
        visitor.wait(f"{LINES} > {number} || document.getElementById('older').hidden")
    messages = page.locator(".message").all_text_contents()
    assert messages == [f"line {number}" for number in range(940, 0, -1)]
    assert visitor.is_content()


def test_an_exception_shows_with_its_traceback(visitor, served, log):
    """As text, in the line that told it."""
    frames = ["Traceback (most recent call last):", '  File "shop.py", line 4, in pay', "KeyError: 'price'"]
    log.write(1, level="ERROR", exception={"type": "KeyError", "message": "'price'", "traceback": frames})
    visitor = visitor(served)
    page = visitor.open("logs")
    page.locator("summary", has_text="ERROR").click()
    assert page.inner_text(".trace").splitlines() == frames
    assert page.inner_text(".log .within p") == "KeyError: 'price'"
    assert visitor.is_content()


def test_without_a_log_the_page_says_how_to_get_one(visitor, tmp_path):
    """With lines to copy."""
    from tests.web.dashboard.serving import serving

    with serving(tmp_path / "metrics.db") as address:
        visitor = visitor(address)
        page = visitor.open("logs")
        assert page.inner_text("#blank h2") == "There is no log to show"
        assert "from time_execution.logs import logger" in page.inner_text("#blank pre")
        assert visitor.is_content()


def test_a_line_of_another_day_tells_its_whole_time(visitor, served, log):
    """With the day before the clock, which is not cut."""
    log.write(1, age=timedelta(days=40))
    visitor = visitor(served)
    page = visitor.open("logs")
    visitor.wait(f"{LINES} === 41")
    moment = page.locator("#lines time").first
    assert re.fullmatch(r"\d+ \w+, \d\d:\d\d:\d\d\.\d\d\d", moment.inner_text())
    assert moment.evaluate("(each) => each.scrollWidth <= each.clientWidth")


def answer(numbers, **more):
    lines = [
        {
            "time": 1e9,
            "level": "INFO",
            "logger": "shop",
            "message": f"line {number}",
            "fields": {},
            "cursor": f"c{number}",
        }
        for number in numbers
    ]
    store = {"state": "ok", "last": 1e9, "message": ""}
    found = {"older": None, "newer": "newest", "files": ["shop_structured.json"]}
    return {"now": 1e9, "store": store, "lines": lines, **found, **more}


@pytest.fixture
def told(visitor, served):
    """Return a visitor, and the answers that the server is going to give, with what was asked for each."""
    visitor = visitor(served, script=FASTER)
    answers, asked = [], []

    def reply(route):
        asked.append({name: values[0] for name, values in parse_qs(urlsplit(route.request.url).query).items()})
        route.fulfill(json=answers.pop(0) if answers else answer([]))

    visitor.page.route("**/data/logs**", reply)
    return visitor, answers, asked


def test_no_line_is_passed_over_when_the_oldest_give_way(told):
    """Of two thousand lines and five new ones the oldest five go; older ones are asked for from there."""
    visitor, answers, asked = told
    answers += [answer(range(2000, 0, -1), older="c1"), answer(range(2005, 2000, -1))]
    page = visitor.open("logs")
    visitor.wait("document.querySelector('.message').textContent === 'line 2005'")
    assert visitor.ask(LINES) == 2000
    del asked[:]
    page.click("#older")
    visitor.wait("document.getElementById('older').hidden")
    assert [each["before"] for each in asked if "before" in each] == ["c6"]


def test_when_the_place_is_lost_the_newest_lines_stand_alone(told):
    """What was shown does not join what is there now: a log that was put away leaves no line out of its order."""
    visitor, answers, _ = told
    answers += [answer(range(3, 0, -1)), answer([9, 8], lost=True)]
    visitor.open("logs")
    visitor.wait(f"{LINES} === 2")
    assert visitor.page.locator(".message").all_text_contents() == ["line 9", "line 8"]


def test_how_much_was_found_is_told_to_those_who_hear_the_page(visitor, served, log):
    """With each search, and not with each line that comes."""
    visitor = visitor(served, script=FASTER)
    page = visitor.open("logs")
    visitor.wait(f"{LINES} === 40")
    assert page.text_content("#said") == "40 lines"
    log.write(3)
    visitor.wait(f"{LINES} === 43")
    assert page.text_content("#said") == "40 lines"
    page.fill("#filter", "line 7")
    visitor.wait("document.getElementById('said').textContent === '1 line'")
    page.fill("#filter", "no such line")
    visitor.wait("document.getElementById('said').textContent === 'No line of the log matches.'")
    assert visitor.is_content()
