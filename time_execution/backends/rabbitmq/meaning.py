"""What the errors of pika mean for the metrics that were sent, in words of our own."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any

from time_execution.exceptions import BackendDenied, BackendError, BackendUnavailable, BatchTooLarge

_CONTENT_TOO_LARGE = 311
_PRECONDITION_FAILED = 406
_ACCESS_REFUSED = 403
# What the client makes of a close during the handshake quotes it, and has no reply code of its own.
_CLOSE = re.compile(r"ConnectionClosedByBroker: \((\d+)\)")
_REFUSED_LOGIN = (BackendDenied, "the credentials are refused: check user and password")
# Reply codes of AMQP 0-9-1 (section 1.2) with which a server closes a channel or a connection.
_REPLIES: Mapping[int, tuple[type[BackendError], str]] = {
    _CONTENT_TOO_LARGE: (BatchTooLarge, "the message is too large"),
    312: (BackendDenied, "nothing is bound to {exchange}: bind a queue, or leave out mandatory"),
    320: (BackendUnavailable, "the server closed the connection, as it does when it is stopped"),
    _ACCESS_REFUSED: (BackendDenied, "this user may not do that with {exchange}: check its permissions"),
    404: (BackendUnavailable, "{exchange} is gone: it is declared anew at the next attempt"),
    _PRECONDITION_FAILED: (BackendDenied, "{exchange} does not take this: check its type and policies"),
    530: (BackendDenied, "there is no virtual host {virtual_host}, or this user may not use it"),
    506: (BackendUnavailable, "the server is short of resources"),
    541: (BackendUnavailable, "the server has failed within itself"),
}
_NAMES: Mapping[str, tuple[type[BackendError], str]] = {
    "AuthenticationError": _REFUSED_LOGIN,
    "ProbableAuthenticationError": (
        BackendUnavailable,
        "the connection was cut during the login: the server went down, or refuses user and password",
    ),
    "ProbableAccessDeniedError": (
        BackendUnavailable,
        "the connection was cut after the login: the server went down, or refuses virtual host {virtual_host}",
    ),
    "IncompatibleProtocolError": (
        BackendUnavailable,
        "no AMQP 0-9-1 is spoken there: check host and port, and whether it wants TLS",
    ),
    "AMQPConnectorStackTimeout": (
        BackendUnavailable,
        "no answer in time: check host and port, and whether it wants TLS",
    ),
    "SSLCertVerificationError": (
        BackendDenied,
        "its certificate is not trusted: check ca_certs, and that it is for the host as written here",
    ),
    "AMQPHeartbeatTimeout": (BackendUnavailable, "the server has stopped to answer heartbeats"),
}


def root_of(exc: BaseException) -> BaseException:
    """Return what made the client's connection workflow fail: the last attempt's own error."""
    for _ in range(8):
        inner: Any = getattr(exc, "exceptions", None) or getattr(exc, "exception", None)
        if isinstance(inner, (list, tuple)):
            inner = inner[-1]
        if not isinstance(inner, BaseException):
            break
        exc = inner
    return exc


def error_of(exc: BaseException, *, place: str, exchange: str, virtual_host: str) -> BackendError:
    """Return the error to raise for one of the client; it quotes nothing of it but class and reply code.

    Args:
        exc: What the client raised, or told a callback.
        place: Names the server.
        exchange: Where metrics go.
        virtual_host: Where the exchange is.
    """
    exc = root_of(exc)
    name, code = type(exc).__name__, _code_of(exc)
    text = str(getattr(exc, "reply_text", ""))
    if code == _PRECONDITION_FAILED and "max size" in text:  # "message size … is larger than configured max size …"
        code = _CONTENT_TOO_LARGE
    kind, words = _NAMES.get(name, (BackendUnavailable, ""))
    if code is not None and code in _REPLIES:
        kind, words = _REPLIES[code]
        if code == _ACCESS_REFUSED and name == "ProbableAuthenticationError":
            kind, words = _REFUSED_LOGIN
    if not words and isinstance(exc, ssl.SSLError):
        kind, words = BackendUnavailable, "TLS failed: check port and certificates"
    if not words and isinstance(exc, OSError):
        kind, words = BackendUnavailable, "no connection: check that it runs, and host and port"
    words = words or f"the connection was lost ({name}{f' {code}' if code else ''})"
    where = f"exchange {exchange}" if exchange else "the default exchange"
    return kind(f"{place}: {words.format(exchange=where, virtual_host=virtual_host)}")


def _code_of(exc: BaseException) -> int | None:
    """Return the code of the server's close of a channel or connection; None where it did not close."""
    code: Any = getattr(exc, "reply_code", None)
    quoted = _CLOSE.match(str(exc.args[0])) if exc.args else None
    return code if isinstance(code, int) else int(quoted[1]) if quoted else None
