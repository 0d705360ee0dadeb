"""The client: which options it gets, and a producer that ends when its owner says so."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from time_execution.argument_check import check_use
from time_execution.backends.kafka.options import checked_options
from time_execution.exceptions import ConfigurationError
from time_execution.extra import extra

if TYPE_CHECKING:
    from time_execution.backends.kafka.spare import SpareThread

with extra("kafka"), warnings.catch_warnings():
    # Version 3 of the client reads its schemas in a way that Python 3.11 and 3.12 call deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaProducer, codec
    from kafka.errors import (
        IllegalSaslStateError,
        KafkaConnectionError,
        KafkaError,
        KafkaTimeoutError,
        SaslAuthenticationFailedError,
        UnsupportedSaslMechanismError,
    )

__all__ = ["Compression", "KafkaError", "KafkaTimeoutError", "Producer", "check_topic", "producer_maker"]

Compression = Literal["gzip", "snappy", "lz4", "zstd"]

_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")  # as the brokers have it
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_MECHANISMS = (*_WITH_PASSWORD, "GSSAPI", "OAUTHBEARER", "AWS_MSK_IAM")
_LOGIN_ERRORS = (IllegalSaslStateError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
# How long the first contact may take: one name in version 2 of the client, another from version 3 on.
_BOOTSTRAP = {"api_version_auto_timeout_ms", "bootstrap_timeout_ms"}
# Only so that nothing goes out before the whole batch is handed over; `flush` ends the wait.
_LINGER_MS = 100
# What a batch has for one partition goes in one request; below what brokers take by default, which is 1 MiB.
_BATCH_BYTES = 512 * 1024
# A broker that is back is found within so many ms; the client's own 30 s would add to delivery's pauses.
_RECONNECT_MS = 2_000


class Producer(KafkaProducer):  # type: ignore[misc]  # the client has no types
    """A producer that its owner alone ends, in the process that made it.

    Args:
        spare: A thread for it to run in where none can be started.
        options: The client's.

    Raises:
        NoThreadError: When there is neither.
    """

    def __init__(self, *, spare: SpareThread | None = None, **options: Any) -> None:
        self._process = os.getpid()
        try:
            super().__init__(**options)
        except RuntimeError as exc:
            if not hasattr(self, "_sender"):
                raise
            # All is made, and its thread, which comes last, could not be started.
            if spare is None:
                raise NoThreadError from exc
            spare.replace(self._sender)
            self._closed = False

    def end(self, timeout: float) -> None:
        """Close, and give up what is not confirmed: whoever sent it sends it again, and it must not go out twice."""
        # The client's own way waits for what cannot be sent, and then goes without having closed anything.
        self._sender.force_close()
        with contextlib.suppress(KafkaError):
            super().close(timeout=timeout)

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:  # noqa: FBT001, FBT002
        """Do nothing: the client asks for it at the end of the process, when delivery may still be sending."""

    def __del__(self) -> None:
        """Let go of the thread, unless it is the parent's."""
        if self._process == os.getpid() and hasattr(self, "_sender"):
            self._sender.force_close()


class HungUpError(KafkaError):  # type: ignore[misc]  # the client has no types
    """A broker takes connections, and closes them without an answer."""


class NoThreadError(KafkaError):  # type: ignore[misc]  # the client has no types
    """No thread can be started, and no other is at hand."""


class _Watch:
    """Learns why no connection comes about: all that the client raises, from version 3 on, is a time-out.

    Attributes:
        clients: What it made, which the producer forgets when its own making fails.
        error: Why the latest connection failed, of a refused login or a broker that hangs up; None if it was something
            else.
    """

    def __init__(self) -> None:
        self.clients: list[Any] = []
        self.error: KafkaError | None = None

    def connect(self, **configuration: Any) -> Any:
        """Make the client's network client, and see to it that its connections tell of their end."""
        client = KafkaProducer.DEFAULT_CONFIG["kafka_client"](**configuration)
        self.clients.append(client)
        manager = getattr(client, "_manager", None)
        if manager is not None:  # else it is of version 2, which raises what it meets
            self._listen_to(manager)
        return client

    def _listen_to(self, manager: Any) -> None:
        begin = manager.get_connection

        def get_connection(*args: Any, **options: Any) -> Any:
            connection = begin(*args, **options)
            connection.init_future.add_errback(self._hear)
            return connection

        manager.get_connection = get_connection

    def end(self) -> None:
        """Leave the client as it would be without."""
        for client in self.clients:
            vars(getattr(client, "_manager", self)).pop("get_connection", None)

    def _hear(self, exc: BaseException) -> None:
        if isinstance(exc, _LOGIN_ERRORS):
            self.error = exc
        elif isinstance(exc, KafkaConnectionError):
            # As it also does where its last words, of a refused login, come together with the end.
            self.error = HungUpError() if "disconnected" in str(exc) else None


def producer_maker(
    options: Mapping[str, Any],
    *,
    hosts: tuple[str, ...],
    timeout: float,
    delivery_timeout: float,
    compression: Compression | None,
    security: Mapping[str, str | None],
) -> Callable[[SpareThread | None], Producer]:
    """Return a function that makes a producer; being one, it shows nobody the password.

    Args:
        options: The client's own, which go before our defaults.
        hosts: The brokers to ask first.
        timeout: For connecting, for finding a topic's partitions and for one request, in seconds.
        delivery_timeout: For a record, in seconds.
        compression: As `KafkaBackend` takes it.
        security: ``security_protocol``, ``sasl_mechanism``, ``username`` and ``password``.

    Raises:
        ConfigurationError: When an option is unknown, not to be set, or cannot be honoured.
    """
    options = checked_options(options, defaults=KafkaProducer.DEFAULT_CONFIG)
    _check_compression(compression)
    if delivery_timeout < timeout:
        raise ConfigurationError("delivery_timeout must be at least timeout")
    wait = int(timeout * 1000)
    defaults = {
        "linger_ms": _LINGER_MS,
        "batch_size": _BATCH_BYTES,
        "reconnect_backoff_max_ms": _RECONNECT_MS,
        **dict.fromkeys(("max_block_ms", "request_timeout_ms"), wait),
        **dict.fromkeys(KafkaProducer.DEFAULT_CONFIG.keys() & _BOOTSTRAP, wait),
    }
    fixed = {
        "bootstrap_servers": list(hosts),
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": compression,
        "delivery_timeout_ms": int(delivery_timeout * 1000) + _LINGER_MS,
        **_security(options, **security),
    }
    merged = defaults | options | fixed
    return lambda spare: _make(merged, spare)


def _make(options: Mapping[str, Any], spare: SpareThread | None) -> Producer:
    """Connect; what fails is closed, and told by its cause where that can be known."""
    logger = logging.getLogger("kafka")
    # Its DEBUG messages hold metrics and passwords: only who asks for those of the client itself gets them.
    if logger.level == logging.NOTSET and logger.isEnabledFor(logging.DEBUG):
        logger.setLevel(logging.INFO)
    watch = _Watch()
    try:
        return Producer(spare=spare, **options, kafka_client=watch.connect)
    except Exception as exc:
        for client in watch.clients:
            client.close()
        if isinstance(exc, KafkaTimeoutError) and watch.error is not None:
            raise watch.error from exc
        raise
    finally:
        watch.end()


def check_topic(topic: Any) -> str:
    """Return the name of a topic.

    Raises:
        ConfigurationError: When no broker would take it.
    """
    if not (isinstance(topic, str) and _TOPIC.fullmatch(topic)):
        raise ConfigurationError("topic must be 1 to 249 of the characters A-Z a-z 0-9 . _ - (and neither . nor ..)")
    return topic


def _check_compression(compression: Any) -> None:
    if compression is None:
        return
    if compression not in get_args(Compression):
        raise ConfigurationError(f"compression must be one of {', '.join(get_args(Compression))}")
    if not getattr(codec, f"has_{compression}")():
        raise ConfigurationError(
            f"compression {compression!r} needs a package that is not installed: "
            f"pip install 'kafka-python[{compression}]'"
        )


def _security(
    options: Mapping[str, Any],
    *,
    security_protocol: str | None,
    sasl_mechanism: str | None,
    username: str | None,
    password: str | None,
) -> dict[str, Any]:
    """Return the client's options for a login; what nobody said is the safest that fits the rest."""
    has_login = username is not None or password is not None or sasl_mechanism is not None
    tls_options = [name for name in options if name.startswith("ssl_")]
    protocol = security_protocol or ("SASL_SSL" if has_login else "SSL" if tls_options else "PLAINTEXT")
    if protocol not in _PROTOCOLS:
        raise ConfigurationError(f"security_protocol must be one of {', '.join(_PROTOCOLS)}")
    if not protocol.endswith("SSL"):  # what somebody believes to be encrypted must not go out in the clear
        check_use(f"with security_protocol {protocol}", **{name: options[name] for name in tls_options})
    if not protocol.startswith("SASL"):
        login = {"username": username, "password": password, "sasl_mechanism": sasl_mechanism}
        check_use(f"with security_protocol {protocol}", **login)
        return {"security_protocol": protocol}
    mechanism = sasl_mechanism or "PLAIN"
    if mechanism not in _MECHANISMS:
        raise ConfigurationError(f"sasl_mechanism must be one of {', '.join(_MECHANISMS)}")
    if mechanism not in _WITH_PASSWORD:
        check_use(f"with sasl_mechanism {mechanism}", username=username, password=password)
    elif not all(text and isinstance(text, str) for text in (username, password)):
        raise ConfigurationError(f"sasl_mechanism {mechanism} needs username and password, as texts")
    login = {"sasl_plain_username": username, "sasl_plain_password": password}
    return {"security_protocol": protocol, "sasl_mechanism": mechanism, **login}
