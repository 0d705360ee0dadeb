"""Several batches that `RabbitMQBackend` has on their way at once: without a server."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("pika", reason="its client is not installed", exc_type=ImportError)
from pika import exceptions

from tests.backends.rabbitmq_session import BLOCKED, Answer, Session, ids, made, metrics, results_before
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendDenied, BackendTimeout, BackendUnavailable, BatchTooLarge
from time_execution.types import STORED, Metric, Retry

BATCHES = [metrics(1, 2), metrics(3, 4), metrics(5)]
LOST = exceptions.StreamLostError("gone")


def test_each_batch_is_a_message_and_all_are_confirmed_together():
    """One wait for all of them, and nothing more to say."""
    session = Session()
    assert made(session).write_batches(BATCHES) is None
    assert ids(session) == ["ff-1 ff-2", "ff-3 ff-4", "ff-5"]


def test_a_message_that_is_refused_is_sent_again_without_its_neighbours():
    """The results say which; what was refused last is told by the exception."""
    rabbit = made(Session(Answer("+-+"), Answer("+--")))
    refused = [Retry("BackendUnavailable")] * 2
    expected = [STORED, STORED, *refused, STORED]
    assert results_before(BackendUnavailable, rabbit.write_batches(BATCHES)) == expected
    assert results_before(BackendUnavailable, rabbit.write_batches(BATCHES)) == [STORED, STORED]


def test_what_was_confirmed_before_the_connection_was_lost_is_stored():
    """The rest is sent again on another, as the same messages."""
    first, second = Session(Answer("+??", LOST)), Session()
    rabbit = made(first, second)
    assert results_before(BackendUnavailable, rabbit.write_batches(BATCHES)) == [STORED, STORED]
    assert rabbit.write_batches(BATCHES[1:]) is None
    assert first.closed == [0.0]
    assert [sent.message_id for sent in first.published[1:]] == [sent.message_id for sent in second.published]


def test_when_nothing_was_confirmed_the_call_itself_fails():
    """As with one batch."""
    with pytest.raises(BackendUnavailable):
        made(Session(Answer("???", LOST))).write_batches(BATCHES)


def test_what_goes_before_a_message_too_large_is_stored():
    """And what comes after it is not sent."""
    session = Session()
    large = [Metric({"name": "m", "text": "x" * 1000}, id="ff-9")]
    answer = made(session, max_message_bytes=500).write_batches([BATCHES[0], large, BATCHES[2]])
    assert results_before(BatchTooLarge, answer) == [STORED, STORED]
    assert ids(session) == ["ff-1 ff-2"]


def test_what_a_blocked_server_has_is_waited_for_message_by_message():
    """A delivery hands over one batch at a time after a failure; none of these is published again."""
    session = Session(BLOCKED, Answer("+++"))
    rabbit = made(session)
    with pytest.raises(BackendUnavailable, match="blocks publishers"):
        rabbit.write_batches(BATCHES)
    assert [rabbit.write_batches([batch]) for batch in BATCHES] == [None, None, None]
    assert ids(session) == ["ff-1 ff-2", "ff-3 ff-4", "ff-5"]


def test_a_server_that_blocks_meanwhile_gets_no_more():
    """What was not published waits."""
    session = Session(Answer())

    def push():
        session.is_blocked = bool(session.published)

    session.push = push
    results = results_before(BackendUnavailable, made(session).write_batches(BATCHES))
    assert results == [STORED, STORED]
    assert ids(session) == ["ff-1 ff-2"]


def test_other_metrics_than_those_in_doubt_are_published():
    """As when those have become too old meanwhile."""
    session = Session(BLOCKED)
    rabbit = made(session)
    with pytest.raises(BackendUnavailable):
        rabbit.write_batches(BATCHES[:1])
    session.is_blocked = False
    assert rabbit.write_batches([metrics(8)]) is None
    assert rabbit.write_batches(BATCHES[:1]) is None
    assert ids(session) == ["ff-1 ff-2", "ff-8"]


def test_what_is_behind_a_message_that_was_refused_is_not_published_again():
    """Each is known by the metrics it holds, whatever became of those before it."""
    session = Session(Answer("?-?", BackendTimeout("silent"), blocks=True))
    rabbit = made(session)
    with pytest.raises(BackendUnavailable):
        rabbit.write_batches(BATCHES)
    session.is_blocked = False
    assert rabbit.write_batches(BATCHES) is None
    assert ids(session) == ["ff-1 ff-2", "ff-3 ff-4", "ff-5", "ff-3 ff-4"]


def test_the_server_s_own_reason_is_told():
    """Where it closes the channel while messages are being made, the next one does not hide why."""
    session = Session(Answer("?" * 9, LOST))
    rabbit = made(session)
    rabbit._opened()
    session.push_error = exceptions.ChannelClosedByBroker(403, "planted")
    with pytest.raises(BackendDenied, match="check its permissions"):
        rabbit.write_batches(BATCHES)
    assert session.closed == [0.0]


def test_behind_a_queue_each_message_has_a_batch_of_its_size():
    """Whatever values the metrics hold, and in their order."""
    session = Session()
    bodies = []
    publish = session.publish

    def keep(body, properties, **target):
        bodies.append([document["number"] for document in json.loads(body)])
        return publish(body, properties, **target)

    session.publish = keep
    queue = ThreadedBackend(made(session), bulk_size=10, bulk_timeout=0.0, retry=Backoff(base=0.01))
    with queue.channel.lock:  # so that they all wait when the worker comes
        for number in range(100):
            queue.write("a", number=number, other=[2**70, {"x": float("nan")}, "\ud800"] if number % 7 == 0 else None)
    assert queue.flush(10) is True
    queue.close()
    assert bodies == [[*range(first, first + 10)] for first in range(0, 100, 10)]
