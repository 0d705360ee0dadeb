"""The store behind the pages: what it does with databases that are missing, broken, old, replaced, and after a fork."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from tests.forked import ends_well_in_a_child, needs_fork
from tests.web.dashboard.stored import NOW, ask, check, error, fresh_store, gauge, request, timing, write
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.web.dashboard.data import PAGES, Query, Store
from time_execution.web.dashboard.data.windows import THREAD_NAME

PARAMETERS = {"name": "f", "method": "GET", "route": "/"}
FROM_DATABASE = [page for page in PAGES if page != "logs"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


@pytest.fixture
def stores():
    """Make stores that work in the background; the end of the test closes them."""
    made = []

    def make(path, **options):
        made.append(Store(path, **options))
        made[-1].answers._seconds = 0.0
        return made[-1]

    yield make
    for store in made:
        store.close()


def some_of_each():
    """Return a metric of each kind that pages show."""
    return [
        timing("f", 1.0, 30),
        request("/", 2.0, 20),
        request("/", 2.0, 20, status=500),
        error("E", "p", 10),
        gauge("system.cpu_percent", 5.0, 5),
        check("db", 5),
    ]


def eventually(found, *, within=20.0):
    """Wait until a condition holds, for a bounded time."""
    deadline = time.monotonic() + within
    while not found():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


class TestStates:
    """What is said of the store."""

    @pytest.mark.parametrize("page", list(PAGES))
    def test_every_page_without_a_database(self, path, page):
        """It says that there is none, in its usual shape."""
        answer = ask(fresh_store(path), page, **PARAMETERS)
        assert answer["store"]["state"] == "missing"
        assert answer["store"]["message"] == "There is no metrics database yet: nothing has been stored."
        assert "warming" not in answer

    @pytest.mark.parametrize("page", list(PAGES))
    def test_a_page_has_the_same_keys_with_and_without_data(self, tmp_path, page):
        """Whoever draws it need not ask what is there."""
        without = ask(fresh_store(tmp_path / "none.db"), page, **PARAMETERS)
        found = ask(fresh_store(write(tmp_path / "some.db", some_of_each())), page, **PARAMETERS)
        assert set(found) - set(without) <= {"warming", "lost"}
        assert set(without) <= set(found)
        assert all(type(found[key]) is type(without[key]) or without[key] is None or key == "name" for key in without)

    @pytest.mark.parametrize("page", FROM_DATABASE)
    def test_an_empty_file_and_an_empty_database(self, path, page):
        """Nothing has been stored, which is no trouble; and what comes then is seen."""
        path.touch()
        store = fresh_store(path)
        assert ask(store, page, **PARAMETERS)["store"]["state"] == "empty"
        write(path, [])
        assert ask(store, page, **PARAMETERS)["store"]["state"] == "empty"
        write(path, some_of_each())
        assert ask(store, page, **PARAMETERS)["store"] == {"state": "ok", "last": NOW - 5, "message": ""}

    @pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_a_broken_file(self, path, content):
        """It says so, without an exception."""
        path.write_bytes(content)
        for page in FROM_DATABASE:
            answer = ask(fresh_store(path), page, **PARAMETERS)
            assert answer["store"]["state"] == "broken"
            assert "cannot be read" in answer["store"]["message"]
            if page == "overview":
                assert answer["sentence"] == {"level": "bad", "text": answer["store"]["message"], "more": []}

    def test_another_programs_database(self, path):
        """It is not shown."""
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE raw (x)")
        assert ask(fresh_store(path), "functions")["store"]["state"] == "broken"

    @pytest.mark.parametrize("page", FROM_DATABASE)
    def test_a_file_of_an_earlier_release(self, path, page):
        """Without families, states and the index of errors, what is there is shown."""
        write(path, some_of_each(), rolled_up=True)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DROP VIEW metrics")
            for column in ("family", "labels", "kind", "unit"):
                connection.execute(f"ALTER TABLE names DROP COLUMN {column}")
            connection.execute("DROP INDEX raw_errors")
            connection.execute("DROP TABLE states")
        answer = ask(fresh_store(path), page, **PARAMETERS)
        assert answer["store"]["state"] == "ok"
        if page == "functions":
            assert "f" in [row["name"] for row in answer["rows"]]

    def test_a_database_that_is_replaced(self, path, tmp_path):
        """What was added up of the old file is forgotten."""
        write(path, [timing("old", 1.0) for _ in range(5)])
        store = fresh_store(path)
        assert ask(store, "functions")["rows"][0]["name"] == "old"
        other = write(tmp_path / "other.db", [timing("new", 2.0) for _ in range(9)])
        path.unlink()
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.move(other, path)
        assert [(row["name"], row["total"]) for row in ask(store, "functions")["rows"]] == [("new", 18.0)]
        path.unlink()
        assert ask(store, "functions")["store"]["state"] == "missing"

    def test_a_name_with_signs(self, tmp_path):
        """The path is a path, whatever it holds."""
        path = write(tmp_path / "a?b#c%20d&mode=rw.db", [timing("f", 1.0)])
        assert ask(fresh_store(path), "functions")["rows"][0]["calls"] == 1


class TestBackground:
    """The thread that reads ahead."""

    def test_it_warms_up(self, path, stores):
        """What cannot be read at once comes in a moment; the answer says so meanwhile."""
        write(path, [timing("f", 1.0, age) for age in range(1, 80_000, 40)], rolled_up=True)
        store = stores(path)

        def is_whole():
            answer = ask(store, "functions", range="24h")
            assert answer["rows"] or answer["warming"]
            return not answer["warming"]

        eventually(is_whole)
        assert ask(store, "functions", range="24h")["rows"][0]["calls"] == 2000

    def test_what_is_known_is_answered(self, path, stores, monkeypatch):
        """While figures are read, those of the latest time are there, and points of others are gaps."""
        monkeypatch.setattr("time_execution.web.dashboard.data.page._PATIENCE", -1.0)
        monkeypatch.setattr("time_execution.web.dashboard.data.windows.Windows._work", lambda *_: None)
        write(path, [request("/", 1.0, age) for age in range(1, 3500, 7)], rolled_up=True)
        store = stores(path)
        first = ask(store, "requests")
        assert first["warming"] is True
        assert 0 < first["rows"][0]["calls"] < 60
        assert first["rate"]["2xx"][5] is None
        last = first
        for _ in range(130):
            last = ask(store, "requests")
        assert (last["warming"], last["rows"][0]["calls"]) == (False, 500)

    @pytest.mark.parametrize("page", [page for page in FROM_DATABASE if page != "delivery"])
    def test_every_page_says_that_it_is_not_whole(self, path, stores, monkeypatch, page):
        """Nobody takes a part for all; and what is not known to be right is not called so."""
        monkeypatch.setattr("time_execution.web.dashboard.data.page._PATIENCE", -1.0)
        monkeypatch.setattr("time_execution.web.dashboard.data.windows.Windows._work", lambda *_: None)
        write(path, [timing("f", 1.0, 7000), *some_of_each()], rolled_up=True)
        answer = ask(stores(path), page, range="24h", **PARAMETERS)
        assert answer["warming"] is True
        if page == "overview":
            assert answer["sentence"]["text"] == "The figures are still being read."

    def test_new_metrics_are_read_without_anybody_asking(self, path, stores):
        """So that little is left to do when somebody asks."""
        write(path, [timing("f", 1.0)])
        store = stores(path)
        ask(store, "functions")
        ((_, kept),) = store._windows._kept.items()
        write(path, [timing("f", 1.0)])
        eventually(lambda: kept.window._last_id == 2)
        with kept.window.lock:
            assert kept.window.series[2].calls == 2

    def test_it_ends_when_nobody_asks(self, path, stores, monkeypatch):
        """With what it kept; and comes back with the next question."""
        monkeypatch.setattr("time_execution.web.dashboard.data.windows._KEPT", 0.2)
        write(path, [timing("f", 1.0)])
        store = stores(path)
        ask(store, "functions")
        threads = [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]
        assert all(thread.daemon for thread in threads)
        eventually(lambda: not any(thread.is_alive() for thread in threads))
        assert store._windows._kept == {}
        assert ask(store, "functions")["rows"][0]["calls"] == 1

    def test_closing_ends_it(self, path, stores):
        """At once, however often; what is asked for later is answered."""
        write(path, [timing("f", 1.0)])
        store = stores(path)
        ask(store, "functions")
        thread = store._windows._thread
        store.close()
        store.close()
        assert not thread.is_alive()
        assert ask(store, "functions")["rows"][0]["calls"] == 1

    def test_nothing_is_opened_before_it_is_asked(self, path):
        """A store by itself starts no thread, and makes no file."""
        before = threading.active_count()
        Store(path, logs=path.parent / "logs")
        assert threading.active_count() == before
        assert list(path.parent.iterdir()) == []

    def test_it_outlives_a_database_that_goes(self, path, stores):
        """Nothing is logged, nothing raised; the next database is read."""
        write(path, [timing("f", 1.0)])
        store = stores(path)
        ask(store, "functions")
        thread = store._windows._thread
        path.write_bytes(b"x" * 10_000)
        store._windows._advance(next(iter(store._windows._kept.values())))
        assert thread.is_alive()
        assert ask(store, "functions")["store"]["state"] == "broken"

    def test_it_survives_what_nobody_foresaw(self, path, stores, caplog):
        """It is logged, and other windows are read on."""
        write(path, [timing("f", 1.0)])
        store = stores(path)
        ask(store, "functions")
        (kept,) = store._windows._kept.values()
        kept.window.refresh = lambda *_, **__: 1 / 0
        eventually(lambda: "the dashboard could not read ahead: ZeroDivisionError" in caplog.text)
        assert store._windows._thread.is_alive()

    def test_it_does_without_a_thread(self, path, stores, monkeypatch):
        """Where none can be started, questions load what they need."""

        def refuse(self):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        write(path, [timing("f", 1.0)])
        store = stores(path)
        answer = {}
        for _ in range(100):
            answer = ask(store, "functions")
        assert (answer["warming"], answer["rows"][0]["calls"]) == (False, 1)

    def test_windows_are_bounded(self, path, stores):
        """However many ranges and functions are asked for."""
        write(path, [timing("f", 1.0)])
        store = stores(path)
        for number in range(40):
            ask(store, "function", name=f"f{number}", from_=NOW - 3600 - 60 * number)
        kinds = [type(kept.window).__name__ for kept in store._windows._kept.values()]
        assert (kinds.count("Totals"), kinds.count("Followed")) == (8, 24)


class TestForks:
    """A server that forks its workers after the application was loaded."""

    @needs_fork
    @pytest.mark.parametrize("turn", range(5))
    def test_a_child_has_a_store_of_its_own(self, path, stores, turn):
        """It reads anew, in a thread of its own; the parent's goes on."""
        write(path, some_of_each())
        store = stores(path)
        busy = threading.Event()
        stop = threading.Event()

        def keep_asking():
            while not stop.is_set():
                ask(store, "overview")
                busy.set()

        threads = [threading.Thread(target=keep_asking) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert busy.wait(20)

        def work():
            assert store._windows._kept == {}
            write(path, [timing("g", 1.0)])
            eventually(lambda: ask(store, "functions")["warming"] is False)
            names = {row["name"] for row in ask(store, "functions")["rows"]}
            assert names == {"f", "g"}
            assert [thread.name for thread in threading.enumerate()].count(THREAD_NAME) == 1

        assert ends_well_in_a_child(work)
        stop.set()
        for thread in threads:
            thread.join()
        eventually(lambda: {row["name"] for row in ask(store, "functions")["rows"]} == {"f", "g"})

    @needs_fork
    def test_a_fork_waits_for_a_look(self, path, stores):
        """Nobody is in SQLite while a process forks, so that no lock of its is held in the child."""
        write(path, some_of_each())
        store = stores(path)
        looking, done = threading.Event(), threading.Event()

        def look():
            with store.look() as found:
                looking.set()
                done.wait(0.2)
                found.view.newest_id()

        thread = threading.Thread(target=look)
        thread.start()
        assert looking.wait(10)
        began = time.monotonic()
        assert ends_well_in_a_child(lambda: None)
        assert time.monotonic() - began >= 0.1
        thread.join()


class TestQuery:
    """The questions themselves."""

    def test_pages_do_not_change_the_query(self, path):
        """One query may be asked again."""
        write(path, some_of_each())
        query = Query.parse({"range": "1h", **PARAMETERS}, now=NOW)
        store = fresh_store(path)
        for make in PAGES.values():
            make(store, query)
        assert query == Query.parse({"range": "1h", **PARAMETERS}, now=NOW)

    def test_a_store_beside_its_writer(self, path):
        """What one process has stored is there for the next question, without closing anything."""
        store = fresh_store(path)
        with SQLiteBackend(path) as backend:
            for number in range(1, 4):
                backend.write_many([timing("f", 1.0)])
                assert ask(store, "functions")["rows"][0]["calls"] == number
