"""`EMFBackend`: its targets, and the contract."""

from __future__ import annotations

import codecs
import contextlib
import io
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.backends.emf_schema import check, extracted
from tests.forked import ends_well_in_a_child, needs_fork
from tests.line_servers import LineServer, free_port
from time_execution import settings, time_execution
from time_execution.backends.emf import EMFBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.config.build import resolve_backend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendDenied, BackendRejected, BackendUnavailable, ConfigurationError
from time_execution.formats.emf import encode_name
from time_execution.line_socket import LineSocket
from time_execution.testing import BackendContract
from time_execution.types import STORED, Metric, Retry


class Contract(BackendContract):
    """What all targets share: old moments are refused, and moments are kept to the second of a document."""

    keeps_order = False  # metrics of one document come out name by name

    def lines(self, backend):
        raise NotImplementedError

    def read_back(self, backend):
        return [{key: value for key, value in one.items() if key != "unit"} for one in extracted(self.lines(backend))]

    def stored_name(self, name):
        return name if len(name) <= 250 else encode_name(name)

    def test_timestamps_of_both_shapes_are_kept(self, backend):
        """To the millisecond, for one that begins a document; what CloudWatch would refuse is refused."""
        moment = time.time_ns() // 1_000_000 * 1_000_000
        self.send(backend, [Metric({"name": "a", "value": 1, "timestamp": moment})])
        assert [found["timestamp"] for found in self.read_back(backend)] == [moment]
        with pytest.raises(BackendRejected, match="too old"):
            backend.write("a", value=1, timestamp=0)


class TestStreamContract(Contract):
    """A text stream."""

    survives_fork = False  # the stream lies in memory

    @pytest.fixture
    def backend(self):
        return EMFBackend(io.StringIO())

    def lines(self, backend):
        return backend._target._stream.getvalue().splitlines()


class TestFileContract(Contract):
    """A file, with dimensions."""

    @pytest.fixture
    def backend(self, tmp_path):
        return EMFBackend(path=tmp_path / "metrics.log", dimensions=["status"])

    def lines(self, backend):
        path = backend._target._file.path
        return path.read_text().splitlines() if path.exists() else []


class TestAgentContract(Contract):
    """A stream to the agent, which has read everything when a batch counts as stored."""

    @pytest.fixture
    def backend(self):
        with LineServer("tcp") as self.server, EMFBackend(agent=f"tcp://127.0.0.1:{self.server.port}") as backend:
            yield backend

    def lines(self, backend):
        return self.server.lines


def test_standard_output_is_what_it_is_at_the_time(capsys, monkeypatch):
    """On Lambda nothing more is needed; a replaced stream gets the lines."""
    backend = EMFBackend()
    backend.write("a", value=1)
    assert check(capsys.readouterr().out.removesuffix("\n"))["a"] == 1
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    EMFBackend("stderr").write("b", value=2)
    assert check(sys.stderr.getvalue().removesuffix("\n"))["b"] == 2
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(BackendDenied, match="no stderr"):
        EMFBackend("stderr").write("b", value=2)


def test_a_batch_is_one_write_of_whole_ascii_lines():
    """Lines of other threads cannot come between, and any locale can take them."""
    calls = []

    class Recorder(io.StringIO):
        def write(self, text):
            calls.append(text)
            return super().write(text)

    metrics = [Metric({"name": f"é{number}", "value": 1, "note": "😀", "n": number}) for number in range(5)]
    assert EMFBackend(Recorder()).write_many(metrics) == [STORED] * 5
    assert len(calls) == 1
    assert calls[0].isascii()
    assert calls[0].endswith("}\n")
    assert len(extracted(calls[0].splitlines())) == 5


def test_a_batch_of_nothing_touches_nothing():
    """Neither an empty one, nor one of which everything is refused."""
    stream = io.StringIO()
    backend = EMFBackend(stream)
    stream.close()
    assert list(backend.write_many([])) == []
    assert [result.reason for result in backend.write_many([Metric({"name": "a"})])] == ["no number"]
    with pytest.raises(BackendDenied, match="closed"):
        backend.write("a", value=1)


def test_a_stream_that_fails_is_unavailable():
    """A full pipe may be read again."""

    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BackendUnavailable, match="Broken pipe"):
        EMFBackend(Broken()).write("a", value=1)


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    """A folder in its place needs somebody to act; the message names the path."""
    backend = EMFBackend(path=tmp_path / "metrics.log")
    (tmp_path / "metrics.log").mkdir()
    with pytest.raises(BackendDenied, match=r"metrics\.log cannot be written to: Is a directory"):
        backend.write("a", value=1)


def test_a_file_is_its_owners(tmp_path):
    """S11."""
    path = tmp_path / "new" / "metrics.log"
    EMFBackend(path=path).write("a", value=1)
    assert [found.stat().st_mode & 0o777 for found in (path.parent, path)] == [0o700, 0o600]


def test_over_udp_each_document_is_a_datagram():
    """None larger than a datagram may be."""
    metrics = [Metric({"name": f"name-{number}", "value": 1, "text": "x" * 9000}) for number in range(300)]
    with LineServer("udp") as server, EMFBackend(agent=f"udp://127.0.0.1:{server.port}") as backend:
        for start in range(0, 300, 100):
            assert backend.write_many(metrics[start : start + 100]) == [STORED] * 100
            server.settled_lines()
        assert all(packet.endswith(b"}\n") and len(packet) < 65_507 for packet in server.received)
        assert len(extracted(server.lines)) == 300
        huge = [Metric({"name": "a", "value": 1, **{str(key): "x" * 16_000 for key in range(4)}})]
        assert [result.reason for result in backend.write_many(huge)] == ["too large"]


@pytest.fixture
def failing(monkeypatch):
    """Give a backend whose agent, over UDP, refuses every third datagram; returns it and the lines that were sent."""
    lines, calls = [], itertools.count(1)

    def send(_, data):
        if next(calls) % 3 == 0:
            raise BackendUnavailable("nobody listens there")
        lines.append(data.decode().rstrip("\n"))

    monkeypatch.setattr(LineSocket, "send", send)
    return EMFBackend(agent="udp://127.0.0.1"), lines


def test_what_was_sent_before_a_refusal_is_stored(failing):
    """A datagram at a time, though metrics of one may stand before and after those of another in a batch."""
    backend, lines = failing
    batch = [Metric({"name": name, "value": 1, "of": of}) for name, of in zip("abcdef", "xyzxyz", strict=True)]
    results = backend.write_many([*batch, Metric({"name": "no number"})])
    given = list(itertools.islice(results, 5))
    assert given == [STORED, STORED, Retry("BackendUnavailable"), STORED, STORED]
    with pytest.raises(BackendUnavailable):
        next(results)
    assert sorted(found["name"] for found in extracted(lines)) == ["a", "b", "d", "e"]


def test_datagrams_to_an_agent_are_sent_at_most_once(failing, deliver):
    """Behind a queue, what was refused is sent again and nothing else; what is stored is counted."""
    backend, lines = failing
    delivery = deliver(backend, bulk_size=50)
    for number in range(300):
        delivery.write("a", value=number, of=number % 7)
    assert delivery.flush(10.0)
    assert sorted(found["value"] for found in extracted(lines)) == list(range(300))
    assert delivery.stats()["delivered"] == 300


@needs_fork
def test_a_forked_child_has_a_socket_of_its_own():
    """Without a word from anybody; another thread of the parent may have held the lock, and never releases it here."""
    with LineServer("udp") as server, EMFBackend(agent=f"udp://127.0.0.1:{server.port}") as backend:
        backend.write("parent", value=1)
        parents = backend._target._socket._socket

        def write():
            backend.write("child", value=2)
            assert parents.fileno() == -1
            assert backend._target._socket._socket is not parents

        with backend._target._socket._lock:
            assert ends_well_in_a_child(write)
        backend.write("parent", value=3)
        assert backend._target._socket._socket is parents
        assert [found["name"] for found in extracted(server.settled_lines())] == ["parent", "child", "parent"]
    EMFBackend(io.StringIO()).after_fork()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_metrics_wait_for_an_agent_that_is_not_there_yet(protocol):
    """D2: none is lost, and the documents name the log group that the agent asks for."""
    port = free_port()
    backend = EMFBackend(agent=f"{protocol}://127.0.0.1:{port}", log_stream="web")
    queue = ThreadedBackend(backend, bulk_size=100, bulk_timeout=0.01, retry=Backoff(base=0.01, cap=0.05))
    try:
        for number in range(500):
            queue.write("load", value=number)
        assert queue.flush(0.1) is False
        with LineServer(protocol, port=port) as server:
            assert queue.flush(10.0) is True
            lines = server.settled_lines()
        assert queue.stats()["delivered"] == 500
    finally:
        queue.close()
    assert sorted(found["value"] for found in extracted(lines)) == list(range(500))
    assert {json.loads(line)["_aws"]["LogGroupName"] for line in lines} == {"timeexecution"}
    assert {json.loads(line)["_aws"]["LogStreamName"] for line in lines} == {"web"}


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("emf://", "stdout"),
        ("emf://stderr", "stderr"),
        ("emf://127.0.0.1", "tcp://127.0.0.1:25888"),
        ("emf://agent:9999", "tcp://agent:9999"),
        ("emf://[::1]:9999", "tcp://[::1]:9999"),
        ("emf://?agent=udp://agent", "udp://agent:25888"),
    ],
)
def test_a_url_names_the_target(url, target):
    """A stream, an agent, or a path."""
    backend = resolve_backend(f"{url}{'&' if '?' in url else '?'}namespace=Shop&threaded=false", index=0)
    assert repr(backend) == f"EMFBackend(target='{target}', namespace='Shop')"


def test_a_url_names_a_path_and_all_options(tmp_path):
    """As the URLs of other files do."""
    query = "namespace=Shop&dimensions=region,status&high_resolution=true&threaded=false"
    backend = resolve_backend(f"emf:///{tmp_path}/metrics.log?{query}", index=0, duration_field="took")
    backend.write("a", took=1, region="eu", status=200)
    (directive,) = check((tmp_path / "metrics.log").read_text().rstrip("\n"))["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["region", "status"]]
    assert directive["Metrics"] == [{"Name": "a", "StorageResolution": 1}]


@pytest.mark.parametrize(
    "arguments",
    [
        {"stream": "out"},
        {"stream": 3},
        {"stream": "stdout", "path": "a"},
        {"stream": "stdout", "agent": "tcp://a"},
        {"timeout": 5.0},
        {"path": "a", "timeout": 5.0},
        {"path": "a", "agent": "tcp://a"},
        {"path": ""},
        {"agent": ""},
        {"agent": 3},
        {"agent": "a:25888"},
        {"agent": "http://a"},
        {"agent": "tcp://anna:hunter2@a"},
        {"agent": "tcp://a:b"},
        {"agent": "tcp://a:0"},
        {"agent": "tcp://[a"},
        {"agent": "tcp://a/b"},
        {"agent": "tcp://a", "timeout": 0},
        {"log_group": "a"},
        {"path": "a", "log_stream": "a"},
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments, tmp_path, monkeypatch):
    """Case B9: at once, and without what may be secret."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        EMFBackend(**arguments)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("mode", ["memory", "buffered", "raw", "temporary"])
def test_a_binary_stream_is_refused(mode, tmp_path):
    """At once, for no batch could ever be written to it."""
    with contextlib.ExitStack() as opened:
        make = {
            "memory": io.BytesIO,
            "buffered": (tmp_path / "log").open,
            "raw": (tmp_path / "log").open,
            "temporary": tempfile.NamedTemporaryFile,
        }[mode]
        options = {"buffered": {"mode": "wb"}, "raw": {"mode": "wb", "buffering": 0}}.get(mode, {})
        stream = opened.enter_context(make(**options))
        with pytest.raises(ConfigurationError, match="text stream, not a binary one"):
            EMFBackend(stream)


def test_a_text_stream_over_a_binary_one_is_taken(tmp_path):
    """Whatever its class."""
    with codecs.open(str(tmp_path / "log"), "w", "utf-8") as coded, tempfile.NamedTemporaryFile("w+") as temporary:
        for stream in (coded, temporary):
            EMFBackend(stream).write("a", value=1)
            stream.flush()
            (found,) = extracted(Path(stream.name).read_text(encoding="utf-8").splitlines())
            assert (found["name"], found["value"]) == ("a", 1)


def test_a_decorated_function_becomes_a_document(tmp_path):
    """From a URL to the line, in milliseconds."""
    with settings(backends=[f"emf:///{tmp_path}/metrics.log?namespace=Shop"], origin="web"):

        @time_execution(name="shop.checkout")
        def checkout():
            return "paid"

        assert checkout() == "paid"
        assert settings.backends[0].flush(10.0)
    (found,) = extracted((tmp_path / "metrics.log").read_text().splitlines())
    assert (found["name"], found["unit"], found["origin"]) == ("shop.checkout", "Milliseconds", "web")
    assert 0 < found["value"] < 1000
