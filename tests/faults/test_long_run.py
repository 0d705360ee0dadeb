"""What a thousand deliveries and ten million events leave behind: nothing. Case P12."""

from __future__ import annotations

import pytest

from tests.faults.children import posix, run


@posix
@pytest.mark.parametrize("with_spool", [False, True], ids=["memory", "spool"])
def test_a_thousand_deliveries_leave_nothing_behind(tmp_path, with_spool):
    """After 1000 deliveries were made, used and closed, threads, descriptors and the tracked are as before (P12)."""
    options = f"spool={str(tmp_path / 'spool')!r}" if with_spool else ""
    count = 100 if with_spool else 1000
    outcome, _ = run(
        tmp_path,
        f"""
        import gc
        from time_execution.delivery import lifecycle
        def one():
            with quick(FaultBackend(), {options}) as backend:
                backend.write("a", value=1)
            check_conservation(backend.stats(), offered=1, pending=0)
            assert backend.stats()["delivered"] == 1
        one()
        gc.collect()
        before = threading.active_count(), len(os.listdir("/proc/self/fd")), len(lifecycle._tracked)
        for _ in range({count}):
            one()
        gc.collect()
        after = threading.active_count(), len(os.listdir("/proc/self/fd")), len(lifecycle._tracked)
        assert after == before, (before, after)
        """,
        limit=40.0,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome


@posix
@pytest.mark.slow
@pytest.mark.timeout(700)
def test_ten_million_events_leave_the_memory_as_it_was(tmp_path):
    """Through 10^7 measured calls the resident memory does not grow, and every one is accounted for (P12)."""
    outcome, _ = run(
        tmp_path,
        """
        import resource
        class Null:
            def write_many(self, metrics):
                return None
        backend = ThreadedBackend(Null(), overflow="block", block_timeout=10.0)
        settings.configure(backends=[backend])
        @time_execution
        def measured():
            pass
        sizes = []
        for round in range(20):
            for _ in range(500_000):
                measured()
            assert backend.flush(60.0)
            sizes.append(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize())
            check_conservation(backend.stats(), pending=0)
        check_conservation(backend.stats(), offered=10_000_000, pending=0)
        assert backend.stats()["delivered"] == 10_000_000, backend.stats()
        assert sizes[-1] - sizes[4] < 4 << 20, sizes
        """,
        limit=600.0,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
