"""`InfluxBackend` over UDP: lines for 1.x, JSON for 0.8, as many in a packet as fit."""

from __future__ import annotations

import json
import socket

import pytest

pytest.importorskip("time_execution.backends.influxdb.v08", exc_type=ImportError)
from tests.backends.influxdb_lines import read_points
from time_execution.backends.influxdb import InfluxBackend
from time_execution.exceptions import BackendUnavailable, BatchTooLarge
from time_execution.types import STORED, Metric

NOW = 1_700_000_000_123_456_789


@pytest.fixture
def listener():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10.0)
        yield listener


def to(listener, **options):
    return InfluxBackend("127.0.0.1", use_udp=True, udp_port=listener.getsockname()[1], **options)


def packets(listener, until):
    """Return the packets up to the first after which `until` holds."""
    found = []
    while not until(found):
        found.append(listener.recv(65_536))
    return found


def batch(count):
    return [Metric({"name": f"m{number}", "value": float(number), "timestamp": NOW}) for number in range(count)]


def test_lines_are_packed(listener):
    """Whole lines, up to 1 400 bytes a packet, none left out."""
    with to(listener) as backend:
        assert backend.write_many(batch(1000)) == [STORED] * 1000
    found = packets(listener, lambda seen: sum(len(read_points(each)) for each in seen) >= 1000)
    points = [point for each in found for point in read_points(each)]
    assert [(point.name, point.timestamp) for point in points] == [(f"m{number}", NOW) for number in range(1000)]
    assert all(1300 < len(each) <= 1400 for each in found[:-1])


def test_points_are_packed(listener):
    """For 0.8, a packet is a list of points; their time is in seconds, the only precision it knows."""
    with to(listener, protocol="0.8") as backend:
        assert backend.write_many(batch(200)) == [STORED] * 200
    found = packets(listener, lambda seen: sum(len(json.loads(each)) for each in seen) >= 200)
    assert all(len(each) <= 1400 for each in found)
    assert [point for each in found for point in json.loads(each)] == [
        {"name": f"m{number}", "columns": ["time", "value"], "points": [[NOW // 10**9, float(number)]]}
        for number in range(200)
    ]


def test_what_the_official_client_of_08_would_send_is_sent(listener):
    """The same JSON for the same point."""
    from time_execution.backends.influxdb.v08 import client_of_08

    with to(listener, protocol="0.8") as backend:
        backend.write("a é", value=1.5, hostname="h", timestamp=NOW)
    (ours,) = packets(listener, bool)
    theirs = client_of_08.InfluxDBClient("127.0.0.1", use_udp=True, udp_port=listener.getsockname()[1])
    theirs.write_points(json.loads(ours))
    theirs.udp_socket.close()
    assert packets(listener, bool) == [ours]


@pytest.mark.parametrize(("protocol", "size"), [("1.x", 10_000), ("0.8", 1500)])
def test_a_metric_larger_than_a_packet_goes_alone(listener, protocol, size):
    """In fragments, up to what the server reads."""
    with to(listener, protocol=protocol) as backend:
        backend.bulk_write([{"name": name, "value": 1, "text": "x" * size * (name == "b")} for name in "abc"])
    found = packets(listener, lambda seen: len(seen) == 3)
    assert [len(each) > size for each in found] == [False, True, False]


@pytest.mark.parametrize(("protocol", "text"), [("1.x", ["\x01" * 15_000] * 3), ("0.8", "x" * 3000)])
def test_a_metric_larger_than_any_packet_is_too_large(listener, protocol, text):
    """Nothing of the batch is sent, so delivery may halve it; directly it is an error."""
    with to(listener, protocol=protocol) as backend:
        with pytest.raises(BatchTooLarge, match="larger than a packet"):
            backend.bulk_write([{"name": "a", "value": 1}, {"name": "b", "value": 1, "text": text, "more": text}])
        backend.write("after", value=1)
    assert b"after" in packets(listener, bool)[0]


def test_nobody_listening_is_noticed_when_the_kernel_says_so():
    """Of the packet after the one that was lost; the first is gone, as the documentation says."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    backend = InfluxBackend("127.0.0.1", use_udp=True, udp_port=port)
    with backend, pytest.raises(BackendUnavailable, match="nobody listens"):
        for _ in range(100):
            backend.write("a", value=1)


def test_what_the_system_does_not_send_is_told(listener):
    """Whatever the cause, nobody is blamed for not listening who may well be."""
    with to(listener) as backend:
        backend.write("a", value=1)
        backend._connection._packets.close()  # as another thread may do, in the middle of a batch
        with pytest.raises(BackendUnavailable, match="the system sends nothing to"):
            backend.write("a", value=1)


def test_a_name_nobody_knows_is_an_outage():
    """It may be known later."""
    with (
        InfluxBackend("no-such-host.invalid", use_udp=True) as backend,
        pytest.raises(BackendUnavailable, match="check host"),
    ):
        backend.write("a", value=1)


def test_the_precision_is_that_of_the_listener(listener):
    """Packets have no place to say it, so it is an option here and one of the server there."""
    with to(listener, precision="s") as backend:
        backend.write("a", value=1, timestamp=NOW)
    (point,) = read_points(packets(listener, bool)[0])
    assert point.timestamp == NOW // 10**9
