"""The spool against a list, over histories that hypothesis thinks of."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.faults.harness import FakeClock
from tests.spool.rows import ids, metrics
from time_execution.delivery.spool import Spool


class SpoolMachine(RuleBasedStateMachine):
    """The spool against a list: what was appended and neither deleted nor adopted elsewhere is there, in order.

    Attributes:
        seen: What became of how many rows in all histories played so far.
    """

    seen: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self):
        self.root = Path(tempfile.mkdtemp())
        self.folders = 0
        self.folder = self.root / "0"
        self.clock = FakeClock()
        self.opened = []
        self.model = []  # what our store holds, in order
        self.orphaned = []  # what lies in files without an owner, file by file
        self.keys = {}
        self.number = 0
        self.store = self.open()

    def open(self):
        store = Spool(self.folder, clock=self.clock, wall_clock=self.clock).open("b")
        self.opened.append(store)
        return store

    def teardown(self):
        self.seen["histories"] += 1
        for store in getattr(self, "opened", []):
            store.close()
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    @rule(count=st.integers(1, 12))
    def append(self, count):
        added = list(range(self.number, self.number + count))
        self.number += count
        assert self.store.append(metrics(*added)) == count
        self.model += added
        self.seen["appended"] += count

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def append_again(self, data):
        number = data.draw(st.sampled_from(self.model))
        assert self.store.append(metrics(number)) == 1

    @rule(limit=st.integers(1, 20))
    def peek(self, limit):
        page = self.store.peek(limit)
        assert ids(row for _, row in page) == self.model[:limit]
        self.keys.update((number, key) for (key, _), number in zip(page, self.model, strict=False))

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def delete(self, data):
        self.take_out(data.draw(st.lists(st.sampled_from(sorted(self.keys)), unique=True)))

    @rule(limit=st.integers(1, 20))
    def send(self, limit):
        """Take out the oldest rows, as a delivery does."""
        self.peek(limit)
        self.take_out(self.model[:limit])

    def take_out(self, chosen):
        assert self.store.delete([self.keys[number] for number in chosen]) == len(chosen)
        for number in chosen:
            self.model.remove(number)
            del self.keys[number]
        self.seen["deleted"] += len(chosen)

    @precondition(lambda self: len(self.model) > 5)
    @rule()
    def crash(self):
        """Go on with the files as a kill would leave them."""
        self.folders += 1
        target = self.root / str(self.folders)
        if self.folder.exists():
            shutil.copytree(self.folder, target, ignore=shutil.ignore_patterns("*-shm"))
        self.leave()
        self.folder = target
        self.store = self.open()

    @precondition(lambda self: len(self.model) > 5)
    @rule()
    def reopen(self):
        self.store.close()
        self.leave()
        self.store = self.open()

    def leave(self):
        if self.model:
            self.orphaned.append(self.model)
            self.seen["orphaned"] += len(self.model)
        self.model, self.keys = [], {}

    @rule(limit=st.none() | st.integers(1, 10))
    def adopt(self, limit):
        waiting_there = [number for rows in self.orphaned for number in rows]
        expected = waiting_there if limit is None else waiting_there[:limit]
        assert self.store.adopt(limit=limit) == len(expected)
        self.model += expected
        self.seen["adopted"] += len(expected)
        rest = set(waiting_there[len(expected) :])
        self.orphaned = [kept for rows in self.orphaned if (kept := [n for n in rows if n in rest])]

    @invariant()
    def counts(self):
        assert len(self.store) == len(self.model)
        assert not self.store.dropped
        assert (self.store.bytes == 0) == (not self.model)

    @invariant()
    def order(self):
        if self.model:
            assert ids(row for _, row in self.store.peek(1)) == self.model[:1]
            assert self.store.oldest_age() == 0


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("histories", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_it_behaves_like_a_list(histories):
    """Whatever is appended, deleted, killed, reopened and adopted, in any order, the spool holds what a list would."""
    SpoolMachine.seen = Counter()
    run_state_machine_as_test(
        SpoolMachine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert SpoolMachine.seen["histories"] >= histories
    # All of it came about, so that the comparison means something.
    assert {"appended", "deleted", "orphaned", "adopted"} <= (+SpoolMachine.seen).keys()
