"""`time-execution spool`: what it shows, sends and removes of a real spool and real dead letters."""

from __future__ import annotations

import json

import pytest

from time_execution.cli.replay import replay
from time_execution.delivery import deadletter
from time_execution.delivery.deadletter import DeadLetters
from time_execution.delivery.spool import Spool, inspect_folder
from time_execution.exceptions import BackendUnavailable, BatchTooLarge
from time_execution.types import STORED, Metric, Reject

STORE: list[Metric] = []


class Store:
    """Takes what it is given and remembers it, refuses ``bad``, and is down when told so."""

    calls_left = 10**9

    def write_many(self, metrics):
        if Store.calls_left <= 0:
            raise BackendUnavailable("down")
        Store.calls_left -= 1
        results = [Reject("bad") if metric["name"] == "bad" else STORED for metric in metrics]
        STORE.extend(metric for metric, result in zip(metrics, results, strict=True) if result is STORED)
        return results


class Narrow(Store):
    """Takes two metrics at a time."""

    def write_many(self, metrics):
        if len(metrics) > 2:
            raise BatchTooLarge("two at a time")
        return super().write_many(metrics)


@pytest.fixture(autouse=True)
def _empty_store():
    STORE.clear()
    Store.calls_left = 10**9


def metrics(count, *, name="f", first=0):
    """Return metrics with ids of their own."""
    return [
        Metric({"name": name, "value": float(n), "hostname": "h", "timestamp": 10**18 + n}, id=f"0123456789abcdef-{n}")
        for n in range(first, first + count)
    ]


@pytest.fixture
def folder(tmp_path):
    """Make a spool that a process left behind, with 1 200 metrics of one backend."""
    path = tmp_path / "spool"
    left = Spool(path).open("SQLiteBackend")
    left.append(metrics(1200))
    left.close()
    return path


def test_list_and_show_change_nothing(in_process, folder):
    """The files are listed with their metrics, these are shown as JSON, and all stays where it is."""
    DeadLetters(folder / "dead-letters.jsonl").append(metrics(1, name="bad")[0], "too_large", "413")
    listed = in_process("spool", "list", folder)
    assert "SQLiteBackend" in listed.stdout
    assert "1,200" in listed.stdout
    assert "1,200 metrics waiting, 1 dead letter" in listed.stdout
    shown = [json.loads(line) for line in in_process("spool", "show", folder, "-n", "0").stdout.splitlines()]
    assert len(shown) == 1201
    assert shown[0]["id"] == "0123456789abcdef-0"
    assert (shown[-1]["reason"], shown[-1]["detail"], shown[-1]["name"]) == ("too_large", "413", "bad")
    assert sum(file.rows for file in inspect_folder(folder)) == 1200


def test_replay_to_sqlite_stores_all_and_empties_the_spool(command, in_process, counts, folder):
    """What was spooled is in the database, once, and the spool is empty."""
    done = command("spool", "replay", folder, "--to", "sqlite:///metrics.db")
    assert (done.returncode, done.stdout) == (0, "")
    assert "1,200 metrics stored and removed" in done.stderr
    assert counts() == {"f": (1200, 0)}
    assert sum(file.rows for file in inspect_folder(folder)) == 0
    assert "0 metrics stored" in in_process("spool", "replay", folder, "--to", "sqlite:///metrics.db").stderr


def replayed(path, backend, monkeypatch, **options):
    """Replay into a backend of this module."""
    monkeypatch.setattr("time_execution.config.resolve_backend", lambda spec, index: spec())
    return replay(path, backend, **options)


def test_replay_keeps_ids_and_what_was_not_stored(folder, monkeypatch):
    """A backend that goes down halfway gets the rest, with the same ids, the next time."""
    Store.calls_left = 1
    outcome = replayed(folder, Store, monkeypatch)
    assert outcome.stored == 500
    assert outcome.trouble == "BackendUnavailable: down"
    assert not outcome.is_complete()
    assert sum(file.rows for file in inspect_folder(folder)) == 700
    Store.calls_left = 10**9
    assert replayed(folder, Store, monkeypatch).stored == 700
    assert sorted(str(metric.id) for metric in STORE) == sorted(str(metric.id) for metric in metrics(1200))


def test_replay_halves_a_batch_that_is_too_large(folder, monkeypatch):
    """A backend that takes two at a time gets all, two at a time."""
    assert replayed(folder, Narrow, monkeypatch).stored == 1200
    assert len({metric.id for metric in STORE}) == 1200


def test_replay_keeps_what_is_refused(tmp_path, monkeypatch):
    """Metrics that the backend refuses stay in the spool, the others leave it."""
    store = Spool(tmp_path / "s").open("Store")
    store.append([*metrics(3), *metrics(2, name="bad", first=3), *metrics(3, first=5)])
    store.close()
    outcome = replayed(tmp_path / "s", Store, monkeypatch)
    assert (outcome.stored, dict(outcome.refused), outcome.left) == (6, {"bad": 2}, 0)
    assert sum(file.rows for file in inspect_folder(tmp_path / "s")) == 2


def test_replay_leaves_a_process_at_work_alone(tmp_path, monkeypatch):
    """Files whose owner lives are not touched, and that is said."""
    owner = Spool(tmp_path / "s").open("Store")
    owner.append(metrics(5))
    outcome = replayed(tmp_path / "s", Store, monkeypatch)
    assert (outcome.stored, outcome.busy, len(owner)) == (0, 1, 5)
    assert "1 file left to the processes at work" in outcome.told()
    owner.close()


def test_dead_letters_are_sent_and_those_refused_again_stay(tmp_path, monkeypatch):
    """Letters that the backend takes now leave the file; the others are in it still, with the new reason."""
    path = tmp_path / "letters.jsonl"
    letters = DeadLetters(path)
    for metric in [*metrics(700), *metrics(2, name="bad", first=700)]:
        letters.append(metric, "mapping", "no such field")
    outcome = replayed(path, Store, monkeypatch)
    assert (outcome.stored, dict(outcome.refused)) == (700, {"bad": 2})
    assert [(letter.reason, letter.metric.id) for letter in deadletter.read(path)] == [
        ("bad", "0123456789abcdef-700"),
        ("bad", "0123456789abcdef-701"),
    ]
    assert not path.with_name("letters.jsonl.replay").exists()


def test_an_interrupted_replay_of_letters_is_taken_up(tmp_path, monkeypatch):
    """Letters that a killed replay had moved aside are sent by the next, before the others."""
    path = tmp_path / "letters.jsonl"
    letters = DeadLetters(path)
    letters.append(metrics(1)[0], "x")
    path.rename(tmp_path / "letters.jsonl.replay")
    letters.append(metrics(1, first=1)[0], "x")
    assert replayed(path, Store, monkeypatch).stored == 2
    assert [metric["value"] for metric in STORE] == [0.0, 1.0]


def test_letters_stay_when_the_backend_is_down(tmp_path, monkeypatch):
    """Nothing is lost, and each letter keeps its reason."""
    path = tmp_path / "letters.jsonl"
    for metric in metrics(3):
        DeadLetters(path).append(metric, "mapping", "why")
    Store.calls_left = 0
    outcome = replayed(path, Store, monkeypatch)
    assert (outcome.stored, outcome.left, outcome.is_complete()) == (0, 3, False)
    assert [(letter.reason, letter.detail) for letter in deadletter.read(path)] == [("mapping", "why")] * 3


def test_purge_asks_first(command, in_process, folder):
    """Without a terminal to ask on nothing is removed; --yes removes, and age is honoured."""
    assert command("spool", "purge", folder).returncode == 1
    assert sum(file.rows for file in inspect_folder(folder)) == 1200
    assert "0 metrics removed" in in_process("spool", "purge", folder, "--yes", "--older-than", "1h").stderr
    assert "1,200 metrics removed" in in_process("spool", "purge", folder, "--yes").stderr
    assert sum(file.rows for file in inspect_folder(folder)) == 0


def test_a_wrong_backend_or_path_is_one_line(in_process, folder):
    """What cannot be done is said in a line, with a status of its own."""
    assert in_process("spool", "list", "nowhere").returncode == 1
    wrong = in_process("spool", "replay", folder, "--to", "no.such.Backend")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
    assert in_process("spool", "replay", folder).returncode == 2
