"""What the first page says is wrong, and what it compares for that."""

from __future__ import annotations

import pytest

from tests.web.dashboard.stored import NOW, alert, ask, check, error, fresh_store, gauge, put, request, timing, write
from tests.web.dashboard.told import PROCESS, STATS, report
from time_execution.web.dashboard.data.alerts import Firing
from time_execution.web.dashboard.data.changes import Failing, Slower
from time_execution.web.dashboard.data.losses import Losses
from time_execution.web.dashboard.data.sentence import Facts, sentence


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


def said(**facts):
    found = sentence(Facts(1000.0, **facts))
    return found["level"], found["text"], found["more"]


class TestSentence:
    """From facts to words."""

    def test_nothing_is_wrong(self):
        """The sentence says so, with the figures that tell of it."""
        assert said() == ("ok", "Nothing is wrong.", [])
        assert said(checks={"a": "healthy"}) == ("ok", "Nothing is wrong: the only service is healthy.", [])
        level, text, _ = said(checks={"a": "healthy", "b": "healthy"}, requests=12.345, p95=85.21, last=999.0)
        assert (level, text) == (
            "ok",
            "Nothing is wrong: both services are healthy; in the last 10 minutes 12.3 requests a second, p95 85.2 ms.",
        )

    def test_services(self):
        """Those that do not work are named; degraded ones are less bad."""
        checks = {"a": "unhealthy", "b": "healthy", "c": "unhealthy", "d": "degraded", "e": "unknown"}
        assert said(checks=checks) == (
            "bad",
            "2 of 5 services are unhealthy: a and c; 1 of 5 services is degraded: d.",
            [],
        )
        assert said(checks={"d": "degraded"})[0] == "warn"

    @pytest.mark.parametrize(
        ("failing", "level", "text"),
        [
            (Failing(100, 2, 0, 0), "ok", None),
            (Failing(10_000, 30, 10_000, 0), "ok", None),
            (Failing(100, 5, 1000, 40), "ok", None),
            (
                Failing(100, 5, 1000, 4),
                "warn",
                "5 % of requests failed in the last 10 minutes, against 0.4 % in the hours before.",
            ),
            (
                Failing(100, 5, 1000, 0),
                "warn",
                "5 % of requests failed in the last 10 minutes, against 0 % in the hours before.",
            ),
            (Failing(40, 5, 0, 0), "bad", "12.5 % of requests failed in the last 10 minutes."),
            (
                Failing(40, 5, 400, 50),
                "bad",
                "12.5 % of requests failed in the last 10 minutes, as in the hours before.",
            ),
            (Failing(0, 0, 5, 5), "ok", None),
        ],
    )
    def test_failing_requests(self, failing, level, text):
        """A share is told when it is large or has doubled, against the one before."""
        found = said(failing=failing)
        assert found[0] == level
        assert found[1] == (text or "Nothing is wrong.")

    @pytest.mark.parametrize(
        ("before", "now", "words"),
        [(100.0, 210.0, "doubled"), (100.0, 290.0, "tripled"), (100.0, 1480.0, "grew 15-fold")],
    )
    def test_what_became_slow(self, before, now, words):
        """By how much, in words, and from what to what."""
        level, text, _ = said(slower=[Slower("GET /a", "GET", "/a", 50, now, before)])
        assert level == "warn"
        assert text.startswith(f"p95 of GET /a {words} in the last 10 minutes, from 100 ms to ")

    def test_many_became_slow(self):
        """Three are named, the others counted."""
        found = [Slower(f"f{number}", "", "", 50, 9.0, 3.0) for number in range(5)]
        text = " ".join([said(slower=found)[1], *said(slower=found)[2]])
        assert text.count("tripled") == 3
        assert "2 other functions and routes took at least twice as long, too." in text

    def test_thresholds(self):
        """With what was observed; a critical one is bad."""
        firing = [Firing("cpu_percent", "critical", 5.0, "critical: cpu_percent is 97 %, above 95 % for 5 min")]
        assert said(firing=firing)[:2] == (
            "bad",
            "The critical threshold of cpu_percent is exceeded: cpu_percent is 97 %, above 95 % for 5 min.",
        )
        assert said(firing=[Firing("q", "warning", 5.0, "")])[1].endswith("exceeded: q is beyond its threshold.")

    def test_delivery(self):
        """What is lost now is wrong; what was lost long ago is told, and nothing more."""
        assert said(lost={"Kafka": 1240})[:2] == (
            "warn",
            "Delivery to Kafka lost 1,240 metrics in the last 10 minutes.",
        )
        text = said(behind=[("Kafka", 1, 130.0)])[1]
        assert text == "Delivery to Kafka is behind by 1 metric, the oldest 2 minutes old."
        level, _, more = said(lost_before=7)
        assert (level, more) == ("ok", ["Delivery has lost 7 metrics since the processes began."])

    def test_silence(self):
        """Figures of a server that is gone are not taken for those of now."""
        assert said(silent=600.0)[:2] == (
            "bad",
            "No process has reported for 10 minutes, so this shows how it was then.",
        )
        assert said(last=1.0)[:2] == ("warn", "Nothing has been stored for 16 minutes.")

    def test_the_worst_comes_first(self):
        """Two things in one sentence, the worst first; a sentence for each other."""
        level, text, more = said(
            slower=[Slower("f", "", "", 50, 9.0, 3.0)], checks={"a": "unhealthy"}, lost={"x": 2}, lost_before=1
        )
        assert level == "bad"
        assert text.startswith("1 of 1 service is unhealthy: a; p95 of f tripled")
        assert more == ["Delivery to x lost 2 metrics in the last 10 minutes."]


class TestCompared:
    """The last ten minutes against the hours before."""

    def test_a_route_that_doubled(self, path):
        """It is named with both percentiles; others are not, nor what nobody asked for often enough."""
        metrics = [request("/slow", 100.0, 700 + 100 * number) for number in range(150)]
        metrics += [request("/slow", 300.0, 10 + number) for number in range(30)]
        metrics += [request("/same", 100.0, 10 + 100 * number) for number in range(300)]
        metrics += [timing("rare", 1.0, 700 + 100 * number) for number in range(150)] + [timing("rare", 99.0, 5)]
        metrics += [timing("tiny", 0.01, 700 + 100 * number) for number in range(150)]
        metrics += [timing("tiny", 0.05, 10) for _ in range(40)]
        write(path, metrics, rolled_up=True)
        answer = ask(fresh_store(path), "overview")
        (slow,) = answer["slow"]
        assert (slow["name"], slow["method"], slow["route"], slow["calls"]) == ("GET /slow", "GET", "/slow", 30)
        assert (slow["p95"], slow["before"]) == (300.0, pytest.approx(100.0, rel=0.021))
        assert answer["sentence"]["level"] == "warn"
        assert answer["sentence"]["text"].startswith("p95 of GET /slow tripled in the last 10 minutes, from 10")
        assert answer["sentence"]["text"].endswith(" ms to 300 ms.")

    def test_requests_that_fail(self, path):
        """Their share lately and before."""
        metrics = [request("/", 1.0, 700 + 50 * number) for number in range(200)]
        metrics += [request("/", 1.0, 5, status=500 if number < 10 else 200) for number in range(50)]
        write(path, metrics)
        answer = ask(fresh_store(path), "overview")
        assert answer["sentence"]["level"] == "bad"
        assert answer["sentence"]["text"].startswith("20 % of requests failed in the last 10 minutes, against 0 %")

    def test_losses_are_told_from_growth(self):
        """What was lost before anybody looked is not lost now; a queue that begins anew has lost nothing."""
        losses = Losses()
        assert losses.lately(0.0, {"a": 5}) == {}
        assert losses.lately(60.0, {"a": 9, "b": 3}) == {"a": 4}
        assert losses.lately(120.0, {"a": 9, "b": 4}) == {"a": 4, "b": 1}
        assert losses.lately(690.0, {"a": 9, "b": 4}) == {}
        assert losses.lately(710.0, {"a": 2, "b": 4}) == {}
        assert losses.lately(10.0, {"a": 9}) == {}


class TestAlerts:
    """Thresholds that are exceeded."""

    @pytest.mark.parametrize("rolled_up", [False, True])
    @pytest.mark.parametrize(
        ("events", "firing"),
        [
            ([alert("cpu", 100)], True),
            ([alert("cpu", 100), alert("cpu", 90, state="resolved")], False),
            ([alert("cpu", 2000), alert("cpu", 1000, state="resolved"), alert("cpu", 100)], True),
            (
                [
                    alert("cpu", 100),
                    alert("cpu", 90, level="critical"),
                    alert("cpu", 80, level="critical", state="resolved"),
                ],
                False,
            ),
            ([alert("cpu", 5000)], False),
        ],
    )
    def test_the_latest_word_counts(self, path, events, firing, rolled_up):
        """Of each figure; without a process that still runs, for an hour."""
        write(path, [timing("f", 1.0), *events])
        write(path, [timing("f", 1.0)], rolled_up=rolled_up)
        text = ask(fresh_store(path), "overview")["sentence"]["text"]
        assert (text == "The warning threshold of cpu is exceeded: it is high.") is firing

    @pytest.mark.parametrize(("started", "firing"), [(7200.0, True), (60.0, False)])
    def test_a_process_that_began_since_knows_of_no_alert(self, path, started, firing):
        """An alert stands as long as the process that may have told it."""
        now = NOW
        write(path, [timing("f", 1.0, now=now), alert("cpu", 5000, now=now)])
        put(path, "process", "a", {**PROCESS, "started": now - started})
        text = ask(fresh_store(path), "overview", now=now)["sentence"]["text"]
        assert ("threshold of cpu" in text) is firing


class TestOverview:
    """The page as a whole."""

    def test_tiles(self, path):
        """Six of them, in their order, with points for each moment and the last figure."""
        now = NOW // 60 * 60 + 45.0
        metrics = [
            request("/", 20.0, 70 + number % 3, status=500 if number == 0 else 200, now=now) for number in range(60)
        ]
        metrics += [gauge("system.cpu_percent", 30.0, 1, now=now), gauge("system.memory_percent", 60.0, 1, now=now)]
        metrics += [check("db", 1, failed=True, now=now), check("mail", 1, now=now), error("E", "p", 5, now=now)]
        write(path, metrics)
        put(path, "health", "a", report(db="unhealthy", mail="healthy"))
        answer = ask(fresh_store(path), "overview", now=now)
        assert [tile["key"] for tile in answer["tiles"]] == [
            "request_rate",
            "error_rate",
            "p95",
            "cpu",
            "memory",
            "health",
        ]
        tiles = {tile["key"]: tile for tile in answer["tiles"]}
        assert all(len(tile["points"]) == len(answer["times"]) and tile["unit"] for tile in answer["tiles"])
        assert tiles["request_rate"]["points"][-2] == 1.0
        assert tiles["error_rate"]["last"] == pytest.approx(100 / 60, rel=1e-3)
        assert (tiles["p95"]["last"], tiles["cpu"]["last"], tiles["memory"]["last"]) == (20.0, 30.0, 60.0)
        assert (tiles["health"]["last"], tiles["health"]["points"][-1]) == (1, 1.0)
        assert [service["name"] for service in answer["services"]] == ["db", "mail"]
        assert answer["errors"][0]["type"] == "E"
        assert answer["sentence"]["text"].startswith("1 of 2 services is unhealthy: db")

    @pytest.mark.parametrize(("began", "rate"), [(20, "6"), (240, "0.5"), (86_000, "0.189")])
    def test_requests_of_a_new_application(self, path, began, rate):
        """They are not spread over minutes in which it did not run yet; over all ten where it did."""
        write(
            path,
            [gauge("system.cpu_percent", 5.0, began), *(request("/", 20.0, 1 + number % 19) for number in range(120))],
        )
        text = ask(fresh_store(path), "overview")["sentence"]["text"]
        assert f"{rate} requests a second" in text

    def test_queues_in_trouble(self, path):
        """Those of living processes whose metrics wait; what they lose while somebody watches."""
        now = NOW
        write(path, [timing("f", 1.0, now=now)])
        store = fresh_store(path)
        behind = {**STATS, "oldest_age": 90.0, "pending": 50}
        found = {}
        for lost in (0, 30):
            books = {**behind, "dropped": {"queue_full": 10 + lost}}
            put(path, "delivery", "a", {**PROCESS, "backends": [books]})
            found = ask(store, "overview", now=now + lost / 10)["sentence"]
        sentences = [found["text"], *found["more"]]
        assert any(
            "elivery to SQLiteBackend is behind by 50 metrics, the oldest 1 minute old" in each for each in sentences
        )
        assert any("elivery to SQLiteBackend lost 30 metrics in the last 10 minutes" in each for each in sentences)

    def test_nothing_stored_lately(self, path):
        """A store that nobody writes to is told as such."""
        write(path, [timing("f", 1.0, 900)])
        assert ask(fresh_store(path), "overview")["sentence"]["text"] == "Nothing has been stored for 15 minutes."
        assert ask(fresh_store(path), "overview", now=NOW)["store"]["last"] == NOW - 900
