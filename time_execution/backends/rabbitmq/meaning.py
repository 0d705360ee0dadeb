"""What the errors of pika mean for the metrics that were sent, in words of our own."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from time_execution.exceptions import BackendDenied, BackendError, BackendUnavailable, BatchTooLarge

_CONTENT_TOO_LARGE = 311
_PRECONDITION_FAILED = 406
# Reply codes of AMQP 0-9-1 (section 1.2) with which a server closes a channel or a connection.
_REPLIES: Mapping[int, tuple[type[BackendError], str]] = {
    _CONTENT_TOO_LARGE: (BatchTooLarge, "the message is too large"),
    312: (BackendDenied, "nothing is bound to exchange {exchange}: bind a queue, or leave out mandatory"),
    320: (BackendUnavailable, "the server closed the connection, as it does when it is stopped"),
    403: (BackendDenied, "this user may not do that with exchange {exchange}: check its permissions"),
    404: (BackendUnavailable, "exchange {exchange} is gone: it is declared anew at the next attempt"),
    _PRECONDITION_FAILED: (BackendDenied, "exchange {exchange} does not take this: check its type and policies"),
    530: (BackendDenied, "there is no virtual host {virtual_host}, or this user may not use it"),
    506: (BackendUnavailable, "the server is short of resources"),
    541: (BackendUnavailable, "the server has failed within itself"),
}
_NAMES: Mapping[str, tuple[type[BackendError], str]] = {
    "AuthenticationError": (BackendDenied, "the credentials are refused: check user and password"),
    "ProbableAuthenticationError": (BackendDenied, "the credentials are refused: check user and password"),
    "ProbableAccessDeniedError": (
        BackendDenied,
        "there is no virtual host {virtual_host}, or this user may not use it",
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
    code = getattr(exc, "reply_code", None)
    text = str(getattr(exc, "reply_text", ""))
    if code == _PRECONDITION_FAILED and "max size" in text:  # "message size … is larger than configured max size …"
        code = _CONTENT_TOO_LARGE
    name = type(exc).__name__
    kind, words = _REPLIES.get(code, (BackendUnavailable, "")) if isinstance(code, int) else (BackendUnavailable, "")
    if not words:
        kind, words = _NAMES.get(name, (BackendUnavailable, ""))
    if not words and isinstance(exc, ssl.SSLError):
        kind, words = BackendUnavailable, "TLS failed: check port and certificates"
    if not words and isinstance(exc, OSError):
        kind, words = BackendUnavailable, "no connection: check that it runs, and host and port"
    words = words or f"the connection was lost ({name}{f' {code}' if code else ''})"
    return kind(f"{place}: {words.format(exchange=exchange or 'of the default', virtual_host=virtual_host)}")
