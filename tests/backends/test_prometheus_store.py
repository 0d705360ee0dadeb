"""What the stores do when they are called from within, forked, closed, or asked about other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from tests.backends.prometheus_totals import shown_calls, timing
from time_execution.backends.prometheus import PrometheusBackend, owner, shared
from time_execution.exceptions import BackendUnavailable
from time_execution.types import Metric

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, locks and signals need POSIX"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]
ASKER = """
    import fcntl, sys
    from pathlib import Path
    from time_execution.backends.prometheus import owner

    lockf = fcntl.lockf

    def pausing(*arguments):
        lockf(*arguments)
        fcntl.lockf = lockf
        print("asking", flush=True)
        sys.stdin.read()

    fcntl.lockf = pausing
    owner.dead(Path(sys.argv[1]), [777])
"""


def test_two_that_ask_at_once_both_see_who_is_dead(tmp_path):
    """Asking takes a lock for a moment, by which nobody may be taken for alive."""
    path = tmp_path / "metrics.db"
    asker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(ASKER), str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert asker.stdout.readline() == "asking\n"
        assert owner.dead(path, [777]) == {777}
    finally:
        asker.communicate("", timeout=60)


def test_a_link_in_place_of_the_owners_file_is_not_followed(tmp_path):
    """Whoever may write to the folder could have any file of ours opened, or made, by it (S11)."""
    backend = PrometheusBackend(path=tmp_path / "metrics.db")
    target = tmp_path / "elsewhere"
    (tmp_path / "metrics.db-owners").symlink_to(target)
    with pytest.raises(BackendUnavailable):
        backend.write_many([Metric({"name": "busy", "value": 1}, kind="gauge")])
    assert not target.exists()
    backend.close()


def test_a_closed_backend_that_is_read_holds_no_file_open(tmp_path):
    """A registry is scraped for as long as it is served; the file may have to be removed before."""
    backend = PrometheusBackend(path=tmp_path / "metrics.db")
    backend.write_many([timing()])
    backend.close()
    assert shown_calls(backend) == {"f": 1}
    assert backend._store._connection is None
    backend.write_many([timing()])
    assert backend._store._connection is not None
    assert shown_calls(backend) == {"f": 2}
    assert backend._store._connection is not None
    backend.close()


@pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "file"])
def test_a_signal_handler_that_writes_amid_a_batch_is_refused(tmp_path, monkeypatch, is_shared):
    """It would add to totals that are being changed; the batch itself goes on."""
    backend = PrometheusBackend(path=tmp_path / "metrics.db" if is_shared else None)
    place, answers = backend._store._catalogue.place, []

    def handler(*_):
        with pytest.raises(BackendUnavailable, match="from within itself"):
            backend.write_many([timing("inner")])
        answers.append("refused")

    def interrupted(tally):
        signal.raise_signal(signal.SIGUSR1)
        return place(tally)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(backend._store._catalogue, "place", interrupted)
            backend.write_many([timing("outer")])
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == ["refused"]
    backend.write_many([timing("later")])
    assert shown_calls(backend) == {"outer": 1, "later": 1}
    backend.close()


def test_a_child_never_closes_its_parents_connection(tmp_path):
    """Closing it would drop the locks, and could undo what the parent is writing."""
    backend = PrometheusBackend(path=tmp_path / "metrics.db")
    backend.write_many([timing("parent")])
    parents = id(backend._store._connection)
    child = os.fork()
    if not child:
        status = 1
        try:
            backend.write_many([timing("child")])
            backend.close()
            (kept,) = [connection for connection in shared._inherited if id(connection) == parents]
            status = 0 if kept.total_changes else 2  # raises once it is closed
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shown_calls(backend) == {"parent": 1, "child": 1}
    backend.close()
