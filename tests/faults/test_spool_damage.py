"""Spool files that were cut off, or in which bits flipped: case D14."""

from __future__ import annotations

import os
import random
import shutil

import pytest

from tests.faults.children import posix
from tests.faults.spools import ROWS, drain, metric, open_store
from time_execution.delivery.spool import inspect_folder

pytestmark = posix


def recover(original, target, suffix, damage):
    """Damage a copy of a folder and adopt it; return what was recovered, in order, and the store."""
    shutil.copytree(original, target)
    path = next(target.glob(suffix))
    damage(path)
    store = open_store(target)
    adopted = store.adopt()
    lost = sum(store.dropped.values())
    assert store.append([metric(1000)]) == 1
    found = drain(store)
    assert found.pop() == 1000
    assert adopted == len(found) + sum(store.dropped.values())
    assert lost == sum(store.dropped.values())
    assert len(set(found)) == len(found)
    assert set(found) <= set(range(ROWS))
    assert store.adopt() == 0, "nothing is found twice"
    store.close()
    return found, store


def truncate(size):
    return lambda path: os.truncate(path, size)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", [997, pytest.param(7, marks=pytest.mark.slow)])
def test_a_truncated_file_is_read_as_far_as_it_goes(whole, tmp_path, step):
    """Cut off at any byte, a file gives what is whole, counts as damaged, and is put aside (D14)."""
    size = next(whole.glob("*.db")).stat().st_size
    most = 0
    for cut in range(0, size, step):
        target = tmp_path / str(cut)
        found, store = recover(whole, target, "*.db", truncate(cut))
        assert found == sorted(found)
        # SQLite reads what is missing of the last page as zeros: then the checksums of its rows tell.
        assert store.corrupt_files == 1 or store.dropped["spool_corrupt"], f"cut at {cut}"
        assert len(list(target.glob("*.corrupt"))) == (store.corrupt_files if cut else 0)
        most = max(most, len(found))
        shutil.rmtree(target)
    assert most > ROWS // 2


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", [9973, pytest.param(307, marks=pytest.mark.slow)])
def test_a_truncated_log_gives_its_prefix(logged, tmp_path, step):
    """Cut off at any byte, SQLite's log gives the commits before that, in order and without a gap (D14)."""
    size = next(logged.glob("*-wal")).stat().st_size
    for cut in range(0, size, step):
        target = tmp_path / str(cut)
        found, _ = recover(logged, target, "*-wal", truncate(cut))
        assert found == list(range(len(found)))
        shutil.rmtree(target)
    assert recover(logged, tmp_path / "all", "*-wal", lambda _: None)[0] == list(range(ROWS))


def test_rows_behind_a_damaged_stretch_are_recovered(tmp_path):
    """Damage in the middle of a large file costs the rows there, not those behind it (D14)."""
    store = open_store(tmp_path)
    store.append([metric(n) for n in range(3000)])
    store.close()
    path = next(tmp_path.glob("*.db"))
    with path.open("r+b") as file:
        file.seek(4096 * (path.stat().st_size // 4096 // 2))
        file.write(b"\xff" * 4096 * 3)
    store = open_store(tmp_path)
    store.adopt()
    found = drain(store)
    assert found == sorted(found)
    assert (found[0], found[-1], store.corrupt_files) == (0, 2999, 1)
    assert 2900 < len(found) < 3000
    store.close()


def flip(rng, count):
    def damage(path):
        data = bytearray(path.read_bytes())
        for _ in range(count):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)

    return damage


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(1000, 2100), marks=pytest.mark.slow)])
def test_flipped_bits_cost_what_they_hit(whole, logged, tmp_path, seeds):
    """Whatever bits flip, every row that is recovered is right, and none is missing without a word (D14)."""
    complete = 0
    for seed in seeds:
        rng = random.Random(seed)
        target = tmp_path / str(seed)
        suffix, original = rng.choice([("*.db", whole), ("*.db", whole), ("*-wal", logged)])
        found, store = recover(original, target, suffix, flip(rng, rng.choice([1, 1, 3, 30])))
        said = store.corrupt_files or store.dropped or any("left alone" in line for line in store.news)
        # A log that breaks off is how a kill leaves it; what follows the break was never whole.
        assert len(found) == ROWS or said or suffix == "*-wal", f"seed {seed}"
        complete += len(found) == ROWS
        shutil.rmtree(target)
    assert complete > len(seeds) // 4


def test_a_damaged_schema_that_is_no_text_is_damage_like_any_other(whole, tmp_path):
    """Bytes that are not UTF-8 where SQLite quotes them in its message are no error of ours (D14)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    path = next(target.glob("*.db"))
    data = path.read_bytes()
    assert data.count(b"CREATE TABLE q") == 1
    path.write_bytes(data.replace(b"CREATE TABLE q", b"CREATE T\xa0BLE q").replace(b"tableqq", b"tableq\xa0"))
    assert inspect_folder(target)[0].problem
    store = open_store(target)
    assert store.adopt() == 0
    assert store.corrupt_files == 1
    store.close()


def test_a_header_that_forbids_writing_does_not_send_for_ever(whole, tmp_path):
    """Rows that can be read from a damaged file but not deleted there are taken once; the file is put aside (D14)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    with next(target.glob("*.db")).open("r+b") as file:
        file.seek(18)  # the version that SQLite must know to write
        file.write(b"\x42")
    store = open_store(target)
    assert store.adopt() == ROWS
    assert drain(store) == list(range(ROWS))
    assert (store.adopt(), store.corrupt_files) == (0, 1)
    store.close()


@pytest.mark.parametrize(("there", "instead"), [(b"seq INTEGER", b"seq INTEGES"), (b"(seq ", b"(sea ")])
def test_rows_outlive_a_damaged_schema(whole, tmp_path, there, instead):
    """Where the schema is damaged and still a schema, the rows are found by a name that does not depend on it (D14)."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    path = next(target.glob("*.db"))
    path.write_bytes(path.read_bytes().replace(there, instead))
    store = open_store(target)
    assert store.adopt() == ROWS
    assert drain(store) == list(range(ROWS))
    store.close()
