"""The test kit: what it captures, how its clock moves, how its backend fails, and what its contract finds."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from time_execution import settings, time_execution, write_metric
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendTimeout, BackendUnavailable
from time_execution.testing import BackendContract, Block, FakeClock, ScriptedBackend, StoreThenRaise, capture_metrics
from time_execution.types import STORED, Metric, Reject, Retry


@time_execution
def work(result=1):
    return result


# ---- capturing -------------------------------------------------------------------------------------------------------


def test_metrics_are_captured_instead_of_sent():
    """Inside the block they are the test's, outside they go where they always went."""
    configured = MemoryBackend()
    settings.configure(backends=[configured])
    with capture_metrics() as captured:
        work()
        write_metric("by.hand", value=7)
    write_metric("after")
    assert configured.names == ["after"]
    assert captured.names == [captured[0]["name"], "by.hand"]
    assert captured.one("*.work")["name"].endswith("test_testing.work")
    assert captured.one("by.hand")["value"] == 7
    assert captured.values[1] == 7
    assert 0 <= captured.values[0] < 60_000


def test_a_capture_reads_like_a_list():
    """Length, index, slice, truth, comparison, iteration and repr are a list's."""
    with capture_metrics() as captured:
        assert not captured
        write_metric("a", timestamp=None)
        write_metric("b", timestamp=None)
    assert len(captured) == 2
    assert captured[0]["name"] == captured[:1][0]["name"] == "a"
    assert [metric["name"] for metric in captured] == ["a", "b"]
    assert captured == [{"name": "a", "timestamp": None}, {"name": "b", "timestamp": None}]
    assert captured == captured.named("*")
    assert captured != captured.named("a")
    assert "'name': 'a'" in repr(captured)
    captured.clear()
    assert captured == []


@pytest.mark.parametrize(("written", "found"), [(0, 0), (2, 2)])
def test_one_says_what_there_is(written, found):
    """A failing expectation names what was captured."""
    with capture_metrics() as captured:
        for _ in range(written):
            write_metric("a")
    with pytest.raises(AssertionError, match=rf"expected one metric named 'a', found {found}; captured: "):
        captured.one("a")


def test_a_name_with_brackets_is_found():
    """A name is compared as it is before it counts as a pattern."""
    with capture_metrics() as captured:
        write_metric("a[0]")
    assert captured.one("a[0]")["name"] == "a[0]"


def test_further_settings_hold_in_the_block():
    """Hooks and the duration's field can be set for the test alone."""
    with capture_metrics(hooks=[lambda **_: {"tenant": "x"}], duration_field="took") as captured:
        work()
    metric = captured.one("*.work")
    assert metric["tenant"] == "x"
    assert captured.values == [metric["took"]]


def test_the_fixture_captures(captured_metrics):
    """The plug-in's fixture is the block, for the length of a test."""
    work()
    assert captured_metrics.one("*.work")["value"] >= 0


def test_the_fixtures_are_found_and_light():
    """The plug-in imports nothing of the package until a test asks for it."""
    program = (
        "import time_execution.pytest_plugin, sys; print([m for m in sys.modules if 'time_execution.testing' in m])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_only_the_contract_needs_pytest():
    """Programs without pytest can use the kit."""
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "import time_execution.testing as kit\n"
        "kit.FakeClock(); kit.ScriptedBackend()\n"
        "try: kit.BackendContract\n"
        "except ImportError: print('needs pytest')\n"
        "try: kit.Nothing\n"
        "except AttributeError: print('has no Nothing')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["needs pytest", "has no Nothing"]


# ---- the clock -------------------------------------------------------------------------------------------------------


def test_the_clock_moves_when_told(fake_clock):
    """Both clocks advance together, in seconds and nanoseconds."""
    wall = fake_clock.time()
    fake_clock.advance(2.5)
    assert fake_clock() == fake_clock.monotonic() == fake_clock.perf_counter() == 2.5
    assert fake_clock.perf_counter_ns() == fake_clock.monotonic_ns() == 2_500_000_000
    assert fake_clock.time() == wall + 2.5
    assert fake_clock.time_ns() == int(wall + 2) * 1_000_000_000 + 500_000_000


def test_the_wall_clock_can_be_set_alone(fake_clock):
    """Somebody who sets the time does not move the monotonic clock."""
    fake_clock.shift_wall(-3600)
    assert fake_clock() == 0
    assert fake_clock.time() == 1_700_000_000 - 3600


def test_the_monotonic_clock_does_not_go_back(fake_clock):
    """Going back is a mistake of the test."""
    with pytest.raises(ValueError, match="does not go back"):
        fake_clock.advance(-1)


def test_listeners_hear_of_each_advance(fake_clock):
    """Sleepers on the real clock can be woken."""
    heard: list[float] = []
    fake_clock.on_advance(lambda: heard.append(fake_clock()))
    fake_clock.advance(1)
    fake_clock.advance(2)
    assert heard == [1, 3]


def test_delivery_takes_the_clock():
    """A batch that waits for its linger leaves when the clock says so."""
    clock, backend = FakeClock(), ScriptedBackend()
    with ThreadedBackend(backend, bulk_size=100, bulk_timeout=3600, queue_timeout=0.01, clock=clock) as queue:
        queue.write("a")
        assert not backend.wait_for_stored(1, timeout=0.1)
        clock.advance(3601)
        assert backend.wait_for_stored(1)


# ---- the script ------------------------------------------------------------------------------------------------------


def test_a_script_is_played_in_order():
    """Each batch meets the next step, and what follows the script is as told."""
    backend = ScriptedBackend(
        [
            None,
            BackendTimeout("slow"),
            BackendUnavailable,
            [STORED, Retry(), Reject()],
            StoreThenRaise(ConnectionResetError()),
            lambda metrics: [Reject("odd")] * len(metrics),
            lambda metrics: None,
        ],
        then=BackendUnavailable(),
    )
    metrics = [Metric({"name": name}, id=f"0f-{name}") for name in "abc"]
    backend.write_many(metrics)
    for expected in (BackendTimeout, BackendUnavailable):
        with pytest.raises(expected):
            backend.write_many(metrics)
    assert backend.write_many(metrics) == [STORED, Retry(), Reject()]
    with pytest.raises(ConnectionResetError):
        backend.write_many(metrics)
    assert backend.write_many(metrics) == [Reject("odd")] * 3
    backend.write_many(metrics[:1])
    with pytest.raises(BackendUnavailable):
        backend.write_many(metrics)
    assert backend.ids == ["0f-a", "0f-b", "0f-c", "0f-a", "0f-a", "0f-b", "0f-c", "0f-a"]
    assert [len(batch) for batch in backend.batches] == [3, 3, 3, 3, 3, 3, 1, 3]


def test_a_blocking_step_waits_for_its_event():
    """The batch passes when the event is set, and a test that forgets to fails rather than hangs."""
    gate = Block()
    backend = ScriptedBackend([gate, Block(timeout=0.01)])
    thread = threading.Thread(target=backend.write, args=("a",))
    thread.start()
    assert backend.wait_for_batches(1)
    assert backend.stored == []
    gate.event.set()
    assert backend.wait_for_stored(1)
    thread.join(10)
    with pytest.raises(BackendUnavailable, match="nobody set the event"):
        backend.write("b")


def test_waiting_ends_at_the_timeout():
    """A wait for what does not come returns False."""
    backend = ScriptedBackend()
    assert not backend.wait_for_stored(1, timeout=0.01)
    assert not backend.wait_for_batches(1, timeout=0.01)


def test_a_scripted_backend_behind_a_queue():
    """Delivery sends again what the script failed, and the backend is closed with it."""
    backend = ScriptedBackend([BackendUnavailable("down")])
    with ThreadedBackend(backend, bulk_timeout=0.01) as queue:
        queue.write("a")
        assert backend.wait_for_stored(1)
    assert [metric["name"] for metric in backend.stored] == ["a"]
    assert len(backend.batches) == 2
    assert backend.closed == 1


def test_a_script_goes_on_after_a_fork():
    """The lock of the parent is not the child's."""
    backend = ScriptedBackend()
    with backend._changed:
        backend.after_fork()
        thread = threading.Thread(target=backend.write, args=("a",))
        thread.start()
        thread.join(10)
    assert len(backend.stored) == 1


# ---- the contract ----------------------------------------------------------------------------------------------------


class Sound(BaseMetricsBackend):
    """The least that passes."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()

    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many(metrics)


class LosesLast(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many(list(metrics)[:-1] if len(metrics) > 1 else metrics)


class FailsWhole(Sound):
    def write_many(self, metrics: Any) -> Any:
        if any(type(value) not in (str, int, float) for metric in metrics for value in metric.values()):
            raise TypeError
        super().write_many(metrics)


class Doubles(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many([*metrics, *metrics])


class Reverses(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many(list(metrics)[::-1])


class KeepsReferences(Sound):
    def write_many(self, metrics: Any) -> Any:
        super().write_many(metrics)
        self.inner.metrics[-len(metrics) :] = [
            Metric({**mine, **{key: metric[key] for key in metric if key != "timestamp"}})
            for mine, metric in zip(self.inner.metrics[-len(metrics) :], metrics, strict=True)
        ]


class Cuts(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many([Metric({**metric, "name": metric["name"].split("\n")[0]}) for metric in metrics])


class Changes(Sound):
    def bulk_write(self, metrics: Any) -> None:
        for metric in metrics:
            metric["extra"] = 1
        self.inner.bulk_write(metrics)


class Tells(Sound):
    def __repr__(self) -> str:
        return "Tells(password=hunter2)"


class ClosesOnce(Sound):
    closed = False

    def close(self, timeout: float | None = None) -> None:
        if self.closed:
            raise RuntimeError
        self.closed = True


class Rounds(Sound):
    def write_many(self, metrics: Any) -> Any:
        super().write_many(metrics)
        for metric in self.inner.metrics:
            metric["timestamp"] = metric["timestamp"].replace(microsecond=0)


class NotThreadSafe(Sound):
    def write_many(self, metrics: Any) -> Any:
        kept = list(self.inner.metrics)
        threading.Event().wait(0.0005)
        super().write_many(metrics)
        kept.append(self.inner.metrics[-1])
        self.inner.metrics[:] = kept if len(metrics) == 1 else self.inner.metrics


SUITE = """
import pytest
from tests import test_testing
from time_execution.testing import BackendContract

class Common(BackendContract):
    survives_fork = False
    secrets = ("hunter2",)

    @pytest.fixture
    def backend(self):
        return getattr(test_testing, type(self).__name__.removeprefix("Test"))()

    def read_back(self, backend):
        return backend.inner.metrics
"""
FAULTS = {
    "LosesLast": "test_a_batch_is_stored_in_order",
    "FailsWhole": "test_a_hostile_value_harms_no_neighbour",
    "Doubles": "test_write_stores_one_metric",
    "Reverses": "test_a_batch_is_stored_in_order",
    "KeepsReferences": "test_later_changes_do_not_reach_the_store",
    "Cuts": "test_any_name_is_one_record",
    "Changes": "test_what_is_handed_in_is_left_alone",
    "Tells": "test_its_repr_shows_no_secret",
    "ClosesOnce": "test_closing_twice_is_no_error",
    "Rounds": "test_timestamps_of_both_shapes_are_kept",
    "NotThreadSafe": "test_several_threads_write_at_once",
}


def run_pytest(folder: Path, suite: str, *options: str) -> str:
    """Run a suite in a process of its own, away from this project's settings, and return what pytest printed."""
    file = folder / "test_suite.py"
    file.write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rA",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        str(file),
    ]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=110).stdout


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What the contract says of a sound backend, and of each faulty one by the test that is there for its fault."""
    suite = SUITE + "".join(f"\nclass Test{name}(Common): pass\n" for name in ["Sound", *FAULTS])
    selection = " or ".join(["TestSound", *(f"(Test{name} and {test})" for name, test in FAULTS.items())])
    return run_pytest(tmp_path_factory.mktemp("suite"), suite, "-k", selection)


def test_a_sound_backend_passes_the_contract(verdicts):
    """The whole suite is green for a backend that does what it should."""
    assert not re.search("^(FAILED|ERROR) .*::TestSound::", verdicts, re.MULTILINE)
    assert len(re.findall("^PASSED .*::TestSound::", verdicts, re.MULTILINE)) > 100


@pytest.mark.parametrize("name", list(FAULTS))
def test_the_contract_finds_what_is_wrong(verdicts, name):
    """Each kind of fault is found by the test that is there for it."""
    assert re.search(f"^FAILED .*::Test{name}::{FAULTS[name]}", verdicts, re.MULTILINE), verdicts[-3000:]


def test_a_subclass_without_a_backend_is_told(tmp_path):
    """The error of an unfinished subclass names what is missing."""
    suite = "from time_execution.testing import BackendContract\nclass TestIt(BackendContract): pass\n"
    assert "TestIt must have a fixture named backend" in run_pytest(tmp_path, suite, "-x")
    assert BackendContract.secrets == ()
