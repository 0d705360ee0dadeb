"""The address is the state: a link shows the same to others, back and forward work, and keys reach everything."""

from __future__ import annotations

from tests.web.dashboard import sample

ROWS = "document.querySelectorAll('#functions tbody tr.opens').length"


def test_the_range_is_in_the_address_and_goes_along(visitor):
    """Choosing one changes it; back brings the one before; links to other pages have it."""
    visitor = visitor()
    page = visitor.open("functions")
    page.click('[data-range="24h"]')
    visitor.wait("location.search === '?range=24h'")
    assert page.get_attribute('[data-range="24h"]', "aria-current") == "true"
    with page.expect_response("**/data/functions?range=5m**"):
        page.click('[data-range="5m"]')
    page.go_back()
    visitor.wait("document.querySelector('[data-range=\"24h\"]').ariaCurrent === 'true'")
    page.click('nav a[data-page-link="requests"]')
    visitor.wait("document.body.dataset.page === 'requests'")
    assert page.url.endswith("/requests?range=24h")
    assert visitor.is_content()


def test_pages_work_wherever_they_are_mounted(visitor, tmp_path):
    """Below a prefix, and below a mount that they do not know of: all addresses are relative."""
    from tests.web.dashboard.serving import Served
    from time_execution.web.dashboard.site import Dashboard
    from time_execution.web.dashboard.standalone import wsgi
    from time_execution.web.message import plain

    dashboard = Dashboard(str(tmp_path / "metrics.db"), prefix="/admin/monitoring")
    answering = wsgi(lambda request: dashboard.handle(request) or plain(404, "not ours"))
    mounted = lambda environ, start: answering({**environ, "PATH_INFO": environ["PATH_INFO"][4:]}, start)  # noqa: E731
    served = Served(application=mounted)
    visitor = visitor(served.address)
    page = visitor.open("app/admin/monitoring")
    assert page.url.endswith("/app/admin/monitoring/")
    visitor.wait("!document.getElementById('blank').hidden")
    for path in ("functions/detail?name=a", "requests/detail?method=GET&route=/", "logs"):
        visitor.open(f"app/admin/monitoring/{path}")
    page.click('nav a[data-page-link="functions"]')
    visitor.wait("document.body.dataset.page === 'functions'")
    assert page.url.endswith("/app/admin/monitoring/functions")
    assert visitor.is_content()
    assert all(path.startswith("/app/admin/monitoring") for path in visitor.paths)
    served.stop()


def test_order_and_filter_are_in_the_address(visitor):
    """Who opens the link sees the same rows in the same order; one step back undoes the order."""
    make, visitor = visitor, visitor()
    page = visitor.open("functions?range=24h")
    visitor.wait(f"{ROWS} === 30")
    page.click('th[data-key="name"] button')
    page.fill("#filter", "SEARCH")
    assert visitor.ask(ROWS) == 5
    assert page.url.endswith("/functions?range=24h&sort=name&q=SEARCH")
    assert page.inner_text("#told").startswith("5 of 30 functions")
    other = make(context=visitor.context)
    other.open(page.url.removeprefix(f"{other.address}/"))
    other.wait(f"{ROWS} === 5")
    names = other.ask("[...document.querySelectorAll('#functions tbody tr')].map((row) => row.cells[0].title)")
    assert names == sorted(name for name in sample.FUNCTIONS if "search" in name)
    page.go_back()
    visitor.wait("document.querySelector('th[data-key=\"total\"]').ariaSort === 'descending'")
    assert visitor.is_content()


def test_marking_a_part_of_a_plot_zooms_all_of_them(visitor):
    """The part goes to the address as a fixed range, which is not asked for again until somebody goes live."""
    visitor = visitor()
    page = visitor.open("requests?range=1h")
    visitor.wait("document.querySelectorAll('#rate canvas, #latency canvas').length === 2")
    box = page.locator("#rate .u-over").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 40)
    shown = page.inner_text("#latency .summary")
    assert shown.startswith("At ")
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 40, steps=4)
    page.mouse.up()
    visitor.wait("/[?]from=\\d+&to=\\d+$/.test(location.search)")
    visitor.wait("document.body.dataset.live === 'fixed'")
    start, end = (int(part.partition("=")[2]) for part in page.url.partition("?")[2].split("&"))
    assert 300 < end - start < 1500
    assert page.inner_text("#live-text") == "A fixed range"
    page.click("#live")
    visitor.wait("document.body.dataset.live === 'live'")
    assert page.url.endswith("/requests")
    assert visitor.is_content()


def test_a_range_of_ones_own_is_typed(visitor):
    """In local time; an end before the beginning is told, and nothing is asked."""
    visitor = visitor()
    page = visitor.open("system")
    page.click("#custom")
    page.fill('[name="from"]', "2024-05-01T12:00:00")
    page.fill('[name="to"]', "2024-05-01T11:00:00")
    page.click("#custom-range button[type=submit]")
    assert page.inner_text("#custom-problem") == "The end lies before the beginning."
    page.fill('[name="to"]', "2024-05-01T13:00:00")
    page.click("#custom-range button[type=submit]")
    visitor.wait("location.search === '?from=1714557600&to=1714561200'")
    assert page.get_attribute("#custom", "aria-pressed") == "true"


def test_a_wrong_range_is_told_with_a_way_out(visitor):
    """In the sentence of the server, and with a link to a right one that keeps what the page is about."""
    visitor = visitor()
    page = visitor.open("functions/detail?name=a.b&from=9&to=3", until="document.querySelector('.note')")
    assert "from must lie before to." in page.inner_text("#notice")
    assert page.get_attribute("#notice a", "href").endswith("/functions/detail?name=a.b")


# ---- keys ----------------------------------------------------------------------------------------------------------


def test_everything_is_reached_by_tab_in_the_order_of_the_page(visitor):
    """From the link that skips the navigation to the rows of the table, each with a ring that is seen."""
    visitor = visitor()
    page = visitor.open("functions?range=24h")
    visitor.wait(f"{ROWS} === 30")
    seen = []
    for _ in range(45):
        page.keyboard.press("Tab")
        seen.append(
            visitor.ask("""() => {
          const {tagName, id, className, dataset, innerText} = document.activeElement;
          const {outlineStyle, outlineWidth} = getComputedStyle(document.activeElement);
          return [id || dataset.range || dataset.row !== undefined && "row" || className || innerText,
                  outlineStyle !== "none" && parseFloat(outlineWidth) >= 1];
        }""")
        )
    names = [name for name, _ in seen]
    assert names[0] == "skip"
    assert [name for name in names if name in {"5m", "custom", "live", "filter", "row"}][:5] == [
        "5m",
        "custom",
        "live",
        "filter",
        "row",
    ]
    assert [name for name, is_seen in seen if not is_seen] == []
    assert visitor.is_content()


def test_rows_are_walked_and_opened_without_a_mouse(visitor):
    """`/` to the filter, out of it with Escape, `j` and `k` along the rows, Enter opens one, back returns."""
    visitor = visitor()
    page = visitor.open("functions?range=24h")
    visitor.wait(f"{ROWS} === 30")
    page.keyboard.press("/")
    page.keyboard.type("mail")
    assert visitor.ask(ROWS) == 5
    page.keyboard.press("Escape")
    assert visitor.ask(ROWS) == 30
    page.keyboard.press("Escape")
    for key in "jjjk":
        page.keyboard.press(key)
    second = visitor.ask("document.querySelectorAll('#functions tbody td')[11].title")
    assert visitor.ask("document.activeElement.closest('td').title") == second
    page.keyboard.press("Enter")
    visitor.wait("document.body.dataset.page === 'function'")
    assert page.inner_text("h1") == second
    page.go_back()
    visitor.wait("document.body.dataset.page === 'functions'")
    assert visitor.is_content()


def test_keys_lead_to_pages_and_ranges(visitor):
    """`g` and a letter; numbers choose the range; space pauses; none of it while somebody writes."""
    visitor = visitor()
    page = visitor.open("functions?range=24h")
    # Not the last five minutes: with these tests' sample older than that, there is nothing to filter.
    page.keyboard.press("2")
    visitor.wait("location.search === '?range=1h'")
    page.keyboard.press(" ")
    assert visitor.ask("document.body.dataset.live") == "paused"
    page.keyboard.press("/")
    page.keyboard.type("g3 ?")
    assert page.input_value("#filter") == "g3 ?"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.type("gs")
    visitor.wait("document.body.dataset.page === 'system'")
    assert page.url.endswith("/system?range=1h")
    assert visitor.is_content()


def test_the_list_of_keys_opens_and_closes(visitor):
    """With `?` and with its button; Escape gives the focus back."""
    visitor = visitor()
    page = visitor.open("functions?range=24h")
    page.keyboard.press("?")
    assert page.locator("#keys dt").count() == page.locator("#keys dd").count() > 10
    page.keyboard.press("Escape")
    assert not visitor.ask("document.getElementById('keys').open")
    page.focus("#show-keys")
    page.keyboard.press("Enter")
    assert visitor.ask("document.getElementById('keys').open")
    page.keyboard.press("Escape")
    assert visitor.ask("document.activeElement.id") == "show-keys"


def test_a_plot_says_in_words_and_numbers_what_it_shows(visitor):
    """A sentence for those who do not see it, and a table behind a button."""
    visitor = visitor()
    page = visitor.open("requests")
    visitor.wait("document.querySelector('#latency canvas')")
    label = page.get_attribute("#latency .canvas", "aria-label")
    assert label.startswith("Time to the last byte. Highest p95 ")
    button = page.locator("#latency .as-table")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    heads = page.locator("#latency .values thead th").all_inner_texts()
    assert heads[0].startswith("Time (")
    assert heads[1:] == ["p50", "p95", "p99"]
    assert page.locator("#latency .values tbody tr").count() >= 60
    assert visitor.is_content()


def test_at_390_pixels_tables_keep_name_errors_and_p95(visitor):
    """One column, and a menu for the pages."""
    visitor = visitor(width=390)
    page = visitor.open("functions?range=24h")
    visitor.wait(f"{ROWS} === 30")
    heads = page.locator("#functions thead th")
    assert [head.inner_text() for head in heads.all() if head.is_visible()] == ["Function", "Errors", "p95"]
    assert not page.is_visible("nav")
    page.click("#menu")
    assert page.is_visible("nav")
    assert page.get_attribute("#menu", "aria-expanded") == "true"
    page.click('nav a[data-page-link="errors"]')
    visitor.wait("document.body.dataset.page === 'errors'")
    assert visitor.is_content()
