"""`InfluxBackend` on InfluxDB 1.6: what arrives is read back with the official client."""

from __future__ import annotations

import logging
import socket
import time
import uuid

import pytest

pytest.importorskip("time_execution.backends.influxdb.v1", reason="its client is not installed", exc_type=ImportError)

from tests.closed_after import closed_after

from time_execution.backends.influxdb.v1 import InfluxDBClient, InfluxDBClientError  # isort: skip - without its warnings
from influxdb.line_protocol import quote_ident

from tests.fault_server import DROP
from tests.faults.harness import check_conservation
from tests.services.brokers import Stream, hostile_metrics, wait_until
from tests.services.conftest import PORTS
from tests.services.influxdb_points import expected_of, points, rows_of
from tests.services.relay import Relay
from time_execution import flush, settings, time_execution
from time_execution.backends.base import batch_sender
from time_execution.backends.influxdb import InfluxBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendDenied, BackendTimeout, BackendUnavailable
from time_execution.formats.line_protocol import column_text
from time_execution.testing import BackendContract
from time_execution.types import STORED, Metric, Reject

USER, PASSWORD = "timeexecution", "secret-of-influxdb"
LOGIN = {"username": USER, "password": PASSWORD}


@pytest.fixture(scope="module")
def port(servers):
    return servers.port("influxdb")


@pytest.fixture(scope="module")
def admin(port):
    client = InfluxDBClient("127.0.0.1", port, USER, PASSWORD, timeout=30)
    yield client
    client.close()


@pytest.fixture
def database(admin):
    name = f"test-{uuid.uuid4().hex}"
    yield name
    admin.drop_database(name)


@pytest.fixture
def make(port, database):
    """Make backends for the database, which is not there yet; they are closed after the test."""

    def build(host="127.0.0.1", of=database, **options):
        return InfluxBackend(host, of, **{"port": port, **LOGIN, **options})

    with closed_after(build) as make:
        yield make


@pytest.fixture
def read(admin, database):
    """Give a function that returns all points: dicts with name, timestamp in nanoseconds, tags and fields."""

    def read(of=database, policy=None):
        return points(admin, of, policy)

    return read


class TestInfluxContract(BackendContract):
    """On the real server."""

    keeps_order = False  # a query answers by series
    secrets = (PASSWORD,)

    @pytest.fixture
    def backend(self, make, read):
        self.read = read
        return make()

    def read_back(self, backend):
        try:
            return self.read()
        except InfluxDBClientError:  # there is no such database, for nothing was written
            return []


# ---- what arrives --------------------------------------------------------------------------------------------------


def test_10_000_hostile_metrics_come_back(make, read):
    """Field by field with their types: the names, keys and values that are hardest to keep."""
    written = [
        Metric({"hostname": f"web {number % 3}", **fields}) for number, fields in enumerate(hostile_metrics(10_000))
    ]
    for number, metric in enumerate(written):  # a field has one type in InfluxDB
        key = next(key for key in metric if key not in {"name", "value", "hostname", "timestamp"})
        metric["name"] = f"{metric['name']} {key} {type(expected_of(metric).get(column_text(key))).__name__}"
        metric["number"] = number
    backend = make()
    for start in range(0, len(written), 2500):
        assert backend.write_many(written[start : start + 2500]) == [STORED] * 2500
    found = {point["number"]: point for point in read()}
    assert len(found) == len(written)
    for number, metric in enumerate(written):
        expected = expected_of(metric)
        assert {key: type(value) for key, value in found[number].items()} == {k: type(v) for k, v in expected.items()}
        assert found[number] == expected


def test_points_that_share_a_nanosecond_all_arrive(make, read):
    """In one batch and across batches; the same batch sent again changes nothing."""
    fields = {"name": "a", "hostname": "h", "timestamp": 1_700_000_000_000_000_000}
    same = [Metric({**fields, "value": float(number)}, id=f"0f-{number}") for number in range(1000)]
    backend = make()
    for batch in (same[:400], same[400:], same, same[500:600]):
        assert backend.write_many(batch) == [STORED] * len(batch)
    found = read()
    assert sorted(point["value"] for point in found) == list(range(1000))
    assert {point["timestamp"] - 1_700_000_000_000_000_000 for point in found} == set(range(1000))


@pytest.mark.parametrize(("precision", "unit"), [("us", 10**3), ("ms", 10**6), ("s", 10**9)])
def test_precisions_are_told_to_the_server(make, read, precision, unit):
    """So that it takes a timestamp for what it is."""
    moment = 1_700_000_123_456_789_123
    make(precision=precision).write("a", value=1, timestamp=moment)
    assert [point["timestamp"] for point in read()] == [moment // unit * unit]


def test_integers_are_integers_when_asked_for(make, read, admin, database):
    """The server says so itself."""
    make(integers=True).write("a", value=1, count=3, ratio=0.5)
    rows = rows_of(admin, database, "SHOW FIELD KEYS")
    assert dict(rows) == {"value": "float", "count": "integer", "ratio": "float"}


def test_tags_are_tags(make, admin, database):
    """Those named, beside hostname and origin; all else is a field."""
    make(tags=["area"]).write("a", value=1, hostname="h", origin="api", area="eu", status="ok")
    assert [key for (key,) in rows_of(admin, database, "SHOW TAG KEYS")] == ["area", "hostname", "origin"]


def test_compressed_requests_arrive(make, read):
    """With gzip."""
    make(gzip=True).bulk_write([{"name": "a", "value": number} for number in range(100)])
    assert len(read()) == 100


def test_metrics_go_to_the_retention_policy_asked_for(make, read, admin, database):
    """And wait while there is none of that name."""
    backend = make(retention_policy="a week")
    with pytest.raises(BackendDenied, match="no such retention policy"):
        backend.write("a", value=1)
    admin.create_retention_policy("a week", "7d", "1", database=database)
    backend.write("a", value=1)
    assert len(read(policy="a week")) == 1
    (result,) = backend.write_many([Metric({"name": "a", "value": 1, "timestamp": 1_000_000_000})])
    assert result == Reject(detail="partial write: points beyond retention policy dropped=1")


# ---- what the server refuses ---------------------------------------------------------------------------------------


def test_only_points_of_another_type_are_refused(make, read):
    """A text where numbers are: with the server's reason, and all others of the batch are stored."""
    backend = make()
    backend.write("a", value=-1, status=200)
    bad = {3, 250, 499}
    batch = [Metric({"name": "a", "value": n, "status": "ok" if n in bad else 200.0}) for n in range(500)]
    results = batch_sender(backend)(batch)
    assert {number for number, result in enumerate(results) if result is not STORED} == bad
    assert all("field type conflict" in results[number].detail for number in bad)
    assert sorted(point["value"] for point in read())[1:] == sorted(set(range(500)) - bad)


def test_a_metric_that_is_refused_is_a_dead_letter(make, tmp_path):
    """With the words of the server; the books balance."""
    with ThreadedBackend(make(), bulk_timeout=0.05, dead_letters=tmp_path / "letters.jsonl") as queue:
        queue.write("a", value=1, status=200)
        assert queue.flush(20.0)
        queue.bulk_write([{"name": "a", "value": 2, "status": "ok"}, {"name": "a", "value": 3}])
        assert queue.flush(20.0)
        stats = queue.stats()
    check_conservation(stats, offered=3, pending=0)
    assert (stats["delivered"], stats["dropped"]) == (2, {"rejected": 1})
    assert "field type conflict" in (tmp_path / "letters.jsonl").read_text()


# ---- users, databases, addresses -----------------------------------------------------------------------------------


def test_the_database_is_created_with_the_first_metric(make, admin, database):
    """And again when somebody drops it."""
    backend = make()
    assert {"name": database} not in admin.get_list_database()
    backend.write("a", value=1)
    admin.drop_database(database)
    backend.write("a", value=2)
    assert {"name": database} in admin.get_list_database()


def test_a_missing_database_is_told(make):
    """When it is not to be created."""
    with pytest.raises(BackendDenied, match="no such database, and it was not created; create it there"):
        make(create_database=False).write("a", value=1)


@pytest.fixture
def writer(admin, database):
    """A user who may write to the database, once it is there, and do nothing else."""
    name = f"user-{uuid.uuid4().hex}"
    admin.create_user(name, "secret")
    yield name
    admin.drop_user(name)


def test_a_user_who_may_only_write_needs_no_more(make, read, admin, database, writer):
    """The database is there: nothing is asked for that this user may not do."""
    backend = make(username=writer, password="secret")
    with pytest.raises(BackendDenied):
        backend.write("a", value=1)
    admin.create_database(database)
    with pytest.raises(BackendDenied, match="does not allow this user to write"):
        backend.write("a", value=1)
    admin.grant_privilege("write", database, writer)
    backend.write("a", value=1)
    assert len(read()) == 1


@pytest.mark.parametrize("login", [{"password": "hunter2"}, {"username": None, "password": None}])
def test_wrong_credentials_are_told_once_and_asked_seldom(make, caplog, login):
    """One line, without the password; one request, then the longest pause."""
    caplog.set_level(logging.WARNING, "time_execution")
    with ThreadedBackend(make(**login), bulk_timeout=0.01, shutdown_timeout=0.1) as queue:
        for number in range(5):
            queue.write("a", value=number)
        wait_until(lambda: queue.stats()["last_error"])
        assert not queue.flush(0.5)
        stats = queue.stats()
    assert "refuses the credentials; check username and password" in stats["last_error"]
    assert stats["retried"] == 0
    lines = [record.getMessage() for record in caplog.records if "BackendDenied" in record.getMessage()]
    assert len(lines) == 1
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("options", "error"),
    [({"port": 1}, BackendUnavailable), ({"host": "192.0.2.1", "timeout": 0.3}, BackendUnavailable)],
)
def test_an_address_that_does_not_answer_is_an_outage(make, options, error):
    """Refused at once, or not at all within the timeout."""
    started = time.monotonic()
    with pytest.raises(error):
        make(**options).write("a", value=1)
    assert time.monotonic() - started < 5.0


# ---- delivery ------------------------------------------------------------------------------------------------------


def test_one_failure_loses_nothing(make, read, port):
    """D1: the first request fails, 10 000 metrics arrive, each once."""
    with Relay(port) as relay:
        relay.answer(503, relay.pass_on)
        with ThreadedBackend(make(port=relay.port), bulk_timeout=0.05, retry=Backoff(base=0.05)) as queue:
            queue.bulk_write([{"name": "a", "value": number, "hostname": "h"} for number in range(10_000)])
            assert queue.flush(60.0)
            stats = queue.stats()
    check_conservation(stats, offered=10_000, pending=0)
    assert stats["delivered"] == 10_000
    assert sorted(point["value"] for point in read()) == list(range(10_000))


def test_a_lost_answer_stores_nothing_twice(make, read, port):
    """D9: the server stores and the answer is lost; what is sent again is the same points, moved ones included."""
    moment = 1_700_000_000_000_000_000
    with Relay(port) as relay:
        make().write("first", value=0)
        backend = make(port=relay.port)

        def lose(request):
            relay.pass_on(request)
            return DROP

        relay.answer(lose, lose, relay.pass_on)
        with ThreadedBackend(backend, bulk_timeout=0.05, retry=Backoff(base=0.05)) as queue:
            queue.bulk_write([{"name": "a", "value": n, "hostname": "h", "timestamp": moment} for n in range(1000)])
            assert queue.flush(60.0)
            stats = queue.stats()
    assert stats["retried"] >= 500
    assert sorted(point["value"] for point in read() if point["name"] == "a") == list(range(1000))


def test_a_server_that_hangs_holds_nobody_up(make):
    """D5: writing stays quick, the timeout fires, and the end comes in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        backend = make(port=silent.getsockname()[1], timeout=0.5)
        queue = ThreadedBackend(backend, bulk_timeout=0.01, shutdown_timeout=0.5, retry=Backoff(base=0.05))
        with Stream(queue) as stream:
            wait_until(lambda: "did not answer in time" in (queue.stats()["last_error"] or ""))
            stream.reach(200)
        started = time.monotonic()
        queue.close()
        assert time.monotonic() - started < 2.0
    assert stream.p99() < 0.05
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(BackendTimeout):
        make(port=silent.getsockname()[1], timeout=0.2).write("a", value=1)


@pytest.mark.serial
def test_a_server_that_is_killed_and_comes_back_has_everything_once(make, read, servers):
    """kill -9 in mid-stream: every metric arrives, none twice, and no writer waits."""
    with ThreadedBackend(make(timeout=5.0), bulk_timeout=0.02, retry=Backoff(base=0.05, cap=1.0)) as queue:
        with Stream(queue) as stream:
            stream.reach(200)
            servers.kill("influxdb")
            try:
                stream.reach(stream.count + 200)
                assert queue.stats()["delivered"] < stream.count
            finally:
                servers.start("influxdb")
            stream.reach(stream.count + 200)
        assert queue.flush(60.0)
        stats = queue.stats()
    check_conservation(stats, offered=stream.count, pending=0)
    assert stats["delivered"] == stream.count
    assert sorted(point["number"] for point in read()) == list(range(stream.count))
    assert stream.p99() < 0.05


# ---- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["url", "dict"])
def test_configured_by_url_and_by_dict(port, database, read, form):
    """One decorated function, and its timing arrives, with the host as a tag and the duration as a float."""
    url = f"influxdb://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}?timeout=5s&linger=10ms"
    given = {"class": "influxdb", "host": "127.0.0.1", "port": port, "database": database, **LOGIN}
    settings.configure(backends=[url if form == "url" else given], hostname="web-1")

    @time_execution
    def pay():
        return "paid"

    assert pay() == "paid"
    assert flush(20.0)
    (point,) = read()
    assert point.keys() == {"name", "timestamp", "hostname", "value"}
    assert point["name"].endswith("pay")
    assert point["hostname"] == "web-1"
    assert type(point["value"]) is float
    assert abs(point["timestamp"] - time.time_ns()) < 60e9


# ---- UDP -----------------------------------------------------------------------------------------------------------


def test_packets_arrive(servers, admin, read):
    """In the database of the listener, in nanoseconds, with nothing said in return."""
    name = f"udp {uuid.uuid4().hex}"
    backend = InfluxBackend("127.0.0.1", use_udp=True, udp_port=PORTS["influxdb-udp"])
    with backend:
        backend.bulk_write([{"name": name, "value": n, "hostname": "h", "text": "a\nb"} for n in range(200)])

    def arrived():
        return [point for point in read("udp_metrics") if point["name"] == name]

    try:
        wait_until(lambda: len(arrived()) == 200, timeout=20.0)
        assert {point["text"] for point in arrived()} == {"a\nb"}
    finally:
        admin.query(f"DROP MEASUREMENT {quote_ident(name)}", database="udp_metrics", method="POST")
