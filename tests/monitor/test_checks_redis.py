"""`RedisCheck` without a Redis: what it refuses, what it shows, and a server that never answers."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.monitor.checked import ended, unlogged  # noqa: F401 - a fixture
from tests.monitor.silent_server import SilentServer
from time_execution.exceptions import ConfigurationError
from time_execution.monitor.checks import check_of
from time_execution.monitor.health import HealthChecks

redis = pytest.importorskip("redis")
from time_execution.monitor.checks import RedisCheck  # noqa: E402 - needs the client

pytestmark = pytest.mark.usefixtures("unlogged")


class Client:
    """Answers `ping` with what it is made with."""

    def __init__(self, answer):
        self.answer, self.closed = answer, 0

    def ping(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self):
        self.closed += 1


@pytest.mark.parametrize(
    ("answer", "status", "output"),
    [
        (True, "healthy", ""),
        (False, "failed", "it did not answer PONG"),
        (redis.ConnectionError("nobody there"), "failed", "ConnectionError: nobody there"),
        (redis.AuthenticationError("wrong password=hunter2"), "failed", "AuthenticationError: wrong password=***"),
    ],
)
def test_what_a_client_answers(answer, status, output):
    """A client is asked by `ping`, and left open: it is not ours."""
    client = Client(answer)
    found = RedisCheck(client)()
    assert (found.status, found.output, client.closed) == (status, output, 0)


def test_nobody_listens():
    """A port where nobody listens fails at once: nothing is tried again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = RedisCheck(f"redis://:hunter2@127.0.0.1:{port}/0")()
    assert (found.status, found.error_type) == ("failed", "ConnectionError")
    assert "hunter2" not in found.output


def test_nothing_is_tried_twice():
    """A server that hangs up on everybody is connected to once for each run."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                accepted.append(1)
                taken.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        check = RedisCheck(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        assert check().status == "failed"
        assert len(accepted) == 1
        assert check().status == "failed"
        assert len(accepted) == 2
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10.0)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("", "url must be one of Redis"),
        ("http://host/", "url must be one of Redis"),
        ("redis://:hunter2@host:port/0", "url must be one of Redis"),
        ("redis://:hunter2@host/0?socket_timeout=soon", "url must be one of Redis"),
        (None, "not NoneType"),
        (3, "not int"),
    ],
)
def test_wrong_targets_are_refused(target, words):
    """Each is refused at once, without the URL, and without an exception behind it that shows it."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        RedisCheck(target)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_asynchronous_clients_are_refused():
    """The connections of an asynchronous client belong to a loop in which no check runs."""
    import redis.asyncio

    with pytest.raises(ConfigurationError, match="asynchronous"):
        RedisCheck(redis.asyncio.Redis())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hunter2@cache.example.com:6379/0", "redis://cache.example.com:6379/0"),
        ("rediss://anna:hu%40nter2@cache/0?socket_timeout=3", "rediss://cache/0"),
        ("redis://cache/0?password=hunter2", "redis://cache/0"),
    ],
)
def test_no_secret_shows(url, shown):
    """Neither the check nor its attributes show a login."""
    check = check_of(url)
    assert repr(check) == f"RedisCheck('{shown}')"
    assert "nter2" not in f"{vars(check)}"


def test_a_server_that_never_answers():
    """One that takes the connection and says nothing fails in time, and the thread that waits for it ends."""
    checks = HealthChecks(threshold=1)
    with SilentServer() as server:
        checks.register("cache", f"redis://:hunter2@127.0.0.1:{server.port}/0", timeout=0.3)
        shown = checks.run()["checks"]["cache"]
        assert shown["status"] == "unhealthy"
        assert shown["output"] in {"no answer within 0.3 s", "TimeoutError: Timeout reading from socket"}
        ended(checks, "cache")
        assert server.left.wait(10.0)
    assert "hunter2" not in str(checks.report())
