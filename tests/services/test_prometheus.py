"""PrometheusBackend scraped by a real Prometheus, checked by promtool, pushed to a real Pushgateway."""

from __future__ import annotations

import json
import math
import secrets
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry

from tests.backends.prometheus_totals import CALLS, DURATION, OPENMETRICS, samples_in, timing
from tests.backends.test_prometheus_exporter import free_port
from time_execution import flush, settings, time_execution
from time_execution.backends.prometheus import PrometheusBackend
from time_execution.testing.hostile import HOSTILE_NAMES
from time_execution.types import Metric

DEADLINE = 30.0


def ask(port, path, **parameters):
    url = f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        return json.load(answer)["data"]


def eventually(look, wanted):
    """Ask again until the answer is right, or the time is over; returns the last one."""
    deadline = time.monotonic() + DEADLINE
    while (found := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _given(labels):
    """Return the labels as Prometheus has them: without those that have no value, and bounds as it writes numbers."""
    return frozenset((name, text.removesuffix(".0") if name == "le" else text) for name, text in labels if text)


def ok(function, **labels):
    return frozenset({"function": function, "outcome": "ok", **labels}.items())


class Scraped:
    """A target that the real Prometheus scrapes each second, and what it has found there.

    Attributes:
        port: Where it expects the target.
        job: The label that its series have.
    """

    def __init__(self, servers):
        self._server = servers.port("prometheus")
        self.port, self.job = free_port(), f"test-{secrets.token_hex(4)}"
        self._file = servers.data("prometheus") / "targets" / f"{self.job}.json"
        self._file.write_text(json.dumps([{"targets": [f"127.0.0.1:{self.port}"], "labels": {"job": self.job}}]))

    def query(self, name, **labels):
        """Return the values of a series by its labels, without those of the target."""
        selector = ",".join(f'{label}="{value}"' for label, value in {"job": self.job, **labels}.items())
        found = ask(self._server, "/api/v1/query", query=f"{name}{{{selector}}}")["result"]
        hidden = {"__name__", "job", "instance"}
        return {
            _given(pair for pair in series["metric"].items() if pair[0] not in hidden): float(series["value"][1])
            for series in found
        }

    def exemplars(self, name):
        found = ask(
            self._server,
            "/api/v1/query_exemplars",
            query=f'{name}{{job="{self.job}"}}',
            start=time.time() - 3600,
            end=time.time() + 3600,
        )
        return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]

    def last_error(self):
        targets = ask(self._server, "/api/v1/targets")["activeTargets"]
        return next((target["lastError"] for target in targets if target["labels"]["job"] == self.job), None)

    def close(self):
        self._file.unlink()


@pytest.fixture(name="scraped")
def scraped_fixture(servers):
    scraped = Scraped(servers)
    yield scraped
    scraped.close()


@pytest.fixture(name="check")
def check_fixture(servers):
    """Let promtool judge an exposition; it is where Prometheus is."""
    servers.port("prometheus")
    promtool = shutil.which("promtool")
    assert promtool, "promtool comes with Prometheus"

    def check(text):
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"")

    return check


def everything():
    """Return metrics of all kinds, units and sorts."""
    return [
        *(timing(name, 12.5, route=name) for name in HOSTILE_NAMES),
        timing("failing", 3.0, error_type="ValueError", trace_id="a" * 32, span_id="b" * 16),
        Metric({"name": "cpu.load.1m", "value": 0.5}, kind="value"),
        Metric({"name": "workers.busy", "value": 3}, kind="gauge"),
        Metric({"name": "disk.used", "value": 50}, kind="gauge", unit="%"),
        Metric({"name": "net.received", "value": 12}, kind="counter", unit="KiB"),
        Metric({"name": "lag", "value": 250}, kind="value", unit="ms"),
        Metric({"name": "deploy"}, kind="event"),
    ]


@pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "file"])
def test_promtool_finds_nothing_to_complain_of(check, tmp_path, is_shared):
    """Names, units, types and help are as Prometheus advises; so are those of our own metrics and the overflow."""
    stats = {"backends": {"b": {"offered": 1, "dropped": {"full": 1}, "pending": 2}}, "errors": {"hook": {"a": 1}}}
    path = tmp_path / "metrics.db" if is_shared else None
    backend = PrometheusBackend(
        path=path, labels=["route"], namespace="shop", self_metrics=lambda: stats, max_series=40
    )
    backend.write_many(everything())
    for kind in ("counter", "gauge", "value"):
        backend.write_many([Metric({"name": f"more{number}", "value": 1}, kind=kind) for number in range(50)])
    text = backend.exposition()[0]
    assert b"__overflow__" in text
    check(text)
    backend.close()


@pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "file"])
def test_promtool_takes_two_namespaces_in_one_registry(check, tmp_path, is_shared):
    """Our own families have no namespace, and each of them one HELP line all the same."""
    registry = CollectorRegistry()
    path = tmp_path / "metrics.db" if is_shared else None
    backends = [PrometheusBackend(path=path, namespace=name, registry=registry, max_series=2) for name in ("a", "b")]
    for backend in backends:
        backend.write_many(everything())
        backend.close()
    text = backends[0].exposition()[0]
    assert b"a_function_calls_total" in text
    assert b"b_function_calls_total" in text
    check(text)


def test_prometheus_sees_what_was_counted(scraped):
    """10 000 timings with the worst of names, and numbers of each kind, come back through its query API."""
    with PrometheusBackend(port=scraped.port, labels=["route"]) as backend:
        for start in range(0, 10_000, 500):
            batch = [
                timing(HOSTILE_NAMES[number % 20], 2.0 ** (number % 8), route=HOSTILE_NAMES[number % 3])
                for number in range(start, start + 500)
            ]
            assert backend.write_many(batch) is None
        backend.write_many(everything()[len(HOSTILE_NAMES) :])
        expected = samples_in(backend.exposition()[0].decode())

        def wanted(name):
            return {_given(labels): value for (found, labels), value in expected.items() if found == name}

        for name in (CALLS, f"{DURATION}_bucket", f"{DURATION}_sum", f"{DURATION}_count", "cpu_load_1m"):
            found = eventually(lambda name=name: scraped.query(name), wanted(name))
            assert found == pytest.approx(wanted(name)), name
        assert sum(scraped.query(CALLS).values()) == 10_001
        assert scraped.query("net_received_bytes_total") == {frozenset(): 12 * 1024.0}
        assert scraped.query("lag_seconds") == {frozenset(): 0.25}
        assert scraped.query("disk_used_ratio") == {frozenset(): 0.5}
        assert scraped.last_error() == ""


def test_prometheus_keeps_exemplars(scraped):
    """Asked for OpenMetrics, the exporter gives the trace of a call in each bucket."""
    with PrometheusBackend(port=scraped.port) as backend:
        backend.write_many([timing(value=5.0, trace_id="a" * 32, span_id="b" * 16)])
        wanted = [{"trace_id": "a" * 32, "span_id": "b" * 16}]
        assert eventually(lambda: scraped.exemplars(f"{DURATION}_bucket")[:1], wanted) == wanted


def test_quantiles_come_out_of_the_buckets(scraped):
    """A median of 3 ms is told to be between the buckets of 2.5 and 5 ms."""
    with PrometheusBackend(port=scraped.port) as backend:
        backend.write_many([timing(value=3.0)] * 100)
        eventually(lambda: scraped.query(f"{DURATION}_count"), {frozenset({("function", "f")}): 100.0})
        (median,) = ask(
            scraped._server,
            "/api/v1/query",
            query=f'histogram_quantile(0.5, {DURATION}_bucket{{job="{scraped.job}"}})',
        )["result"]
        assert math.isclose(float(median["value"][1]), 0.00375)


def test_configured_by_url_a_decorated_function_is_scraped(scraped):
    """From the decorator to the query."""
    settings.configure(backends=[f"prometheus://127.0.0.1:{scraped.port}?linger=10ms&namespace=shop"])

    @time_execution(name="checkout")
    def checkout():
        return 1

    for _ in range(7):
        checkout()
    assert flush(10.0)
    wanted = {ok("checkout"): 7.0}
    assert eventually(lambda: scraped.query("shop_function_calls_total", outcome="ok"), wanted) == wanted


def test_configured_by_dict_the_same(scraped):
    """The other form."""
    backend = {"class": "prometheus", "port": scraped.port, "labels": ["route"], "linger": 0.01}
    settings.configure(backends=[backend])
    settings.backends[0].bulk_write([timing("f", route="/a")])
    assert flush(10.0)
    wanted = {ok("f", route="/a"): 1.0}
    assert eventually(lambda: scraped.query(CALLS, outcome="ok"), wanted) == wanted


def test_without_the_token_prometheus_is_refused(scraped):
    """It reports the target as down, with the status it got."""
    with PrometheusBackend(port=scraped.port, exporter_token="hunter2") as backend:
        backend.write_many([timing()])
        wanted = "server returned HTTP status 401 Unauthorized"
        assert eventually(scraped.last_error, wanted) == wanted


@pytest.fixture(name="gateway")
def gateway_fixture(servers):
    """Give the address of the Pushgateway, and a job whose group is removed afterwards."""
    port, job = servers.port("pushgateway"), f"job-{secrets.token_hex(4)}"
    url = f"http://127.0.0.1:{port}"
    yield url, job
    request = urllib.request.Request(f"{url}/metrics/job/{job}/instance/web-1", method="DELETE")
    urllib.request.urlopen(request, timeout=DEADLINE).close()


def group(gateway):
    """Return what the gateway shows of the job."""
    url, job = gateway
    with urllib.request.urlopen(f"{url}/metrics", timeout=DEADLINE) as answer:
        found = samples_in(answer.read().decode())
    common = {("job", job), ("instance", "web-1")}
    return {(name, _given(labels - common)): value for (name, labels), value in found.items() if common <= labels}


def test_a_job_pushes_what_it_did_before_it_ends(gateway):
    """The gateway shows all kinds of metrics, whatever their names, as the backend itself does."""
    url, job = gateway
    backend = PrometheusBackend(pushgateway=url, job=job, instance="web-1", labels=["route"])
    backend.write_many(everything())
    backend.close()
    found = group(gateway)
    for (name, labels), value in samples_in(backend.exposition()[0].decode()).items():
        assert found[name, _given(labels)] == pytest.approx(value), (name, labels)


def test_a_gateway_that_was_killed_gets_the_totals_later(servers, gateway):
    """Pushes fail meanwhile and hold nothing back; the first one that succeeds tells all, once."""
    url, job = gateway
    settings.configure(
        backends=[f"prometheus://?pushgateway={url}&job={job}&instance=web-1&linger=10ms&push_interval=50ms&timeout=1s"]
    )
    (delivery,) = settings.backends
    delivery.bulk_write([timing()] * 10)
    assert flush(10.0)
    servers.kill("pushgateway")
    try:
        slowest = 0.0
        for _ in range(100):
            before = time.perf_counter()
            delivery.bulk_write([timing()] * 10)
            slowest = max(slowest, time.perf_counter() - before)
        assert flush(20.0) is False
        assert slowest < 0.5
    finally:
        servers.start("pushgateway")
    delivery.close(10.0)
    stats = delivery.stats()
    assert (stats["delivered"], stats["pending"], stats["retries"]) == (1010, 0, 0)
    assert group(gateway)[CALLS, ok("f")] == 1010


def test_a_prometheus_that_was_killed_finds_the_totals_when_it_is_back(servers, scraped):
    """Nobody waits for a scraper: what it has missed is in the next answer."""
    with PrometheusBackend(port=scraped.port) as backend:
        backend.write_many([timing()] * 5)
        wanted = {ok("f"): 5.0}
        assert eventually(lambda: scraped.query(CALLS, outcome="ok"), wanted) == wanted
        servers.kill("prometheus")
        try:
            backend.write_many([timing()] * 5)
        finally:
            servers.start("prometheus")
        wanted = {ok("f"): 10.0}
        assert eventually(lambda: scraped.query(CALLS, outcome="ok"), wanted) == wanted


def test_openmetrics_is_what_prometheus_asks_for(servers):
    """Its parsers and prometheus_client's agree on both formats."""
    servers.port("prometheus")
    from tests.backends.prometheus_totals import parse_openmetrics

    backend = PrometheusBackend(labels=["route"])
    backend.write_many(everything())
    text = samples_in(backend.exposition()[0].decode())
    rich = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_openmetrics(backend.exposition(OPENMETRICS)[0].decode())
        for sample in family.samples
    }
    assert rich == text
