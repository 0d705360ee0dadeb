"""A real browser before real pages: Chromium, without a network, and with an eye on all that goes wrong."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

_ROUTINE = {"debug", "info", "log", "verbose"}
LOADED = """
  document.body && ["live", "fixed"].includes(document.body.dataset.live)
    && !document.querySelector("#content[aria-busy]")
"""
"""True when the figures of a page are there."""

ZONE = "Europe/Berlin"
WAIT = 20_000
"""How long a page may take on a busy machine, in milliseconds."""


def pytest_collection_modifyitems(items):
    """Mark every test here: it needs Chromium."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("service")


@pytest.fixture(scope="module")
def chromium():
    """Give a browser; without one, skip the test, or fail it with REQUIRE_SERVICES=1."""
    path = shutil.which(os.environ.get("CHROMIUM", "chromium")) or "/usr/bin/chromium"
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(path).exists():
        reason = "there is no Chromium on PATH: make services"
        pytest.fail(reason) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(reason)
    with playwright.sync_playwright() as driver:
        # As root it needs no sandbox to start; it never leaves this machine.
        options = ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"]
        browser = driver.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser, who notes every complaint, dialog and request.

    Attributes:
        page: The page, of Playwright.
        troubles: What the console or a dialog said.
        hosts: Which hosts were asked.
        paths: Which paths were asked for, in order.
    """

    def __init__(self, context, address):
        self.address = address
        self.context = context
        self.page = context.new_page()
        self.page.set_default_timeout(WAIT)
        self._error = pytest.importorskip("playwright.sync_api").Error
        self.troubles, self.hosts, self.paths = [], set(), []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)

    def open(self, path="", *, until=LOADED):
        """Go to a page, and wait until its figures are there."""
        self.page.goto(f"{self.address}/{path}")
        if until:
            self.wait(until)
        return self.page

    def wait(self, condition, argument=None):
        """Wait until JavaScript finds a condition to be true: asked from outside, since pages may not evaluate text."""
        self.until(lambda: self._is_met(condition, argument), condition)

    def until(self, is_met, condition="this"):
        """Wait until a function says so, and let the browser go on."""
        deadline = time.monotonic() + WAIT / 1e3
        while not is_met():
            assert time.monotonic() < deadline, f"in vain: {condition}; {self.troubles}"
            self.page.wait_for_timeout(20)

    def _is_met(self, condition, argument):
        try:
            return self.page.evaluate(condition, argument)
        except self._error:  # another page was on its way, or has not begun
            return False

    def ask(self, expression, argument=None):
        """Return the value of an expression of JavaScript."""
        return self.page.evaluate(expression, argument)

    def is_content(self):
        """Whether nothing went wrong, and nobody but the server was asked."""
        assert self.troubles == []
        assert self.hosts <= {urlsplit(self.address).netloc}
        return True

    @property
    def asked(self):
        """Which figures its pages have asked for; a browser asks for icons when it likes."""
        return [path for path in self.paths if "/data/" in path]

    def _console(self, message):
        if message.type not in _ROUTINE:
            self.troubles.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog):
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request):
        self.hosts.add(urlsplit(request.url).netloc)
        self.paths.append(urlsplit(request.url).path)


@pytest.fixture
def visitor(chromium, shop):
    """Return a function that sends somebody to the shop's dashboard, or to another address."""
    contexts = []

    def make(address=None, *, width=1280, height=900, scheme="light", script=None, context=None, locale="en-GB"):
        if context is not None:
            return Visitor(context, address or shop.address)
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            timezone_id=ZONE,
            locale=locale,
            reduced_motion="reduce",
        )
        if script:
            context.add_init_script(script)
        contexts.append(context)
        return Visitor(context, address or shop.address)

    yield make
    for context in contexts:
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")  # a handler may be about to answer once more
        context.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Give a server of the sample's database and log."""
    pytest.importorskip("jinja2")
    pytest.importorskip("waitress")
    from tests.web.dashboard import sample
    from tests.web.dashboard.serving import Served

    folder = tmp_path_factory.mktemp("shop")
    path = sample.build(folder / "metrics.db", logs=folder / "logs")
    served = Served(path, "--logs", folder / "logs", "--title", "Shop")
    served.path = path
    yield served
    served.stop()


@pytest.fixture
def lively(shop):
    """Let the shop's processes tell of themselves once more: those that were silent for a while count as gone."""
    from tests.web.dashboard import sample
    from time_execution.backends.sqlite import SQLiteBackend

    with SQLiteBackend(shop.path) as backend:
        for topic, owner, body in sample._states(time.time()):
            backend.put_state(topic, owner, body)
