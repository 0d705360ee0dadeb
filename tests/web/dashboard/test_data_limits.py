"""Many questions at once, and long: what is shared, what is bounded, and that nobody who writes has to wait (S12)."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.child import printed_by
from tests.web.dashboard.stored import NOW, ask, fresh_store, request, timing, write
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.web.dashboard.data import PAGES, Query, Store
from time_execution.web.dashboard.data.reading import Reader
from time_execution.web.dashboard.data.sharing import Answers

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "metrics.db", [timing(f"f{number}", 1.0) for number in range(50)] + [request("/", 1.0)])


class TestSharing:
    """One computation for all who ask the same."""

    def test_who_asks_at_once_shares_an_answer(self):
        """A hundred threads, one computation, the same object."""
        answers, made, ready = Answers(), [], threading.Barrier(100)

        def make():
            made.append(1)
            time.sleep(0.05)
            return {"number": len(made)}

        def work(_):
            ready.wait()
            return answers.get("key", make)

        with ThreadPoolExecutor(100) as pool:
            found = list(pool.map(work, range(100)))
        assert len(made) == 1
        assert all(each is found[0] for each in found)

    def test_an_answer_is_kept_for_a_moment(self):
        """And made anew after that; another question has an answer of its own."""
        now = [0.0]
        answers = Answers(kept=1.0, clock=lambda: now[0])
        numbers = iter(range(100))

        def ask_for(key):
            return answers.get(key, lambda: next(numbers) + 1)

        assert (ask_for("a"), ask_for("a"), ask_for("b")) == (1, 1, 2)
        now[0] = 0.99
        assert ask_for("a") == 1
        now[0] = 1.0
        assert (ask_for("a"), ask_for("a")) == (3, 3)

    def test_a_failure_is_not_shared(self):
        """Who caused it is told; the next one tries again."""
        answers, started, go_on = Answers(), threading.Event(), threading.Event()

        def fail():
            started.set()
            go_on.wait(10)
            raise RuntimeError("no")

        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(answers.get, "a", fail)
            assert started.wait(10)
            second = pool.submit(answers.get, "a", lambda: "yes")
            go_on.set()
            with pytest.raises(RuntimeError, match="no"):
                first.result(10)
            assert second.result(10) == "yes"

    def test_answers_are_bounded(self):
        """Many different questions leave a few answers."""
        answers = Answers()
        for number in range(500):
            answers.get(number, lambda: "x" * 1000)
        assert len(answers._known) <= 17

    def test_a_page_is_made_once_for_all_who_watch(self, path, monkeypatch):
        """Browsers that refresh at the same time cost one computation."""
        looked = []
        store = Store(path, in_background=False)
        state = store.state
        monkeypatch.setattr(store, "state", lambda: (looked.append(1), state())[1])
        with ThreadPoolExecutor(20) as pool:
            found = list(pool.map(lambda _: ask(store, "functions", q="f1"), range(100)))
        assert len(looked) == 1
        assert all(each is found[0] for each in found)

    def test_a_hundred_different_questions_at_once(self, path):
        """All are answered, and rightly."""
        store = Store(path)
        parameters = {"method": "GET", "route": "/"}

        def work(number):
            page = list(PAGES)[number % len(PAGES)]
            query = {"range": ("5m", "1h", "24h", "7d")[number % 4], "q": f"f{number % 50}", "name": f"f{number % 50}"}
            return page, PAGES[page](store, Query.parse({**query, **parameters}, now=NOW))

        with ThreadPoolExecutor(100) as pool:
            found = list(pool.map(work, range(200)))
        store.close()
        assert all(answer["store"]["state"] == ("missing" if page == "none" else "ok") for page, answer in found)
        assert all(json.dumps(answer, allow_nan=False) for _, answer in found)


class TestReader:
    """Looks at the database."""

    def test_few_look_at_once(self, path):
        """Four at most; the others wait."""
        reader, lock, inside, most = Reader(path), threading.Lock(), [0], [0]

        def work(_):
            with reader.look():
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.01)
                with lock:
                    inside[0] -= 1

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(work, range(40)))
        assert most[0] == 4

    def test_there_are_moments_without_a_reader(self, path, monkeypatch):
        """Readers that relieve each other pause together now and then, so that the log can be begun anew."""
        monkeypatch.setattr("time_execution.web.dashboard.data.reading._LONGEST_STRETCH", 0.1)
        reader, lock, inside, idle = Reader(path), threading.Lock(), [0], [0]
        stop = time.monotonic() + 1.5

        def work(number):
            while time.monotonic() < stop:
                with reader.look():
                    with lock:
                        inside[0] += 1
                    time.sleep(0.02 + 0.007 * number)
                    with lock:
                        inside[0] -= 1
                        idle[0] += inside[0] == 0

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(3)))
        assert idle[0] >= 3

    def test_what_a_reader_raises_leaves_it_usable(self, path):
        """Each place is given back."""
        reader = Reader(path)
        for _ in range(10):
            with pytest.raises(RuntimeError), reader.look():
                raise RuntimeError
        with reader.look() as look:
            assert look.view.newest_id() == 51


class TestWriters:
    """Who stores metrics does not notice."""

    def test_the_log_is_begun_anew_while_everybody_looks(self, tmp_path):
        """Readers relieve each other without end, and still the write-ahead log does not grow without one."""
        path = write(tmp_path / "busy.db", [timing("f", 1.0)])
        log, reader, stop = path.with_name("busy.db-wal"), Reader(path), threading.Event()

        def store_metrics():
            with SQLiteBackend(path, rollup_rows=5000) as backend:
                while not stop.wait(0.02):
                    backend.write_many([timing(f"f{number}", 1.0, note="x" * 1000) for number in range(200)])

        def keep_looking(number):
            while not stop.is_set():
                with reader.look() as look:
                    look.view.newest_id()
                    stop.wait(0.03 + 0.01 * number)

        threads = [threading.Thread(target=store_metrics) for _ in range(2)]
        threads += [threading.Thread(target=keep_looking, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        beginnings, until = set(), time.monotonic() + 60.0
        while len(beginnings) < 4 and time.monotonic() < until:
            with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
                # Its header has another salt each time that it begins anew.
                beginnings.add(file.read(32)[16:24])
            time.sleep(0.01)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(beginnings) >= 4

    def test_a_reader_does_not_block_a_writer(self, path):
        """While somebody looks, however long, metrics are stored."""
        store = fresh_store(path)
        with store.look() as look, SQLiteBackend(path, busy_timeout=0.0) as backend:
            before = look.view.newest_id()
            backend.write_many([timing("f", 1.0)])
            assert look.view.newest_id() == before
        with store.look() as look:
            assert look.view.newest_id() == before + 1


class TestMemory:
    """What is kept."""

    @pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
    def test_thousands_of_functions(self, tmp_path):
        """All ranges of two thousand functions, watched, take tens of megabytes, not hundreds."""
        path = tmp_path / "many.db"
        metrics = [timing(f"f{number % 2000}", 1.0 + number % 37, number % 80_000) for number in range(40_000)]
        write(path, metrics, rolled_up=True)
        code = f"""
import sys, tracemalloc
sys.path.insert(0, {str(ROOT)!r})
from tests.web.dashboard.stored import NOW, ask, fresh_store
store = fresh_store({str(path)!r})
tracemalloc.start()
for label in ("5m", "1h", "24h", "7d"):
    for page in ("functions", "overview"):
        ask(store, page, range=label)
print(tracemalloc.get_traced_memory()[0])
"""
        (kept,) = printed_by(code)
        assert int(kept) < 90 << 20
