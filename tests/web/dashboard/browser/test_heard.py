"""Who hears a page is told what is new, and not what changes all the time; who reads is left where they are."""

from __future__ import annotations

import time

import pytest

from tests.web.dashboard.browser.test_live import FASTER, Growing
from time_execution.types import Metric

HEARS = """() => {
  window.heard = 0;
  const watched = {childList: true, characterData: true, subtree: true};
  for (const region of document.querySelectorAll("[aria-live], [role=status], [role=alert]"))
    new MutationObserver(() => (window.heard += 1)).observe(region, watched);
}"""


def books(delivered, dropped=0):
    """Return what the page of deliveries is told."""
    totals = {"offered": delivered + dropped, "delivered": delivered, "pending": delivered % 7, "oldest_age": 0.9}
    totals |= {"dropped": {"queue_full": dropped} if dropped else {}, "rejected": {}}
    owner = {"owner": "web:1", "hostname": "web", "pid": 1, "app": "shop", "alive": True, "updated": 1e9}
    store = {"state": "ok", "last": 1e9, "message": ""}
    backends = [{"name": "SQLiteBackend", **totals}]
    return {"now": 1e9, "store": store, "processes": [{**owner, "backends": backends}], "totals": totals}


def sentence(rate, level="ok"):
    """Return what the overview is told."""
    text = f"Nothing is wrong; in the last 10 minutes {rate} requests a second, p95 {rate} ms."
    if level == "bad":
        text = "1 of 2 services is unhealthy: mail."
    services = [{"name": "mail", "status": "healthy", "since": None, "output": ""}]
    found = {"sentence": {"level": level, "text": text, "more": []}, "tiles": [], "times": [], "slow": [], "errors": []}
    range_ = {"from": 1, "to": 2, "step": 1, "label": "1h"}
    return {
        "now": 1e9,
        "range": range_,
        "store": {"state": "ok", "last": 1e9, "message": ""},
        "services": services,
        **found,
    }


LOST, BAD = "3 metrics never arrived", "1 of 2 services is unhealthy: mail."


@pytest.mark.parametrize(
    ("path", "answers", "said"),
    [
        ("delivery", [books(10), books(2345), books(99_000), books(99_001, 3)], LOST),
        ("", [sentence(1.5), sentence("2,345"), sentence(0.07), sentence(1, "bad")], BAD),
    ],
)
def test_only_what_is_new_is_told(visitor, shop, path, answers, said):
    """Numbers that change with every refresh are not read out each time; a sentence that is another one is."""
    visitor = visitor(script=FASTER)
    *quiet, new = answers
    given = list(quiet)

    def reply(route):
        route.fulfill(json=given.pop(0) if len(given) > 1 else given[0])

    visitor.page.route("**/data/**", reply)
    page = visitor.open(path)
    first = page.text_content("#said")
    assert first == page.inner_text("#verdict-text")
    visitor.ask(HEARS)
    last = quiet[-1].get("sentence", {}).get("text") or "99.0 k delivered"
    visitor.wait("(text) => document.querySelector('.verdict').innerText.includes(text)", last)
    assert visitor.ask("window.heard") == 0
    given[:] = [new]
    visitor.wait("(text) => document.getElementById('said').textContent.startsWith(text)", said)


def test_what_a_filter_leaves_is_told(visitor):
    """With each letter, also when nothing is left."""
    visitor = visitor()
    page = visitor.open("functions?range=24h")
    visitor.wait("document.querySelectorAll('#functions tbody tr.opens').length === 30")
    page.fill("#filter", "mail")
    assert page.text_content("#said") == "5 of 30 functions"
    page.fill("#filter", "mailx")
    assert page.text_content("#said") == "0 of 30 functions"
    page = visitor.open("errors?range=24h")
    page.fill("#filter", "no such error")
    assert page.text_content("#said") == "Nothing was found."
    assert visitor.is_content()


# ---- reading -------------------------------------------------------------------------------------------------------

FRAMES = "".join(f'  File "/srv/shop/part_{number}.py", line {number}, in call\n    call()\n' for number in range(40))
TRACEBACK = f"Traceback (most recent call last):\n{FRAMES}ValueError: not a price\n"


def fail(store, count):
    fields = {"name": "error", "type": "ValueError", "place": "shop.pay", "message": "not a price"}
    fields |= {
        "traceback": TRACEBACK,
        "error_type": "ValueError",
        "request_id": "7f3a9c",
        "method": "GET",
        "route": "/",
    }
    moments = [time.time_ns() - number for number in range(count)]
    store._backend.write_many(
        [Metric({**fields, "timestamp": each}, kind="event", labels=("type", "place")) for each in moments]
    )


def test_a_traceback_opens_at_its_end_and_stays_where_it_is_read(visitor, tmp_path):
    """What went wrong stands there; an error that comes adds to the count and to the requests, and moves nothing."""
    pytest.importorskip("waitress")
    from tests.web.dashboard.serving import serving

    store = Growing(tmp_path / "metrics.db")
    fail(store, 2)
    with serving(store.path) as address:
        visitor = visitor(address, script=FASTER)
        page = visitor.open("errors?range=5m")
        visitor.wait("document.querySelector('details[open] .trace')?.scrollTop > 0")
        rest = (
            "(() => { const {scrollHeight, scrollTop, clientHeight} = window.trace = document.querySelector('.trace');"
        )
        assert visitor.ask(f"{rest} return scrollHeight - scrollTop - clientHeight; }})()") <= 1
        visitor.ask("trace.scrollTop = 100")
        fail(store, 3)
        visitor.wait("document.querySelectorAll('details[open] tbody tr').length === 5")
        assert page.inner_text(".group .count") == "5"
        assert visitor.ask("[trace.isConnected, trace.scrollTop]") == [True, 100]
        assert visitor.is_content()
    store.close()
