"""The test kit: what it captures, how its clock moves, how its backend fails."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from time_execution import settings, time_execution, write_metric
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendTimeout, BackendUnavailable
from time_execution.testing import FakeClock, Hold, ScriptedBackend, StoreThenRaise, capture_metrics
from time_execution.types import STORED, Metric, Reject, Retry


@time_execution
def work(result=1):
    return result


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


def test_durations_are_found_under_the_name_that_they_have():
    """Also among the metrics of one name, and in between those that were written by hand."""
    with capture_metrics(duration_field="ms") as captured:
        work()
        write_metric("by.hand", value=7)
        assert captured.values == [captured[0]["ms"], 7]
        assert captured.named("*.work").values == [captured[0]["ms"]]
        assert captured.named("*").values == captured.values


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


def test_listeners_may_move_and_ask_for_the_clock(fake_clock):
    """Whoever is woken may use it, without a deadlock; one that is added meanwhile hears of the next advance."""
    heard = []

    def listener():
        heard.append(fake_clock())
        fake_clock.shift_wall(1.0)
        fake_clock.on_advance(lambda: heard.append("added"))

    fake_clock.on_advance(listener)
    thread = threading.Thread(target=fake_clock.advance, args=(2.0,), daemon=True)
    thread.start()
    thread.join(10.0)
    assert not thread.is_alive()
    assert heard == [2.0]


def test_delivery_takes_the_clock():
    """A batch that waits for its linger leaves when the clock says so."""
    clock, backend = FakeClock(), ScriptedBackend()
    with ThreadedBackend(backend, bulk_size=100, bulk_timeout=3600, queue_timeout=0.01, clock=clock) as queue:
        queue.write("a")
        assert not backend.wait_for_stored(1, timeout=0.1)
        clock.advance(3601)
        assert backend.wait_for_stored(1)


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
    gate = Hold()
    backend = ScriptedBackend([gate, Hold(timeout=0.01)])
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
