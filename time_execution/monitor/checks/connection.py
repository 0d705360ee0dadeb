"""A TCP connection within one deadline, whatever number of addresses the host has; and why there is none, in words."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from time_execution.exceptions import ConfigurationError

if TYPE_CHECKING:
    from time_execution.address_guard import Address

# The first that fits.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "no answer in time"),
    (socket.gaierror, "the host's name cannot be looked up"),
    (UnicodeError, "the host's name cannot be looked up"),
    (ConnectionRefusedError, "nobody listens there"),
    (ConnectionError, "it broke the connection"),
    (ssl.SSLError, "it does not speak TLS as we do"),
)


def connected(addresses: Sequence[Address], deadline: float) -> socket.socket:
    """Return a connection to the first address that takes one.

    Args:
        addresses: As `socket.getaddrinfo` returned them; nothing else is connected to.
        deadline: By ``time.monotonic``.

    Raises:
        OSError: What the last address failed with; `TimeoutError` at the deadline.
    """
    error = OSError("the host has no address")
    for tried, (family, kind, protocol, _, place) in enumerate(addresses):
        made = socket.socket(family, kind, protocol)
        try:
            # A share for each: one that swallows what is sent to it must not keep us from the next.
            made.settimeout(rest_of(deadline) / (len(addresses) - tried))
            made.connect(place)
        except OSError as exc:
            made.close()
            error = exc
        else:
            return made
    raise error


def rest_of(deadline: float) -> float:
    """Return how many seconds are left.

    Raises:
        TimeoutError: When none are.
    """
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    return rest


def reason_of(exc: OSError | ValueError) -> str:
    """Return why no answer came, in words that show nothing of the network behind the host's name."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {exc.verify_message}"
    if isinstance(exc, ConfigurationError):
        return str(exc)
    known = next((words for kind, words in _REASONS if isinstance(exc, kind)), None)
    return known or getattr(exc, "strerror", None) or type(exc).__name__
