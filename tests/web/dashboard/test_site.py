"""Which path gets which answer and headers; errors say nothing, and no file but those in the list is sent (S14)."""

from __future__ import annotations

import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("jinja2")

from time_execution.web.dashboard import answer, pages, site, static
from time_execution.web.dashboard.site import Dashboard
from time_execution.web.message import Request

PREFIX = "/admin/monitoring"
FOLDER = Path(static.__file__).parent / "static"
HOSTILE = "<script>alert(1)</script>\"onmouseover='x{{7*7}}"
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"


@pytest.fixture
def dashboard(tmp_path):
    return Dashboard(str(tmp_path / "metrics.db"), prefix=PREFIX)


def ask(dashboard, path, *, method="GET", query=None, **headers):
    return dashboard.handle(Request(method, PREFIX + path, query or {}, headers))


def header(found, name):
    return next((value for key, value in found.headers if key == name), None)


class Tags(HTMLParser):
    """Collects the elements of a page, and whether each is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "path", "rect"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in {"path", "rect"}:
            assert self.open.pop() == tag


# ---- pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_each_page_is_whole_and_loads_from_here_only(dashboard, page):
    """Balanced markup, no address but relative ones, no script or style within, and each id once."""
    found = ask(dashboard, f"/{page.path}")
    assert found.status == 200
    assert header(found, "Content-Type") == "text/html; charset=utf-8"
    tags = Tags(found.body.decode()).found
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    root = "../" if "/" in page.path else "./"
    for tag, attributes in tags:
        assert tag != "style"
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for address in (attributes.get("src"), attributes.get("href")):
            assert address is None or address.startswith((root, "?", "#")), address
        assert tag != "script" or attributes.get("src")


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_each_page_names_files_that_are_served(dashboard, page):
    """All that it loads, by addresses that hold the version, so that a browser asks once."""
    text = ask(dashboard, f"/{page.path}").body.decode()
    wanted = re.findall(r'(?:src|href)="[./]*/(static/[^"]+)"', text)
    assert f"static/{static.version()}/{page.script}.js" in wanted
    for path in wanted:
        found = ask(dashboard, f"/{path}")
        assert found.status == 200
        assert "immutable" in header(found, "Cache-Control")


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_what_scripts_import_is_asked_for_at_once(page):
    """The page lists all modules that its script needs, and those that they need: none is found late."""
    seen, waiting = set(), [f"{page.script}.js"]
    while waiting:
        text = (FOLDER / waiting.pop()).read_text("utf-8")
        new = set(re.findall(r'from "\./([a-z]+\.js)"', text)) - seen
        seen |= new
        waiting += new
    assert seen == set(page.modules)


def test_the_title_is_text(tmp_path):
    """Whatever the application is called."""
    dashboard = Dashboard(str(tmp_path / "metrics.db"), prefix=PREFIX, title=HOSTILE)
    for path in ("", "functions", "nothing"):
        text = ask(dashboard, f"/{path}").body.decode()
        assert "alert(1)" not in text or HOSTILE not in text
        assert "49" not in text.replace(static.version(), "")
        assert [tag for tag, attributes in Tags(text).found if "onmouseover" in attributes] == []


def test_only_what_lies_below_the_prefix_is_answered(dashboard, tmp_path):
    """The prefix itself leads to the overview, relatively; at the root there is no such thing."""
    for path in ("/", "/admin", f"{PREFIX}x", "/admin/monitor"):
        assert dashboard.handle(Request("GET", path)) is None
    found = dashboard.handle(Request("GET", PREFIX))
    assert found.status == 308
    assert header(found, "Location") == "monitoring/"
    assert Dashboard(str(tmp_path / "metrics.db")).handle(Request("GET", "/functions")).status == 200


def test_a_form_for_leaving_is_there_where_somebody_can_leave(tmp_path):
    """It posts the token of whoever asked."""
    dashboard = Dashboard(str(tmp_path / "metrics.db"), prefix=PREFIX, sign_out=lambda request: request.user)
    text = dashboard.handle(Request("GET", f"{PREFIX}/functions/detail", user="t&ken")).body.decode()
    assert '<form method="post" action="../logout"><input type="hidden" name="token" value="t&amp;ken">' in text
    assert "logout" not in dashboard.handle(Request("GET", f"{PREFIX}/")).body.decode()


# ---- headers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/functions", "/data/overview", "/data/no", "/static/dom.js", "/static/no", "/no", "", "/a/b/c"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_answer_has_the_headers_that_keep_browsers_tame(dashboard, path, method):
    """Pages, data, files and errors alike."""
    found = ask(dashboard, path, method=method)
    assert header(found, "Content-Security-Policy").startswith(POLICY)
    assert "unsafe" not in header(found, "Content-Security-Policy")
    assert header(found, "X-Content-Type-Options") == "nosniff"
    assert header(found, "Referrer-Policy") == "same-origin"
    assert header(found, "Server") is None
    if not path.startswith("/static/dom"):
        assert header(found, "Cache-Control") == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/functions", "/data/overview", "/static/dom.js", "/nothing"])
def test_nothing_is_done_but_reading(dashboard, method, path):
    """Every other method is refused, before anything is looked at."""
    found = ask(dashboard, path, method=method)
    assert found.status == 405
    assert header(found, "Allow") == "GET, HEAD"


# ---- data ----------------------------------------------------------------------------------------------------------


def test_every_page_has_data(dashboard):
    """One answer each, and no data without a page."""
    assert set(site.PAGES) == {page.name for page in pages.PAGES}


def test_wrong_questions_are_told_in_a_sentence(dashboard):
    """That of the data's own, as JSON."""
    found = ask(dashboard, "/data/functions", query={"range": ["9y"]})
    assert found.status == 400
    assert json.loads(found.body)["error"].startswith("range must be one of")
    assert ask(dashboard, "/data/function").status == 400


def test_data_is_compressed_for_those_who_take_it(dashboard, monkeypatch):
    """And says so; small answers are not worth it."""
    monkeypatch.setitem(site.PAGES, "overview", lambda *_: {"text": "x" * 5000})
    plain, packed = (
        ask(dashboard, "/data/overview"),
        ask(dashboard, "/data/overview", **{"accept-encoding": "br, gzip"}),
    )
    assert header(plain, "Content-Encoding") is None
    assert header(packed, "Content-Encoding") == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert header(plain, "Vary") == header(packed, "Vary") == "Accept-Encoding"
    monkeypatch.setitem(site.PAGES, "overview", lambda *_: {})
    assert header(ask(dashboard, "/data/overview", **{"accept-encoding": "gzip"}), "Content-Encoding") is None


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [("gzip", True), ("*", True), ("GZIP;q=1.0", True), ("gzip;q=0", False), ("identity", False), ("", False)],
)
def test_what_a_client_takes_is_read_from_its_header(accepted, expected):
    """Also when it says that it does not."""
    assert answer.takes_gzip(Request("GET", "/", headers={"accept-encoding": accepted})) is expected


def test_numbers_that_json_does_not_know_are_null(dashboard, monkeypatch):
    """A browser reads every answer, whatever was stored, and whatever text."""
    odd = {"a": [1.5, float("nan"), (float("inf"),)], "b": {"c": -float("inf")}, "d": "\ud800 <\u2028>"}
    monkeypatch.setitem(site.PAGES, "overview", lambda *_: odd)
    found = json.loads(ask(dashboard, "/data/overview").body)
    assert found == {"a": [1.5, None, [None]], "b": {"c": None}, "d": "? <\u2028>"}


# ---- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/data/overview", "/", "/static/dom.js"])
def test_an_error_says_nothing_of_itself(dashboard, monkeypatch, path):
    """Neither its text, nor a path, nor a version, whatever the log tells."""
    for module, name in ((site.pages.Shell, "page"), (site.static, "serve")):
        monkeypatch.setattr(module, name, lambda *_, **__: 1 / 0)
    monkeypatch.setitem(site.PAGES, "overview", lambda *_: Path("/secret/path").read_text("utf-8"))
    found = ask(dashboard, path)
    assert found.status == 500
    assert not re.search(rb"division|ZeroDivision|secret|Traceback|site-packages|\d\.\d", found.body)


@pytest.mark.parametrize(
    "path", ["/nothing", "/functions/", "/functions/detail/x", "/data", f"/{HOSTILE}", "/%2e%2e/x"]
)
def test_what_is_not_there_is_not_repeated(dashboard, path):
    """The page says that there is nothing, and leads to the overview, from however deep."""
    found = ask(dashboard, path)
    assert found.status == 404
    text = found.body.decode()
    assert "There is nothing at this address." in text
    assert "alert" not in text
    root = "../" * (path.count("/") - 1) or "./"
    assert f'href="{root}">Back to the overview' in text


# ---- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../site.py",
        "../templates/base.html",
        "..%2fsite.py",
        "%2e%2e/site.py",
        "....//site.py",
        "..\\site.py",
        "/etc/passwd",
        "C:\\boot.ini",
        "dom.js\0",
        "dom.js/",
        "DOM.JS",
        "./dom.js",
        "x/dom.js",
        "000000000000/dom.js",
        "uplot.min.js.LICENSE.txt",
        "__init__.py",
        "__pycache__/x",
    ],
)
def test_no_name_but_those_in_the_list_is_sent(dashboard, name):
    """Nothing that a request says reaches the file system."""
    assert ask(dashboard, f"/static/{name}").status == 404


def test_the_list_is_what_lies_in_the_folder():
    """Nothing is missing, and nothing is left out but the licence of what others wrote."""
    assert {path.name for path in FOLDER.iterdir()} == {*static.NAMES, "uplot.min.js.LICENSE.txt"}


@pytest.mark.parametrize("name", static.NAMES)
def test_files_are_sent_whole_and_known_again(dashboard, name):
    """With the right type, compressed for those who take it, and not at all to those who have it."""
    kinds = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    content = (FOLDER / name).read_bytes()
    plain, packed = ask(dashboard, f"/static/{name}"), ask(dashboard, f"/static/{name}", **{"accept-encoding": "gzip"})
    assert plain.body == content
    assert gzip.decompress(packed.body) == content
    assert header(plain, "Content-Type") == kinds[name.rpartition(".")[2]]
    assert header(plain, "ETag") != header(packed, "ETag")
    assert header(plain, "Cache-Control") == "private, no-cache"
    for known in (header(plain, "ETag"), f"W/{header(plain, 'ETag')}", f'"x", {header(plain, "ETag")}'):
        again = ask(dashboard, f"/static/{name}", **{"if-none-match": known})
        assert (again.status, again.body) == (304, b"")
    assert ask(dashboard, f"/static/{name}", **{"if-none-match": '"other"'}).status == 200


def test_scripts_make_no_markup():
    """None of ours has a way to turn text into elements, to run one, or to ask another host; uPlot has none either."""
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|javascript:"
    for name in static.NAMES:
        text = (FOLDER / name).read_text("utf-8")
        assert not re.search(ways, text), name
        assert name == "uplot.min.js" or not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
    assert "@import" not in (FOLDER / "dashboard.css").read_text("utf-8")
    assert "url(" not in (FOLDER / "dashboard.css").read_text("utf-8")


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_a_first_visit_weighs_less_than_150_kilobytes(dashboard, page):
    """All that a page loads, as it lies there; compressed it is a third of that."""
    text = ask(dashboard, f"/{page.path}").body
    names = set(re.findall(rf'static/{static.version()}/([^"]+)"', text.decode()))
    assert {"dashboard.css", f"{page.script}.js"} <= names
    assert len(text) + sum((FOLDER / name).stat().st_size for name in names) < 150_000
    packed = len(gzip.compress(text)) + sum(len(gzip.compress((FOLDER / name).read_bytes())) for name in names)
    assert packed < 60_000
