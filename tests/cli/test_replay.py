"""`time-execution spool replay`: what a backend's answers make of the metrics, of what is said, and of the status."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from tests.cli.letters import values, write_letters
from tests.cli.test_spool_command import metrics
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.cli.replay import replay
from time_execution.delivery.deadletter import read
from time_execution.delivery.spool import Spool, inspect_folder
from time_execution.exceptions import BackendRejected, BackendUnavailable, BatchTooLarge
from time_execution.types import STORED, Reject


class Answering(BaseMetricsBackend):
    """Says of each batch what the test wants it to, and remembers whether it was closed."""

    answer: ClassVar[Any] = None
    given: ClassVar[list[Any]] = []
    closed: ClassVar[int] = 0

    def write_many(self, metrics):
        Answering.given.extend(metric["value"] for metric in metrics)
        return Answering.answer(metrics)

    def close(self, timeout=None):
        Answering.closed += 1


BACKEND = f"{__name__}.Answering"


@pytest.fixture
def answer(monkeypatch):
    """Return a function that takes what the backend answers with."""
    monkeypatch.setattr(Answering, "given", [])
    monkeypatch.setattr(Answering, "closed", 0)
    monkeypatch.setattr("time_execution.config.resolve_backend", lambda *_, **__: Answering())

    def set_answer(function):
        monkeypatch.setattr(Answering, "answer", staticmethod(function))

    set_answer(lambda metrics: [STORED] * len(metrics))
    return set_answer


@pytest.fixture
def folder(tmp_path):
    """Make a spool of two backends, three metrics each, beside two dead letters."""
    for number, name in enumerate(("First", "Second")):
        store = Spool(tmp_path / "spool").open(name)
        store.append(metrics(3, first=number * 3))
        store.close()
    write_letters(tmp_path / "spool" / "dead-letters.jsonl", 2, first=6)
    return tmp_path / "spool"


def rows(folder):
    return sum(file.rows for file in inspect_folder(folder))


def refuse(exc):
    def write_many(_):
        raise exc

    return write_many


def test_all_that_is_stored_is_success(in_process, folder, answer):
    """Metrics of every backend, then the letters; the backend is closed once it has them."""
    done = in_process("spool", "replay", folder, "--to", BACKEND)
    assert (done.returncode, done.stderr) == (0, "time-execution: 8 metrics stored and removed\n")
    assert Answering.given == [float(n) for n in range(8)]
    assert (rows(folder), Answering.closed) == (0, 1)


def test_a_name_chooses_the_backend_and_no_letter(in_process, folder, answer):
    """Letters do not tell for which backend they were."""
    done = in_process("spool", "replay", folder, "--to", BACKEND, "--name", "Second")
    assert (done.returncode, done.stderr) == (0, "time-execution: 3 metrics stored and removed\n")
    assert Answering.given == [3.0, 4.0, 5.0]
    assert (rows(folder), values(folder / "dead-letters.jsonl")) == (3, [6.0, 7.0])


def test_what_is_refused_stays_and_is_no_success(in_process, folder, answer):
    """The sentence says how many and why."""
    answer(lambda metrics: [Reject("mapping") if metric["value"] % 2 else STORED for metric in metrics])
    done = in_process("spool", "replay", folder, "--to", BACKEND)
    assert done.returncode == 1
    assert done.stderr == "time-execution: 4 metrics stored and removed, 4 refused (mapping) and kept\n"
    assert (rows(folder), values(folder / "dead-letters.jsonl")) == (3, [7.0])


@pytest.mark.parametrize("kind", [BackendRejected, BatchTooLarge])
def test_a_refusal_of_all_keeps_all(in_process, folder, answer, kind):
    """Raised instead of answered, it is of each metric of the batch; letters get the reason of today."""
    answer(refuse(kind("no such index")))
    done = in_process("spool", "replay", folder, "--to", BACKEND)
    assert done.returncode == 1
    assert done.stderr == f"time-execution: 0 metrics stored and removed, 8 refused ({kind.__name__}) and kept\n"
    assert (rows(folder), values(folder / "dead-letters.jsonl")) == (6, [6.0, 7.0])
    letters = list(read(folder / "dead-letters.jsonl"))
    assert [letter.reason for letter in letters] == [kind.__name__] * 2
    assert [letter.detail for letter in letters] == ["no such index" if kind is BackendRejected else ""] * 2


def test_trouble_ends_it_and_is_no_success(in_process, folder, answer):
    """After the first batch that fails no other is tried; nothing goes, and what is left is counted."""
    answer(refuse(BackendUnavailable("down")))
    done = in_process("spool", "replay", folder, "--to", BACKEND)
    assert done.returncode == 1
    assert done.stderr == "time-execution: 0 metrics stored and removed, 3 kept: BackendUnavailable: down\n"
    assert Answering.given == [0.0, 1.0, 2.0]
    assert (rows(folder), len(values(folder / "dead-letters.jsonl")), Answering.closed) == (6, 2, 1)


def test_an_answer_of_nothing_is_that_all_is_stored(folder, answer):
    """As everywhere: a backend that returns None has taken the batch."""
    answer(lambda _: None)
    outcome = replay(folder, BACKEND)
    assert (outcome.stored, outcome.is_complete(), rows(folder)) == (8, True, 0)


def test_an_answer_that_ends_early_keeps_the_rest(folder, answer):
    """Metrics without an answer are neither stored nor refused."""
    answer(lambda metrics: [STORED] * (len(metrics) - 1))
    outcome = replay(folder, BACKEND)
    assert (outcome.stored, outcome.left, outcome.is_complete()) == (5, 3, False)
    assert (rows(folder), values(folder / "dead-letters.jsonl")) == (2, [7.0])


def test_a_queue_before_the_backend_is_passed_by(folder, answer, monkeypatch):
    """It could not tell what became of a metric, and would take each for stored."""
    monkeypatch.setattr("time_execution.config.resolve_backend", lambda *_, **__: ThreadedBackend(Answering()))
    answer(lambda metrics: [Reject("mapping")] * len(metrics))
    outcome = replay(folder, BACKEND)
    assert (outcome.stored, dict(outcome.refused), rows(folder)) == (0, {"mapping": 8}, 6)


def test_progress_leaves_no_trace_on_a_terminal(in_process, folder, answer, monkeypatch):
    """While metrics are sent it says how many were; what is said of the end stands on a line of its own."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    done = in_process("spool", "replay", folder, "--to", BACKEND)
    assert "\rtime-execution: sending metrics: 3\x1b[K" in done.stderr
    assert done.stderr.endswith("\r\x1b[Ktime-execution: 8 metrics stored and removed\n")
