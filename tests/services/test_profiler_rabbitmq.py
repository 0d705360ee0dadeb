"""`ImpProfHandler` on a real server: what a consumer of the older library's format finds in its queue."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections import Counter

import pytest

pytest.importorskip("pika", reason="its client is not installed", exc_type=ImportError)


from tests.faults.harness import check_conservation
from tests.forked import exit_code, start_in_a_child
from tests.services.brokers import DEADLINE, wait_until
from tests.services.rabbitmq_queue import Reader
from time_execution.profiler import Profiler, metrics
from time_execution.profiler.handlers import ImpProfHandler

FIELDS = ["item", "metric", "units", "job", "method", "labels", "value"]
HERE = "test_profiler_rabbitmq"


class Consumer(Reader):
    """Reads an exchange as the older library's consumers do: it makes the exchange, not durable."""

    def declare(self):
        """Make the exchange as the older library does."""
        self.channel.exchange_declare(self.exchange, exchange_type="fanout")

    def read(self):
        """Return all messages so far, as (method, properties, records)."""
        return self.fetch()

    def records(self):
        """Return all records so far, those of a message that came twice once."""
        by_id = {properties.message_id: records for _, properties, records in self.read()}
        return [record for records in by_id.values() for record in records]


class Latecomer(Consumer):
    """Reads an exchange that is there."""

    def declare(self):
        """Make nothing."""


@pytest.fixture(scope="module")
def port(servers):
    return servers.port("rabbitmq")


@pytest.fixture
def consumer(port):
    consumer = Consumer(port)
    yield consumer
    consumer.close()


@pytest.fixture
def make(port):
    """Make profilers whose records go to an exchange; their handlers are closed after the test."""
    made = []

    def build(exchange, **options):
        profiler = Profiler()
        profiler.config(job="shop")
        made.append(ImpProfHandler("rabbit", "127.0.0.1", port, exchange_name=exchange, **{"timeout": 5.0} | options))
        profiler.add_handler(made[-1])
        return profiler, made[-1]

    yield build
    for handler in made:
        handler.close(1.0)


def test_records_arrive_in_the_documented_format(make, consumer):
    """A fanout exchange, the job as the routing key, and a JSON array of records with their seven fields."""
    profiler, handler = make(consumer.exchange)
    metric = metrics.Counter("orders", "shop", "n", labels=["kind"])
    state = metrics.Info("about", "shop")
    profiler.add_metric(metric)
    profiler.add_metric(state)

    @profiler.profile
    def child():
        metric.inc(2, {"kind": "b\u00e9\n"})
        state.info({"version": "1", "nested": {"a": [1]}})

    @profiler.profile
    def root():
        child()

    root()
    assert handler.flush(DEADLINE)
    ((method, properties, records),) = consumer.read()
    assert (method.exchange, method.routing_key) == (consumer.exchange, "shop")
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert all(list(record) == FIELDS for record in records)
    times, others = records[:2], records[2:]
    assert [record["method"] for record in times] == [f"{HERE}:root.child", f"{HERE}:root"]
    assert all(record["value"][0] == "observe" and record["value"][1] >= 0 for record in times)
    place = {"item": HERE, "job": "shop", "method": f"{HERE}:root.child"}
    assert others == [
        {**place, "metric": "counter", "units": "n", "labels": {"kind": "b\u00e9\n"}, "value": ["inc", 2]},
        {
            **place,
            "metric": "info",
            "units": "info",
            "labels": {},
            "value": ["info", {"version": "1", "nested": {"a": [1]}}],
        },
    ]
    check_conservation(handler.stats(), offered=4, pending=0)


def test_each_job_has_messages_of_its_own(make, consumer):
    """A consumer may tell by the routing key whose records a message holds."""
    profiler, handler = make(consumer.exchange)
    other = metrics.Counter("orders", "other job \u4e2d" * 40, "n")
    profiler.add_metric(other)

    @profiler.profile
    def root():
        other.inc()
        other.inc()

    root()
    root()
    assert handler.flush(DEADLINE)
    keys = [method.routing_key for method, _, _ in consumer.read()]
    assert all({record["job"] for record in records} == {records[0]["job"]} for _, _, records in consumer.read())
    assert set(keys) == {"shop", ("other job \u4e2d" * 40).encode()[:255].decode(errors="ignore")}
    assert sum(len(records) for _, _, records in consumer.read()) == 6


def test_an_exchange_that_is_absent_is_made_durable(make, port):
    """One that is there, durable or not, is used as it is."""
    name = f"profiling-{uuid.uuid4().hex}"
    profiler, handler = make(name)
    profiler.profile(lambda: None)()
    assert handler.flush(DEADLINE)
    consumer = Latecomer(port, name)
    found = consumer.channel.exchange_declare(name, exchange_type="fanout", durable=True)  # fails where it is another
    assert found.method.NAME == "Exchange.DeclareOk"
    profiler.profile(lambda: None)()
    assert handler.flush(DEADLINE)
    assert len(consumer.records()) == 1
    consumer.close()


def test_thousands_of_records_from_threads_and_a_child_arrive_once(make, consumer):
    """Whoever measures them, and in whichever process."""
    profiler, handler = make(consumer.exchange)
    step = metrics.Histogram("step", "shop", "n", labels=["who"])
    profiler.add_metric(step)

    @profiler.profile
    def root(who):
        for number in range(50):
            step.observe(number, {"who": who})

    def work(who):
        for _ in range(10):
            root(who)
        assert handler.flush(DEADLINE)

    work("parent")
    if hasattr(os, "fork"):
        assert exit_code(start_in_a_child(lambda: work("child"))) == 0
    work("parent again")
    counted = Counter(
        record["labels"]["who"] for record in consumer.records() if record["metric"] == "histogram" and record["labels"]
    )
    expected = {"parent": 500, "child": 500, "parent again": 500}
    assert counted == (expected if hasattr(os, "fork") else {key: n for key, n in expected.items() if key != "child"})


def test_what_waits_is_sent_when_the_program_ends(port, consumer):
    """Without a word of the program's."""
    program = (
        "import sys, time_execution.profiler as phanos\n"
        "phanos.profiler.config(job='ending')\n"
        "handler = phanos.handlers.ImpProfHandler('r', '127.0.0.1', int(sys.argv[1]), exchange_name=sys.argv[2],\n"
        "    shutdown_timeout=30.0)\n"
        "phanos.profiler.add_handler(handler)\n"
        "work = phanos.profile(lambda: None)\n"
        "for _ in range(250): work()\n"
    )
    command = [sys.executable, "-c", program, str(port), consumer.exchange]
    assert subprocess.check_output(command, stderr=subprocess.STDOUT, timeout=60) == b""
    assert len(consumer.records()) == 250


@pytest.mark.serial
@pytest.mark.slow
def test_nothing_is_lost_while_the_server_is_away(servers, port, make):
    """Killed and started again amid a stream of records: every one of them arrives, in the documented format."""
    name = f"profiling-{uuid.uuid4().hex}"
    profiler, handler = make(name, retry_delay=0.05, bulk_timeout=0.02)
    number_of = metrics.Histogram("number", "shop", "n")
    profiler.delete_metric("time_profiler")
    profiler.add_metric(number_of)
    sent = 0

    @profiler.profile
    def root():
        nonlocal sent
        number_of.observe(sent)
        sent += 1

    def stream(count):
        for _ in range(count):
            root()

    root()
    assert handler.flush(DEADLINE)  # the exchange is there, and durable
    consumer = Latecomer(port, name)
    stream(300)
    wait_until(lambda: handler.stats()["delivered"] > 100)
    servers.kill("rabbitmq")
    stream(300)
    wait_until(lambda: handler.stats()["retries"] >= 2)
    assert handler.stats()["pending"] > 0
    servers.start("rabbitmq")
    stream(300)
    assert handler.flush(DEADLINE)
    check_conservation(handler.stats(), offered=901, pending=0)
    assert handler.stats()["delivered"] == 901
    assert profiler.stats()["handler"] == {}
    consumer.connect()
    assert sorted({record["value"][1] for record in consumer.records()}) == list(range(1, 901))
    consumer.close()
