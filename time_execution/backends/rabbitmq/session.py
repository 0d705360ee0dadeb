"""The client: one connection with one channel that confirms what is published, every wait with an end.

Driven by whoever calls, on the client's asynchronous interface: of its blocking one, a publish waits for ever where
the server neither confirms nor hangs up.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from time_execution.exceptions import BackendTimeout
from time_execution.extra import extra

with extra("rabbitmq"):
    import pika
    from pika.adapters.select_connection import IOLoop
    from pika.adapters.utils.connection_workflow import AMQPConnectorException
    from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter
    from pika.exceptions import AMQPError, ChannelClosed

__all__ = ["CLIENT_ERRORS", "RefusedError", "Session", "parameters_of", "properties_of"]

CLIENT_ERRORS = (AMQPError, AMQPConnectorException, OSError)
"""What a session fails with, besides a time-out."""

_NOT_FOUND = 404
_GRACE = 1.0
# For taking a connection down that the server does not close.
_FAREWELL = 0.2


class _Services(SelectorIOServicesAdapter):  # type: ignore[misc]  # the client has no types
    """What connections wait with; names are found in a thread, or in place where none starts.

    From version 3.12 on, Python may start no thread once the program has ended, though what is queued is still sent.
    """

    def getaddrinfo(self, host: str, port: int, on_done: Callable[[Any], object], **options: int) -> Any:
        """Find the addresses of a host, and give them, or the error, to a function, later."""
        try:
            return super().getaddrinfo(host, port, on_done, **options)
        except RuntimeError:
            found = _addresses(host, port, **options)
            return self.call_later(0, lambda: on_done(found))


class _Connection(pika.SelectConnection):  # type: ignore[misc]  # the client has no types
    """A connection that needs no thread."""

    @classmethod
    def start(cls, parameters: Sequence[Any], on_done: Callable[[Any], None], loop: IOLoop) -> Any:
        """Begin to connect to the first of some servers that answers, as the client's `create_connection` does."""
        services = _Services(loop)
        return cls._start_connection_workflow(
            connection_configs=parameters,
            connection_factory=lambda one: cls(one, custom_ioloop=services, internal_connection_workflow=False),
            nbio=services,
            workflow=None,
            on_done=on_done,
        )


class RefusedError(AMQPError):  # type: ignore[misc]  # the client has no types
    """The server took a message and answered that it does not keep it.

    Attributes:
        reply_code: As the server gave it, when the message came back; None for a negative confirmation.
    """

    reply_code: int | None = None


class Receipt:
    """What became of a published message.

    Attributes:
        message_id: As published.
        is_open: Whether the server has not answered yet.
        refusal: Why the server does not keep it; None while it did not say so.
    """

    __slots__ = ("is_open", "message_id", "refusal")

    def __init__(self, message_id: str) -> None:
        self.message_id = message_id
        self.is_open = True
        self.refusal: RefusedError | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the server has taken responsibility for it."""
        return not self.is_open and self.refusal is None


class Session:
    """A connection to one of some servers, from `open` to `close` or to its first error.

    For one thread at a time.

    Args:
        parameters: The servers, tried in this order.
        timeout: The longest wait, in seconds, for each step.

    Attributes:
        is_blocked: Whether the server says that it takes nothing at present (an alarm of memory or disk).
        failure: What ended it; None while it is of use.
    """

    def __init__(self, parameters: Sequence[Any], *, timeout: float) -> None:
        self._timeout = timeout
        self.is_blocked = False
        self.failure: BaseException | None = None
        self._published = 0
        self._open: dict[int, Receipt] = {}
        self._channel: Any = None
        self._connection: Any = None
        self._loop = IOLoop()
        self._loop.activate_poller()
        self._is_closed = False
        self._attempt = _Connection.start(parameters, self._on_connected, self._loop)

    def open(self, exchange: str, *, exchange_type: str, durable: bool) -> None:
        """Connect, and see to it that the exchange is there: it is used as it is, and declared only if absent.

        Args:
            exchange: Its name; of the default exchange, which has none, nothing is asked.
            exchange_type: For an exchange that is absent.
            durable: For an exchange that is absent.

        Raises:
            Exception: What the client failed with.
            BackendTimeout: When a step takes too long.
        """
        # Longer than it takes the client to find out that nobody answers, and to clean up after itself.
        self._wait(lambda: self._connection is not None, timeout=self._timeout + _GRACE)
        self._open_channel()
        if exchange and not self._is_there(exchange):
            self._open_channel()
            self._ask(self._channel.exchange_declare, exchange=exchange, exchange_type=exchange_type, durable=durable)
        self._ask(self._channel.confirm_delivery, self._on_confirmed)
        self._channel.add_on_return_callback(self._on_returned)

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that client and server agreed on."""
        return int(self._connection.params.frame_max)

    def publish(self, body: bytes, properties: Any, *, exchange: str, routing_key: str, mandatory: bool) -> Receipt:
        """Begin to send a message; `push` and whatever waits send the rest."""
        self._published += 1
        receipt = self._open[self._published] = Receipt(properties.message_id)
        self._channel.basic_publish(exchange, routing_key, body, properties, mandatory=mandatory)
        return receipt

    def push(self) -> None:
        """Send what is at hand and take in what has come, without waiting.

        Raises:
            Exception: What the client failed with.
        """
        if not self.breathe() and self.failure is not None:
            raise self.failure

    def confirm(self) -> None:
        """Wait until the server has answered for all that was published; the receipts say what.

        Raises:
            Exception: What the client failed with.
            BackendTimeout: When it takes too long.
        """
        self._wait(lambda: not self._open)

    def breathe(self) -> bool:
        """Answer heartbeats and take in what has come, without waiting; returns whether the session is of use."""
        if self.failure is None:
            self._step(0.0)
        return self.failure is None

    def close(self, timeout: float) -> None:
        """Take leave of the server, and release everything; does not raise.

        Args:
            timeout: The longest wait for the server to answer, in seconds; with 0, hang up.
        """
        with contextlib.suppress(*CLIENT_ERRORS, AssertionError):  # the client's, of states it did not think of
            if self._connection is None:
                self._attempt.abort()
            elif self._connection.is_open and timeout > 0:
                self._connection.close()
                self._run_until_closed(timeout)
            if self._connection is not None and not self._is_closed:
                self._connection._terminate_stream(AMQPError())  # noqa: SLF001 - no other way to hang up on the silent
            self._run_until_closed(_FAREWELL)
        self._loop.deactivate_poller()
        self._loop.close()

    def _run_until_closed(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self._is_closed and (left := deadline - time.monotonic()) > 0:
            self._step(left)

    def _open_channel(self) -> None:
        self._channel = None
        self._connection.channel(on_open_callback=self._on_channel)
        self._wait(lambda: self._channel is not None)
        self._channel.add_on_close_callback(self._on_channel_closed)

    def _is_there(self, exchange: str) -> bool:
        """Ask for an exchange; the server answers for one that is absent by closing the channel."""
        try:
            self._ask(self._channel.exchange_declare, exchange=exchange, passive=True)
        except ChannelClosed as exc:
            if exc.reply_code != _NOT_FOUND:
                raise
            self.failure = None
            return False
        return True

    def _ask(self, method: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Call a method of the channel, and wait for the server's answer."""
        answers: list[Any] = []
        method(*args, callback=answers.append, **options)
        self._wait(lambda: bool(answers))

    def _wait(self, is_done: Callable[[], bool], *, timeout: float | None = None) -> None:
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        while not is_done():
            if self.failure is not None:
                raise self.failure
            left = deadline - time.monotonic()
            if left <= 0:
                raise BackendTimeout("no answer in time")
            self._step(left)

    def _step(self, longest: float) -> None:
        """Wait for something to happen, so many seconds at most, and act on it."""
        alarm = self._loop.call_later(longest, _nothing)
        try:
            self._loop.poll()
            self._loop.process_timeouts()
        except CLIENT_ERRORS as exc:
            self.failure = self.failure or exc
        finally:
            self._loop.remove_timeout(alarm)

    def _on_connected(self, outcome: Any) -> None:
        if isinstance(outcome, BaseException):
            self.failure, self._is_closed = outcome, True
            return
        self._connection = outcome
        outcome.add_on_close_callback(self._on_closed)
        outcome.add_on_connection_blocked_callback(self._on_blocked)
        outcome.add_on_connection_unblocked_callback(self._on_unblocked)

    def _on_closed(self, _connection: Any, reason: BaseException) -> None:
        self.failure, self._is_closed = self.failure or reason, True

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel

    def _on_channel_closed(self, channel: Any, reason: BaseException) -> None:
        if channel is self._channel:
            self.failure = self.failure or reason

    def _on_blocked(self, _connection: Any, _frame: Any) -> None:
        self.is_blocked = True

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.is_blocked = False

    def _on_confirmed(self, frame: Any) -> None:
        method = frame.method
        last = method.delivery_tag
        for tag in [tag for tag in self._open if tag <= last] if method.multiple else [last]:
            receipt = self._open.pop(tag, None)
            if receipt is not None:
                receipt.is_open = False
                if method.NAME == "Basic.Nack":
                    receipt.refusal = RefusedError()

    def _on_returned(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        """Note which message came back: it is confirmed after that, as if it were stored."""
        for receipt in self._open.values():
            if receipt.message_id == properties.message_id:
                receipt.refusal = RefusedError()
                receipt.refusal.reply_code = method.reply_code


def parameters_of(
    host: str, port: int | None, *, user: str, password: str, tls: Any, timeout: float, **options: Any
) -> Any:
    """Return the client's parameters for one server.

    Args:
        host: Its name or address; with TLS, also what its certificate must be for.
        port: Its port.
        user: For the login.
        password: For the login.
        tls: An `ssl.SSLContext`, or None for none.
        timeout: For each step of connecting, in seconds.
        options: As the client calls them.
    """
    return pika.ConnectionParameters(
        host,
        port,
        credentials=pika.PlainCredentials(user, password),
        ssl_options=None if tls is None else pika.SSLOptions(tls, host),
        socket_timeout=timeout,
        stack_timeout=timeout,
        blocked_connection_timeout=None,  # we wait, and keep what is unconfirmed, see `RabbitMQBackend`
        **options,
    )


def _addresses(host: str, port: int, *, socktype: int = 0, **options: int) -> Any:
    try:
        return socket.getaddrinfo(host, port, type=socktype, **options)
    except Exception as exc:  # noqa: BLE001 - which is how the client's own thread answers
        return exc


def properties_of(**properties: Any) -> Any:
    """Return the properties of a message."""
    return pika.BasicProperties(**properties)


def _nothing() -> None:
    """Do nothing, when the time is over."""
