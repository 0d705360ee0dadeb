"""Whatever names, fields, hosts, errors and log lines hold is text on every page: it runs nowhere (S4)."""

from __future__ import annotations

import json
import time

import pytest

from tests.web.dashboard.browser.shown import VIOLATIONS
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric

PAYLOADS = (
    "<script>alert(1)</script>",
    '"onmouseover="alert(1)" x="',
    "</script><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{1111*1111}}",
    "<svg onload=alert(1)><a href=javascript:alert(1)>x</a></svg>",
    "'><iframe srcdoc='<script>alert(1)</script>'>",
)
NAME = "".join(PAYLOADS)
PAGES = ("", "functions", "requests", "errors", "delivery", "system", "services", "logs")
# Whatever an element could do by itself, and where it could lead.
ODD = """() => [...document.querySelectorAll("*")].flatMap((element) => {
  const odd = [];
  const own = (address) => new URL(address, document.baseURI).origin === location.origin;
  if (["IMG", "IFRAME", "OBJECT", "EMBED", "STYLE", "BASE", "A:HOVER"].includes(element.tagName)) odd.push(element);
  if (element.tagName === "SCRIPT" && (!element.src || !own(element.src))) odd.push(element);
  for (const {name, value} of element.attributes) {
    if (name.startsWith("on") || name === "srcdoc") odd.push(element);
    if (["href", "src", "action", "xlink:href"].includes(name) && !own(value)) odd.push(element);
  }
  return odd.map((each) => each.outerHTML.slice(0, 200));
})"""


def metrics(now):
    fields = {"hostname": NAME, "arguments": NAME, NAME: NAME, "request_id": NAME, "parent": NAME, "root": NAME}
    for number in range(20):
        moment = int((now - 30 * number) * 1e9)
        core = {"timestamp": moment, "value": 5.0 + number, **fields}
        failed = {"error_type": NAME, "message": NAME} if number % 3 == 0 else {}
        yield Metric({"name": NAME, **core, **failed})
        route = {"method": "GET", "route": NAME, "status_code": 500 if failed else 200}
        yield Metric(
            {"name": "http.server.request.duration", **core, **route, **failed},
            labels=("method", "route", "status_code"),
        )
        told = {"type": NAME, "place": NAME, "message": NAME, "traceback": NAME, "method": NAME, "route": NAME}
        yield Metric({"name": "error", "timestamp": moment, **fields, **told}, kind="event", labels=("type", "place"))
        check = {"service": NAME, "status": "unhealthy", "output": NAME, "error_type": NAME}
        core = {"name": "health.check", "timestamp": moment, "value": 1.0}
        yield Metric({**core, **check}, kind="gauge", unit="ms", labels=("service",))
        yield Metric({"name": "system.cpu_percent", "timestamp": moment, "value": 5.0}, kind="gauge", unit="%")


def states(now):
    common = {"hostname": NAME, "pid": 1, "app": NAME, "started": now}
    books = {"name": NAME, "offered": 3, "accepted": 3, "delivered": 1, "pending": 0, "dropped": {NAME: 2}}
    yield "delivery", NAME, {**common, "backends": [{**books, "last_error": NAME, "rejected": {NAME: 1}}]}
    check = {"status": "unhealthy", "since": NAME, "time": NAME, "duration_ms": 1.0, "failures": 1, "output": NAME}
    checks = {NAME: {**check, "critical": True, "type": NAME}}
    yield "health", NAME, {"status": "unhealthy", "time": NAME, "checks": checks}
    yield "process", NAME, {**common, "versions": {NAME: NAME}, "uptime": 1.0}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Give a server of a database and a log in which everything is hostile."""
    pytest.importorskip("jinja2")
    pytest.importorskip("waitress")
    from tests.web.dashboard.serving import Served

    folder, now = tmp_path_factory.mktemp("hostile"), time.time()
    with SQLiteBackend(folder / "metrics.db") as backend:
        backend.write_many(list(metrics(now)))
        for topic, owner, body in states(now):
            backend.put_state(topic, owner, body)
    record = {"level": "ERROR", "logger": NAME, "message": NAME, "request_id": NAME, NAME: {NAME: [NAME]}}
    record["exception"] = {"type": NAME, "message": NAME, "traceback": [NAME, NAME]}
    (folder / "logs").mkdir()
    with (folder / "logs" / "x_structured.json").open("w") as file:
        for number in range(5):
            moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now - 10 + number))
            file.write(json.dumps({"timestamp": moment, **record}) + "\n")
    served = Served(folder / "metrics.db", "--logs", folder / "logs", "--title", NAME)
    yield served
    served.stop()


def look_around(visitor):
    """Open and hover what there is, and return what is odd."""
    page = visitor.page
    for each in page.locator("summary, .as-table, #tiles-table").all():
        if each.is_visible():
            each.click()
    for each in page.locator("td, .legend, h1, .sub, .word").all()[:40]:
        each.dispatch_event("mouseover")
    return visitor.ask(ODD)


@pytest.mark.parametrize("path", PAGES)
def test_what_others_named_is_text(visitor, hostile, path):
    """On every page, with everything open: no dialog, no element, no complaint of the browser."""
    visitor = visitor(hostile.address)
    page = visitor.open(path)
    visitor.wait("(text) => document.querySelector('#content').innerText.includes(text)", PAYLOADS[0])
    assert look_around(visitor) == []
    assert NAME in page.title()
    assert "1234321" not in page.inner_text("body")
    assert visitor.is_content()


@pytest.mark.parametrize("path", PAGES)
def test_what_others_named_keeps_nobody_out(visitor, hostile, path):
    """With everything open, in light and dark, wide and on a telephone: axe finds nothing serious."""
    script = pytest.importorskip("axe_core_python.base").AXE_SCRIPT
    visitor = visitor(hostile.address)
    page = visitor.open(path)
    visitor.wait("(text) => document.querySelector('#content').innerText.includes(text)", PAYLOADS[0])
    look_around(visitor)
    visitor.ask(script)
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        found = visitor.ask(VIOLATIONS)
        assert [each for each in found if each[0] in {"serious", "critical"}] == [], (scheme, width)
        assert visitor.ask("document.documentElement.scrollWidth <= innerWidth"), (scheme, width)


@pytest.mark.parametrize("path", ["functions/detail", "requests/detail"])
def test_what_an_address_names_is_text(visitor, hostile, path):
    """A page about something hostile, from the row of its table."""
    visitor = visitor(hostile.address)
    page = visitor.open(path.partition("/")[0])
    visitor.wait("document.querySelector('tbody a[data-row]')")
    page.click("tbody a[data-row]")
    visitor.wait("(text) => document.querySelector('h1')?.innerText.includes(text)", PAYLOADS[2])
    visitor.wait("!document.querySelector('#content[aria-busy]')")
    assert page.url.startswith(f"{hostile.address}/{path}?")
    assert look_around(visitor) == []
    assert visitor.is_content()


@pytest.mark.parametrize("name", ["q", "range", "from", "sort", "level", "request_id", "name", "route"])
@pytest.mark.parametrize("path", ["functions", "logs", "requests/detail"])
def test_what_an_address_asks_is_text(visitor, hostile, path, name):
    """Every parameter, on pages that read it and on pages that do not; wrong ones are told in a sentence."""
    visitor = visitor(hostile.address)
    visitor.page.goto(f"{hostile.address}/{path}?{name}={'%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%22%27'}")
    visitor.wait("document.querySelector('#content:not([aria-busy])')")
    assert visitor.ask(ODD) == []
    visitor.troubles = [each for each in visitor.troubles if "status of 400" not in each]
    assert visitor.is_content()


def test_elements_take_nothing_that_runs(visitor, hostile):
    """Neither a handler, nor a style, nor an address that is not of this host, whoever asks for it."""
    visitor = visitor(hostile.address)
    visitor.open("functions")
    made = """async ([name, value]) => {
      const {el} = await import("./static/dom.js");
      try { return el("a", {[name]: value}).outerHTML; } catch { return "refused"; }
    }"""
    for address in (
        "javascript:alert(1)",
        " java\nscript:alert(1)",
        "data:text/html,x",
        "//evil.example/",
        "http://x:y@h/",
    ):
        assert visitor.ask(made, ["href", address]) == "<a></a>"
    for name in ("onclick", "ONCLICK", "style", "srcdoc", "src", "formaction", "xlink:href", "on\nclick"):
        assert visitor.ask(made, [name, "alert(1)"]) == "refused"
    assert visitor.ask(made, ["title", NAME]).count("<") == 2


def test_a_page_has_no_way_to_make_markup(visitor, hostile):
    """Even a script that tried would be stopped by the browser, and so would one that is written into the page."""
    visitor = visitor(hostile.address)
    visitor.open("functions")
    tried = visitor.ask("""() => {
      const node = document.createElement("div");
      try { node.innerHTML = "<b>x</b>"; } catch (problem) { return problem.name; }
      return "made";
    }""")
    assert tried == "TypeError"
    visitor.ask("""() => {
      const script = document.createElement("script");
      try { script.text = "window.ran = true"; } catch {}
      document.body.append(script);
    }""")
    assert visitor.ask("window.ran === undefined")
