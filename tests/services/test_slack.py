"""`SlackBackend` behind a queue, against a server that checks requests as Slack's documentation has them."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

pytest.importorskip("slack_sdk", reason="the client of Slack")

from tests.fault_server import HANG, RESET, Answer
from tests.faults.harness import check_conservation
from tests.log_records import record
from tests.secret_corpus import PLANTED
from tests.services.brokers import DEADLINE
from tests.slack_server import CHANNEL, TOKEN, SlackServer
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.slack import SlackBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.formats.redaction import REDACTOR

SOON = Backoff(base=0.05, cap=0.2)
ROOM: dict[str, Any] = {"queue_maxsize": 20_000, "max_bytes": None}  # for all of a test at once
WAYS = ["webhook", "bot"]


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch):
    """The server is on this machine, and the client would ask a proxy of the environment for it."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with SlackServer() as server:
        yield server


@pytest.fixture(params=WAYS)
def make(request, server):
    """Make queues in front of the server, by either way."""
    made = []

    def make(**options):
        if request.param == "webhook":
            backend = SlackBackend(server.webhook_url, **options)
        else:
            backend = SlackBackend(bot_token=TOKEN, channel=CHANNEL, base_url=server.base_url, **options)
        made.append(ThreadedBackend(backend, bulk_timeout=0.01, queue_timeout=0.05, retry=SOON, **ROOM))
        return made[-1]

    yield make
    for queue in made:
        queue.close(5.0)


def critical(number=None, **changes):
    return record(number, **({"level": "CRITICAL", "exception": None} | changes))


def summed_up(message):
    """Return how many records a summary tells of, as its title says and as its lines add up to."""
    title, *lines = message.split("\n")
    told = int(re.match(r"(\d+) more messages? in the last", title)[1])
    assert sum(int(line.split()[0]) for line in lines) == told
    return told


def test_ten_thousand_identical_records_are_one_notice_and_one_summary(server, make):
    """L5: the summary has the exact number."""
    queue = make()
    for _ in range(10_000):
        queue.enqueue(critical())
    assert queue.flush(DEADLINE)
    assert len(server.messages) == 1
    stats = queue.stats()
    check_conservation(stats, offered=10_000, pending=0)
    queue.close(10.0)
    assert len(server.messages) == 2
    assert server.messages[0].startswith("CRITICAL proletto (production): Failed to connect to database\n")
    assert summed_up(server.messages[1]) == 9999


def test_ten_thousand_different_records_are_no_more_notices_than_the_rate(server, make):
    """L5: and one summary with the rest of them."""
    queue = make(rate=7)
    for number in range(10_000):
        queue.enqueue(critical(message="boom " + "x" * (number % 500), function=f"f{number // 500}"))
    assert queue.flush(DEADLINE)
    assert len(server.messages) == 7
    queue.close(10.0)
    assert summed_up(server.messages[7]) == 9993
    assert len(server.messages) == 8


def test_summaries_come_by_themselves_and_every_record_is_told_once(server, make):
    """While records go on coming, in notices and summaries together."""
    queue = make(interval=0.5, rate=3)
    began, count = time.monotonic(), 0
    while time.monotonic() - began < 2.0:
        for label in "abcde":
            queue.enqueue(critical(message=f"boom {label}"))
            count += 1
        time.sleep(0.002)
    server.wait_for_messages(6)
    assert queue.flush(DEADLINE)
    queue.close(10.0)
    summaries = [message for message in server.messages if "more message" in message.partition("\n")[0]]
    assert len(summaries) >= 2
    assert len(server.messages) - len(summaries) + sum(map(summed_up, summaries)) == count


def test_an_outage_loses_nothing_and_holds_up_nobody(server, make):
    """Other destinations get everything at once, and writes take no longer."""
    server.fail(Answer(503, ""), RESET, Answer(500, "rollup_error"), Answer(429, "", {"Retry-After": "1"}))
    slack, other = make(), MemoryBackend()
    with ThreadedBackend(other, bulk_timeout=0.01) as beside:
        waits = []
        for label in "abc":
            began = time.perf_counter()
            slack.enqueue(critical(message=f"boom {label}"))
            beside.enqueue(critical(message=f"boom {label}"))
            waits.append(time.perf_counter() - began)
        assert beside.flush(5)
        assert len(other.metrics) == 3
    assert slack.flush(DEADLINE)
    told = [message.partition("\n")[0].rpartition(": ")[2] for message in server.messages]
    assert told == ["boom a", "boom b", "boom c"]
    assert min(waits) < 0.005


def test_a_server_that_hangs_does_not_hold_up_the_end(server, make):
    """Closing is bounded; what was not told is counted."""
    server.fail(*[HANG] * 20)
    queue = make(timeout=0.2)
    for label in "abc":
        queue.enqueue(critical(message=f"boom {label}"))
    server.wait_for(1)
    began = time.monotonic()
    queue.close(0.5)
    assert time.monotonic() - began < 5.0
    assert queue.undelivered() == 3


def test_mentions_do_not_ring_and_links_lead_nowhere(server, make):
    """Whatever stands in a record."""
    attacks = ["<!channel>", "<!here>", "<@U024BE7LH>", "<https://evil.example|bank>", "&lt;!channel&gt;", "@channel"]
    queue = make()
    for attack in attacks:
        queue.enqueue(critical(message=attack, user=attack, exception={"type": attack, "traceback": [attack]}))
    assert queue.flush(DEADLINE)
    assert server.rang == []
    assert len(server.messages) == len(attacks)
    for attack, message in zip(attacks, server.messages, strict=True):
        assert attack in message


def test_alerts_are_told_as_they_change(server, make):
    """Firing, over, and firing again at once: all three."""
    queue = make()
    for state, moment in (("firing", 1), ("resolved", 2), ("firing", 3)):
        alert = {"name": "alert", "timestamp": moment * 10**9, "metric": "cpu_percent", "level": "critical"}
        queue.enqueue(alert | {"state": state, "message": f"{state}: cpu_percent", "observed": 97.0, "threshold": 95})
    assert queue.flush(DEADLINE)
    titles = [message.partition("\n")[0] for message in server.messages]
    assert titles == ["ALERT firing: cpu_percent", "ALERT resolved: cpu_percent", "ALERT firing: cpu_percent"]


def test_no_planted_secret_arrives(server, make):
    """S7: values come redacted, since a queue takes their shapes; texts are redacted once more."""
    queue = make(rate=1000)
    for number, (_, value) in enumerate(PLANTED):
        queue.enqueue(critical(message=f"{'m' * number} {value}", given=REDACTOR.redact(value)))
    assert queue.flush(DEADLINE)
    queue.close(10.0)
    text = "\n".join(server.messages)
    assert len(server.messages) >= len(PLANTED) // 2
    assert not [secret for secret, _ in PLANTED if secret in text]
