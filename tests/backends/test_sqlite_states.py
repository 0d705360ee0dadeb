"""The latest word of each process: put in place of the one before, read back, and deleted when it is too old."""

from __future__ import annotations

import math
import os
import threading

import pytest

from tests.backends.sqlite_rows import FOREVER, core, query
from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.backends.sqlite import SQLiteBackend, state
from time_execution.exceptions import BackendRejected, BackendUnavailable
from time_execution.report import live
from time_execution.report._view import View

HOUR = 3600
SECOND = 1_000_000_000


@pytest.fixture
def clock(monkeypatch):
    """Give a list whose only item is the time, in nanoseconds."""
    now = [1_700_000_000 * SECOND]
    monkeypatch.setattr(state.time, "time_ns", lambda: now[0])
    return now


def words(path, topic="health"):
    return {each.owner: each.body for each in live.states(path, topic)}


def test_a_word_takes_the_place_of_the_one_before(path, backend):
    """Of each owner and topic there is the latest."""
    backend.put_state("health", "a", {"status": "healthy"})
    backend.put_state("health", "b", {"status": "healthy"})
    backend.put_state("health", "a", {"status": "degraded", "checks": {"db": None}})
    backend.put_state("process", "a", {"uptime": 1.5})
    assert words(path) == {"a": {"status": "degraded", "checks": {"db": None}}, "b": {"status": "healthy"}}
    assert words(path, "process") == {"a": {"uptime": 1.5}}
    assert words(path, "other") == {}


def test_the_latest_word_comes_first(path, backend, clock):
    """With the moment at which it was said."""
    for owner in "ab":
        clock[0] += SECOND
        backend.put_state("health", owner, {})
    found = live.states(path, "health")
    assert [each.owner for each in found] == ["b", "a"]
    assert [each.timestamp for each in found] == [clock[0], clock[0] - SECOND]
    assert found[0].topic == "health"


@pytest.mark.parametrize(
    ("retention", "after", "is_kept"),
    [
        (7200.0, 7200, True),
        (7200.0, 7201, False),
        (0.0, HOUR, True),
        (0.0, HOUR + 1, False),
        (None, 10**9, True),
        (math.inf, 10**9, True),
    ],
)
def test_words_go_with_the_retention(path, clock, retention, after, is_kept):
    """An hour at least; somebody else's next word deletes them, whatever its topic."""
    with SQLiteBackend(path, retention=retention) as backend:
        backend.put_state("health", "gone", {})
        clock[0] += after * SECOND
        backend.put_state("process", "alive", {})
    assert ("gone" in words(path)) is is_kept
    assert "alive" in words(path, "process")


@pytest.mark.parametrize("body", [{"a": object()}, {"a": math.nan}, {"a": {1}}])
def test_what_json_does_not_take_is_refused(path, backend, body):
    """Loudly, for whoever wrote it; nothing is stored."""
    backend.put_state("health", "b", {})
    with pytest.raises(BackendRejected):
        backend.put_state("health", "a", body)
    assert words(path) == {"b": {}}


def test_a_body_that_holds_itself_is_refused(backend):
    """It would have no end."""
    body: dict[str, object] = {}
    body["body"] = body
    with pytest.raises(BackendRejected):
        backend.put_state("health", "a", body)


def test_trouble_with_the_file_is_an_error_of_the_backend(path, tmp_path):
    """As it is for metrics, and nothing else is raised."""
    path.mkdir()
    with SQLiteBackend(tmp_path / "metrics.db" / "no" / "metrics.db") as backend:
        (path / "no").write_text("")
        with pytest.raises(BackendUnavailable):
            backend.put_state("health", "a", {})


def test_a_file_that_was_removed_is_begun_anew(path, backend):
    """A word goes to where readers look."""
    backend.put_state("health", "a", {})
    path.unlink()
    backend.put_state("health", "b", {})
    assert words(path) == {"b": {}}


def test_what_was_not_done_is_done_again(path, backend, monkeypatch):
    """The file was not at its path for a moment, and is again when it is looked for."""
    answers = iter([False, True, True] * 2)
    monkeypatch.setattr(backend, "_is_at_path", lambda: next(answers))
    backend.put_state("health", "a", {"n": 1})
    backend.write_many([core()])
    assert words(path) == {"a": {"n": 1}}
    assert query(path, "SELECT count(*) FROM raw") == [(1,)]


def test_threads_put_words_and_metrics_at_once(path, backend):
    """Nothing is lost, and nobody fails."""
    failures: list[BaseException] = []

    def work(number):
        try:
            for turn in range(20):
                backend.put_state("health", f"{number}", {"turn": turn})
                backend.write_many([core()])
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert failures == []
    assert words(path) == {f"{number}": {"turn": 19} for number in range(4)}
    assert query(path, "SELECT count(*) FROM raw") == [(80,)]


@needs_fork
def test_a_forked_child_puts_its_own(path):
    """On a connection of its own; the parent's goes on."""
    with SQLiteBackend(path, **FOREVER) as backend:
        backend.put_state("health", "parent", {})
        assert ends_well_in_a_child(lambda: backend.put_state("health", "child", {"pid": os.getpid()}))
        backend.put_state("health", "parent", {"again": True})
    assert words(path).keys() == {"parent", "child"}
    assert words(path)["child"]["pid"] != os.getpid()


def test_a_word_does_not_wait_for_its_reader(path, backend):
    """Somebody who reads holds nobody up, and sees what was there when they began."""
    backend.put_state("health", "a", {})
    with View.open(path) as view:
        backend.put_state("health", "a", {"n": 1})
        assert [each.body for each in live.states_in(view, "health")] == [{}]
    assert words(path) == {"a": {"n": 1}}
