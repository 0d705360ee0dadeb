"""`RabbitMQBackend` on a real server: what arrives is read back from queues bound to the exchange."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
import uuid
from pathlib import Path

import pytest

pytest.importorskip("pika", reason="its client is not installed", exc_type=ImportError)

from tests.closed_after import closed_after
from tests.faults.harness import check_conservation
from tests.services.brokers import Relay, Stream, assert_same, hostile_metrics, insist, wait_until
from tests.services.conftest import PORTS
from tests.services.rabbitmq_queue import Queue, metrics, numbers, once
from time_execution import flush, settings, time_execution
from time_execution.backends.rabbitmq import RabbitMQBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendDenied, BackendTimeout, BackendUnavailable, BatchTooLarge
from time_execution.testing import BackendContract

USER, PASSWORD = "timeexecution", "secret-of-rabbitmq"
CONTROL = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")


@pytest.fixture(scope="module")
def port(servers):
    return servers.port("rabbitmq")


@pytest.fixture
def make_queue(port):
    with closed_after(lambda **arguments: Queue(port, **arguments)) as make:
        yield make


@pytest.fixture
def queue(make_queue):
    return make_queue()


@pytest.fixture
def make(port, queue):
    """Make backends for the queue's exchange, or another; they are closed after the test."""

    def build(host="127.0.0.1", at=port, **options):
        return RabbitMQBackend(host, at, **{"exchange": queue.exchange, "timeout": 5.0} | options)

    with closed_after(build) as make:
        yield make


@pytest.fixture
def control(servers, port):
    """Give a function that commands the server, where it was started from here."""
    data = servers.data("rabbitmq")
    cookie = data / ".erlang.cookie"
    if not (CONTROL.exists() and cookie.exists()):
        pytest.skip("rabbitmqctl can command a server only that was started by backends/services")
    ports = {"ERL_EPMD_PORT": str(PORTS["rabbitmq-epmd"]), "RABBITMQ_NODENAME": "time-execution@localhost"}
    environment = {**os.environ, **ports, "HOME": str(data), "RABBITMQ_CONF_ENV_FILE": "/dev/null"}
    owner = cookie.stat()
    who = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.getuid() == 0 else {}

    def command(*words):
        subprocess.run(
            [CONTROL, *words], check=True, timeout=60, env=environment, cwd="/", stdout=subprocess.DEVNULL, **who
        )

    return command


class TestRabbitMQContract(BackendContract):
    """The contract, on the real server."""

    secrets = (PASSWORD,)

    @pytest.fixture
    def backend(self, make, queue):
        self.queue = queue
        return make(user=USER, password=PASSWORD)

    def read_back(self, backend):
        """Return the documents of all messages."""
        return self.queue.documents()


def test_a_message_is_laid_out_as_documented(make, queue):
    """Properties, headers and body are what consumers are told."""
    make().write_many(metrics(3))
    ((properties, documents),) = queue.read()
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    ids = "00000000000000ff-0 00000000000000ff-1 00000000000000ff-2"
    assert properties.headers == {"schema-version": 1, "metric-ids": ids}
    assert [document["number"] for document in documents] == [0, 1, 2]
    assert documents[0]["timestamp"].endswith("Z")


def test_the_same_metrics_have_the_same_message_id(make, queue):
    """Sent again, a batch is known by its identity; another batch has another."""
    backend = make()
    for batch in (metrics(3), metrics(3), metrics(4)):
        backend.write_many(batch)
    first, again, other = [properties.message_id for properties, _ in queue.read()]
    assert first == again
    assert other != first


def test_ten_thousand_hostile_metrics_arrive_as_they_were(make, queue):
    """Names, keys and values of the worst kind come back with their types, each once."""
    written = hostile_metrics(10_000)
    with ThreadedBackend(make(), queue_maxsize=20_000, max_bytes=None) as delivery:
        delivery.bulk_write(written)
        assert delivery.flush(100)
        stats = delivery.stats()
    assert (stats["delivered"], stats["retries"]) == (10_000, 0)
    assert_same(queue.documents(), written)


@pytest.mark.parametrize("configured", ["url", "dict"])
def test_it_is_configured_end_to_end(port, queue, configured):
    """A decorated function's metrics arrive, configured in one line."""
    url = f"rabbitmq://{USER}:{PASSWORD}@127.0.0.1:{port}/%2F?exchange={queue.exchange}&linger=50ms"
    login = {"user": USER, "password": PASSWORD}
    options = {"class": "rabbitmq", "host": "127.0.0.1", "port": port, "exchange": queue.exchange, **login}
    settings.configure(backends=[url if configured == "url" else options])

    @time_execution(name="shop.checkout")
    def checkout():
        return "done"

    assert [checkout() for _ in range(10)] == ["done"] * 10
    assert flush(20)
    found = queue.documents()
    assert [document["name"] for document in found] == ["shop.checkout"] * 10
    assert all(type(document["value"]) is float for document in found)


def test_it_speaks_tls(servers, make, queue):
    """A certificate is checked against the authority given; without it, nothing is sent."""
    at = servers.port("rabbitmq-tls")
    cafile = str(servers.data("rabbitmq") / "tls" / "ca.pem")
    with pytest.raises(BackendDenied, match="its certificate is not trusted: check ca_certs"):
        make(at=at, tls=True).write("a", value=1)
    make("localhost", at, ca_certs=cafile, user=USER, password=PASSWORD).write("b", value=2)
    assert [document["name"] for document in queue.documents()] == ["b"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"user": USER, "password": "planted"}, "credentials are refused: check user and password"),
        ({"virtual_host": "nowhere"}, "no virtual host nowhere"),
        ({"exchange": "amq.ours"}, "may not do that with exchange amq.ours"),
    ],
)
def test_what_the_server_refuses_is_told_and_no_secret_shown(make, caplog, wrong, told):
    """One clear line says what to check, and not even the client's own debug messages show the password."""
    caplog.set_level(logging.DEBUG)
    backend = make(**wrong)
    with pytest.raises(BackendDenied, match=told):
        backend.write("a", value=1)
    assert "planted" not in caplog.text
    assert "planted" not in f"{backend!r} {vars(backend)}"


def test_the_client_logs_no_metric(make, caplog):
    """A program that logs everything does not get what is sent."""
    caplog.set_level(logging.DEBUG)
    make().write("a", value=1, card="planted")
    assert "pika" in caplog.text
    assert "planted" not in caplog.text


def test_nobody_listening_is_told_at_once(make):
    """Where nobody listens, a batch fails in time, with the places to look at."""
    with pytest.raises(BackendUnavailable, match=r"127\.0\.0\.1:1: no .* host and port"):
        make(at=1).write("a", value=1)


def test_the_next_server_is_tried(port, make, queue):
    """Of several servers, the first that answers is used."""
    make(["127.0.0.1:1", f"127.0.0.1:{port}"], at=None).write("a", value=1)
    assert len(queue.documents()) == 1


@pytest.mark.parametrize("kind", ["fanout", "topic"])
def test_an_absent_exchange_is_declared(port, queue, kind):
    """It is made durable and of the type asked for; one that is there is used as it is."""
    name = f"test-{uuid.uuid4().hex}"
    for _ in range(2):
        with RabbitMQBackend("127.0.0.1", port, exchange=name, exchange_type=kind) as backend:
            backend.write("a", value=1)
    found = queue.channel.exchange_declare(name, exchange_type=kind, durable=True)  # fails where it is another
    assert found.method.NAME == "Exchange.DeclareOk"
    with RabbitMQBackend("127.0.0.1", port, exchange=name, exchange_type="headers", durable=False) as backend:
        backend.write("a", value=1)
    queue.channel.exchange_delete(name)


def test_an_exchange_that_is_deleted_comes_back(port, queue, make, caplog):
    """The batch that finds it gone is sent again, to the exchange declared anew."""
    with ThreadedBackend(make(), bulk_timeout=0.01, retry=Backoff(base=0.05)) as delivery:
        delivery.write("a", value=1)
        assert delivery.flush(10)
        queue.channel.exchange_delete(queue.exchange)
        delivery.write("a", value=2)
        assert delivery.flush(10)
        check_conservation(delivery.stats(), offered=2, pending=0)
    assert "is gone: it is declared anew" in caplog.text


def test_without_a_queue_a_message_is_dropped_unless_it_is_mandatory(make, queue):
    """As the server has it; with `mandatory`, metrics wait until a queue is bound."""
    queue.channel.queue_unbind(queue.name, queue.exchange)
    make().write("lost", value=1)
    with pytest.raises(BackendDenied, match=f"nothing is bound to exchange {queue.exchange}"):
        make(mandatory=True).write("kept", value=2)
    delivery = ThreadedBackend(make(mandatory=True), bulk_timeout=0.01, retry=Backoff(base=0.05, cap=0.1))
    with delivery:
        delivery.write("kept", value=3)
        wait_until(lambda: delivery.stats()["retries"])
        queue.channel.queue_bind(queue.name, queue.exchange)
        assert delivery.flush(10)
    assert [document["value"] for document in queue.documents()] == [3]


def test_the_default_exchange_needs_no_declaring(make, queue):
    """Without a name, the routing key is that of a queue."""
    make(exchange="", routing_key=queue.name, mandatory=True).write("a", value=1)
    assert len(queue.documents()) == 1


def test_what_a_queue_refuses_is_sent_again(make, make_queue):
    """A full queue that rejects publishes has the batch kept, until there is room."""
    full = make_queue(**{"x-max-length": 1, "x-overflow": "reject-publish"})
    backend = make(exchange=full.exchange)
    backend.write_many(metrics(1))
    with pytest.raises(BackendUnavailable, match="refused; is a queue full"):
        for start in range(1, 4):  # a queue takes one or two more than it says
            backend.write_many(metrics(1, start=start))
    stored = len(full.read())
    assert backend.write_many(metrics(1, start=9)) is None
    assert numbers(full) == [*range(stored), 9]


def test_large_batches_are_halved(make, queue):
    """Beyond `max_message_bytes`, smaller messages are made, and nothing is lost."""
    with ThreadedBackend(make(max_message_bytes=4000), bulk_timeout=0.05, bulk_size=500) as delivery:
        delivery.bulk_write(metrics(300))
        assert delivery.flush(20)
        check_conservation(delivery.stats(), offered=300, pending=0)
    assert numbers(queue) == list(range(300))
    assert all(len(json.dumps(documents, separators=(",", ":"))) <= 4000 for _, documents in queue.read())


def test_a_message_beyond_the_server_s_own_limit_is_halved(make, control, queue):
    """What the server closes the channel for counts as too large, not as an outage."""
    control("eval", "application:set_env(rabbit, max_message_size, 2000).")
    try:
        backend = make()
        with pytest.raises(BatchTooLarge):
            backend.write_many(metrics(100))
        assert backend.write_many(metrics(5)) is None
    finally:
        control("eval", "application:set_env(rabbit, max_message_size, 134217728).")
    assert numbers(queue) == list(range(5))


def test_ids_that_do_not_fit_into_the_server_s_frames_are_halved(make, control, queue):
    """A header has to fit in one frame, and the server says how large that may be."""
    control("eval", "application:set_env(rabbit, frame_max, 8192).")
    try:
        with ThreadedBackend(make(), bulk_timeout=0.05, bulk_size=1000) as delivery:
            delivery.bulk_write(metrics(1000))
            assert delivery.flush(20)
            check_conservation(delivery.stats(), offered=1000, pending=0)
    finally:
        control("eval", "application:set_env(rabbit, frame_max, 131072).")
    assert numbers(queue) == list(range(1000))


def test_a_blocked_connection_loses_and_doubles_nothing(make, control, queue):
    """While an alarm of memory is on, batches wait; afterwards each metric is there once."""
    backend = make(timeout=1.0)
    backend.write_many(metrics(1))
    control("set_vm_memory_high_watermark", "0.00001")
    try:
        with ThreadedBackend(backend, bulk_timeout=0.01, retry=Backoff(base=0.05, cap=0.1)) as delivery:
            delivery.bulk_write(metrics(50, start=1))
            wait_until(lambda: "blocks publishers" in str(delivery.stats()["last_error"]))
            delivery.bulk_write(metrics(50, start=51))
            control("set_vm_memory_high_watermark", "0.4")
            assert delivery.flush(30)
            check_conservation(delivery.stats(), offered=100, pending=0)
    finally:
        control("set_vm_memory_high_watermark", "0.4")
    assert numbers(queue) == list(range(101))


def test_a_connection_that_is_closed_is_opened_anew(make, control, queue):
    """Closed by an operator while nothing is sent, it costs not even a retry."""
    with ThreadedBackend(make(), bulk_timeout=0.01, queue_timeout=0.05) as delivery:
        delivery.write("a", value=1)
        assert delivery.flush(10)
        control("close_all_connections", "for a test")
        queue.connect()
        delivery.write("a", value=2)
        assert delivery.flush(10)
        assert delivery.stats()["retries"] == 0
    assert [document["value"] for document in queue.documents()] == [1, 2]


def test_heartbeats_are_answered_while_nothing_is_sent(make, queue):
    """The server would hang up after two seconds of silence; the connection lives on."""
    backend = make(heartbeat=1)
    with ThreadedBackend(backend, bulk_timeout=0.01, queue_timeout=0.1) as delivery:
        delivery.write("a", value=1)
        assert delivery.flush(10)
        session = backend._session
        time.sleep(4)  # the server's patience is the subject
        assert backend._session is session
        delivery.write("a", value=2)
        assert delivery.flush(10)
        assert backend._session is session
    assert len(queue.documents()) == 2


def test_a_lost_confirmation_is_known_by_the_message_s_id(port, queue):
    """The server stores, and hangs up instead of saying so: what comes twice has one identity (D9)."""
    with Relay(port) as relay:
        backend = RabbitMQBackend("127.0.0.1", relay.port, exchange=queue.exchange, timeout=5.0)
        with ThreadedBackend(backend, bulk_size=50, bulk_timeout=0.01, retry=Backoff(base=0.05)) as delivery:
            delivery.bulk_write(metrics(50))
            assert delivery.flush(10)
            relay.lose_answer()
            delivery.bulk_write(metrics(50, start=50))
            assert delivery.flush(20)
            check_conservation(delivery.stats(), offered=100, pending=0)
        assert relay.lost == 1
    identities = [properties.message_id for properties, _ in queue.read()]
    assert (len(identities), len(set(identities))) == (3, 2)
    assert once(queue.read()) == list(range(100))


def test_a_server_that_falls_silent_costs_no_more_than_the_timeout(port, queue):
    """A confirmation that does not come is a time-out, in time, and the connection is given up (D5)."""
    with Relay(port) as relay:
        backend = RabbitMQBackend("127.0.0.1", relay.port, exchange=queue.exchange, timeout=1.0)
        assert insist(lambda: backend.write_many(metrics(1))) is None
        relay.hold()
        for _ in range(2):  # on the connection at hand, and while connecting
            started = time.monotonic()
            with pytest.raises((BackendTimeout, BackendUnavailable)):
                backend.write_many(metrics(1, start=1))
            assert time.monotonic() - started < 6.0
        relay.release()
        assert insist(lambda: backend.write_many(metrics(1, start=1))) is None
        backend.close()
    assert once(queue.read()) == [0, 1]


@pytest.mark.serial
@pytest.mark.slow
def test_a_server_that_is_killed_and_comes_back_has_everything(servers, port, queue):
    """Killed in mid-stream: all arrives, what arrives twice is known by the ids of its metrics, and no caller waits."""
    backend = RabbitMQBackend("127.0.0.1", port, exchange=queue.exchange, timeout=5.0)
    with ThreadedBackend(backend, bulk_timeout=0.05, retry=Backoff(base=0.1, cap=1.0)) as delivery:
        with Stream(delivery) as stream:
            stream.reach(500)
            servers.kill("rabbitmq")
            stream.reach(stream.count + 200)
            servers.start("rabbitmq")
            stream.reach(stream.count + 200)
        assert delivery.flush(60)
        stats = delivery.stats()
    check_conservation(stats, offered=stream.count, pending=0)
    assert stats["delivered"] == stream.count
    assert stream.p99() < 0.05
    queue.connect()
    assert once(queue.read()) == list(range(stream.count))
