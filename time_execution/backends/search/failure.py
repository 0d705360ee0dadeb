"""What an exception of a client means: five clients, one table, by the names that their classes have in common."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any

from time_execution.exceptions import BackendDenied, BackendError, BackendTimeout, BackendUnavailable
from time_execution.http_answer import error_of

_BAD_REQUEST = 400
_NOT_ACCEPTABLE = 406
_plain_type = re.compile(r"[a-z_]{1,64}").fullmatch
_WORDS: Mapping[str, tuple[type[BackendError], str]] = {
    "ConnectionTimeout": (BackendTimeout, "did not answer within the timeout"),
    "SSLError": (BackendUnavailable, "cannot be spoken to by TLS; check tls, ca_certs and the port"),
    "TlsError": (BackendUnavailable, "cannot be spoken to by TLS; check tls, ca_certs and the port"),
    "ConnectionError": (BackendUnavailable, "cannot be reached; check hosts, and that it runs"),
    "SerializationError": (BackendUnavailable, "answered something that is no JSON; is there a proxy in between?"),
}
_LOGIN = "check username, password and api_key, and what they may do"
NOWHERE = (404, 405, 410)
"""What a server answers that knows no such address, such as one of another product."""


def failure_of(exc: Exception, *, product: str, server: str) -> BackendError | None:
    """Return the error to raise for what a client raised; None for what is none of a client's own.

    Args:
        exc: What was raised.
        product: What the server is meant to be.
        server: Names the product and its nodes; holds no credentials.
    """
    status = status_of(exc)
    if status is not None:
        if status == _BAD_REQUEST:
            # No document is read before all is taken, so this is about the request, and all metrics are still good.
            return BackendDenied(
                f"{server} answered 400 ({error_type(exc) or 'no reason'}): it refuses the whole request"
            )
        advice = elsewhere(product) if status in NOWHERE else _LOGIN
        return error_of(status, headers_of(exc), server=server, advice=advice)
    for cls in type(exc).__mro__:
        if cls.__name__ in _WORDS:
            error, words = _WORDS[cls.__name__]
            if _is_distrust(exc):
                return BackendDenied(f"{server} has a certificate that is not trusted; check ca_certs")
            return error(f"{server} {words}")
    return None


def elsewhere(product: str) -> str:
    """Return what to look at when whatever answers may be something else."""
    return f"perhaps it is no {product}; check hosts, port and prefix"


def is_mismatch(exc: Exception) -> bool:
    """Whether an exception says that client and server are of versions or products that do not speak to each other."""
    if any(cls.__name__ == "UnsupportedProductError" for cls in type(exc).__mro__):
        return True
    status = status_of(exc)
    return status == _NOT_ACCEPTABLE or (status == _BAD_REQUEST and error_type(exc) == "media_type_header_exception")


def _is_distrust(exc: BaseException | None) -> bool:
    """Whether an exception came of a certificate that did not pass."""
    while exc is not None and not isinstance(exc, ssl.SSLCertVerificationError):
        exc = exc.__cause__ or exc.__context__
    return exc is not None


def status_of(exc: Exception) -> int | None:
    """Return the status of the answer that an exception stands for; None when there was none."""
    status = getattr(exc, "status_code", None)
    return status if isinstance(status, int) else None


def headers_of(exc: Exception) -> Mapping[str, str]:
    """Return the headers of the answer that an exception stands for, as far as they are known."""
    headers = getattr(getattr(exc, "meta", None), "headers", None) or getattr(exc, "headers", None)
    return headers if isinstance(headers, Mapping) else {}


def error_type(exc: Exception) -> str:
    """Return the server's name for what is wrong, such as ``media_type_header_exception``; empty when there is none."""
    kind = _error_of(exc).get("type")
    return kind if isinstance(kind, str) and _plain_type(kind) else ""


def error_reason(exc: Exception) -> str:
    """Return the server's words, which may quote what was sent; empty when there are none."""
    reason = _error_of(exc).get("reason")
    return reason if isinstance(reason, str) else ""


def _error_of(exc: Exception) -> Mapping[str, Any]:
    info = getattr(exc, "info", None)
    error = info.get("error") if isinstance(info, Mapping) else None
    return error if isinstance(error, Mapping) else {}
