"""`InfluxBackend` with protocol 2.x on VictoriaMetrics, which keeps numbers: one series for each field of a name."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
import uuid

import pytest

pytest.importorskip("time_execution.backends.influxdb.v2", reason="its client is not installed", exc_type=ImportError)

from tests.backends.influxdb_lines import decode
from tests.closed_after import closed_after
from tests.faults.harness import check_conservation
from tests.services.brokers import Stream, hostile_metrics, wait_until
from time_execution import flush, settings, time_execution
from time_execution.backends.influxdb import InfluxBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.formats.line_protocol import name_text
from time_execution.types import STORED, Metric


@pytest.fixture(scope="module")
def port(servers):
    return servers.port("victoriametrics")


@pytest.fixture
def run(port):
    """A text that marks what a test writes, as the tag hostname; those series are deleted after the test."""
    mark = f"test-{uuid.uuid4().hex}"
    yield mark
    ask(port, "/api/v1/admin/tsdb/delete_series", mark)


@pytest.fixture
def make(port):

    def build(**options):
        return InfluxBackend("127.0.0.1", port=port, protocol="2.x", org="acme", bucket="b", token="t", **options)

    with closed_after(build) as make:
        yield make


def ask(port, path, mark):
    query = urllib.parse.urlencode({"match[]": f'{{hostname="{mark}",__name__=~".*_(value|number|flag)"}}'})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?{query}", timeout=30) as answer:
        return answer.read().decode()


@pytest.fixture
def read(port, run):
    """Give a function that returns what the server has: (name with field, other tags, value, milliseconds)."""

    def read():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/internal/force_flush", timeout=30):
            pass
        lines = ask(port, "/api/v1/export", run).split("\n")
        return [point for line in lines if line for point in _points(json.loads(line))]

    return read


def _points(series):
    tags = {key: decode(text) for key, text in series["metric"].items() if key not in {"__name__", "hostname"}}
    name = series["metric"]["__name__"]
    return [(name, tags, *pair) for pair in zip(series["values"], series["timestamps"], strict=True)]


def test_10_000_hostile_metrics_arrive(make, read, run):
    """Names, numbers, moments and tags; texts are not kept there, and harm nothing, whatever is in them."""
    written = [
        Metric({**fields, "hostname": run, "origin": f"o{number % 7}"})
        for number, fields in enumerate(hostile_metrics(10_000))
    ]
    for number, metric in enumerate(written):
        metric["timestamp"] = 1_700_000_000_000_000_000 + number * 1_000_000  # it keeps milliseconds
    backend = make()
    for start in range(0, len(written), 2500):
        assert backend.write_many(written[start : start + 2500]) == [STORED] * 2500
    wait_until(lambda: sum(name.endswith("_number") for name, *_ in read()) >= len(written), timeout=30.0)
    found = {(name, moment): (tags, value) for name, tags, value, moment in read()}
    for number, metric in enumerate(written):
        moment = metric["timestamp"] // 10**6
        for field, value in (("number", number), ("value", number / 8), ("flag", float(metric["flag"]))):
            assert found[f"{name_text(metric['name'])}_{field}", moment] == ({"origin": f"o{number % 7}"}, value)


def test_a_server_that_is_killed_and_comes_back_has_everything(make, read, run, servers):
    """kill -9 in mid-stream: what was confirmed was in its memory only; the rest arrives, and no writer waits."""
    with ThreadedBackend(make(timeout=5.0), bulk_timeout=0.02, retry=Backoff(base=0.05, cap=1.0)) as queue:
        with Stream(_Marked(queue, run)) as stream:
            stream.reach(100)
            servers.kill("victoriametrics")
            try:
                wait_until(lambda: queue.stats()["last_error"])
                confirmed = queue.stats()["delivered"]
                stream.reach(stream.count + 200)
            finally:
                servers.start("victoriametrics")
            stream.reach(stream.count + 100)
        assert queue.flush(60.0)
        stats = queue.stats()
    check_conservation(stats, offered=stream.count, pending=0)
    assert stats["delivered"] == stream.count
    wait_until(lambda: set(range(confirmed, stream.count)) <= _numbers(read()), timeout=30.0)
    assert stream.p99() < 0.05


def _numbers(found):
    return {int(value) for name, _, value, _ in found if name == "stream_number"}


class _Marked:
    """Writes with the mark of a test, and a moment for each."""

    def __init__(self, delivery, mark):
        self._delivery = delivery
        self._mark = mark

    def write(self, name, **fields):
        self._delivery.write(name, hostname=self._mark, **fields)


def test_configured_by_url(port, run, read):
    """One decorated function, and its timing arrives."""
    url = f"influxdb://127.0.0.1:{port}?protocol=2.x&org=acme&bucket=b&token=t&linger=10ms"
    settings.configure(backends=[url], hostname=run)

    @time_execution
    def pay():
        return "paid"

    assert pay() == "paid"
    assert flush(20.0)
    wait_until(lambda: len(read()) == 1, timeout=30.0)
    ((name, tags, value, moment),) = read()
    assert name.endswith("pay_value")
    assert tags == {}
    assert value > 0
    assert abs(moment - time.time() * 1000) < 60_000
