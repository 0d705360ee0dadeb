"""What the pages of functions, requests and errors show of what was stored."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from tests.web.dashboard.stored import NOW, ask, check, error, fresh_store, gauge, request, timing, write
from time_execution.testing.hostile import HOSTILE_NAMES

ROW = ["name", "calls", "errors", "mean", "p50", "p95", "p99", "max", "total", "share", "spark"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


@pytest.fixture(params=[False, True], ids=["waiting", "rolled up"])
def rolled_up(request):
    """Every page must be the same before and after the roll-up."""
    return request.param


class TestFunctions:
    """The table of functions."""

    def test_a_row(self, path, rolled_up):
        """Figures of the range, with its share of all; what is not a function is not there."""
        metrics = [timing("a.b", float(value), value) for value in range(1, 101)]
        metrics += [timing("a.c", 50.0, 20, error_type="E"), gauge("system.cpu_percent", 5.0), request("/", 7.0)]
        write(path, metrics, rolled_up=rolled_up)
        answer = ask(fresh_store(path), "functions", range="1h")
        first, second = answer["rows"]
        assert list(first) == ROW
        assert (first["name"], first["calls"], first["errors"], first["total"], first["max"]) == (
            "a.b",
            100,
            0,
            5050.0,
            100.0,
        )
        assert (first["p50"], first["p95"]) == (pytest.approx(50, rel=0.021), pytest.approx(95, rel=0.021))
        assert (second["name"], second["errors"], second["p50"], second["p99"]) == ("a.c", 1, 50.0, 50.0)
        assert answer["total_ms"] == 5100.0
        assert first["share"] == pytest.approx(5050 / 5100, rel=1e-3)
        assert answer["truncated"] is answer["warming"] is False

    def test_the_head_of_every_answer(self, path):
        """The moment, the range and how the store is."""
        write(path, [timing("f", 1.0, 7)])
        answer = ask(fresh_store(path), "functions", range="1h")
        assert answer["now"] == NOW
        assert answer["range"] == {"from": NOW // 60 * 60 - 3600, "to": NOW, "step": 60, "label": "1h"}
        assert answer["store"] == {"state": "ok", "last": NOW - 7, "message": ""}

    def test_a_spark_has_gaps(self, path):
        """The mean in each 24th of the range; None where nothing was called."""
        write(path, [timing("f", 2.0, 100), timing("f", 4.0, 110), timing("f", 8.0, 3000)])
        (row,) = ask(fresh_store(path), "functions", range="1h")["rows"]
        assert len(row["spark"]) == 24
        assert [point for point in row["spark"] if point is not None] == [8.0, 3.0]

    def test_a_spark_follows(self, path):
        """A store that is asked again and again shows what one does that is asked once."""
        store = fresh_store(path)
        for second in range(0, 4000, 130):
            write(path, [timing("f", 1.0 + second, -second)])
            sparks = [
                ask(each, "functions", range="1h", now=NOW + second)["rows"][0]["spark"]
                for each in (store, fresh_store(path))
            ]
            assert sparks[0] == sparks[1]

    def test_names_are_filtered(self, path):
        """By a part of the name in any case, which is no pattern; shares stay those of all."""
        write(path, [timing(name, 1.0) for name in ("Shop.Save", "shop.load", "x.*", "straße")])
        store = fresh_store(path)

        def names(q):
            return [row["name"] for row in ask(store, "functions", q=q)["rows"]]

        assert names("SHOP.") == ["Shop.Save", "shop.load"]
        assert names("*") == ["x.*"]
        assert names(".*") == ["x.*"]
        assert names("STRASSE") == ["straße"]
        assert names("(a+)+$" * 100) == []
        assert ask(store, "functions", q="x.*")["total_ms"] == 4.0

    def test_rows_are_bounded(self, path):
        """Those with the greatest totals are shown, and that there are more."""
        write(path, [timing(f"f{number}", float(number + 1)) for number in range(1100)])
        store = fresh_store(path)
        answer = ask(store, "functions", limit=10**9)
        assert len(answer["rows"]) == 1000
        assert answer["truncated"] is True
        assert answer["rows"][0]["name"] == "f1099"
        few = ask(store, "functions", limit=2)
        assert ([row["name"] for row in few["rows"]], few["truncated"]) == (["f1099", "f1098"], True)

    def test_names_of_any_kind(self, path):
        """Whatever a function is called, the answer is JSON, and shows it as it was stored."""
        write(path, [timing(name, 1.0) for name in HOSTILE_NAMES])
        answer = ask(fresh_store(path), "functions")
        text = json.dumps(answer, allow_nan=False, ensure_ascii=False).encode()
        names = {row["name"] for row in json.loads(text)["rows"]}
        assert names == {name.encode("utf-8", "backslashreplace").decode() for name in HOSTILE_NAMES}
        for name in names:
            found = ask(fresh_store(path), "function", name=name or " ")
            assert found["summary"] is None or found["summary"]["calls"] == 1

    def test_sums_beyond_all_floats(self, path):
        """Are told as unknown; JSON has no word for them."""
        metrics = [timing("f", 1.7e308, 5 + number) for number in range(3)] + [request("/", 1.7e308) for _ in range(3)]
        write(path, metrics)
        store = fresh_store(path)
        for page in ("functions", "requests", "function", "request", "overview"):
            answer = ask(store, page, name="f", method="GET", route="/")
            assert json.dumps(answer, allow_nan=False)
        (row,) = ask(store, "functions")["rows"]
        assert (row["total"], row["mean"], row["max"], row["calls"]) == (None, None, 1.7e308, 3)

    def test_functions_beyond_those_that_are_told_apart(self, path):
        """They are one row together."""
        write(path, [timing(f"f{number}", 1.0) for number in range(9)], max_names=5)
        rows = {row["name"]: row["calls"] for row in ask(fresh_store(path), "functions")["rows"]}
        assert rows == {"f0": 1, "f1": 1, "f2": 1, "f3": 1, "__overflow__": 5}


class TestFunction:
    """One function."""

    def test_its_summary_is_its_row(self, path, rolled_up):
        """The table and the page of one function say the same, and the page says since when."""
        write(path, [timing("f", float(value), 30 * value) for value in range(1, 90)] + [timing("g", 3.0)])
        write(path, [timing("g", 3.0)], rolled_up=rolled_up)
        store = fresh_store(path)
        row = next(row for row in ask(store, "functions")["rows"] if row["name"] == "f")
        summary = ask(store, "function", name="f")["summary"]
        assert {key: summary[key] for key in ROW[1:]} == {key: row[key] for key in ROW[1:]}
        assert summary["first"] == pytest.approx(NOW - 89 * 30, abs=60)
        assert summary["last"] == pytest.approx(NOW - 30, abs=60)

    def test_it_is_shown_over_time(self, path, rolled_up):
        """Each step has its own figures; one in which it was not called has none."""
        write(
            path,
            [timing("f", 4.0, 65), timing("f", 8.0, 66, error_type="E"), timing("f", 2.0, 600)],
            rolled_up=rolled_up,
        )
        found = ask(fresh_store(path), "function", name="f")
        at = {time: place for place, time in enumerate(found["times"])}
        late, early = (at[(NOW - ago) // 60 * 60] for ago in (66, 600))
        assert [found[key][late] for key in ("calls", "errors", "mean", "max")] == [2, 1, 6.0, 8.0]
        assert found["p99"][late] == pytest.approx(8.0, rel=0.021)
        assert [found[key][early] for key in ("calls", "errors", "mean", "max")] == [1, 0, 2.0, 2.0]
        assert [found[key][early - 9] for key in ("calls", "mean", "p50", "max")] == [None] * 4

    def test_no_call_is_zero_while_the_application_runs(self, path):
        """What other metrics tell from the same minutes makes a zero of a gap; a percentile stays one."""
        write(path, [timing("f", 4.0, 65)] + [gauge("system.cpu_percent", 5.0, 60 * number) for number in range(20)])
        found = ask(fresh_store(path), "function", name="f")
        place = found["times"].index((NOW - 900) // 60 * 60)
        assert (found["calls"][place], found["errors"][place], found["p50"][place]) == (0, 0, None)
        assert found["calls"][0] is None

    def test_its_histogram(self, path, rolled_up):
        """All values are in it, within the ends of their bars, which lie side by side."""
        values = [1.5**power for power in range(-20, 20)]
        write(path, [timing("f", value, 5) for value in values], rolled_up=rolled_up)
        bars = ask(fresh_store(path), "function", name="f")["histogram"]
        assert sum(bar["count"] for bar in bars) == len(values)
        assert len(bars) <= 80
        assert all(one["high"] == pytest.approx(other["low"]) for one, other in pairwise(bars))
        for bar in bars:
            assert sum(bar["low"] < value <= bar["high"] for value in values) == bar["count"]

    def test_its_slowest_and_failed_calls(self, path, rolled_up):
        """Ten of each at most, slowest and latest first, with their fields; of the range only."""
        write(path, [timing("f", 1e6, 7200)])
        write(
            path,
            [timing("f", float(value), 2 * value, user=f"u{value}") for value in range(1, 40)],
            rolled_up=rolled_up,
        )
        write(path, [timing("f", 0.5, 2, error_type="ValueError", message="no")])
        store = fresh_store(path)
        found = ask(store, "function", name="f")
        assert [call["value"] for call in found["slowest"]] == [float(value) for value in range(39, 29, -1)]
        assert found["slowest"][0]["fields"] == {"user": "u39"}
        (failed,) = found["failed"]
        assert (failed["value"], failed["error"], failed["time"], failed["hostname"]) == (0.5, True, NOW - 2, "h")
        assert failed["fields"] == {"error_type": "ValueError", "message": "no"}
        write(path, [timing("f", 35.5, 0.5)], rolled_up=rolled_up)
        assert [call["value"] for call in ask(store, "function", name="f")["slowest"]][3:5] == [36.0, 35.5]

    def test_the_slowest_leave_with_their_minutes(self, path):
        """As time passes, others become the slowest."""
        write(path, [timing("f", 1000.0 - age, age) for age in range(1, 600)], rolled_up=True)
        store = fresh_store(path)
        for later in (0, 60, 180, 300):
            found = ask(store, "function", name="f", range="5m", now=NOW + later)
            kept = [1000.0 - age for age in range(1, 600) if NOW - age >= found["range"]["from"]]
            assert [call["value"] for call in found["slowest"]] == sorted(kept, reverse=True)[:10]

    def test_its_callers(self, path):
        """Those that the call tree names, most first."""
        write(
            path,
            [timing("f", 1.0, parent=name) for name in ("a", "b", "b")]
            + [timing("f", 1.0), timing("g", 1.0, parent="c")],
        )
        assert ask(fresh_store(path), "function", name="f")["callers"] == [
            {"name": "b", "calls": 2},
            {"name": "a", "calls": 1},
        ]

    def test_a_function_that_nobody_called(self, path):
        """There is no summary, and nothing fails."""
        write(path, [timing("f", 1.0)])
        found = ask(fresh_store(path), "function", name="nobody")
        assert (found["name"], found["summary"], found["slowest"], found["histogram"]) == ("nobody", None, [], [])

    def test_long_fields_are_cut(self, path):
        """Nobody loads megabytes to look at a call."""
        write(path, [timing("f", 1.0, note="x" * 30_000, nested={"a": [1, 2]})])
        (call,) = ask(fresh_store(path), "function", name="f")["slowest"]
        assert len(call["fields"]["note"]) == 2001
        assert call["fields"]["nested"] == '{"a":[1,2]}'


class TestRequests:
    """Requests, in all and by route."""

    def test_a_row(self, path, rolled_up):
        """A method and a route with all their statuses."""
        metrics = [request("/a", 10.0, 70) for _ in range(97)] + [
            request("/a", 500.0, 70, status=500) for _ in range(3)
        ]
        metrics += [request("/b", 5.0, 80, method="POST", status=302)]
        write(path, metrics, rolled_up=rolled_up)
        answer = ask(fresh_store(path), "requests")
        first, second = answer["rows"]
        assert (first["method"], first["route"], first["calls"], first["errors"]) == ("GET", "/a", 100, 3)
        assert (first["error_rate"], first["statuses"]) == (3.0, {"200": 97, "500": 3})
        assert (first["p50"], first["p99"], first["max"]) == (pytest.approx(10, rel=0.021), 500.0, 500.0)
        assert first["rate"] == pytest.approx(100 / (NOW - answer["range"]["from"]), rel=1e-3)
        assert (second["method"], second["route"], second["statuses"]) == ("POST", "/b", {"302": 1})
        assert first["share"] + second["share"] == pytest.approx(1.0, abs=1e-3)

    def test_rates_by_status(self, path, rolled_up):
        """Requests a second of each class in each step, zero where the application answered others."""
        metrics = [request("/a", 1.0, 70, status=status) for status in (200, 201, 304, 404, 500, 503, 503)]
        write(path, metrics, rolled_up=rolled_up)
        answer = ask(fresh_store(path), "requests")
        place = answer["times"].index((NOW - 70) // 60 * 60)
        rates = {name: rates[place] for name, rates in answer["rate"].items()}
        assert rates == pytest.approx({"2xx": 2 / 60, "3xx": 1 / 60, "4xx": 1 / 60, "5xx": 3 / 60}, rel=1e-3)
        assert answer["rate"]["2xx"][place - 1] == 0.0
        assert answer["rate"]["2xx"][0] is None
        assert answer["p95"][place] == 1.0
        assert answer["p95"][place - 1] is None

    @pytest.mark.parametrize(("passed", "expected"), [(10.0, None), (29.0, None), (31.0, 12 / 31), (59.0, 12 / 59)])
    def test_the_step_under_way(self, path, passed, expected):
        """Its rate is told from its half on, by the time that has passed."""
        now = NOW // 60 * 60 + passed
        write(path, [request("/a", 1.0, 1, now=now) for _ in range(12)])
        rate = ask(fresh_store(path), "requests", now=now)["rate"]["2xx"]
        assert rate[-1] == (None if expected is None else pytest.approx(expected, rel=1e-3))

    def test_ten_seconds_are_a_step_of_five_minutes(self, path, rolled_up):
        """Single metrics are read for what is shorter than a minute."""
        write(path, [request("/a", 1.0, 100 + number % 7) for number in range(50)], rolled_up=rolled_up)
        answer = ask(fresh_store(path), "requests", range="5m")
        place = answer["times"].index((NOW - 106) // 10 * 10)
        found = [answer["rate"]["2xx"][place], answer["rate"]["2xx"][place + 1] or 0.0]
        assert answer["range"]["step"] == 10
        assert sum(found) == pytest.approx(5.0, rel=1e-3)

    def test_routes_are_filtered(self, path):
        """By a part of method and route together."""
        write(path, [request("/a", 1.0), request("/b", 1.0, method="POST")])
        rows = ask(fresh_store(path), "requests", q="post /")["rows"]
        assert [row["route"] for row in rows] == ["/b"]

    def test_one_route(self, path, rolled_up):
        """Its page has its statuses, and no other's requests."""
        metrics = [
            request("/a", 10.0, 5),
            request("/a", 30.0, 6, status=500),
            request("/a", 9.0, method="PUT"),
            timing("f", 1.0),
        ]
        write(path, metrics, rolled_up=rolled_up)
        found = ask(fresh_store(path), "request", method="GET", route="/a")
        assert (found["name"], found["statuses"]) == ("GET /a", {"200": 1, "500": 1})
        assert (found["summary"]["calls"], found["summary"]["error_rate"], found["summary"]["share"]) == (
            2,
            50.0,
            0.8163,
        )
        assert [call["value"] for call in found["slowest"]] == [30.0, 10.0]
        assert [call["fields"]["status_code"] for call in found["failed"]] == [500]


class TestErrors:
    """Errors, grouped."""

    def test_a_group(self, path, rolled_up):
        """Type, place and count; message and traceback of the latest; the requests to look up in the log."""
        metrics = [
            error("ValueError", "shop.save:3", 60 * number, message=f"no {number}", request_id=f"r{number}", route="/a")
            for number in range(1, 15)
        ]
        metrics[0]["traceback"] = "Traceback…"
        metrics += [error("KeyError", "shop.load:9", 30), check("db", 30), gauge("system.load_1m", 1.0, 100)]
        write(path, metrics[::-1], rolled_up=rolled_up)
        answer = ask(fresh_store(path), "errors")
        second, first = answer["groups"]
        assert (first["type"], first["place"], first["count"]) == ("ValueError", "shop.save:3", 14)
        assert (first["message"], first["traceback"]) == ("no 1", "Traceback…")
        assert [call["request_id"] for call in first["calls"]] == [f"r{number}" for number in range(1, 11)]
        assert first["calls"][0] == {
            "time": NOW - 60,
            "request_id": "r1",
            "route": "/a",
            "method": None,
            "message": "no 1",
        }
        assert first["first"] == pytest.approx(NOW - 840, abs=60)
        assert first["last"] == pytest.approx(NOW - 60, abs=60)
        assert sum(first["spark"]) == 14
        assert (second["type"], second["id"] != first["id"]) == ("KeyError", True)
        assert sum(filter(None, answer["count"])) == 15

    def test_new_errors_show(self, path):
        """What was read of a group is read again once there is more of it."""
        store = fresh_store(path)
        for number in range(3):
            write(path, [error("E", "p", 10 - number, message=f"m{number}")])
            (group,) = ask(store, "errors")["groups"]
            assert (group["message"], group["count"], len(group["calls"])) == (f"m{number}", number + 1, number + 1)

    def test_groups_are_filtered_and_bounded(self, path):
        """By type, place or the latest message; two hundred at most."""
        write(path, [error("E", f"p{number}", number, message=f"lost <{number}>") for number in range(250)])
        store = fresh_store(path)
        assert [group["place"] for group in ask(store, "errors", q="LOST <249>")["groups"]] == ["p249"]
        answer = ask(store, "errors")
        assert (len(answer["groups"]), answer["truncated"]) == (200, True)
        assert answer["groups"][0]["place"] == "p0"
        write(path, [error("E", f"older{number}", 300 + number) for number in range(800)])
        answer = ask(store, "errors", q="older799")
        assert (answer["groups"], answer["truncated"]) == ([], True), "the latest thousand were searched"

    def test_a_range_of_the_past(self, path):
        """Only what happened then is shown, with the calls of then."""
        write(path, [error("E", "p", age, request_id=f"r{age}") for age in (10, 5000, 5010)], rolled_up=True)
        answer = ask(fresh_store(path), "errors", from_=NOW - 6000, to=NOW - 4000)
        (group,) = answer["groups"]
        assert (group["count"], [call["request_id"] for call in group["calls"]]) == (2, ["r5000", "r5010"])
