"""The spool against `kill -9`: cases D12 and D13."""

from __future__ import annotations

import itertools
import os
import random
import time

import pytest

from tests.faults.children import posix
from tests.faults.spools import (
    DEADLINE,
    drain,
    in_child,
    kill_after,
    metric,
    number_of,
    open_store,
    received,
    run_child,
)
from time_execution.delivery.spool import inspect_folder

pytestmark = posix


FEW_OR_ALL = [pytest.param(8, 0.05, id="few"), pytest.param(200, 0.3, id="all", marks=pytest.mark.slow)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kills", "longest"), FEW_OR_ALL)
@pytest.mark.parametrize("durable", [False, True])
def test_a_kill_while_writing_loses_nothing_acknowledged(tmp_path, kills, longest, durable):
    """Killed anywhere in a loop of appends, what was acknowledged is adopted by the next, and nothing else (D12)."""
    rng = random.Random(20_240 + kills)
    offered = 0
    for attempt in range(kills):
        folder = tmp_path / str(attempt)
        start = attempt * 1_000_000

        def write(send, folder=folder, start=start):
            store = open_store(folder, durable=durable)
            number = start
            for size in itertools.cycle([1, 3, 40, 1, 7]):
                assert store.append([metric(n) for n in range(number, number + size)]) == size
                number += size
                send(number)

        pid, reader = in_child(write)
        kill_after(pid, reader, rng.uniform(0, longest))
        acknowledged = max(received(reader))
        store = open_store(folder)
        store.adopt()
        found = drain(store)
        assert found == list(range(start, start + len(found)))
        assert start + len(found) >= acknowledged
        assert start + len(found) <= acknowledged + 40
        assert not store.dropped
        assert store.corrupt_files == 0
        offered += len(found)
        store.close()
    assert offered > kills


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kills", "longest"), [FEW_OR_ALL[0], pytest.param(100, 0.1, marks=pytest.mark.slow)])
def test_a_kill_between_sending_and_deleting_repeats_a_batch_at_most(tmp_path, kills, longest):
    """Every row is sent at least once; a kill makes one batch at the most be sent twice, under the same ids (D13)."""
    rng, batch, total = random.Random(13), 20, kills * 300
    store = open_store(tmp_path)
    for start in range(0, total, 500):
        store.append([metric(n) for n in range(start, min(total, start + 500))])
    store.close()

    def deliver(send):
        store = open_store(tmp_path)
        while store.adopt(limit=200) or len(store):
            page = store.peek(batch)
            send(*(number_of(row) for _, row in page))
            store.delete([key for key, _ in page])
        store.close()

    sent, killed = [], 0
    for _ in range(kills):
        pid, reader = in_child(deliver)
        kill_after(pid, reader, rng.uniform(0, longest))
        sent += received(reader)
        killed += 1
    sent += run_child(deliver)
    assert set(sent) == set(range(total))
    assert len(sent) - total <= batch * killed
    assert inspect_folder(tmp_path) == []


def test_a_kill_amid_adoption_loses_nothing(tmp_path):
    """Killed while rows move from file to file, all of them arrive with the next, each once (D12)."""
    rng = random.Random(5)
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        for part in range(3):
            store = open_store(folder)
            store.append([metric(n) for n in range(part * 400, (part + 1) * 400)])
            store.close()

        def adopt(send, folder=folder):
            store = open_store(folder)
            send(0)
            while store.adopt(limit=20):
                pass
            time.sleep(DEADLINE)

        pid, reader = in_child(adopt)
        kill_after(pid, reader, rng.uniform(0, 0.05))
        os.close(reader)
        store = open_store(folder)
        store.adopt()
        assert sorted(drain(store)) == list(range(1200))
        store.close()
