"""What the pages of delivery, services and system show of what processes tell of themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.dashboard.stored import NOW, ask, check, fresh_store, gauge, put, timing, write
from tests.web.dashboard.told import PROCESS, STATS, report
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.web.dashboard.data.remedy import BY_REASON, remedy


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "metrics.db", [timing("f", 1.0)])


class TestDelivery:
    """The books of the queues."""

    def test_the_books(self, path):
        """Every number of a queue, as the process told it, and all of them together."""
        put(path, "delivery", "web-1:17", {**PROCESS, "backends": [STATS, {"name": "Direct"}]})
        put(path, "delivery", "web-1:18", {**PROCESS, "pid": 18, "backends": [STATS]}, now=NOW + 1)
        answer = ask(fresh_store(path), "delivery")
        assert [process["owner"] for process in answer["processes"]] == ["web-1:18", "web-1:17"]
        told = answer["processes"][1]
        assert (told["hostname"], told["pid"], told["app"], told["alive"]) == ("web-1", 17, "shop", True)
        assert told["updated"] == NOW
        books, direct = told["backends"]
        assert {key: books[key] for key in STATS} == STATS
        assert books["remedy"] == BY_REASON["queue_full"]
        assert (direct["name"], direct["offered"], direct["dropped"], direct["remedy"]) == ("Direct", 0, {}, None)
        totals = answer["totals"]
        assert (totals["offered"], totals["delivered"], totals["oldest_age"], totals["troubled"]) == (220, 180, 2.5, 2)
        assert totals["dropped"] == {"queue_full": 14, "expired": 6}

    def test_a_process_that_tells_no_more(self, path):
        """Half a minute after its last word it counts as ended, and comes after those that live."""
        put(path, "delivery", "old", {**PROCESS, "backends": [STATS]})
        (process,) = ask(fresh_store(path), "delivery", now=NOW + 60)["processes"]
        assert process["alive"] is False

    def test_what_a_queue_really_tells(self, path):
        """The statement of a real queue has everything that the page shows."""
        with ThreadedBackend(SQLiteBackend(path)) as backend:
            backend.write("a", value=1.0)
            assert backend.flush(10)
            put(path, "delivery", "me", {**PROCESS, "backends": [{"name": "x", **backend.stats()}]})
        (process,) = ask(fresh_store(path), "delivery")["processes"]
        (books,) = process["backends"]
        assert (books["offered"], books["delivered"], books["pending"], books["remedy"]) == (1, 1, 0, None)

    @pytest.mark.parametrize("body", [{}, {"backends": None}, {"backends": [1, None]}, {"backends": [{"dropped": 5}]}])
    def test_words_that_say_little(self, path, body):
        """What another release tells may lack anything."""
        put(path, "delivery", "other", body)
        answer = ask(fresh_store(path), "delivery")
        assert answer["processes"][0]["owner"] == "other"


class TestRemedy:
    """What to do."""

    @pytest.mark.parametrize("reason", list(BY_REASON))
    def test_every_reason_of_ours_has_a_sentence(self, reason):
        """One that ends with a full stop."""
        found = remedy(last_error=None, dropped={reason: 1}, rejected={}, is_behind=False)
        assert found == BY_REASON[reason]
        assert found.endswith(".")

    def test_nothing_is_to_be_done(self):
        """While nothing is lost and nothing waits, whatever was said last."""
        assert remedy(last_error="BackendUnavailable: x", dropped={}, rejected={"a": 0}, is_behind=False) is None

    @pytest.mark.parametrize(
        ("error", "word"),
        [
            ("BackendUnavailable: [Errno 111] Connection refused", "Nothing listens"),
            ("gaierror: [Errno -2] Name or service not known", "host name"),
            ("BackendDenied", "credentials"),
            ("BackendThrottled: 429", "pause"),
            ("BackendTimeout: timed out", "in time"),
            ("OSError: No space left on device", "disk is full"),
            ("BackendUnavailable: database is locked", "busy_timeout"),
            ("SSLError: certificate verify failed", "certificate"),
            ("BatchTooLarge: 413", "bulk_size"),
            ("ConnectionResetError: Connection reset by peer", "ends connections"),
            ("BackendDenied: attempt to write a readonly database", "may not be written"),
            ("Weird", "own log"),
        ],
    )
    def test_what_the_backend_said_counts_while_metrics_wait(self, error, word):
        """Then that is what keeps them, whatever was lost before."""
        assert word in remedy(last_error=error, dropped={"shutdown": 5}, rejected={}, is_behind=True)
        assert remedy(last_error=error, dropped={"shutdown": 5}, rejected={}, is_behind=False) == BY_REASON["shutdown"]

    def test_the_reason_for_most_counts(self):
        """Of several, and one that a server gave by itself leads to the dead letters."""
        assert (
            remedy(last_error=None, dropped={"expired": 3}, rejected={"queue_full": 9}, is_behind=False)
            == (BY_REASON["queue_full"])
        )
        told = remedy(last_error=None, dropped={"mapper_parsing_exception": 3}, rejected={}, is_behind=False)
        assert "dead_letters" in told
        assert "mapper_parsing_exception" in told

    @given(
        error=st.none() | st.text(), reasons=st.dictionaries(st.text(), st.integers(-5, 10**9)), behind=st.booleans()
    )
    def test_whatever_is_told(self, error, reasons, behind):
        """A sentence, or None; the same for the same."""
        told = [remedy(last_error=error, dropped=reasons, rejected={}, is_behind=behind) for _ in range(2)]
        assert told[0] == told[1]
        assert told[0] is None or told[0].endswith(".")


class TestServices:
    """Health checks."""

    def test_a_check(self, path):
        """As the process told it, with moments as seconds."""
        put(path, "health", "a", report(db="unhealthy"))
        (found,) = ask(fresh_store(path), "services")["checks"]
        history = found.pop("history")
        assert found == {
            "name": "db",
            "type": "tcp",
            "status": "unhealthy",
            "since": 1795428000.5,
            "time": None,
            "duration_ms": 3.5,
            "failures": 2,
            "output": "said",
            "critical": False,
            "uptime": None,
        }
        assert history == []

    def test_the_worst_of_living_processes_counts(self, path):
        """A check that one worker finds healthy and another does not is shown as the worse, the worst first."""
        put(path, "health", "a", report(db="healthy", mail="healthy", disk="healthy"))
        put(path, "health", "b", report(db="degraded", mail="unhealthy"))
        answer = ask(fresh_store(path), "services")
        assert [(check["name"], check["status"]) for check in answer["checks"]] == [
            ("mail", "unhealthy"),
            ("db", "degraded"),
            ("disk", "healthy"),
        ]
        assert answer["by_process"]["b"]["checks"] == {"db": "degraded", "mail": "unhealthy"}
        assert answer["by_process"]["a"]["alive"] is True

    def test_what_nobody_tells_any_more_is_unknown(self, path):
        """Neither healthy nor not: the process that told has ended, or only metrics tell of the check."""
        put(path, "health", "a", report(db="healthy"))
        now = NOW
        write(path, [check("mail", 90, now=now)])
        checks = ask(fresh_store(path), "services", now=now + 120)["checks"]
        assert [(check["name"], check["status"]) for check in checks] == [("db", "unknown"), ("mail", "unknown")]

    @pytest.mark.parametrize("rolled_up", [False, True])
    def test_the_history(self, path, rolled_up):
        """How often it worked and failed, in pieces of the range, and the share of all."""
        now = NOW
        write(path, [check("db", 60 * number, failed=number < 5, now=now) for number in range(50)], rolled_up=rolled_up)
        (found,) = ask(fresh_store(path), "services", now=now)["checks"]
        assert found["uptime"] == 0.9
        assert len(found["history"]) <= 60
        assert (sum(each["ok"] for each in found["history"]), sum(each["failed"] for each in found["history"])) == (
            45,
            5,
        )
        assert all(each["from"] < each["to"] for each in found["history"])
        assert found["history"][-1]["to"] == now


class TestSystem:
    """The machine."""

    @pytest.mark.parametrize("rolled_up", [False, True])
    def test_gauges_over_time(self, path, rolled_up):
        """Known ones first; the mean of a step; a minute of silence is bridged, longer ones are not."""
        now = NOW // 60 * 60 + 59
        levels = [
            gauge("system.load_1m", 1.0, 1, now=now),
            gauge("system.cpu_percent", 20.0, 1, now=now),
            gauge("system.cpu_percent", 40.0, 2, now=now),
            gauge("system.cpu_percent", 10.0, 121, now=now),
            gauge("system.own", 7.0, 1, now=now),
            gauge("other", 7.0, 1, now=now),
        ]
        write(path, levels, rolled_up=rolled_up)
        series = ask(fresh_store(path), "system", now=now)["series"]
        assert [each["key"] for each in series] == ["cpu_percent", "load_1m", "own"]
        cpu = series[0]
        assert (cpu["label"], cpu["unit"], cpu["last"]) == ("Processor", "%", 30.0)
        assert cpu["points"][-4:] == [None, 10.0, 10.0, 30.0]

    def test_processes(self, path):
        """With their versions, and for how long they run."""
        put(path, "process", "a", {**PROCESS, "uptime": 5.5, "versions": {"python": "3.11"}})
        put(path, "process", "b", {"versions": None})
        found = {each["owner"]: each for each in ask(fresh_store(path), "system")["processes"]}
        assert (found["a"]["uptime"], found["a"]["versions"]) == (5.5, {"python": "3.11"})
        assert (found["b"]["uptime"], found["b"]["versions"]) == (None, {})
