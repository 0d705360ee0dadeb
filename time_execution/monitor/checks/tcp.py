"""`TCPCheck`: whether somebody listens."""

from __future__ import annotations

import socket
import time
from typing import Any, ClassVar

from time_execution.address import Host
from time_execution.argument_check import check_ports
from time_execution.exceptions import ConfigurationError
from time_execution.monitor.checks.check import Check
from time_execution.monitor.checks.connection import connected, reason_of
from time_execution.monitor.health_outcome import Outcome, failure


class TCPCheck(Check):
    """Connects to a TCP port, and hangs up. Says nothing, and waits for no word: that somebody listens is enough.

    Thread-safe and fork-safe.

    Args:
        host: A name or an IP address.
        port: Of it.

    Raises:
        ConfigurationError: When either is none.

    Example:
        >>> TCPCheck("mail.example.com", 25)
        TCPCheck('mail.example.com', 25)
    """

    kind: ClassVar[str] = "tcp"

    def __init__(self, host: str, port: int) -> None:
        if not _is_host(host):
            raise ConfigurationError("host must be the name or the IP address of one host")
        check_ports(port=port)
        self._host = host
        self._port = port

    def probe(self, timeout: float) -> Outcome:
        """Connect, and say what came of it; see `Check.probe`."""
        deadline = time.monotonic() + timeout
        try:
            connected(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM), deadline).close()
        except (OSError, ValueError) as exc:
            return failure(f"{Host(self._host, self._port)}: {reason_of(exc)}", type(exc).__name__)
        return Outcome("healthy")

    def __repr__(self) -> str:
        """Show host and port."""
        return f"{type(self).__name__}({self._host!r}, {self._port})"


def _is_host(host: Any) -> bool:
    return isinstance(host, str) and host.isprintable() and host != "" and not any(mark in host for mark in " /@,")
