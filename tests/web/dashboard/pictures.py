"""Take the pictures of the documentation anew: ``python -m tests.web.dashboard.pictures docs/images``.

They show the sample, which is the same each time but for the moment at which it ends. Needs Chromium and Playwright.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.web.dashboard import sample
from tests.web.dashboard.serving import serving

WIDTH, HEIGHT = 1280, 800
PICTURES = {
    "dashboard-overview": ("?range=1h", "light"),
    "dashboard-functions": ("functions?range=1h", "light"),
    "dashboard-function": ("functions/detail?range=1h&name=shop.search.render_search", "light"),
    "dashboard-errors-dark": ("errors?range=24h", "dark"),
}
"""Name -> the page's address below the dashboard's, and its colours."""
# Nothing that waits is left, neither as a grey place nor as a sentence.
READY = """
  !document.querySelector("#content[aria-busy], main tr.waiting, main .bone")
    && !document.querySelector("main").innerText.includes("still being read")
"""
PATIENCE = 30.0


def take(folder: Path) -> None:
    """Put the pictures into a folder, over those of before."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        path = sample.build(Path(name) / "metrics.db", logs=Path(name) / "logs")
        browser = driver.chromium.launch(
            executable_path=shutil.which(os.environ.get("CHROMIUM", "chromium")), args=["--no-sandbox"]
        )
        with serving(path, "--logs", Path(name) / "logs", "--title", "Shop") as address:
            for picture, (page, scheme) in PICTURES.items():
                shot(browser, f"{address}/{page}", scheme).screenshot(path=folder / f"{picture}.png")
        browser.close()


def shot(browser, address, scheme):
    """Return a page with all of its figures."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme=scheme,
        locale="en-GB",
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
    )
    page = context.new_page()
    answers = []
    page.on("response", lambda answer: answers.append(answer) if "/data/" in answer.url else None)
    page.goto(address)
    deadline = time.monotonic() + PATIENCE
    while not answers or answers[-1].json().get("warming") or not page.evaluate(READY):
        assert time.monotonic() < deadline, f"{address} has not come to an end"
        page.wait_for_timeout(50)
    page.wait_for_timeout(300)
    return page


if __name__ == "__main__":
    take(Path(sys.argv[1]))
