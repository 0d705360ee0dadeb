"""`StatsDBackend` against the server of StatsD's first authors: what it received, and what it made of that."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections import Counter, defaultdict

import pytest

from tests.services.brokers import p99
from tests.services.conftest import PORTS
from tests.statsd_server import decode_name, records
from time_execution import flush, settings, time_execution, write_metric
from time_execution.backends.statsd import StatsDBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.formats.number import finite_number
from time_execution.pipeline import emit
from time_execution.testing import BackendContract
from time_execution.testing.hostile import HOSTILE_NAMES, hostile_values
from time_execution.types import STORED, Metric

DEADLINE = 20.0


class Recorded:
    """What the server wrote down since this was made, of metrics whose names begin with a prefix of its own."""

    def __init__(self, servers):
        self.tcp = servers.port("statsd-tcp")
        self.udp = PORTS["statsd"]
        self.prefix = f"t{uuid.uuid4().hex[:12]}"
        self._marks = itertools.count()
        self._files = {name: servers.data("statsd") / f"{name}.jsonl" for name in ("packets", "flushes")}
        self._starts = {name: path.stat().st_size if path.exists() else 0 for name, path in self._files.items()}

    def settled(self, name):
        """Return what it wrote down, when a count that is sent now is among it."""
        mark = f"mark{next(self._marks)}"
        with StatsDBackend("127.0.0.1", self.tcp, protocol="tcp", prefix=self.prefix) as backend:
            assert list(backend.write_many([Metric({"name": mark, "value": 1}, kind="counter")])) == [STORED]
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            data = self._files[name].read_bytes()[self._starts[name] :]
            if f"{self.prefix}.{mark}".encode() in data and data.endswith(b"\n"):
                return [json.loads(line) for line in data.splitlines()]
            time.sleep(0.02)
        raise AssertionError(f"{mark} is not among {name}")

    def lines(self):
        """Return the lines that it received, but for marks."""
        packets = [packet["text"].split("\n") for packet in self.settled("packets")]
        lines = [line for packet in packets for line in packet if line.startswith(f"{self.prefix}.")]
        return [line for line in lines if not line.startswith(f"{self.prefix}.mark")]

    def aggregated(self):
        """Return what it made of them: counts, timings and gauges by name."""
        counters, timers, gauges = Counter(), defaultdict(list), {}
        for second in self.settled("flushes"):
            counters.update({self._name(name): count for name, count in second["counters"].items()})
            for name, durations in second["timers"].items():
                timers[self._name(name)] += durations
            gauges.update({self._name(name): level for name, level in second["gauges"].items()})
        for found in (counters, timers, gauges):
            found.pop(None, None)
        return {name: count for name, count in counters.items() if not name.startswith("mark")}, timers, gauges

    def _name(self, name):
        return decode_name(name.removeprefix(f"{self.prefix}.")) if name.startswith(f"{self.prefix}.") else None


@pytest.fixture
def recorded(servers):
    return Recorded(servers)


class TestStatsDContract(BackendContract):
    """Over TCP, where no line is lost."""

    keeps_fields = False  # a name and a number is all there is
    keeps_moments = False

    @pytest.fixture
    def backend(self, recorded):
        self.recorded = recorded
        with StatsDBackend("127.0.0.1", recorded.tcp, protocol="tcp", prefix=recorded.prefix) as backend:
            yield backend

    def read_back(self, backend):
        return records(self.recorded.lines(), prefix=f"{self.recorded.prefix}.")


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_the_server_counts_as_we_do(recorded, protocol):
    """Counters add up, with the sample rate; timings are all there; of gauges the last one counts, below zero too."""
    port = recorded.tcp if protocol == "tcp" else recorded.udp
    with StatsDBackend("127.0.0.1", port, protocol=protocol, prefix=recorded.prefix) as backend:
        metrics = [Metric({"name": "sold", "value": number}, kind="counter") for number in range(1, 101)]
        metrics += [Metric({"name": "sampled", "value": 1, "sample_rate": 0.25}, kind="counter") for _ in range(10)]
        metrics += [Metric({"name": "pay", "value": number / 8}) for number in range(100)]
        metrics += [Metric({"name": "level", "value": level}, kind="gauge") for level in (7, -2, 5.5, -3.25)]
        metrics += [Metric({"name": "zero", "value": level}, kind="gauge") for level in (7, 0)]
        metrics += [Metric({"name": "written", "value": 3}, kind="value"), Metric({"name": "deployed"}, kind="event")]
        assert list(backend.write_many(metrics)) == [STORED] * len(metrics)
    counters, timers, gauges = recorded.aggregated()
    assert counters == {"sold": 5050, "sampled": 40, "deployed": 1}
    assert {name: sorted(durations) for name, durations in timers.items()} == {"pay": [n / 8 for n in range(100)]}
    assert gauges == {"level": -3.25, "zero": 0, "written": 3}


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_ten_thousand_hostile_metrics_arrive(recorded, protocol):
    """Under the names that were sent, once they are decoded, with the same numbers, and none is a bad line."""
    values = [*hostile_values().values(), *range(50)]
    pairs = [(HOSTILE_NAMES[n % len(HOSTILE_NAMES)], values[n % len(values)]) for n in range(10_000)]
    metrics = [Metric({"name": name, "value": value, "field": value}, kind="counter") for name, value in pairs]
    port = recorded.tcp if protocol == "tcp" else recorded.udp
    results = []
    with StatsDBackend("127.0.0.1", port, protocol=protocol, prefix=recorded.prefix) as backend:
        for start in range(0, 10_000, 500):
            results += backend.write_many(metrics[start : start + 500])
            recorded.lines()  # so that the server has read it all before more datagrams come
    expected = [(name, finite_number(value)) for name, value in pairs]
    assert [result == STORED for result in results] == [number is not None for _, number in expected]
    expected = [(name, float(number)) for name, number in expected if number is not None]
    found = [(one["name"], one["value"]) for one in records(recorded.lines(), prefix=f"{recorded.prefix}.")]
    assert found == expected
    sums = Counter()
    for name, number in expected:
        sums[name] += number
    counters, _, _ = recorded.aggregated()
    assert {name: pytest.approx(count) for name, count in sums.items()} == counters


@pytest.mark.parametrize("query", ["", "?protocol=tcp", "?protocol=tcp&confirm=false"])
def test_a_url_is_all_it_takes(recorded, query):
    """A decorated function, a number by hand and a counter, from the configuration to the server."""
    port = recorded.tcp if query else recorded.udp
    url = f"statsd://127.0.0.1:{port}{query}{'&' if query else '?'}prefix={recorded.prefix}"
    with settings(backends=[url]):

        @time_execution(name="shop.checkout")
        def checkout():
            return "paid"

        assert [checkout() for _ in range(3)] == ["paid"] * 3
        write_metric("jobs.waiting", value=3)
        emit(Metric({"name": "shop.sold", "value": 2}, kind="counter"))
        assert flush(DEADLINE)
    counters, timers, gauges = recorded.aggregated()
    assert (counters, gauges) == ({"shop.sold": 2}, {"jobs.waiting": 3})
    assert len(timers["shop.checkout"]) == 3
    assert all(0 < took < 1000 for took in timers["shop.checkout"])


def test_a_dict_configures_it_too(recorded):
    """With the options as arguments."""
    spec = {"class": "statsd", "host": "127.0.0.1", "port": recorded.tcp, "protocol": "tcp", "prefix": recorded.prefix}
    with settings(backends=[spec]):
        write_metric("jobs.waiting", value=3)
        assert flush(DEADLINE)
    (found,) = records(recorded.lines(), prefix=f"{recorded.prefix}.")
    assert found == {"name": "jobs.waiting", "value": 3.0, "type": "g"}


@pytest.mark.serial
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_killed_server_costs_the_caller_nothing_and_is_found_again(servers, recorded, protocol):
    """D1, D5: what is written while it is away arrives when it is back; over UDP, too, as it is on this machine."""
    port = recorded.tcp if protocol == "tcp" else recorded.udp
    backend = StatsDBackend("127.0.0.1", port, protocol=protocol, prefix=recorded.prefix, timeout=2.0)
    queue = ThreadedBackend(backend, bulk_size=100, bulk_timeout=0.05, retry=Backoff(base=0.05, cap=0.2))
    took = []

    def write(numbers):
        for number in numbers:
            started = time.perf_counter()
            queue.write("number", value=number)
            took.append(time.perf_counter() - started)

    try:
        write(range(2000))
        assert queue.flush(DEADLINE)
        recorded.lines()
        servers.kill("statsd")
        write(range(2000, 4000))
        assert queue.flush(0.5) is False
        servers.start("statsd")
        write(range(4000, 5000))
        assert queue.flush(DEADLINE)
        stats = queue.stats()
    finally:
        queue.close()
        servers.start("statsd")
    found = [one["value"] for one in records(recorded.lines(), prefix=f"{recorded.prefix}.")]
    assert found == list(range(5000))
    assert (stats["delivered"], stats["pending"], stats["dropped"]) == (5000, 0, {})
    assert p99(took) < 0.05
