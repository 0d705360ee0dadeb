"""What users say of a RabbitMQ server, checked, and turned into what a session is made with."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from time_execution.address import Host, host_of, host_texts
from time_execution.argument_check import check_counts, check_ports, check_timeouts, check_use
from time_execution.backends.rabbitmq.session import Session, parameters_of
from time_execution.exceptions import ConfigurationError

_PORT = 5672
_TLS_PORT = 5671
_TYPES = ("fanout", "topic", "direct", "headers")
_LONGEST_NAME = 255  # a short string of AMQP
_HIGHEST = 65_535


def session_maker(places: Sequence[Host], *, timeout: float, **options: Any) -> Callable[[], Session]:
    """Return a function that starts to connect; being one, it shows nobody the password.

    Args:
        places: The servers, tried in this order.
        timeout: For a session's steps, and for all servers together, in seconds.
        options: As `parameters_of` takes them.
    """
    share = timeout / len(places)
    parameters = [parameters_of(place.name, place.port, timeout=share, **options) for place in places]
    return lambda: Session(parameters, timeout=timeout)


def hosts_of(
    hosts: str | Sequence[str] | None, host: str | Sequence[str] | None, *, port: int | None, tls: bool
) -> tuple[Host, ...]:
    """Return hosts with a port each: their own, else the one given, else the usual one.

    Raises:
        ConfigurationError: When one is written wrong, or none is given, or the port is none.
    """
    if port is not None:
        check_ports(port=port)
    usual = port or (_TLS_PORT if tls else _PORT)
    found = [host_of(text) for text in host_texts(hosts, host)]
    if all(given for _, given in found):
        check_use("with hosts that name theirs", port=port)
    return tuple(Host(name, given or usual) for name, given in found)


def tls_context(
    *, tls: bool, ca_certs: str | None, client_cert: str | None, client_key: str | None
) -> ssl.SSLContext | None:
    """Return what TLS is spoken with; None where it is not.

    Raises:
        ConfigurationError: When a file cannot be read, or is none of certificates.
    """
    if client_key is not None and client_cert is None:
        raise ConfigurationError("client_key is of no use without client_cert")
    if not (tls or ca_certs or client_cert):
        return None
    try:
        context = ssl.create_default_context(cafile=ca_certs)
        if client_cert is not None:
            context.load_cert_chain(client_cert, client_key)
    except (OSError, TypeError, ValueError) as exc:  # `ssl.SSLError` is an `OSError`
        raise ConfigurationError("ca_certs, client_cert and client_key must be PEM files that can be read") from exc
    return context


def user_of(user: str | None, username: str | None) -> str:
    """Return the user that was given under either name.

    Raises:
        ConfigurationError: When both were given.
    """
    if user is not None and username is not None:
        raise ConfigurationError("user and username are two names of one parameter; give one of them")
    found = user if user is not None else username
    return "guest" if found is None else found


def check_type(exchange_type: Any) -> None:
    """Raise for a type of exchange that there is not.

    Raises:
        ConfigurationError: See above.
    """
    if exchange_type not in _TYPES:
        raise ConfigurationError(f"exchange_type must be one of {', '.join(_TYPES)}")


def check_texts(**texts: Any) -> None:
    """Raise for what is no text, or too long for AMQP.

    Raises:
        ConfigurationError: Naming the option.
    """
    for option, text in texts.items():
        if not isinstance(text, str):
            raise ConfigurationError(f"{option} must be a text, not {type(text).__name__}")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ConfigurationError(f"{option} must be a text that UTF-8 can hold")
        if option != "password" and len(text.encode()) > _LONGEST_NAME:
            raise ConfigurationError(f"{option} must have at most {_LONGEST_NAME} bytes")


def shown_properties(given: Any) -> dict[str, Any]:
    """Return what the server's management shows of a connection.

    Args:
        given: The option ``client_properties``.

    Raises:
        ConfigurationError: When it is no mapping of texts.
    """
    found = {} if given is None else given
    if not (isinstance(found, Mapping) and all(isinstance(text, str) for pair in found.items() for text in pair)):
        raise ConfigurationError("client_properties must be a dict of texts")
    return {"connection_name": "time_execution", **found}


def check_numbers(*, max_message_bytes: Any, heartbeat: Any, timeout: Any) -> None:
    """Raise for what is no number, or out of range.

    Raises:
        ConfigurationError: Naming the option.
    """
    check_timeouts(timeout=timeout)
    check_counts(max_message_bytes=max_message_bytes)
    check_counts(least=0, heartbeat=heartbeat)
    if heartbeat > _HIGHEST:
        raise ConfigurationError(f"heartbeat must be at most {_HIGHEST} s")
