"""Every figure of every page, against a plain computation from single metrics, whatever was stored when."""

from __future__ import annotations

from collections import Counter
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.dashboard import raw_figures
from tests.web.dashboard.raw_figures import SECOND, between, figures, steps
from tests.web.dashboard.stored import NOW, ask, check, error, fresh_store, gauge, request, timing, write
from time_execution.formats.series import read_series

UNITS = {"5m": 60, "1h": 60, "24h": 3600, "7d": 3600}
NAMES = ["shop.save", 'a"b\\c', "new\nline", "{}", "x{y=z}", "a,b=c"]
ROUTES = ["/", "/users/{id}", 'a,b=c"', "\\"]
KINDS = ["ValueError", "a{b=c}"]

values = st.floats(1e-6, 1e9) | st.just(0.0) | st.floats(-1e6, -1e-6) | st.none() | st.integers(-1000, 1000)
levels = st.floats(0, 100)
on_edges = st.sampled_from([0, 34.5, 34.5000001, 34.4999999, 60, 1234.5, 1234.5 + 3600, 1234.5 + 6 * 86_400])
ages = st.floats(0, 400) | st.floats(0, 8000) | st.floats(0, 100_000) | st.floats(0, 700_000) | on_edges
told = st.one_of(
    st.tuples(st.just(timing), st.sampled_from(NAMES), values, st.booleans()),
    st.tuples(st.just(request), st.sampled_from(ROUTES), levels, st.sampled_from([200, 302, 404, 500, 503])),
    st.tuples(st.just(error), st.sampled_from(KINDS), st.sampled_from(["f", "g{x=1}"]), st.none()),
    st.tuples(st.just(gauge), st.sampled_from(["system.cpu_percent", "system.load_1m"]), levels, st.none()),
    st.tuples(st.just(check), st.sampled_from(["db", "a:b"]), st.booleans(), st.none()),
)
batches = st.lists(st.tuples(told, ages), max_size=15)
turns = st.lists(
    st.tuples(batches, st.booleans(), st.sampled_from([0.0, 0.7, 61.0, 400.0, 3700.0, 90_000.0])),
    min_size=1,
    max_size=5,
)


def made(batch, now):
    """Return the metrics of a batch."""
    for (kind, first, second, third), age in batch:
        if kind is timing:
            yield timing(first, second, age, now=now, **({"error_type": "E"} if third else {}))
        elif kind is request:
            yield request(first, second, age, status=third, now=now)
        elif kind is check:
            yield check(first, age, failed=second, now=now)
        else:
            yield kind(first, second, age, now=now)


class Plain:
    """What the pages should say of a range, by brute force."""

    def __init__(self, path, found):
        self.start, self.step = int(found["range"]["from"]), found["range"]["step"]
        self.now, self.times = found["now"], found.get("times", [])
        end = inf if found["range"]["to"] == self.now else found["range"]["to"]
        self.rows = between(raw_figures.rows_of(path), self.start, end)

    def of(self, wanted):
        """Return the rows of some series: `wanted` is asked of name and labels."""
        return [row for row in self.rows if wanted(*read_series(row.name))]

    def family(self, family):
        return self.of(lambda name, _: name == family)

    def by_step(self, rows):
        return steps(rows, self.start, self.step, len(self.times))


def same(found, wanted):
    """Say that figures are the same, but for what floats lose."""
    return found == wanted or (
        found is not None and wanted is not None and found == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    )


def check_row(row, rows, of_all):
    """A row of a table, or a summary."""
    for key, wanted in figures(rows).items():
        assert same(row[key], wanted), (key, row[key], wanted)
    total = figures(rows)["total"]
    assert row["share"] == (pytest.approx(total / of_all, rel=1e-3) if of_all > 0 else 0.0)


def check_lists(found, plain, rows):
    """The lists of the page of a function or a route."""
    for place, of_step in enumerate(plain.by_step(rows)):
        wanted = figures(of_step)
        for key in ("calls", "errors"):
            assert found[key][place] == wanted[key] or (found[key][place] is None and not wanted[key])
        for key in ("p50", "p95", "p99", "max"):
            assert same(found[key][place], wanted[key]), (key, place, found[key][place], wanted[key])
        mean = wanted["mean"]
        assert found["mean"][place] == (None if mean is None else pytest.approx(mean, rel=1e-3, abs=1e-9))
    measured = [row for row in rows if row.value is not None]
    assert sum(bar["count"] for bar in found["histogram"]) == len(measured)
    assert [call["value"] for call in found["slowest"]] == sorted((row.value for row in measured), reverse=True)[:10]
    failed = sorted((row for row in rows if row.error), key=lambda row: -row.id)[:20]
    assert [call["time"] for call in found["failed"]] == [row.timestamp / SECOND for row in failed]


def check_functions(path, store, asked):
    """The table, and the page of each function."""
    found = ask(store, "functions", **asked)
    plain = Plain(path, found)
    rows = plain.of(lambda name, labels: not labels and not name.startswith("system.") and name != "error")
    of_all = figures(rows)["total"]
    by_name = raw_figures.by_name(rows)
    assert {row["name"] for row in found["rows"]} == set(by_name)
    for row in found["rows"]:
        check_row(row, by_name[row["name"]], of_all)
        one = ask(store, "function", name=row["name"], **asked)
        check_row(one["summary"], by_name[row["name"]], of_all)
        check_lists(one, Plain(path, one), by_name[row["name"]])


def check_requests(path, store, asked):
    """The table, the rates, and the page of each route."""
    found = ask(store, "requests", **asked)
    plain = Plain(path, found)
    rows = plain.family("http.server.request.duration")
    of_all, seconds = figures(rows)["total"], found["range"]["to"] - plain.start
    assert seconds <= plain.now - plain.start
    for row in found["rows"]:
        of_route = plain.of(lambda _, labels, row=row: labels.get("route") == row["route"])
        check_row(row, of_route, of_all)
        assert row["rate"] == pytest.approx(len(of_route) / seconds, rel=1e-3)
        statuses = Counter(read_series(each.name)[1]["status_code"] for each in of_route)
        assert row["statuses"] == statuses
        assert row["error_rate"] == pytest.approx(100 * row["errors"] / row["calls"], rel=1e-3)
        one = ask(store, "request", method="GET", route=row["route"], **asked)
        assert one["statuses"] == statuses
        assert one["summary"]["rate"] == row["rate"]
        check_lists(one, Plain(path, one), of_route)
    assert sum(row["calls"] for row in found["rows"]) == len(rows)
    check_rates(found, plain)


def check_rates(found, plain):
    """Requests a second of each class: of a step under way by what has passed of it."""
    end = found["range"]["to"]
    for status, points in found["rate"].items():
        of_class = plain.of(lambda _, labels, status=status: labels.get("status_code", "")[:1] == status[0])
        for place, of_step in enumerate(plain.by_step(of_class)):
            passed = min(plain.step, end - plain.times[place])
            if points[place] is None:
                assert not of_step or passed < plain.step / 2
            else:
                assert points[place] == pytest.approx(len(of_step) / passed, rel=1e-3)


def check_errors(path, store, asked):
    """Groups with their latest, and how many there were over time."""
    found = ask(store, "errors", **asked)
    plain = Plain(path, found)
    rows = plain.family("error")
    for place, of_step in enumerate(plain.by_step(rows)):
        assert (found["count"][place] or 0) == len(of_step)
    assert sum(group["count"] for group in found["groups"]) == len(rows)
    for group in found["groups"]:
        mine = plain.of(lambda name, labels, group=group: labels == {"type": group["type"], "place": group["place"]})
        assert group["count"] == len(mine)
        # Of less than 24 units, each stands for several points.
        assert asked.get("range") in {"5m", None} or sum(group["spark"]) == len(mine)
        assert 0 <= min(row.timestamp for row in mine) / SECOND - group["first"] < UNITS.get(asked.get("range"), 60)
        assert 0 <= max(row.timestamp for row in mine) / SECOND - group["last"] < 60
        latest = sorted(mine, key=lambda row: -row.id)[:10]
        assert sorted(call["time"] for call in group["calls"]) == sorted(row.timestamp / SECOND for row in latest)


def check_levels(path, store, asked):
    """Gauges and health checks."""
    found = ask(store, "system", **asked)
    plain = Plain(path, found)
    for series in found["series"]:
        before = None
        for place, of_step in enumerate(plain.by_step(plain.family(f"system.{series['key']}"))):
            mean = figures(of_step)["mean"]
            if mean is not None:
                assert series["points"][place] == pytest.approx(mean, rel=1e-3)
            else:
                assert series["points"][place] in {None, before}
            before = series["points"][place]
    for one in ask(store, "services", **asked)["checks"]:
        rows = plain.of(lambda _, labels, one=one: labels.get("service") == one["name"])
        rows = [row for of_step in plain.by_step(rows) for row in of_step]
        failed = sum(row.error for row in rows)
        assert sum(each["ok"] for each in one["history"]) == len(rows) - failed
        assert sum(each["failed"] for each in one["history"]) == failed
        assert one["uptime"] == (pytest.approx(1 - failed / len(rows), abs=1e-5) if rows else None)


def check_overview(path, store, asked):
    """The tiles."""
    found = ask(store, "overview", **asked)
    plain = Plain(path, found)
    tiles = {tile["key"]: tile["points"] for tile in found["tiles"]}
    for place, of_step in enumerate(plain.by_step(plain.family("http.server.request.duration"))):
        wanted = figures(of_step)
        assert same(tiles["p95"][place], wanted["p95"])
        share = 100 * wanted["errors"] / wanted["calls"] if of_step else None
        assert tiles["error_rate"][place] == (None if share is None else pytest.approx(share, rel=1e-3))
    assert sum(group["count"] for group in found["errors"]) == len(plain.family("error"))


PAGES = (check_functions, check_requests, check_errors, check_levels, check_overview)


lengths = st.floats(30, 600) | st.floats(30, 9000) | st.floats(30, 300_000) | st.floats(30, 8e6)


class TestFigures:
    """What pages show while metrics come and time passes."""

    @settings(max_examples=40)
    @given(turns=turns, label=st.sampled_from(list(UNITS)), pages=st.sampled_from(PAGES))
    def test_the_same_as_brute_force(self, tmp_path_factory, turns, label, pages):
        """After any writes, on time or late, rolled up or waiting, and any pause, each page shows what is stored."""
        looks = self._watch(tmp_path_factory.mktemp("figures"), turns, {"range": label}, pages)
        assert looks == len(turns) + 1

    @settings(max_examples=40)
    @given(turns=turns, ago=lengths, length=st.floats(0.01, 1.2), pages=st.sampled_from(PAGES))
    def test_ranges_of_ones_own(self, tmp_path_factory, turns, ago, length, pages):
        """So it does for a range that ends some time, or would end in the future."""
        asked = {"from_": NOW - ago, "to": NOW - ago + ago * length}
        looks = self._watch(tmp_path_factory.mktemp("figures"), turns, asked, pages)
        assert looks == len(turns) + 1

    @staticmethod
    def _watch(folder, turns, asked, pages):
        """Compare after each turn, and once more after the last pause; returns how often that was."""
        path = write(folder / "metrics.db", [timing("first", 1.0, 2_000_000)])
        store, now, looks = fresh_store(path), NOW, 1
        for batch, rolled_up, passed in turns:
            write(path, made(batch, now), rolled_up=rolled_up)
            pages(path, store, {**asked, "now": now})
            now += passed
            looks += 1
        pages(path, store, {**asked, "now": now})
        return looks

    def test_what_has_no_value(self, tmp_path):
        """A call of which nobody knows how long it took counts, but neither as zero in a mean nor in a spark."""
        metrics = [timing("f", None, 100), timing("f", None, 1000), timing("f", 2.0, 1000)]
        path = write(tmp_path / "m.db", metrics, rolled_up=True)
        (row,) = ask(fresh_store(path), "functions")["rows"]
        found = ask(fresh_store(path), "function", name="f")
        assert (row["calls"], row["mean"]) == (3, 2.0)
        assert len([point for point in row["spark"] if point is not None]) == 1
        assert [mean for mean in found["mean"] if mean is not None] == [2.0]
        assert [calls for calls in found["calls"] if calls] == [2, 1]

    def test_what_is_left_at_the_end_of_a_range(self, tmp_path):
        """A range of 301 minutes ends with half a step of two: its rate is that of one minute."""
        start = NOW // 60 * 60 - 400 * 60
        path = write(tmp_path / "m.db", [request("/", 1.0, NOW - start - 60 * minute - 1) for minute in range(400)])
        found = ask(fresh_store(path), "requests", from_=start, to=start + 301 * 60)
        assert (found["range"]["step"], found["range"]["to"]) == (120, start + 301 * 60)
        assert set(found["rate"]["2xx"]) == {0.01667}
        assert found["rows"][0]["rate"] == 0.01667
