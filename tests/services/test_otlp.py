"""`OTLPBackend` on a real OpenTelemetry Collector: what arrives is read from the file that it keeps."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import Counter

import pytest

pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")

from tests.backends.otlp_points import DURATION, latest, metrics_of, number_of, parsed, points_of
from tests.faults.harness import check_conservation, quick, wait_for
from time_execution import flush, settings, time_execution
from time_execution.backends.otlp import OTLPBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.testing import BackendContract
from time_execution.testing.hostile import HOSTILE_NAMES, hostile_values
from time_execution.types import STORED, Metric, Reject

MOMENT = 1_700_000_000_000_000_000
DEADLINE = 60.0


@pytest.fixture(scope="module")
def port(servers):
    return servers.port("otelcol")


@pytest.fixture
def service():
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def arrived(servers, port, service):
    """Give a function that returns all points of this test's service."""
    file = servers.data("otelcol") / "metrics.jsonl"
    begins = file.stat().st_size if file.exists() else 0

    def read():
        with file.open("rb") as lines:
            lines.seek(begins)
            ours = [parsed(line.decode()) for line in lines if service.encode() in line]
        return [point for request in ours for point in points_of(request)]

    return read


class TestOTLPContract(BackendContract):
    """The contract, on the real collector."""

    @pytest.fixture
    def backend(self, port, service, arrived):
        self.arrived = arrived
        options = {"temporality": "delta", "service_name": service, "attributes": ("status", "count")}
        with OTLPBackend(f"127.0.0.1:{port}", **options) as backend:
            yield backend

    def read_back(self, backend):
        return metrics_of(self.arrived())

    def stored_name(self, name):
        return name.encode("utf-8", "backslashreplace").decode()


def test_ten_thousand_metrics_arrive_as_they_were(port, service, arrived, deliver):
    """Hostile names and values of every kind: value, type, unit, moment and attribute are those that were written."""
    values = hostile_values()
    fields = [values[kind] for kind in ("bool", "negative", "-0.0", "2**64", "lone surrogate", "Enum", "UUID", "None")]
    backend = OTLPBackend(f"127.0.0.1:{port}", service_name=service, attributes=("field",), max_series=20_000)
    delivery = deliver(backend, bulk_size=500)
    for number in range(10_000):
        name = HOSTILE_NAMES[number % len(HOSTILE_NAMES)]
        value = float(number) if number % 3 == 0 else number
        document = {"name": name, "value": value, "timestamp": MOMENT + number, "hostname": "web-1"}
        delivery.enqueue(Metric({**document, "field": fields[number % 8]}, kind="gauge", unit="ms"))
    assert delivery.flush(DEADLINE)
    check_conservation(delivery.stats(), offered=10_000, pending=0)
    shown = [True, -1.5, -0.0, str(2**64), "a\\ud800b", "red", str(values["UUID"]), None]
    found = sorted(arrived(), key=lambda entry: entry["time"])
    assert len(found) == 10_000
    for number, entry in enumerate(found):
        name = HOSTILE_NAMES[number % len(HOSTILE_NAMES)].encode("utf-8", "backslashreplace").decode()
        expected = float(number) if number % 3 == 0 else number
        value = number_of(entry["point"])
        assert (entry["name"], value, type(value)) == (name, expected, type(expected))
        assert (entry["time"], entry["unit"], entry["shape"]) == (MOMENT + number, "ms", "gauge")
        field, wanted = entry["attributes"].get("field"), shown[number % 8]
        assert (field, type(field)) == (wanted, type(wanted))
        assert entry["resource"]["host.name"] == "web-1"


def test_calls_arrive_as_exact_totals(port, service, arrived, deliver):
    """Of 10 000 calls, the last point of each function has the count, the sum, the bounds and the errors."""
    delivery = deliver(OTLPBackend(f"127.0.0.1:{port}", service_name=service), bulk_size=300, queue_maxsize=10_000)
    for number in range(10_000):
        failed = {"error_type": "ValueError"} if number % 10 == 0 else {}
        delivery.enqueue(Metric({"name": f"f{number % 7}", "value": float(number % 100), **failed}))
    assert delivery.flush(DEADLINE)
    totals = latest(arrived())
    assert {entry["name"] for entry in totals} == {DURATION}
    expected = Counter((f"f{number % 7}", number % 10 == 0) for number in range(10_000))
    names = [(entry["attributes"]["code.function.name"], "error.type" in entry["attributes"]) for entry in totals]
    assert {name: entry["point"].count for name, entry in zip(names, totals, strict=True)} == expected
    assert all(sum(entry["point"].bucket_counts) == entry["point"].count for entry in totals)
    total = sum(number % 100 for number in range(10_000)) / 1000
    assert math.isclose(sum(entry["point"].sum for entry in totals), total)


@pytest.mark.serial
def test_a_killed_collector_costs_nothing(servers, port, service, arrived):
    """Killed in mid-stream and started again: every value arrives, totals are exact, and the caller never waits."""
    delivery = quick(OTLPBackend(f"127.0.0.1:{port}", service_name=service, timeout=5.0), bulk_size=100)
    waits = []

    def write(start, count):
        for number in range(start, start + count):
            began = time.perf_counter()
            delivery.write("level", value=number)
            waits.append(time.perf_counter() - began)
            delivery.enqueue(Metric({"name": "call", "value": 1.0}))

    write(0, 1000)
    assert flush_one(delivery)
    writer = threading.Thread(target=write, args=(1000, 3000))
    writer.start()
    servers.kill("otelcol")
    writer.join(DEADLINE)
    try:
        write(4000, 500)
    finally:
        servers.start("otelcol")
    assert flush_one(delivery)
    check_conservation(delivery.stats(), offered=9000, pending=0)
    assert delivery.stats()["delivered"] == 9000
    delivery.close()
    points = arrived()
    assert {number_of(entry["point"]) for entry in points if entry["shape"] == "gauge"} == set(range(4500))
    (calls,) = [entry for entry in latest(points) if entry["name"] == DURATION]
    assert calls["point"].count == 4500
    assert sorted(waits)[int(len(waits) * 0.99)] < 0.01


def flush_one(delivery):
    """Wait until all is delivered."""
    return delivery.flush(DEADLINE)


def test_a_wrong_token_is_told_and_costs_nothing(servers, port, service, arrived, caplog):
    """Case D9: one line that says what to check, nothing lost; with the right one, all is sent."""
    port = servers.port("otelcol-token")
    wrong = OTLPBackend(f"http://127.0.0.1:{port}", headers="Authorization=Bearer%20hunter2")
    with pytest.raises(BackendDenied, match="401: it refuses the credentials; check endpoint and headers"):
        wrong.write_many([Metric({"name": "a", "value": 1.0})])
    delivery = quick(wrong)
    for number in range(100):
        delivery.write("a", value=number)
    assert wait_for(delivery, lambda: delivery.stats()["last_error"])
    stats = delivery.stats()
    delivery.close(0.0)
    assert (stats["pending"], stats["delivered"]) == (100, 0)
    assert len([record for record in caplog.records if "refuses the credentials" in record.getMessage()]) == 1
    assert "hunter2" not in caplog.text
    right = OTLPBackend(
        f"http://127.0.0.1:{port}", service_name=service, headers="Authorization=Bearer%20secret-of-otelcol"
    )
    right.write_many([Metric({"name": "a", "value": 1.0})])
    assert len(arrived()) == 1


def test_tls_with_an_authority_of_its_own(servers, port, service, arrived):
    """With the authority's file it arrives; without, nothing is sent."""
    secure = servers.port("otelcol-tls")
    authority = str(servers.data("otelcol") / "tls" / "ca.pem")
    call = [Metric({"name": "a", "value": 1.0})]
    with pytest.raises(BackendDenied, match="check ca_certs"):
        OTLPBackend(f"https://127.0.0.1:{secure}", service_name=service).write_many(call)
    OTLPBackend(f"https://127.0.0.1:{secure}", service_name=service, ca_certs=authority).write_many(call)
    assert len(arrived()) == 1


def test_the_wrong_path_is_told(port):
    """An endpoint that is none of the collector's is refused in a way that says so."""
    with pytest.raises(BackendDenied, match="404"):
        OTLPBackend(f"http://127.0.0.1:{port}/elsewhere").write_many([Metric({"name": "a", "value": 1.0})])


def test_a_server_that_wants_tls_is_told(servers):
    """Whether its answer arrives or the connection breaks first, the error says what to write, and nothing is lost."""
    backend = OTLPBackend(f"http://127.0.0.1:{servers.port('otelcol-tls')}")
    for count in (1, 5000):
        batch = [Metric({"name": f"name {number}", "value": 1.0}) for number in range(count)]
        with pytest.raises(BackendUnavailable, match="write https://"):
            backend.write_many(batch)


def test_nobody_at_the_address_costs_nothing(caplog):
    """All stays queued, the state says so, and one line tells where the collector was looked for."""
    delivery = quick(OTLPBackend("http://127.0.0.1:9", timeout=1.0))
    for number in range(100):
        delivery.write("a", value=number)
    assert wait_for(delivery, lambda: delivery.stats()["last_error"])
    stats = delivery.stats()
    delivery.close(0.0)
    assert stats["pending"] == 100
    assert stats["state"] in {"failing", "open"}
    assert stats["last_error"].startswith("BackendUnavailable: nothing answers at http://127.0.0.1:9; ")
    assert len([record for record in caplog.records if "is the collector running?" in record.getMessage()]) == 1


def test_one_refused_metric_harms_no_neighbour(port, service):
    """Case D1's like: what OTLP has no form for is rejected before it is sent."""
    backend = OTLPBackend(f"127.0.0.1:{port}", service_name=service)
    first, odd, last = backend.write_many([Metric({"name": "a", "value": value}) for value in (1.0, "x", 2.0)])
    assert (first, last) == (STORED, STORED)
    assert isinstance(odd, Reject)


def test_a_failure_is_sent_again(port, service, arrived):
    """Case D1: a backend that fails once has all 1 000 in the end, in the same totals."""
    backend = OTLPBackend(f"127.0.0.1:{port}", service_name=service)
    delivery = quick(backend, bulk_size=100)
    post, failed = backend._transport.post, []

    def fail_once(message):
        if not failed:
            failed.append(True)
            raise BackendUnavailable("once")
        return post(message)

    backend._transport.post = fail_once
    for _ in range(1000):
        delivery.enqueue(Metric({"name": "a", "value": 1.0}))
    assert flush_one(delivery)
    assert delivery.stats()["retries"] == 1
    delivery.close()
    (found,) = latest(arrived())
    assert found["point"].count == 1000


@pytest.mark.parametrize("form", ["url", "dict"])
def test_it_is_configured_by_url_and_by_dict(port, service, arrived, form):
    """From the settings to the collector's file, through a decorated function."""
    url = f"otlp://127.0.0.1:{port}?service_name={service}&timeout=5s"
    spec = {"class": "otlp", "endpoint": f"http://127.0.0.1:{port}", "service_name": service}
    settings.configure(backends=[url if form == "url" else spec])

    @time_execution(name="shop.pay")
    def pay():
        return 1

    assert [pay() for _ in range(5)] == [1] * 5
    assert flush(DEADLINE)
    (found,) = latest(arrived())
    assert (found["attributes"], found["point"].count) == ({"code.function.name": "shop.pay"}, 5)
