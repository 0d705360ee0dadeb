"""`StatsDBackend` and servers in this process: packets, framing, outages, and the contract."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.forked import ends_well_in_a_child, needs_fork
from tests.line_servers import LineServer, free_port
from tests.statsd_server import records
from time_execution import settings, time_execution
from time_execution.backends.statsd import StatsDBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.config.build import resolve_backend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendRejected, BackendUnavailable, ConfigurationError
from time_execution.testing import BackendContract
from time_execution.types import STORED, Metric, Reject


class TestContract(BackendContract):
    """Datagrams to a Unix socket, which loses none; a server's arithmetic is left to the service tests."""

    keeps_fields = False  # a name and a number is all there is
    keeps_moments = False

    @pytest.fixture
    def backend(self, tmp_path):
        with LineServer("unix", path=tmp_path / "s") as self.server, StatsDBackend(path=str(tmp_path / "s")) as backend:
            yield backend

    def read_back(self, backend):
        return records(self.server.settled_lines())


def batch(count, **fields):
    return [Metric({"name": f"metric-{number:05d}", "value": number, **fields}) for number in range(count)]


@pytest.mark.parametrize(("options", "most"), [({}, 1432), ({"max_packet_bytes": 512}, 512)])
def test_a_packet_holds_as_many_lines_as_fit(options, most):
    """Datagrams over UDP are no longer than an Ethernet frame takes, and nearly full."""
    with LineServer("udp") as server, StatsDBackend(**server.place, **options) as backend:
        assert list(backend.write_many(batch(100))) == [STORED] * 100
        server.settled_lines()
        sizes = [len(packet) for packet in server.received]
    assert max(sizes) <= most
    assert all(size > most - 30 for size in sizes[:-1])
    assert [found["value"] for found in records(server.lines)] == list(range(100))


def test_a_unix_socket_takes_larger_packets(tmp_path):
    """As large as Datadog's agent reads at once."""
    with LineServer("unix", path=tmp_path / "s") as server, StatsDBackend(path=server.path) as backend:
        assert list(backend.write_many(batch(1000))) == [STORED] * 1000
        server.settled_lines()
        assert 8000 < max(map(len, server.received)) <= 8192


def test_a_gauge_below_zero_is_not_torn_apart():
    """Its two lines share a packet, or the second would lower what it should set."""
    metrics = [Metric({"name": f"gauge-{number:03d}", "value": -1 - number}, kind="gauge") for number in range(200)]
    with LineServer("udp") as server, StatsDBackend(**server.place) as backend:
        assert list(backend.write_many(metrics)) == [STORED] * 200
        server.settled_lines()
        for packet in server.received:
            assert [found["value"] < 0 for found in records(packet.decode().split("\n"))].count(False) == 0
    assert [found["value"] for found in records(server.lines)] == [-1.0 - number for number in range(200)]


def test_what_is_refused_has_its_place_among_the_results():
    """Each metric gets its own result, whatever stands beside it in the packet."""
    metrics = batch(6)
    for index in (0, 3, 5):
        metrics[index]["value"] = "none"
    with LineServer("udp") as server, StatsDBackend(**server.place) as backend:
        results = list(backend.write_many(metrics))
        assert [isinstance(result, Reject) for result in results] == [True, False, False, True, False, True]
        assert [found["value"] for found in records(server.settled_lines())] == [1, 2, 4]
        with pytest.raises(BackendRejected, match="no number"):
            backend.write("a", value=None)
        assert list(backend.write_many([metrics[0]])) == [Reject("no number", "StatsD takes finite numbers only")]


@pytest.mark.parametrize("protocol", ["tcp", "unixstream"])
@pytest.mark.parametrize("confirm", [True, False])
def test_a_stream_gets_a_line_end_after_each_line(tmp_path, protocol, confirm):
    """Also after the last one, without which a server would wait for more."""
    path = tmp_path / "s" if protocol == "unixstream" else None
    with LineServer(protocol, path=path) as server:
        with StatsDBackend(**server.place, confirm=confirm) as backend:
            assert list(backend.write_many(batch(10_000))) == [STORED] * 10_000
            assert list(backend.write_many([])) == []
        server.wait_for(lambda server: server.received)
        assert server.connections == 1
        assert server.received[0].endswith(b"metric-09999:9999|ms\n")
        assert [found["value"] for found in records(server.lines)] == list(range(10_000))


def test_datadogs_stream_has_a_length_before_each_packet(tmp_path):
    """Four bytes, the least significant first; no packet is longer than the agent reads."""
    with LineServer("unixstream", path=tmp_path / "s") as server:
        with StatsDBackend(**server.place, dialect="dogstatsd") as backend:
            assert list(backend.write_many(batch(1000))) == [STORED] * 1000
        data, packets = server.received[0], []
    while data:
        (length,) = struct.unpack_from("<I", data)
        packets.append(data[4 : 4 + length])
        data = data[4 + length :]
    assert max(map(len, packets)) <= 8193
    lines = b"".join(packets).decode().splitlines()
    assert [found["value"] for found in records(lines)] == list(range(1000))


def test_a_packet_that_the_system_refuses_is_halved():
    """Down to single lines; one that is too large by itself is refused, the others arrive."""
    with LineServer("udp") as server, StatsDBackend(**server.place, max_packet_bytes=200_000) as backend:
        metrics = batch(5000)
        metrics[1234]["name"] = "x" * 70_000
        results = list(backend.write_many(metrics))
        assert [index for index, result in enumerate(results) if result != STORED] == [1234]
        assert results[1234].reason == "too large"
        found = [found["value"] for found in records(server.settled_lines())]
    assert found == [number for number in range(5000) if number != 1234]


def test_what_was_taken_before_a_failure_counts():
    """The packets after it are sent again, those before it are not."""
    with LineServer("udp") as server, StatsDBackend(**server.place) as backend:
        results = backend.write_many(batch(200))
        taken = [next(results) for _ in range(100)]
        server.settled_lines()
        server.__exit__()
        with pytest.raises(BackendUnavailable, match="nobody listens"):
            taken.extend(results)
    assert set(taken) == {STORED}
    assert [found["value"] for found in records(server.lines)] == list(range(len(taken)))


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_metrics_wait_for_a_server_that_is_not_there_yet(protocol):
    """D2: behind a queue none is lost, none is twice there, and the books balance."""
    port = free_port()
    backend = StatsDBackend("127.0.0.1", port, protocol=protocol)
    queue = ThreadedBackend(backend, bulk_size=100, bulk_timeout=0.01, retry=Backoff(base=0.01, cap=0.05))
    try:
        for number in range(1000):
            queue.write(f"metric-{number}", value=number)
        assert queue.flush(0.2) is False
        with LineServer(protocol, port=port) as server:
            assert queue.flush(10.0) is True
            found = records(server.settled_lines())
        stats = queue.stats()
    finally:
        queue.close()
    assert [found["value"] for found in found] == list(range(1000))
    assert (stats["delivered"], stats["pending"], stats["dropped"]) == (1000, 0, {})
    assert stats["retries"] > 0


def test_a_batch_whose_connection_broke_is_sent_again():
    """D1 over a stream: at least once, and in order."""
    broken = []

    def break_once(connection):
        if broken:
            server.read_all(connection)
            return
        broken.append(connection.recv(100))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with LineServer("tcp", serve=break_once) as server:
        backend = StatsDBackend(**server.place)
        with ThreadedBackend(backend, bulk_size=1000, bulk_timeout=0.01, retry=Backoff(base=0.01)) as queue:
            for number in range(3000):
                queue.write(f"metric-{number}", value=number)
            assert queue.flush(10.0) is True
            assert queue.stats()["retries"] == 1
        assert [found["value"] for found in records(server.lines)] == list(range(3000))


SERVER = """
import os, socket, sys
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen(16)
record = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    os.write(record, b"\\n")
    while data := connection.recv(512, socket.MSG_PEEK):
        os.write(record, data)
        connection.recv(len(data))
    connection.close()
"""


@contextlib.contextmanager
def server_process(port, record):
    """Run a server that writes down what comes before it counts as read; it is killed at the end."""
    with subprocess.Popen([sys.executable, "-c", SERVER, str(port), str(record)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_a_server_killed_in_mid_stream_loses_nothing(tmp_path):
    """Case D9: what it had not read when it died is sent again, so each metric is there at least once."""
    port, record = free_port(), tmp_path / "record"
    backend = StatsDBackend("127.0.0.1", port, protocol="tcp")
    retry = Backoff(base=0.01, cap=0.05)
    queue = ThreadedBackend(backend, bulk_size=200, bulk_timeout=0.01, queue_maxsize=50_000, retry=retry)
    try:
        for number in range(20_000):
            queue.write("number", value=number)
            if number % 4000 == 0:
                record_size = record.stat().st_size if record.exists() else 0
                with server_process(port, record):
                    wait_until(lambda seen=record_size: record.exists() and record.stat().st_size > seen)
        with server_process(port, record):
            assert queue.flush(20.0) is True
        stats = queue.stats()
    finally:
        queue.close()
    whole = [line for line in record.read_text().split("\n") if line.endswith("|g")]
    assert {one["value"] for one in records(whole)} == set(range(20_000))
    assert (stats["delivered"], stats["dropped"]) == (20_000, {})
    assert stats["retries"] > 0


def wait_until(condition):
    """Wait until a condition holds, not for ever."""
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_host_without_address_is_one_clear_line(caplog, monkeypatch):
    """What happened and where; the caller goes on, and nothing is lost."""

    def fail(*_args, **_kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    backend = StatsDBackend("stats.example", prefix="shop")
    queue = ThreadedBackend(backend, bulk_timeout=0.01, retry=Backoff(base=0.01, cap=0.02))
    try:
        queue.write("a", value=1)
        wait_until(lambda: queue.stats()["retries"] > 3)
        stats = queue.stats()
    finally:
        queue.close(0.1)
    assert (stats["pending"], stats["delivered"]) == (1, 0)
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if "BackendUnavailable" in line]) == 1
    assert "StatsD at udp://stats.example:8125: the host's name cannot be looked up: Name or service" in told[0]


def test_a_full_system_is_no_loss():
    """ENOBUFS means later; the socket is made anew."""
    with LineServer("udp") as server, StatsDBackend(**server.place) as backend:
        backend.write("a", value=1)

        class Full:
            def send(self, data):
                raise OSError(errno.ENOBUFS, "No buffer space available")

            def close(self):
                pass

        full: Any = Full()
        backend._socket._socket.close()
        backend._socket._socket = full
        with pytest.raises(BackendUnavailable, match="no room for more"):
            backend.write("b", value=2)
        backend.write("b", value=2)
        assert [found["name"] for found in records(server.settled_lines())] == ["a", "b"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("statsd://", "udp://localhost:8125"),
        ("statsd://stats.example", "udp://stats.example:8125"),
        ("statsd://stats.example:9125?protocol=tcp", "tcp://stats.example:9125"),
        ("statsd://[::1]:9125", "udp://[::1]:9125"),
        ("statsd:///run/statsd.sock", "unix:///run/statsd.sock"),
        ("statsd:////run/a%20b.sock?protocol=unixstream", "unixstream:///run/a b.sock"),
    ],
)
def test_a_url_names_the_server(url, shown):
    """A host, or the absolute path of a socket."""
    queue = resolve_backend(url, index=0)
    try:
        assert repr(queue) == f"ThreadedBackend(backend=StatsDBackend(address='{shown}', dialect='statsd'))"
    finally:
        queue.close()


def test_a_url_has_all_options():
    """Each as its annotation says."""
    query = "dialect=dogstatsd&prefix=shop&tags=status,region&constant_tags=env=prod,beta&max_packet_bytes=512"
    backend = resolve_backend(
        f"statsd://?{query}&protocol=unixstream&path=/run/s&confirm=false&timeout=500ms&threaded=false",
        index=0,
        duration_field="took",
    )
    line = backend._format.line(Metric({"name": "a", "took": 1, "status": 200}))
    assert line == "shop.a:1|ms|#status:200,env:prod,beta"
    assert (backend._max_bytes, backend._socket._timeout, backend._socket._confirm) == (512, 0.5, False)


@pytest.mark.parametrize(
    "url",
    [
        "statsd://one,two:8125",
        "statsd://anna:hunter2@host",
        "statsd://host/run/statsd.sock",
        "statsd://host:0",
        "statsd://host?protocol=http",
        "statsd://host?tags=status",
        "statsd://host?max_packet_bytes=1",
        "statsd://host?timeout=0",
        "statsd://host?path=/run/s",
        "statsd://?port=8125&path=/run/s",
        "statsd://host?confirm=true",
        "statsd://host?confirm=false",
        "statsd://?confirm=true&path=/run/s",
        "statsd://host?protocol=tcp&max_packet_bytes=512",
        "statsd://?protocol=unixstream&path=/run/s&max_packet_bytes=512",
    ],
)
def test_a_wrong_url_is_refused(url):
    """Case B9: at once, and without what may be secret."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_backend(url, index=0)
    assert "hunter2" not in str(caught.value)


@needs_fork
def test_a_forked_child_has_a_connection_of_its_own():
    """Without a word from anybody; another thread of the parent may have held the lock, and never releases it here."""
    with LineServer("tcp") as server, StatsDBackend(**server.place, confirm=False) as backend:
        backend.write("parent", value=1)

        def write():
            backend.write("child", value=2)
            backend.close()

        with backend._socket._lock:
            assert ends_well_in_a_child(write)
        backend.write("parent", value=3)
        backend.close()
        server.wait_for(lambda server: len(server.lines) == 3)
        names = [[found["name"] for found in records(data.decode().split())] for data in server.received]
        assert sorted(names) == [["child"], ["parent", "parent"]]


def test_making_one_opens_nothing():
    """Neither a socket nor a look at a name server, until the first batch."""
    with contextlib.closing(StatsDBackend("host.invalid")) as backend:
        assert backend._socket._socket is None
        assert StatsDBackend.options_from_url(urlsplit("statsd://")) == {}


def test_a_decorated_function_reaches_the_server():
    """From a URL to the line, sample rate included."""
    with LineServer("udp") as server, settings(backends=[f"statsd://127.0.0.1:{server.port}"], sample_rate=0.999):

        @time_execution(name="shop.checkout")
        def checkout():
            return "paid"

        while not settings.backends[0].stats()["offered"]:
            assert checkout() == "paid"
        assert settings.backends[0].flush(10.0)
        (line,) = server.settled_lines()
    name, _, rest = line.partition(":")
    number, kind, rate = rest.split("|")
    assert (name, kind, rate) == ("shop.checkout", "ms", "@0.999")
    assert 0 < float(number) < 1000
