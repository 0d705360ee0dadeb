"""`KafkaBackend`: one record for each metric, confirmed by the brokers before it counts as stored."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.address import Host, address_of, host_of, host_texts
from time_execution.argument_check import check_timeouts, check_use
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.kafka.meaning import error_of, refusal
from time_execution.backends.kafka.producer import (
    Compression,
    KafkaError,
    KafkaTimeoutError,
    Producer,
    check_topic,
    producer_maker,
)
from time_execution.backends.kafka.spare import SpareThread
from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
    ConfigurationError,
)
from time_execution.formats.json import document
from time_execution.types import NAME, STORED, TIMESTAMP, Metric, Reject, Result, Retry

if TYPE_CHECKING:
    from urllib.parse import SplitResult

CONTENT_TYPE_HEADER = "content-type"
SCHEMA_VERSION_HEADER = "schema-version"
METRIC_ID_HEADER = "metric-id"
CONTENT_TYPE = "application/json"
SCHEMA_VERSION = "1"
"""Rises when a consumer of the documents would have to be changed."""

_PORT = 9092
_DELIVERY_TIMEOUT = 300.0
_MILLISECOND = 1_000_000
_HEADERS = [(CONTENT_TYPE_HEADER, CONTENT_TYPE.encode()), (SCHEMA_VERSION_HEADER, SCHEMA_VERSION.encode())]
# Of more that is not settled, the oldest is forgotten: nobody has asked for it for many batches.
_MOST_UNSETTLED = 50_000
# Producers of a parent process, kept from being collected: closing one in the child could harm the parent.
_inherited: list[Producer] = []


class KafkaBackend(BaseMetricsBackend):
    """Send each metric as one record to a Kafka topic; it is stored when all replicas in sync have it.

    The key is the metric's name, so metrics of one name stay in order. The value is its JSON document in UTF-8, the
    record's timestamp the metric's own. Headers are ``content-type``, ``schema-version`` and, where the metric came
    through a queue, ``metric-id``, which stays the same however often it is sent.

    The producer is idempotent and sends again by itself for `delivery_timeout` seconds, without doubling anything. What
    is not confirmed within `timeout` is answered for as not stored yet; when delivery sends it again, the backend waits
    for the record that the producer still has, and sends no other.

    The producer is made by the first batch, in the process that sends it, and again after `close`, a fork or an error
    that it cannot recover from. Blocks, at most twice `timeout`. Thread-safe and fork-safe.

    Args:
        hosts: The brokers to ask first, ``host`` or ``host:port`` (9092 by default); a text or a list.
        topic: The topic. This backend does not create it; the brokers may, if they are set to.
        host: Another name of `hosts`.
        timeout: The longest wait for a connection, for the topic to be found, and for confirmations, in seconds.
        delivery_timeout: How long the producer keeps trying to deliver a record, in seconds; at least `timeout`, by
            default 300.
        compression: ``gzip``, or ``snappy``, ``lz4`` or ``zstd``, for which kafka-python wants further packages.
        security_protocol: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``. By default ``SASL_SSL`` with a
            login, ``SSL`` with any option ``ssl_…``, else ``PLAINTEXT``.
        sasl_mechanism: ``PLAIN`` (the default), ``SCRAM-SHA-256``, ``SCRAM-SHA-512``, ``GSSAPI``, ``OAUTHBEARER`` or
            ``AWS_MSK_IAM``.
        username: For SASL.
        password: For SASL.
        client: A `KafkaProducer` to send with, without serializers; its maker closes it. Beside it, `topic` and
            `timeout` are all that may be given. It does not work in a forked child.
        producer_options: Any other option of `KafkaProducer`, such as ``ssl_cafile`` or ``client_id``.

    Raises:
        ConfigurationError: When an argument is wrong, a file of certificates is missing, or a compression is not
            installed.
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("hosts", "topic")

    def __init__(
        self,
        hosts: str | Sequence[str] | None = None,
        topic: str = "metrics",
        *,
        host: str | Sequence[str] | None = None,
        timeout: float = 10.0,
        delivery_timeout: float | None = None,
        compression: Compression | None = None,
        security_protocol: str | None = None,
        sasl_mechanism: str | None = None,
        username: str | None = None,
        password: str | None = None,
        client: Any = None,
        **producer_options: Any,
    ) -> None:
        security = {
            "security_protocol": security_protocol,
            "sasl_mechanism": sasl_mechanism,
            "username": username,
            "password": password,
        }
        unread = {"delivery_timeout": delivery_timeout, "compression": compression, **security, **producer_options}
        if client is not None:
            check_use("beside client, which has its own", hosts=hosts, host=host, **unread)
        self.hosts = _hosts(hosts, host) if client is None else ()
        self.topic = check_topic(topic)
        delivery_timeout = _DELIVERY_TIMEOUT if delivery_timeout is None else delivery_timeout
        times = {"timeout": timeout, "delivery_timeout": delivery_timeout}
        check_timeouts(**times)
        self._timeout = timeout
        self._connect = producer_maker(
            producer_options, hosts=self.hosts, compression=compression, security=security, **times
        )
        self._place = f"Kafka at {', '.join(self.hosts)}" if client is None else "Kafka"
        self._given, self._home = client, os.getpid()
        self._begin()

    def _begin(self) -> None:
        """Set what changes as batches are sent."""
        self._lock = threading.Lock()
        self._made: Any = None
        self._spare: SpareThread | None = None
        self._unsettled: dict[str, Any] = {}
        self._process = os.getpid()  # last: another thread that sees it must not find the parent's producer

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return what ``kafka://user:secret@one:9092,two:9092/topic`` says."""
        address = address_of(url)
        if len(address.path) > 1:
            raise ConfigurationError("the path of a kafka URL is the name of the topic, which has no slash")
        topic = {"topic": address.path[0]} if address.path else {}
        return {"hosts": [str(host) for host in address.hosts], **topic, **address.login}

    def write_many(self, metrics: Sequence[Metric]) -> Sequence[Result] | None:
        """Send a batch and wait until the brokers have confirmed it, record by record.

        Raises:
            BackendTimeout: When nothing is confirmed in time; the producer goes on trying.
            BackendDenied: When there is no such topic, or the brokers refuse credentials or rights.
            BackendUnavailable: When no broker can be reached, another thread closes the backend, or nothing of the
                batch was stored for other reasons.
        """
        if not metrics:
            return None
        producer = self._producer()
        self._find_topic(producer)
        attempts: list[Any] = []
        failure: Exception | None = None
        try:
            self._hand_over(producer, metrics, attempts)
        except (KafkaError, ValueError) as exc:  # it was closed, or the topic deleted, at this very moment
            failure = exc
        self._await(producer, attempts)
        if failure is None and all(_is_stored(attempt) for attempt in attempts):
            return None
        return self._settle(producer, metrics, attempts, failure)

    def start_worker(self) -> None:
        """Keep a thread ready until the producer is made, lest the program end before and none can be started."""
        self.after_fork()
        if self._given is None and self._made is None and self._spare is None:
            with contextlib.suppress(RuntimeError):  # the program has ended
                self._spare = SpareThread()

    def stats(self) -> dict[str, int]:
        """Return ``unsettled``: metrics that count as pending, and that the producer may deliver all the same."""
        return {"unsettled": len(self._unsettled)}

    def close(self, timeout: float | None = None) -> None:
        """End the producer; idempotent. What is not confirmed is given up: whoever sent it has to send it again.

        Args:
            timeout: The longest wait, in seconds; None for the backend's own.
        """
        self.after_fork()
        producer, self._made = self._made, None
        self._unsettled.clear()
        self._release_spare()
        if producer is not None:
            producer.end(self._timeout if timeout is None else timeout)

    def after_fork(self) -> None:
        """Forget the parent's producer without touching its sockets; done by the child's first batch, too."""
        if self._process == os.getpid():
            return
        if self._made is not None:
            _inherited.append(self._made)
        self._begin()

    def _producer(self) -> Any:
        """Return the producer; make it if there is none."""
        self.after_fork()
        if self._given is not None:
            if self._home != self._process:
                raise BackendDenied(f"{self._place}: a client made before a fork cannot be used after it; give options")
            return self._given
        if not self._lock.acquire(timeout=self._timeout):
            raise BackendTimeout(f"{self._place}: another thread is still connecting")
        try:
            if self._made is None:
                self._made = self._connect(self._spare)
                self._release_spare()
            return self._made
        except KafkaTimeoutError as exc:
            advice = "check hosts, ports, security_protocol and certificates (the logger 'kafka' says more)"
            msg = f"{self._place}: no broker answered within {self._timeout:g} s: {advice}"
            raise BackendUnavailable(msg) from exc
        except (KafkaError, OSError) as exc:
            raise error_of(exc, place=self._place, topic=self.topic) from exc
        except Exception as exc:  # where it uses its options, it meets whatever they lead to
            advice = "check those of KafkaProducer that it was given"
            msg = f"{self._place}: the client refuses its options ({type(exc).__name__}): {advice}"
            raise BackendDenied(msg) from exc
        finally:
            self._lock.release()

    def _release_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.release()

    def _find_topic(self, producer: Any) -> None:
        """Wait until the topic's partitions are known, as they are from the first batch on."""
        try:
            producer.partitions_for(self.topic)
        except KafkaTimeoutError as exc:
            if self._given is None and self._made is not producer:
                raise BackendUnavailable(f"{self._place}: the producer was closed meanwhile") from exc
            advice = "create it, or check that the login is right and that this user may describe it"
            msg = f"{self._place}: topic {self.topic} was not found within {self._timeout:g} s: {advice}"
            raise BackendDenied(msg) from exc
        except KafkaError as exc:
            self._discard(producer, exc)
            raise error_of(exc, place=self._place, topic=self.topic) from exc

    def _hand_over(self, producer: Any, metrics: Sequence[Metric], attempts: list[Any]) -> None:
        """Give the producer what it does not have yet; add a future, or a `Reject`, for each metric."""
        send, topic, unsettled = producer.send, self.topic, self._unsettled
        now = time.time_ns()
        for metric in metrics:
            known = unsettled.pop(metric.id, None) if unsettled and metric.id else None
            if known is not None and not (known.is_done and known.failed()):
                attempts.append(known)
                continue
            moment = metric.get(TIMESTAMP)
            try:
                future = send(
                    topic,
                    key=_key(metric.get(NAME)),
                    value=document(metric, timestamp=now).encode(),
                    headers=[*_HEADERS, (METRIC_ID_HEADER, metric.id.encode())] if metric.id else _HEADERS,
                    # A moment to come, from a clock that is ahead, would have the record refused.
                    timestamp_ms=(min(max(moment, 0), now) if type(moment) is int else now) // _MILLISECOND,
                )
            except KafkaError as exc:
                future = refusal(exc)
                if future is None:
                    raise
            attempts.append(future)

    def _await(self, producer: Any, attempts: Sequence[Any]) -> None:
        """Wait until all is confirmed or refused, or the time is over."""
        deadline = time.monotonic() + self._timeout
        with contextlib.suppress(KafkaError):
            producer.flush(self._timeout)  # also tells the producer that no more is to come
        for attempt in attempts:
            # What the producer had to split has other futures than those it was waiting for.
            left = deadline - time.monotonic()
            if left > 0 and not isinstance(attempt, Reject) and not attempt.is_done:
                with contextlib.suppress(KafkaError):
                    attempt.get(left)

    def _settle(
        self, producer: Any, metrics: Sequence[Metric], attempts: Sequence[Any], failure: Exception | None
    ) -> list[Result]:
        """Return what became of each metric; raise if nothing of the batch is stored or refused."""
        failed = [attempt.exception for attempt in attempts if not isinstance(attempt, Reject) and attempt.failed()]
        # A refusal ends the producer, which then fails what it still has with the same error: the guilty one is known
        # only where it is alone.
        is_clear = len(failed) == 1
        results: list[Result] = []
        for metric, attempt in zip(metrics, attempts, strict=False):
            if isinstance(attempt, Reject):
                results.append(attempt)
            elif not attempt.is_done:
                self._remember(metric, attempt)
                results.append(Retry("not confirmed in time"))
            elif attempt.succeeded():
                results.append(STORED)
            else:
                refused = refusal(attempt.exception) if is_clear else None
                results.append(refused or Retry(type(attempt.exception).__name__))
        results += [Retry("not sent")] * (len(metrics) - len(results))
        failure = failure or next(iter(failed), None)
        if failure is not None:
            self._discard(producer, failure)
        if not all(isinstance(result, Retry) for result in results):
            return results
        raise self._nothing_stored(failure) from failure

    def _nothing_stored(self, failure: Exception | None) -> BackendError:
        if failure is None:
            advice = "check that the brokers are up and that the topic is still there; the producer keeps trying"
            words = f"topic {self.topic} confirmed nothing in {self._timeout:g} s: {advice}"
            return BackendTimeout(f"{self._place}: {words}")
        refused = refusal(failure)
        if refused is not None:
            return BatchTooLarge(f"{self._place}: a record was refused, and with it the batch ({refused.detail})")
        return error_of(failure, place=self._place, topic=self.topic)

    def _remember(self, metric: Metric, future: Any) -> None:
        if metric.id:
            while len(self._unsettled) >= _MOST_UNSETTLED:
                with contextlib.suppress(RuntimeError, StopIteration):  # other threads do the same
                    self._unsettled.pop(next(iter(self._unsettled)), None)
            self._unsettled[metric.id] = future

    def _discard(self, producer: Any, exc: Exception) -> None:
        """End a producer after an error that it does not recover from by itself; the next batch makes a new one."""
        if getattr(exc, "retriable", False):
            return
        with self._lock:
            if producer is not self._made:
                return
            self._made = None
        producer.end(self._timeout)


def _is_stored(attempt: Any) -> bool:
    return not isinstance(attempt, Reject) and attempt.is_done and attempt.succeeded()


def _key(name: Any) -> bytes:
    """Return the key of a record: a name as UTF-8, with its lone surrogates escaped."""
    return name.encode(errors="backslashreplace") if isinstance(name, str) else b""


def _hosts(hosts: str | Sequence[str] | None, host: str | Sequence[str] | None) -> tuple[str, ...]:
    found = [host_of(text) for text in host_texts(hosts, host)]
    return tuple(str(Host(name, port or _PORT)) for name, port in found)
