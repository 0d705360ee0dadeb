"""An HTTP server between a backend and a real server, which does wrong by script what the real one would do right."""

from __future__ import annotations

import http.client

from tests.fault_server import DROP, Answer, FaultServer

_NOT_PASSED_ON = {"accept-encoding", "connection", "content-encoding", "content-length", "host", "transfer-encoding"}


class Relay(FaultServer):
    """Passes requests on to a server of this machine and its answers back; see `tests.fault_server`.

    Args:
        port: Of the server.

    Attributes:
        bulks: How many bulk requests came.
    """

    def __init__(self, port: int) -> None:
        super().__init__(self.pass_on)
        self._port = port

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def bulks(self) -> int:
        """How many bulk requests came."""
        return sum("_bulk" in request.path for request in self.requests)

    def pass_on(self, request):
        """Answer as the server does."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            headers = {key: value for key, value in request.headers.items() if key.lower() not in _NOT_PASSED_ON}
            connection.request(request.method, request.path, request.body or None, headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        passed = {key.title(): value for key, value in answer.getheaders() if key.lower() not in _NOT_PASSED_ON}
        return Answer(answer.status, body, passed)

    def lose_answer(self, request):
        """Let the server do what is asked, and say nothing."""
        self.pass_on(request)
        return DROP

    def to_bulks(self, *answers):
        """Answer bulk requests so, one after the other, and pass on what comes after them and all others."""
        left = list(answers)

        def answer(request):
            if "_bulk" not in request.path or not left:
                return self.pass_on(request)
            found = left.pop(0)
            return found(request) if callable(found) else found

        self.answer(answer)
