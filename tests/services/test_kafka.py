"""`KafkaBackend` on a real broker: what arrives is read back with a consumer."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
import uuid

import pytest

pytest.importorskip("time_execution.backends.kafka", reason="its client is not installed", exc_type=ImportError)

from tests.closed_after import closed_after

from time_execution.backends.kafka import KafkaBackend  # isort: skip - imports the client without its warnings
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ACL, ACLOperation, ACLPermissionType, NewTopic, ResourcePattern, ResourceType

from tests.faults.harness import check_conservation
from tests.services.brokers import Relay, Stream, assert_same, hostile_metrics, insist, wait_until
from time_execution import flush, settings, time_execution
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendDenied, BackendTimeout, BackendUnavailable
from time_execution.testing import BackendContract
from time_execution.types import Metric, Reject

USER, PASSWORD = "timeexecution", "secret-of-kafka"
PROXY = "proxy_url" if "proxy_url" in KafkaProducer.DEFAULT_CONFIG else "socks5_proxy"


@pytest.fixture(scope="module")
def address(servers):
    return f"127.0.0.1:{servers.port('kafka')}"


@pytest.fixture
def administrate(address):
    """Give a function that calls a method of a fresh administrator, one that knows nothing of outages."""

    def call(method, *args):
        client = KafkaAdminClient(bootstrap_servers=address)
        try:
            return getattr(client, method)(*args)
        finally:
            client.close()

    return call


@pytest.fixture
def make_topic(administrate):
    made = []

    def make(name=None, **options):
        made.append(name or f"test-{uuid.uuid4().hex}")
        administrate("create_topics", [NewTopic(made[-1], 1, 1, **options)])
        return made[-1]

    yield make
    administrate("delete_topics", made)


@pytest.fixture
def topic(make_topic):
    return make_topic()


@pytest.fixture
def make(address, topic):
    """Make backends for the topic, or for another; they are closed after the test."""
    with closed_after(lambda hosts=address, of=topic, **options: KafkaBackend(hosts, of, **options)) as make:
        yield make


@pytest.fixture
def read(address, topic):
    """Give a function that returns all records of the topic, or of another."""

    def records(of=topic):
        consumer = KafkaConsumer(bootstrap_servers=address)
        try:
            partition = TopicPartition(of, 0)
            end = consumer.end_offsets([partition])[partition]
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
            found = []
            while consumer.position(partition) < end:
                found += consumer.poll(timeout_ms=5000).get(partition, [])
            return found
        finally:
            consumer.close()

    return records


def documents(records):
    return [json.loads(record.value) for record in records]


def numbers(records):
    return [document["number"] for document in documents(records)]


def metrics(count, start=0):
    """Return metrics as a queue hands them over."""
    return [
        Metric({"name": "a.b", "value": number, "number": number}, id=f"00000000000000ff-{number}")
        for number in range(start, start + count)
    ]


class TestKafkaContract(BackendContract):
    """The contract, on the real broker."""

    @pytest.fixture
    def backend(self, make, read):
        self.records = read
        return make()

    def read_back(self, backend):
        """Return the documents of the topic."""
        return documents(self.records())


def test_a_record_is_laid_out_as_documented(make, read):
    """Key, headers, timestamp and value are what consumers are told."""
    make().write_many([Metric({"name": "a.b", "value": 1.5, "timestamp": 1_700_000_000_123_456_789}, id="0f-1")])
    (record,) = read()
    assert record.key == b"a.b"
    assert record.timestamp == 1_700_000_000_123
    assert record.headers == [("content-type", b"application/json"), ("schema-version", b"1"), ("metric-id", b"0f-1")]
    assert record.value == b'{"name":"a.b","value":1.5,"timestamp":"2023-11-14T22:13:20.123456Z"}'


def test_ten_thousand_hostile_metrics_arrive_as_they_were(make, read):
    """Names, keys and values of the worst kind come back with their types, each once."""
    written = hostile_metrics(10_000)
    with ThreadedBackend(make(), queue_maxsize=20_000, max_bytes=None) as delivery:
        delivery.bulk_write(written)
        assert delivery.flush(100)
        stats = delivery.stats()
    assert (stats["delivered"], stats["retries"]) == (10_000, 0)
    assert_same(documents(read()), written)


def test_timestamps_out_of_bounds_are_kept_in_the_document(make, read):
    """The broker refuses records of the far future and before 1970; ours carry the nearest that it takes."""
    late, early = 2**62, -(10**18)
    assert make().write_many([Metric({"name": "a", "value": 1, "timestamp": at}) for at in (late, early)]) is None
    first, second = read()
    assert abs(first.timestamp - time.time() * 1000) < 60_000
    assert second.timestamp == 0
    assert json.loads(first.value)["timestamp"].startswith("2116-")


@pytest.mark.parametrize("configured", ["url", "dict"])
def test_it_is_configured_end_to_end(address, topic, read, configured):
    """A decorated function's metrics arrive, configured in one line."""
    url = f"kafka://{address}/{topic}?linger=50ms&client_id=shop"
    options = {"class": "kafka", "hosts": [address], "topic": topic, "linger": 0.05, "compression": "gzip"}
    settings.configure(backends=[url if configured == "url" else options])

    @time_execution(name="shop.checkout")
    def checkout():
        return "done"

    assert [checkout() for _ in range(10)] == ["done"] * 10
    assert flush(20)
    found = documents(read())
    assert [document["name"] for document in found] == ["shop.checkout"] * 10
    assert all(type(document["value"]) is float for document in found)


END = """import sys, threading; from time_execution import settings, write_metric
settings.configure(backends=[sys.argv[1]])
write_metric("a", value=1)
threading.Thread.start = lambda _: exec("raise RuntimeError")  # as at the end of a program with Python 3.12"""


def test_a_program_that_ends_at_once_delivers(address, topic, read):
    """The first batch goes out when no thread can be started any more."""
    url = f"kafka://{address}/{topic}?shutdown_timeout=30"
    assert subprocess.check_output([sys.executable, "-c", END, url], stderr=subprocess.STDOUT, timeout=60) == b""
    assert [document["name"] for document in documents(read())] == ["a"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_it_logs_in(servers, make, read, mechanism):
    """User and password are passed on, for either mechanism."""
    hosts = f"127.0.0.1:{servers.port('kafka-sasl')}"
    security = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism}
    make(hosts, username=USER, password=PASSWORD, **security).write("a", value=1)
    assert [document["name"] for document in documents(read())] == ["a"]


def test_it_speaks_tls(servers, make, read):
    """A certificate is checked against the authority given; without it, nothing is sent."""
    hosts = f"127.0.0.1:{servers.port('kafka-tls')}"
    cafile = str(servers.data("kafka") / "tls" / "ca.pem")
    with pytest.raises(BackendUnavailable, match="certificates"):
        make(hosts, security_protocol="SSL", timeout=2.0).write("a", value=1)
    make(hosts, ssl_cafile=cafile).write("b", value=2)
    assert [document["name"] for document in documents(read())] == ["b"]


@pytest.mark.parametrize("logger", [None, "kafka"])
def test_wrong_credentials_are_told_and_shown_nowhere(servers, make, caplog, logger):
    """One clear line says what to check, logged or not, and no debug message of the client's shows the password."""
    caplog.set_level(logging.CRITICAL if logger else logging.DEBUG, logger)
    hosts = f"127.0.0.1:{servers.port('kafka-sasl')}"
    backend = make(hosts, username=USER, password="planted", security_protocol="SASL_PLAINTEXT", timeout=2.0)
    with pytest.raises(BackendDenied, match="username"):
        insist(lambda: backend.write("a", value=1))
    assert "planted" not in caplog.text
    assert "planted" not in f"{backend!r} {vars(backend)}"


def test_the_client_logs_no_metric(make, caplog):
    """Its debug messages hold whole records; a program that logs everything does not get them."""
    caplog.set_level(logging.DEBUG)
    make().write("a", value=1, card="planted")
    assert "kafka" in caplog.text
    assert "planted" not in caplog.text


def test_a_missing_topic_is_told_and_used_once_it_is_there(address, make_topic, read, caplog):
    """The log line names the topic and what to do; nothing is lost meanwhile."""
    name = f"test-{uuid.uuid4().hex}"
    backend = KafkaBackend(address, name, timeout=5.0)
    with ThreadedBackend(backend, retry=Backoff(base=0.1, cap=0.2), bulk_timeout=0.01) as delivery:
        delivery.write("a", value=1)
        wait_until(lambda: delivery.stats()["retries"])
        make_topic(name)
        assert delivery.flush(20)
        check_conservation(delivery.stats(), offered=1, pending=0)
    lines = [record.getMessage() for record in caplog.records if record.name == "time_execution"]
    assert len(lines) == 1
    assert "BackendDenied" in lines[0]
    assert f"topic {name} was not found" in lines[0]
    assert "create it" in lines[0]
    assert len(read(name)) == 1


def test_a_closed_topic_is_told(servers, administrate, topic, make):
    """A user who may not write learns which rights to ask for."""
    hosts = f"127.0.0.1:{servers.port('kafka-sasl')}"
    rule = ACL(
        f"User:{USER}", "*", ACLOperation.WRITE, ACLPermissionType.DENY, ResourcePattern(ResourceType.TOPIC, topic)
    )
    administrate("create_acls", [rule])
    try:
        backend = make(hosts, username=USER, password=PASSWORD, security_protocol="SASL_PLAINTEXT", timeout=5.0)
        with pytest.raises(BackendDenied, match=f"may not write to topic {topic}"):
            backend.write_many(metrics(3))
        assert backend.stats() == {"unsettled": 0}
    finally:
        administrate("delete_acls", [rule])


def test_one_record_too_large_harms_no_neighbour(make, make_topic, read):
    """What the topic does not take is rejected with a reason; the rest is stored, once."""
    small = make_topic(topic_configs={"max.message.bytes": "2000"})
    batch = metrics(40)
    batch[7]["text"] = "x" * 5000
    with ThreadedBackend(make(of=small), bulk_timeout=0.01) as delivery:
        delivery.bulk_write(batch)
        assert delivery.flush(30)
        stats = delivery.stats()
    assert (stats["delivered"], stats["dropped"]) == (39, {"MessageSizeTooLargeError": 1})
    assert sorted(numbers(read(small))) == [number for number in range(40) if number != 7]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_compression_is_seen_in_bytes_only(make, read, compression):
    """Compressed or not, what a consumer gets is the same."""
    assert make(compression=compression).write_many(metrics(200)) is None
    assert numbers(read()) == list(range(200))


def test_a_user_s_own_client_is_used_and_left_open(address, topic, read):
    """A client passed in is its maker's to close."""
    client = KafkaProducer(bootstrap_servers=address, acks="all")
    with KafkaBackend(client=client, topic=topic) as backend:
        backend.write("a", value=1)
    client.send(topic, b'{"name": "theirs"}').get(10)
    client.close()
    assert [document["name"] for document in documents(read())] == ["a", "theirs"]


def test_closing_ends_the_client_s_thread(make):
    """Nothing runs on, and the next batch opens anew."""
    before = threading.active_count()
    backend = make()
    for _ in range(3):
        backend.write("a", value=1)
        assert threading.active_count() == before + 1
        backend.close()
        assert threading.active_count() == before


def test_lost_confirmations_double_nothing(address, topic, read):
    """The broker stores, and hangs up instead of saying so: every metric is there exactly once (D9)."""
    with Relay() as relay:
        backend = KafkaBackend(address, topic, timeout=5.0, **{PROXY: f"socks5://127.0.0.1:{relay.port}"})
        with ThreadedBackend(backend, bulk_size=50, bulk_timeout=0.01, retry=Backoff(base=0.05)) as delivery:
            for start in range(0, 1000, 100):
                delivery.bulk_write(metrics(100, start=start))
                assert delivery.flush(20)
                relay.lose_answer(containing=topic.encode())  # as those to records do, and few others
            check_conservation(delivery.stats(), offered=1000, pending=0)
        assert relay.lost == 9
    assert numbers(read()) == list(range(1000))


def test_what_is_sent_again_is_not_sent_twice(address, topic, read):
    """A batch without an answer counts as not stored; the next attempt waits for the same records (D9)."""
    with Relay() as relay:
        backend = KafkaBackend(address, topic, timeout=1.5, **{PROXY: f"socks5://127.0.0.1:{relay.port}"})
        assert insist(lambda: backend.write_many(metrics(5))) is None
        relay.hold()
        started = time.monotonic()
        with pytest.raises(BackendTimeout, match="confirmed nothing"):
            backend.write_many(metrics(20, start=5))
        assert time.monotonic() - started < 7.0
        assert backend.stats() == {"unsettled": 20}
        relay.release()
        assert backend.write_many(metrics(30, start=5)) is None
        assert backend.stats() == {"unsettled": 0}
        backend.close()
    assert numbers(read()) == list(range(35))


def test_closing_gives_up_what_is_unconfirmed(address, topic, read):
    """After the close, the producer sends nothing more: delivery has counted it, or put it into the spool."""
    before = set(threading.enumerate())
    with Relay() as relay:
        backend = KafkaBackend(address, topic, timeout=1.0, **{PROXY: f"socks5://127.0.0.1:{relay.port}"})
        assert insist(lambda: backend.write_many(metrics(1))) is None
        relay.hold()
        with pytest.raises(BackendTimeout):
            backend.write_many(metrics(20, start=1))
        started = time.monotonic()
        backend.close()
        assert time.monotonic() - started < 6.0
        assert not [thread for thread in set(threading.enumerate()) - before if "kafka" in thread.name]
    assert len(numbers(read())) <= 21


@pytest.mark.serial
@pytest.mark.slow
def test_a_broker_that_is_killed_and_comes_back_has_everything_once(servers, address, topic, read):
    """Killed in mid-stream and away for 20 seconds: all arrives, once and in order, and no caller waits."""
    with ThreadedBackend(KafkaBackend(address, topic), bulk_timeout=0.05, queue_maxsize=100_000) as delivery:
        with Stream(delivery) as stream:
            stream.reach(500)
            servers.kill("kafka")
            time.sleep(20)  # the outage itself
            servers.start("kafka")
            stream.reach(stream.count + 500)
        assert delivery.flush(100)
        stats = delivery.stats()
    check_conservation(stats, offered=stream.count, pending=0)
    assert stats["delivered"] == stream.count
    assert stream.p99() < 0.05
    assert numbers(read()) == list(range(stream.count))


@pytest.mark.slow
def test_a_closed_port_is_told_within_the_time(make):
    """Where nobody listens, a batch fails in time, with the places to look at."""
    started = time.monotonic()
    with pytest.raises(BackendUnavailable, match=r"127.0.0.1:1: no broker answered.* check hosts"):
        make("127.0.0.1:1", timeout=1.0).write("a", value=1)
    assert time.monotonic() - started < 6.0


def test_refusals_are_results(make, make_topic):
    """A batch with one refused record says so for that one alone."""
    small = make_topic(topic_configs={"max.message.bytes": "1000"})
    batch = metrics(2)
    batch[1]["text"] = "x" * 2000
    _, refused = make(of=small).write_many(batch)
    assert isinstance(refused, Reject)
    assert "max.message.bytes" in refused.detail
