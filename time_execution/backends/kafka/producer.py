"""The client: which options it gets, and a producer that ends when its owner says so."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from time_execution.complaint import suggestion
from time_execution.exceptions import ConfigurationError
from time_execution.extra import extra

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
_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")
# Options of the client that go by another name here, or that what this backend promises hangs on.
_OURS = {
    "bootstrap_servers": "hosts",
    "compression_type": "compression",
    "delivery_timeout_ms": "delivery_timeout",
    "sasl_plain_username": "username",
    "sasl_plain_password": "password",
    **dict.fromkeys(("acks", "enable_idempotence", "kafka_client", "transactional_id"), ""),
    **dict.fromkeys(("key_serializer", "value_serializer"), ""),
}
# How long the first contact may take: one name in version 2 of the client, another from version 3 on.
_BOOTSTRAP = {"api_version_auto_timeout_ms", "bootstrap_timeout_ms"}
# Only so that nothing goes out before the whole batch is handed over; `flush` ends the wait.
_LINGER_MS = 100
# What a batch has for one partition goes in one request; below what brokers take by default, which is 1 MiB.
_BATCH_BYTES = 512 * 1024
# A broker that is back is found within so many ms; the client's own 30 s would add to delivery's pauses.
_RECONNECT_MS = 2_000


class Producer(KafkaProducer):  # type: ignore[misc]  # the client has no types
    """A producer that its owner alone ends, in the process that made it."""

    def __init__(self, **options: Any) -> None:
        self._process = os.getpid()
        super().__init__(**options)

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


class _Overheard(logging.Handler):
    """Hears why no connection comes about: all that the client raises, from version 3 on, is a time-out.

    Attributes:
        error: What was logged last by the thread that made this handler, of a refused login or a broker that hangs up;
            None if it was something else.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.error: KafkaError | None = None
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Look for an error among what the message is made of."""
        if record.thread != self._thread or not isinstance(record.args, tuple):
            return
        for value in record.args:
            if isinstance(value, _LOGIN_ERRORS):
                self.error = value
            elif isinstance(value, KafkaConnectionError):
                # As it also does where its last words, of a refused login, come together with the end.
                self.error = HungUpError() if "disconnected" in str(value) else None


def producer_maker(
    options: Mapping[str, Any],
    *,
    hosts: tuple[str, ...],
    timeout: float,
    delivery_timeout: float,
    compression: Compression | None,
    security: Mapping[str, str | None],
) -> Callable[[], Producer]:
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
    _check_options(options)
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

    merged = defaults | dict(options) | fixed
    return lambda: _make(merged)


def _make(options: Mapping[str, Any]) -> Producer:
    """Connect; what fails is closed, and told by its cause where that can be heard."""
    logger = logging.getLogger("kafka")
    # Its DEBUG messages hold metrics and passwords: only who asks for those of the client itself gets them.
    if logger.level == logging.NOTSET and logger.isEnabledFor(logging.DEBUG):
        logger.setLevel(logging.INFO)
    overheard = _Overheard()
    logger.addHandler(overheard)
    clients: list[Any] = []

    def connect(**configuration: Any) -> Any:
        clients.append(KafkaProducer.DEFAULT_CONFIG["kafka_client"](**configuration))
        return clients[-1]

    try:
        return Producer(**options, kafka_client=connect)
    except Exception as exc:
        for client in clients:  # which the producer forgets when its own making fails
            client.close()
        if isinstance(exc, KafkaTimeoutError) and overheard.error is not None:
            raise overheard.error from exc
        raise
    finally:
        logger.removeHandler(overheard)


def check_topic(topic: Any) -> str:
    """Return the name of a topic.

    Raises:
        ConfigurationError: When no broker would take it.
    """
    if not (isinstance(topic, str) and _TOPIC.fullmatch(topic)):
        raise ConfigurationError("topic must be 1 to 249 of the characters A-Z a-z 0-9 . _ - (and neither . nor ..)")
    return topic


def _check_options(options: Mapping[str, Any]) -> None:
    known = KafkaProducer.DEFAULT_CONFIG.keys() - _OURS.keys()
    for name in options:
        if _OURS.get(name):
            raise ConfigurationError(f"{name} is called {_OURS[name]} here")
        if name in _OURS:
            raise ConfigurationError(f"{name} is set by this backend, which could not keep its promises otherwise")
        if name not in known:
            raise ConfigurationError(f"unknown option {name!r}{suggestion(name, known)} of the Kafka producer")
    for name in _FILES:
        path = options.get(name)
        if path is not None and not (isinstance(path, (str, os.PathLike)) and Path(path).is_file()):
            raise ConfigurationError(f"{name} must be the path of a file")


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
    has_tls = any(name.startswith("ssl_") for name in options)
    protocol = security_protocol or ("SASL_SSL" if has_login else "SSL" if has_tls else "PLAINTEXT")
    if protocol not in _PROTOCOLS:
        raise ConfigurationError(f"security_protocol must be one of {', '.join(_PROTOCOLS)}")
    if not protocol.startswith("SASL"):
        if has_login:
            raise ConfigurationError(f"username, password and sasl_mechanism have no meaning with {protocol}")
        return {"security_protocol": protocol}
    mechanism = sasl_mechanism or "PLAIN"
    if mechanism not in _MECHANISMS:
        raise ConfigurationError(f"sasl_mechanism must be one of {', '.join(_MECHANISMS)}")
    is_complete = all(text and isinstance(text, str) for text in (username, password))
    if mechanism in _WITH_PASSWORD and not is_complete:
        raise ConfigurationError(f"sasl_mechanism {mechanism} needs username and password, as texts")
    login = {"sasl_plain_username": username, "sasl_plain_password": password}
    return {"security_protocol": protocol, "sasl_mechanism": mechanism, **login}
