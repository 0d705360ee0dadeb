"""`RabbitMQBackend`: one message for each batch, confirmed by the server before it counts as stored."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.address import address_of
from time_execution.argument_check import check_switches
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.rabbitmq.meaning import error_of
from time_execution.backends.rabbitmq.message import Sent, array_of, ids_of, message_of, results_of, until
from time_execution.backends.rabbitmq.options import (
    check_numbers,
    check_texts,
    check_type,
    hosts_of,
    session_maker,
    shown_properties,
    tls_context,
    user_of,
)
from time_execution.backends.rabbitmq.session import (
    CLIENT_ERRORS,
    RefusedError,
    Session,
    properties_of,
)
from time_execution.exceptions import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
    ConfigurationError,
)
from time_execution.formats.json import documents

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from time_execution.types import Metric, Results

CONTENT_TYPE = "application/json"
SCHEMA_VERSION_HEADER = "schema-version"
METRIC_IDS_HEADER = "metric-ids"
SCHEMA_VERSION = 1
"""Rises when a consumer of the documents would have to be changed."""

_PERSISTENT = 2
# Headers have to fit in one frame: what they hold beside the ids, with room to spare.
_OTHER_HEADER_BYTES = 1024
# Sessions of a parent process, kept from being collected: its sockets are not for the child to close.
_inherited: list[Session] = []


class RabbitMQBackend(BaseMetricsBackend):
    """Send each batch as one persistent message to a RabbitMQ exchange; it is stored when the server confirms it.

    The body is a JSON array of the metrics' documents, of content type ``application/json``. Where metrics came through
    a queue, the header ``metric-ids`` holds an id for each, in order, with spaces between them, and ``message_id``
    follows from these: both stay the same however often the metrics are sent, so a consumer can leave out what it has.

    The exchange is used as it is; one that is absent is declared. A server also confirms a message that is routed to no
    queue, and drops it: an exchange without queues stores nothing, unless `mandatory` is set.

    The connection is made by the first batch, in the process that sends it, and anew by the next batch after it was
    lost. Behind a `ThreadedBackend`, heartbeats are answered while nothing is sent. Blocks, at most `timeout` for each
    of connecting, declaring and confirming. Thread-safe (one sends at a time) and fork-safe.

    Args:
        host: The server, or the servers of a cluster, tried in this order: ``host`` or ``host:port``.
        port: For hosts that name none; by default 5672, with TLS 5671.
        user: For the login.
        password: For the login.
        exchange: The exchange; empty for the default exchange, where `routing_key` is the name of a queue.
        hosts: Another name of `host`.
        username: Another name of `user`.
        virtual_host: Where the exchange is.
        routing_key: Of every message; a fanout exchange ignores it.
        exchange_type: ``fanout``, ``topic``, ``direct`` or ``headers``: of an exchange that is absent.
        durable: Whether an exchange that is absent is declared to outlive the server's restart.
        mandatory: Keep what is routed to no queue, and send it again later.
        max_message_bytes: Larger batches are halved. RabbitMQ takes 128 MiB by default, from version 4.0 on 16 MiB.
        heartbeat: Seconds; a whole number. The server may want less; 0 for none.
        timeout: The longest wait for an answer, in seconds.
        tls: Use TLS, with the system's certificate authorities.
        ca_certs: The certificate authorities to trust instead. This and the next two imply `tls`.
        client_cert: The client's certificate.
        client_key: Its private key, if it is not in the same file.
        client_properties: Shown by the server's management, such as ``connection_name``.

    Raises:
        ConfigurationError: When an argument is wrong, or a certificate cannot be read.
    """

    wants_nanoseconds: ClassVar[bool] = True
    batches_at_once: ClassVar[int] = 8
    repr_fields: ClassVar[tuple[str, ...]] = ("hosts", "virtual_host", "exchange")

    def __init__(
        self,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        user: str | None = None,
        password: str = "guest",  # noqa: S107 - as RabbitMQ is installed, and taken from this machine only
        exchange: str = "metrics",
        *,
        hosts: str | Sequence[str] | None = None,
        username: str | None = None,
        virtual_host: str = "/",
        routing_key: str = "",
        exchange_type: str = "fanout",
        durable: bool = True,
        mandatory: bool = False,
        max_message_bytes: int = 8 * 1024 * 1024,
        heartbeat: int = 60,
        timeout: float = 10.0,
        tls: bool = False,
        ca_certs: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        client_properties: Mapping[str, str] | None = None,
    ) -> None:
        login = {"user": user_of(user, username), "password": password}
        check_texts(**login, exchange=exchange, virtual_host=virtual_host, routing_key=routing_key)
        check_switches(durable=durable, mandatory=mandatory, tls=tls)
        check_numbers(max_message_bytes=max_message_bytes, heartbeat=heartbeat, timeout=timeout)
        check_type(exchange_type)
        context = tls_context(tls=tls, ca_certs=ca_certs, client_cert=client_cert, client_key=client_key)
        places = hosts_of(hosts, host, port=port, tls=context is not None)
        properties = shown_properties(client_properties)
        shared = {"virtual_host": virtual_host, "heartbeat": heartbeat, "client_properties": properties}
        self.hosts, self.exchange, self.virtual_host = tuple(map(str, places)), exchange, virtual_host
        self._target: dict[str, Any] = {"exchange": exchange, "mandatory": mandatory}
        self._routing_key = routing_key
        self._absent: dict[str, Any] = {"exchange_type": exchange_type, "durable": durable}
        self._max_message_bytes, self._timeout = max_message_bytes, timeout
        self._make = session_maker(places, tls=context, timeout=timeout, **login, **shared)
        self._begin()

    def _begin(self) -> None:
        """Set what changes as batches are sent."""
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._doubtful: dict[str, Sent] = {}
        self._process = os.getpid()  # last: another thread that sees it must not find the parent's session

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return what ``rabbitmq://user:secret@host:5672/virtual_host`` says.

        Without a path, the virtual host is ``/``. As in AMQP's own URLs, ``%2F`` stands for a slash in its name.
        """
        address = address_of(url)
        if len(address.path) > 1:
            raise ConfigurationError(
                "the path of a rabbitmq URL is the virtual host; a slash in its name is written %2F"
            )
        virtual_host = {"virtual_host": address.path[0]} if address.path else {}
        return {"host": [str(host) for host in address.hosts], **virtual_host, **address.login}

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Publish a batch as one message, and wait until the server has confirmed it.

        Raises:
            BatchTooLarge: When the message is larger than `max_message_bytes`, or than the server takes.
            BackendDenied: When the server refuses credentials, virtual host or exchange, or no queue is bound and
                `mandatory` is set.
            BackendTimeout: When nothing is confirmed in time.
            BackendUnavailable: When the server cannot be reached, goes down, blocks publishers or refuses the message.
        """
        return self._send([metrics], write=array_of) if metrics else None

    def write_batches(self, batches: Sequence[Sequence[Metric]]) -> Results:
        """Publish a message for each batch, one being made while others are on their way, and wait for all of them.

        For deliveries: the metrics have to be snapshots, of plain types and with moments in UTC.

        Raises:
            BackendError: As `write_many`; by the results, when some metrics were stored and others not.
        """
        return self._send(batches, write=documents)

    def routing_key_of(self, metrics: Sequence[Metric]) -> str:  # noqa: ARG002 - for those that tell by it
        """Return the routing key of the message that a batch becomes."""
        return self._routing_key

    def idle(self) -> None:
        """Answer heartbeats, and notice a connection that was closed; does not wait."""
        if self._process == os.getpid() and self._lock.acquire(blocking=False):
            try:
                if self._session is not None and not self._session.breathe():
                    self._drop()
            finally:
                self._lock.release()

    def close(self, timeout: float | None = None) -> None:
        """Close the connection; idempotent. A later batch opens another.

        Args:
            timeout: The longest wait for another thread to have sent, and then for the server's farewell, in seconds;
                None for the backend's own. While another thread sends for longer, its connection stays.
        """
        longest = self._timeout if timeout is None else timeout
        with contextlib.suppress(BackendTimeout), self._exclusively(longest):
            self._drop(longest)

    def after_fork(self) -> None:
        """Forget the parent's connection without touching its socket; done by the child's first batch, too."""
        if self._process != os.getpid():
            if self._session is not None:
                _inherited.append(self._session)
            self._begin()

    @contextlib.contextmanager
    def _exclusively(self, longest: float | None = None) -> Iterator[None]:
        self.after_fork()
        if not self._lock.acquire(timeout=2 * self._timeout if longest is None else longest):
            raise BackendTimeout(f"{self._place}: another thread is still sending")
        try:
            yield
        finally:
            self._lock.release()

    def _opened(self) -> Session:
        """Return a session of use; connect if there is none."""
        if self._session is not None and not self._session.breathe():
            self._drop()
        if self._session is None:
            session = self._make()
            try:
                session.open(self.exchange, **self._absent)
            except (BackendTimeout, *CLIENT_ERRORS) as exc:
                session.close(0)
                raise self._error(exc) from exc
            self._session = session
        return self._session

    def _send(self, batches: Sequence[Sequence[Metric]], *, write: Callable[..., str]) -> Results:
        """Publish batches, their bodies as `write` makes them, and wait until the server has answered for all of them.

        Returns:
            None when all is stored; else results up to the last metric that is, with an exception for those after it.
        """
        with self._exclusively():
            session, sent = self._opened(), list[Sent]()
            trouble: BackendError | None = None
            try:
                for metrics in batches:
                    self._publish(session, metrics, sent, write)
            except BackendError as exc:
                trouble = exc
            if sent and self._session is session:
                try:
                    with self._settling(session):
                        session.confirm()
                except BackendError as exc:
                    trouble = trouble or exc
            if self._session is session:
                self._doubtful |= {one.metric_ids: one for one in sent if one.receipt.is_open and one.metric_ids}
        refusal = next((one.receipt.refusal for one in sent if one.receipt.refusal is not None), None)
        if refusal is not None:
            trouble = trouble or self._error(refusal)
        results = results_of(sent)
        if trouble is not None and not results:
            raise trouble
        return None if trouble is None else until(trouble, results)

    def _publish(
        self, session: Session, metrics: Sequence[Metric], sent: list[Sent], write: Callable[..., str]
    ) -> None:
        """Begin to send a batch, but for what went out with messages that the server had no room for then."""
        while (known := self._known(metrics)) is not None:
            sent.append(known)
            metrics = metrics[known.size :]
        if not metrics:
            return
        with self._settling(session):
            session.push()
        if session.is_blocked:
            raise self._blocked()
        message = message_of(metrics, write)
        most_ids = session.max_frame_bytes - _OTHER_HEADER_BYTES
        if len(message.body) > self._max_message_bytes or len(message.metric_ids) > most_ids:
            raise BatchTooLarge(
                f"{self._place}: the message is larger than max_message_bytes, or holds too many metrics"
            )
        headers: dict[str, Any] = {SCHEMA_VERSION_HEADER: SCHEMA_VERSION}
        if message.metric_ids:
            headers[METRIC_IDS_HEADER] = message.metric_ids
        properties = properties_of(
            content_type=CONTENT_TYPE, delivery_mode=_PERSISTENT, message_id=message.id, headers=headers
        )
        with self._settling(session):
            receipt = session.publish(
                message.body, properties, routing_key=self.routing_key_of(metrics), **self._target
            )
        sent.append(Sent(message.metric_ids, len(metrics), receipt))

    def _known(self, metrics: Sequence[Metric]) -> Sent | None:
        """Return the message without an answer as yet that these metrics begin with, and forget it; None for none."""
        sizes = {one.size for one in self._doubtful.values()}
        keys = (ids_of(metrics[:size]) for size in sizes if size <= len(metrics))
        key = next((key for key in keys if key in self._doubtful), None)
        return None if key is None else self._doubtful.pop(key)

    @contextlib.contextmanager
    def _settling(self, session: Session) -> Iterator[None]:
        """In this block, give up a connection that fails or does not answer, unless the server blocks it."""
        try:
            yield
        except BackendTimeout as exc:
            if session.is_blocked:
                raise self._blocked() from exc
            self._drop()
            raise self._error(exc) from exc
        except CLIENT_ERRORS as exc:
            self._drop()
            raise self._error(exc) from exc

    def _drop(self, timeout: float = 0.0) -> None:
        session, self._session = self._session, None
        self._doubtful.clear()
        if session is not None:
            session.close(timeout)

    @property
    def _place(self) -> str:
        return f"RabbitMQ at {', '.join(self.hosts)}"

    def _blocked(self) -> BackendUnavailable:
        return BackendUnavailable(f"{self._place}: it blocks publishers, being short of memory or disk space")

    def _error(self, exc: BaseException) -> BackendError:
        if isinstance(exc, BackendTimeout):
            return BackendTimeout(
                f"{self._place}: no answer within {self._timeout:g} s: check that it is up, or set a longer timeout"
            )
        if isinstance(exc, RefusedError) and exc.reply_code is None:
            return BackendUnavailable(f"{self._place}: the message was refused; is a queue full that it goes to?")
        return error_of(exc, place=self._place, exchange=self.exchange, virtual_host=self.virtual_host)
