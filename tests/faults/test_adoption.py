"""A process that lives on takes over what others, gone since, have left in their spools: case D16."""

from __future__ import annotations

from tests.faults.harness import FakeClock, FaultBackend, check_conservation, quick, wait_for
from time_execution.exceptions import BackendUnavailable


def _leave_behind(count, folder):
    """Let a delivery end while its backend is down."""
    with quick(FaultBackend(then=BackendUnavailable), spool=folder, shutdown_timeout=0.05) as gone:
        for value in range(count):
            gone.write("left.behind", value=value)


def _send_one(delivery):
    delivery.write("own", value=-1)
    assert delivery.flush(10.0)


def test_spools_left_behind_while_the_worker_runs_are_adopted(tmp_path):
    """Within a minute of its next batch, not only by a worker that starts (D16)."""
    backend, clock = FaultBackend(), FakeClock()
    with quick(backend, spool=tmp_path, clock=clock) as heir:
        _send_one(heir)
        _leave_behind(5, tmp_path)
        clock.advance(61)
        _send_one(heir)
        assert wait_for(heir, lambda: heir.channel.ledger.adopted == 5 and not heir.channel.waiting())
        check_conservation(heir.stats(), pending=0)
    assert backend.values() == [-1, -1, 0, 1, 2, 3, 4]


def test_the_folder_is_not_searched_for_each_batch(tmp_path, monkeypatch):
    """Once a minute is enough, whatever the traffic."""
    clock = FakeClock()
    with quick(FaultBackend(), spool=tmp_path, clock=clock) as heir:
        claims = []
        claim = heir.channel.store.claim

        def counted():
            claims.append(clock())
            return claim()

        monkeypatch.setattr(heir.channel.store, "claim", counted)
        for _ in range(20):
            _send_one(heir)
        searches = len(claims)
        clock.advance(59)
        _send_one(heir)
        assert len(claims) == searches
        clock.advance(2)
        _send_one(heir)
        assert len(claims) > searches
