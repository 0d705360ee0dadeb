"""What a spool holds at the most, in bytes and in time, and what it gives back."""

from __future__ import annotations

from tests.faults.harness import FakeClock
from tests.spool.rows import ROW, files, metric, metrics, waiting
from time_execution.delivery.spool import Spool


def test_the_oldest_rows_give_way_when_it_is_full(open_store):
    """Within ``max_bytes`` the newest rows are kept, and those given up are counted."""
    store = open_store(max_bytes=64 << 10)
    for number in range(600):
        assert store.append(metrics(number)) == 1
        assert store.bytes <= 64 << 10
    kept = waiting(store)
    assert kept == list(range(600 - len(kept), 600))
    assert dict(store.dropped) == {"spool_full": 600 - len(kept)}
    assert len(kept) > (64 << 10) // ROW


def test_the_files_stay_about_as_large_as_the_bound(open_store, tmp_path):
    """What lies on disk is bounded too, however much goes through: the bound, a batch, and SQLite's own log."""
    store = open_store(max_bytes=1 << 20)
    for start in range(0, 20_000, 500):
        store.append(metrics(*range(start, start + 500)))
    on_disk = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir() if not path.name.endswith("-wal"))
    log = sum(path.stat().st_size for path in files(tmp_path / "spool", "*-wal"))
    assert on_disk < (1 << 20) + 500 * ROW + (64 << 10)
    assert log < 8 << 20


def test_rows_that_were_handed_out_do_not_give_way(open_store):
    """What a worker is sending stays in line until it is deleted, so that nothing is counted twice."""
    store = open_store(max_bytes=64 << 10)
    store.append(metrics(*range(100)))
    keys = [key for key, _ in store.peek(10)]
    store.append(metrics(*range(100, 700)))
    assert waiting(store)[:11] == [*range(10), waiting(store)[10]]
    assert store.delete(keys) == 10
    assert len(store) + sum(store.dropped.values()) + 10 == 700


def test_an_emptied_spool_gives_its_space_back(open_store, tmp_path):
    """When the last row of a large file is delivered, the file becomes small again."""
    store = open_store()
    store.append([metric(number, text="x" * 4000) for number in range(5000)])
    assert files(tmp_path / "spool")[0].stat().st_size + files(tmp_path / "spool", "*-wal")[0].stat().st_size > 16 << 20
    while page := store.peek(1000):
        store.delete([key for key, _ in page])
    assert (len(store), store.bytes) == (0, 0)
    assert sum(path.stat().st_size for path in (tmp_path / "spool").iterdir()) < 200_000


def test_rows_past_max_age_are_given_up(open_store, clock):
    """A row older than ``max_age`` is never handed out, and counts as expired."""
    store = open_store(max_age=60)
    store.append(metrics(1, 2))
    clock.now += 40
    store.append(metrics(3))
    assert store.oldest_age() == 40
    clock.now += 30
    assert waiting(store) == [3]
    assert dict(store.dropped) == {"expired": 2}
    assert len(store) == 1


def test_rows_that_were_handed_out_do_not_expire(open_store, clock):
    """What a worker is sending is judged no more: it would count as given up, and be delivered all the same."""
    store = open_store(max_age=60)
    store.append(metrics(1, 2))
    ((key, _),) = store.peek(1)
    clock.now += 61
    assert waiting(store) == [1]
    assert store.delete([key]) == 1
    assert (len(store), dict(store.dropped)) == (0, {"expired": 1})


def test_appending_gives_up_what_has_expired(open_store, clock):
    """Rows expire also while nobody reads."""
    store = open_store(max_age=60)
    store.append(metrics(1, 2))
    clock.now += 61
    store.append(metrics(3))
    assert (len(store), dict(store.dropped)) == (1, {"expired": 2})


def test_setting_the_wall_clock_ages_nothing(tmp_path, clock):
    """A jump of the machine's clock by a day expires no row of a running process."""
    wall = FakeClock()
    store = Spool(tmp_path / "spool", max_age=60, clock=clock, wall_clock=wall).open("b")
    store.append(metrics(1))
    wall.now += 86_400
    assert waiting(store) == [1]
    assert store.oldest_age() == 0
    store.close()


def test_rows_from_a_machine_whose_clock_was_ahead_are_of_no_age(open_store, clock):
    """A clock that was set back while no process ran makes no row older, nor younger than new."""
    clock.now += 1000
    store = open_store()
    store.append(metrics(1))
    store.close()
    clock.now -= 1000
    heir = open_store(max_age=60)
    assert heir.adopt() == 1
    assert heir.oldest_age() == 0.0
    assert waiting(heir) == [1]
