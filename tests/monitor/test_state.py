"""States in the stores: which stores, whose, what they hold, and a store that cannot take them."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time

import pytest

from time_execution import logs, settings, stats, write_metric
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendUnavailable
from time_execution.logs.setup import setup
from time_execution.monitor import state

pytestmark = pytest.mark.nooptionals


def states_in(path):
    """Return the states of a database: (topic, owner) -> body."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT topic, owner, body FROM states").fetchall()
    finally:
        connection.close()
    return {(topic, owner): json.loads(body) for topic, owner, body in rows}


def write(**options):
    state.write_states(**{"started": time.time() - 60.0, "monitor": lambda: {"running": True}, **options})


class Keeping:
    """Keeps the states that it is given."""

    def __init__(self, exception=None):
        self.states = []
        self.exception = exception

    def write_many(self, metrics):
        pass

    def put_state(self, topic, owner, body):
        self.states.append((topic, owner, body))
        if self.exception is not None:
            raise self.exception


@pytest.fixture
def sqlite(tmp_path):
    """Make SQLite backends, which the end of the test closes."""
    made = []

    def make(name="metrics.db"):
        made.append(SQLiteBackend(tmp_path / name))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def test_states_reach_sqlite_directly_and_behind_a_queue(sqlite, tmp_path):
    """Every `SQLiteBackend` of the settings has them, with this process's name."""
    backends = [
        MemoryBackend(),
        sqlite("direct.db"),
        ThreadedBackend(sqlite("queued.db")),
    ]
    with settings(backends=backends, hostname="web-1"):
        write(health=lambda: {"status": "healthy", "checks": {}})
    for name in ("direct.db", "queued.db"):
        found = states_in(tmp_path / name)
        assert set(found) == {(topic, f"web-1:{os.getpid()}") for topic in ("delivery", "health", "process")}
        assert found["health", f"web-1:{os.getpid()}"] == {"status": "healthy", "checks": {}}


def test_the_state_of_deliveries_is_what_their_stats_say(sqlite, tmp_path):
    """The body holds who speaks, and the books of every backend under its label."""
    queued = ThreadedBackend(sqlite())
    with settings(backends=[queued, MemoryBackend()], hostname="web-1"):
        write_metric("x", value=1)
        assert queued.flush(10)
        write()
        told = stats()
    body = states_in(tmp_path / "metrics.db")["delivery", f"web-1:{os.getpid()}"]
    assert (body["hostname"], body["pid"]) == ("web-1", os.getpid())
    assert 0 <= time.time() - 60 - body["started"] < 60
    assert [backend["name"] for backend in body["backends"]] == ["ThreadedBackend(SQLiteBackend)", "MemoryBackend"]
    counted = body["backends"][0]
    assert (counted["offered"], counted["delivered"], counted["pending"], counted["dropped"]) == (1, 1, 0, {})
    assert set(told["backends"]["ThreadedBackend(SQLiteBackend)"]) <= set(counted)
    assert body["errors"] == {"hook": {}, "backend": {}}


def test_the_state_of_the_process_says_what_runs_and_for_how_long(sqlite, tmp_path):
    """The body holds versions as texts, the uptime in seconds, and what the monitor counts of itself."""
    with settings(backends=[sqlite()], hostname="web-1"):
        write()
    body = states_in(tmp_path / "metrics.db")["process", f"web-1:{os.getpid()}"]
    assert 60 <= body["uptime"] < 120
    assert body["versions"]["python"].startswith("3.")
    assert body["versions"]["timeexecution"]
    assert body["monitor"] == {"running": True}


def test_a_later_state_takes_the_place_of_the_one_before(sqlite, tmp_path):
    """There is one row for each process and topic, however often it is written."""
    with settings(backends=[sqlite()]):
        for count in range(5):
            write(monitor=lambda count=count: {"count": count})
    found = states_in(tmp_path / "metrics.db")
    assert len(found) == 2
    assert next(body for (topic, _), body in found.items() if topic == "process")["monitor"] == {"count": 4}


def test_a_store_that_fails_keeps_no_other_from_its_states(tmp_path):
    """What a store raises is counted; each topic is tried by itself, and the next store has them all."""
    broken, working = Keeping(BackendUnavailable("locked")), Keeping()
    with settings(backends=[broken, working], raise_errors=False):
        write()
        counted = stats()["errors"]["backend"]
    assert [topic for topic, *_ in broken.states] == [topic for topic, *_ in working.states] == ["delivery", "process"]
    assert counted == {"Keeping: BackendUnavailable": 2}


def test_a_store_that_stands_twice_is_written_to_once():
    """One that is reached directly and through a queue has each state once."""
    store = Keeping()
    queued = ThreadedBackend(store)
    with settings(backends=[store, queued]):
        assert state.stores() == [store]
        write()
    assert len(store.states) == 2


def test_what_is_no_json_is_put_in_a_form_that_is(sqlite, tmp_path):
    """A backend that counts in ways of its own keeps no state from being written."""

    class Counting(Keeping):
        put_state = None

        def stats(self):
            return {"age": math.inf, "seen": {1, 2}, "lock": object(), 7: b"seven"}

    class Silent(Counting):
        def stats(self):
            return None

    with settings(backends=[sqlite(), Silent(), *(Counting() for _ in range(100))], hostname="web-1"):
        write()
    backends = states_in(tmp_path / "metrics.db")["delivery", f"web-1:{os.getpid()}"]["backends"]
    assert len(backends) == 102
    assert backends[1] == {"name": backends[1]["name"]}
    assert [backends[-1][key] for key in ("age", "seen", "lock")] == [None, [1, 2], "<builtins.object>"]


@pytest.mark.parametrize("is_set_up", [False, True])
def test_states_name_the_application_as_its_log_does(monkeypatch, tmp_path, is_set_up):
    """The name is the log's where that is set up, else the environment's; writing states sets up no log."""
    logs.reset()
    monkeypatch.setenv("APP_NAME", "shop")
    store = Keeping()
    try:
        if is_set_up:
            logs.configure(app_name="till", log_dir=tmp_path, log_console=False)
        with settings(backends=[store]):
            write()
        assert {body["app"] for *_, body in store.states} == {"till" if is_set_up else "shop"}
        assert (setup.application is not None) == is_set_up
    finally:
        logs.reset()


@pytest.mark.parametrize(("origin", "name"), [("orders", "orders"), (None, "proletto")])
def test_states_of_an_application_without_a_name(monkeypatch, origin, name):
    """One that is named nowhere goes by the origin of its metrics, else by the name that its log would have."""
    logs.reset()
    monkeypatch.delenv("APP_NAME", raising=False)
    store = Keeping()
    with settings(backends=[store], origin=origin):
        write()
    assert {body["app"] for *_, body in store.states} == {name}
    assert setup.application is None


def test_without_a_store_that_keeps_states_nothing_is_asked():
    """Neither the monitor nor the checks are asked for what nobody would keep."""

    def never():
        raise AssertionError

    with settings(backends=[MemoryBackend()]):
        write(monitor=never, health=never)
    assert state.stores() == []
