"""What `KafkaBackend` makes of what a producer does to its records: without a broker."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("time_execution.backends.kafka", reason="its client is not installed", exc_type=ImportError)

from tests.forked import ends_well_in_a_child, needs_fork

from time_execution.backends.kafka import KafkaBackend, backend  # isort: skip - before the client itself
from kafka import errors

from time_execution.backends.kafka.meaning import error_of, refusal
from time_execution.exceptions import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
)
from time_execution.types import STORED, Metric, Reject, Retry


class Future:
    """The answer for one record: none yet, stored, or an error."""

    def __init__(self, exception=None, *, is_done=True):
        self.exception = exception
        self.is_done = is_done

    def succeeded(self):
        return self.is_done and self.exception is None

    def failed(self):
        return self.is_done and self.exception is not None

    def get(self, timeout):
        raise errors.KafkaTimeoutError


class Client:
    """A producer that answers by script, and remembers what it was sent."""

    def __init__(self, *script, topic_error=None):
        self.script = list(script)
        self.sent = []
        self.flushed = []
        self.futures = []
        self.topic_error = topic_error

    def partitions_for(self, topic):
        if self.topic_error is not None:
            raise self.topic_error

    def send(self, topic, **record):
        answer = self.script.pop(0) if self.script else Future()
        if isinstance(answer, Exception):
            raise answer
        self.sent.append(record)
        self.futures.append(answer)
        return answer

    def flush(self, timeout):
        self.flushed.append(timeout)


def made(client, **options):
    return KafkaBackend(client=client, topic="t", **{"timeout": 0.05} | options)


def metrics(*numbers):
    return [Metric({"name": f"m{number}", "value": number}, id=f"ff-{number}") for number in numbers]


def test_nothing_connects_before_the_first_metric():
    """Making a backend costs no thread and no socket."""
    before = threading.active_count()
    KafkaBackend("127.0.0.1:1").close()
    assert threading.active_count() == before


def test_a_batch_is_confirmed_before_it_counts():
    """All stored is told by nothing at all, after one wait for the whole batch."""
    client = Client()
    assert made(client).write_many(metrics(1, 2)) is None
    assert [record["key"] for record in client.sent] == [b"m1", b"m2"]
    assert client.flushed == [0.05]


def test_an_answer_is_given_for_each_record():
    """Stored, refused and to be sent again stay apart, in order."""
    client = Client(Future(), Future(errors.MessageSizeTooLargeError()), Future(is_done=False), Future())
    stored, refused, again, last = made(client).write_many(metrics(1, 2, 3, 4))
    assert stored is last is STORED
    assert (refused.reason, "max.message.bytes" in refused.detail) == ("MessageSizeTooLargeError", True)
    assert again == Retry("not confirmed in time")


def test_what_the_client_itself_refuses_harms_no_neighbour():
    """A record beyond the client's own limit is refused before it is sent."""
    client = Client(Future(), errors.MessageSizeTooLargeError("10 bytes"), Future())
    results = made(client).write_many(metrics(1, 2, 3))
    assert [type(result) for result in results] == [type(STORED), Reject, type(STORED)]


def test_of_several_refused_together_none_is_condemned():
    """A refusal takes the producer and all it holds down: with fewer at a time, the guilty one is found."""
    client = Client(*(Future(errors.InvalidTimestampError()) for _ in range(3)))
    with pytest.raises(BatchTooLarge, match="a record was refused"):
        made(client).write_many(metrics(1, 2, 3))
    mixed = Client(Future(), *(Future(errors.InvalidTimestampError()) for _ in range(2)))
    assert made(mixed).write_many(metrics(1, 2, 3)) == [STORED, *[Retry("InvalidTimestampError")] * 2]


def test_a_record_without_an_answer_is_not_sent_again():
    """The producer still has it: the next attempt waits for the same one."""
    client = Client(Future(is_done=False), Future(is_done=False))
    kafka = made(client)
    with pytest.raises(BackendTimeout, match="the producer keeps trying"):
        kafka.write_many(metrics(1, 2))
    assert kafka.stats() == {"unsettled": 2}
    client.futures[0].is_done = True
    assert kafka.write_many(metrics(1, 2, 3)) == [STORED, Retry("not confirmed in time"), STORED]
    assert [record["key"] for record in client.sent] == [b"m1", b"m2", b"m3"]
    client.futures[1].is_done = True
    assert kafka.write_many(metrics(2)) is None
    assert len(client.sent) == 3


def test_a_record_that_the_producer_gave_up_is_sent_again():
    """Once it has failed there, nobody else will deliver it."""
    client = Client(Future(is_done=False))
    kafka = made(client)
    with pytest.raises(BackendTimeout):
        kafka.write_many(metrics(1))
    client.futures[0].is_done, client.futures[0].exception = True, errors.KafkaTimeoutError()
    assert kafka.write_many(metrics(1)) is None
    assert [record["key"] for record in client.sent] == [b"m1", b"m1"]


def test_a_metric_without_an_id_cannot_be_waited_for():
    """Written directly, a metric is its writer's to send again."""
    kafka = made(Client(Future(is_done=False)))
    with pytest.raises(BackendTimeout):
        kafka.write("a", value=1)
    assert kafka.stats() == {"unsettled": 0}


def test_what_nobody_asks_for_is_forgotten(monkeypatch):
    """The memory of records without an answer is bounded, oldest first."""
    monkeypatch.setattr(backend, "_MOST_UNSETTLED", 3)
    kafka = made(Client(*(Future(is_done=False) for _ in range(9))))
    for number in range(5):
        with pytest.raises(BackendTimeout):
            kafka.write_many(metrics(number))
    assert list(kafka._unsettled) == ["ff-2", "ff-3", "ff-4"]


def test_threads_may_forget_at_the_same_time(monkeypatch):
    """One that finds the memory changed under its hands looks again."""

    changes = [RuntimeError("changed size during iteration"), StopIteration()]

    class Shared(dict):
        def __iter__(self):
            if changes:
                raise changes.pop()
            return super().__iter__()

    monkeypatch.setattr(backend, "_MOST_UNSETTLED", 1)
    kafka = made(Client(*(Future(is_done=False) for _ in range(2))))
    kafka._unsettled = Shared({"ff-0": Future()})
    with pytest.raises(BackendTimeout):
        kafka.write_many(metrics(1, 2))
    assert list(kafka._unsettled) == ["ff-2"]


def test_what_was_handed_over_before_a_failure_is_remembered():
    """The producer is closed in the middle of a batch: what it has may still be delivered."""
    client = Client(Future(is_done=False), errors.IllegalStateError("closed"))
    kafka = made(client)
    with pytest.raises(BackendUnavailable, match="closed meanwhile"):
        kafka.write_many(metrics(1, 2))
    assert list(kafka._unsettled) == ["ff-1"]


@pytest.mark.parametrize(
    ("exc", "kind", "told"),
    [
        (errors.SaslAuthenticationFailedError("planted"), BackendDenied, "check username, password"),
        (errors.TopicAuthorizationFailedError({"planted"}), BackendDenied, "may not write to topic t: allow it"),
        (errors.ClusterAuthorizationFailedError("planted"), BackendDenied, "IDEMPOTENT_WRITE"),
        (errors.UnknownTopicOrPartitionError("planted"), BackendDenied, "no topic t: create it"),
        (errors.KafkaConfigurationError("planted"), BackendDenied, "options"),
        (errors.NotEnoughReplicasError("planted"), BackendUnavailable, "too few replicas"),
        (errors.ThrottlingQuotaExceededError("planted"), BackendThrottled, "send less"),
        (errors.KafkaTimeoutError("planted"), BackendTimeout, "may be there twice"),
        (ConnectionRefusedError(111, "planted"), BackendUnavailable, "check hosts"),
        (errors.KafkaStorageError("planted"), BackendUnavailable, "the client failed with KafkaStorageError"),
        (ValueError("planted"), BackendUnavailable, "the client failed with ValueError"),
    ],
)
def test_the_client_s_errors_are_told_in_words_of_our_own(exc, kind, told):
    """They say where, what and what to do, and quote nothing that may hold a metric or a secret."""
    found = error_of(exc, place="Kafka at h:9092", topic="t")
    assert type(found) is kind
    assert str(found).startswith("Kafka at h:9092: ")
    assert told in str(found)
    assert "planted" not in str(found)


def test_only_what_a_record_is_refused_for_is_a_refusal():
    """All else may pass another time."""
    assert refusal(errors.InvalidTimestampError()).reason == "InvalidTimestampError"
    assert refusal(errors.KafkaTimeoutError()) is None


def test_a_topic_that_cannot_be_found_is_told():
    """The line names it and says what to do."""
    with pytest.raises(BackendDenied, match=r"topic t was not found within 0\.05 s: create it"):
        made(Client(topic_error=errors.KafkaTimeoutError())).write("a", value=1)
    with pytest.raises(BackendDenied, match="may not write to topic t"):
        made(Client(topic_error=errors.TopicAuthorizationFailedError())).write("a", value=1)


def test_a_producer_that_was_closed_meanwhile_is_no_missing_topic():
    """Another thread closed the backend: nobody is told to create a topic that is there."""
    kafka = KafkaBackend("h", topic="t", timeout=0.05)
    client = Client()

    def partitions_for(topic):
        kafka._made = None
        raise errors.KafkaTimeoutError

    client.partitions_for, kafka._made = partitions_for, client
    with pytest.raises(BackendUnavailable, match="closed meanwhile") as caught:
        kafka.write("a", value=1)
    assert not isinstance(caught.value, BackendDenied)


def test_a_direct_write_says_what_became_of_it():
    """A refused metric is an error for who wrote it by hand."""
    with pytest.raises(BackendRejected, match=r"max\.message\.bytes"):
        made(Client(Future(errors.MessageSizeTooLargeError()))).write("a", value=1)


@needs_fork
def test_a_given_client_is_not_used_in_a_forked_child():
    """It has no thread there, and its socket is the parent's: the child is told what to do instead."""
    client = Client()
    kafka = made(client)

    def write_in_vain():
        with pytest.raises(BackendDenied, match="give options"):
            kafka.write("a", value=1)
        assert not client.sent

    assert ends_well_in_a_child(write_in_vain)


@needs_fork
def test_a_forked_child_leaves_the_parent_s_producer_alone():
    """It is neither closed nor collected there, nor are its records waited for."""
    kafka = KafkaBackend("h")
    kafka._made, kafka._unsettled["ff-1"] = Client(), Future()

    def close():
        parents = kafka._made
        kafka.close()
        assert (kafka._made, kafka._unsettled) == (None, {})
        assert parents in backend._inherited

    assert ends_well_in_a_child(close)
    assert kafka._made is not None
    kafka._made = None


def test_another_thread_s_connecting_is_not_waited_for_without_end():
    """Used directly by several threads while nobody answers, each fails in its own time."""
    kafka = KafkaBackend("h", timeout=0.05)
    with kafka._lock, pytest.raises(BackendTimeout, match="still connecting"):
        kafka.write("a", value=1)
