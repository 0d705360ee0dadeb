"""Health checks of a real PostgreSQL and a real Redis, which are killed, started again, and held up."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import pytest

from tests.forked import ends_well_in_a_child, needs_fork
from tests.monitor.checked import ended, is_idle, unlogged  # noqa: F401 - a fixture
from tests.monitor.freezing_relay import FreezingRelay
from time_execution import settings
from time_execution.monitor.health import HealthChecks
from time_execution.testing import MemoryBackend

sqlalchemy = pytest.importorskip("sqlalchemy")
redis = pytest.importorskip("redis")
pytest.importorskip("psycopg")
from time_execution.monitor.checks import DatabaseCheck, RedisCheck  # noqa: E402 - needs both

pytestmark = pytest.mark.usefixtures("unlogged")

POSTGRESQL = "postgresql+psycopg://timeexecution:secret-of-postgresql@127.0.0.1:{}/timeexecution"
REDIS = "redis://timeexecution:secret-of-redis@127.0.0.1:{}/0"
OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture
def postgresql(servers):
    return POSTGRESQL.format(servers.port("postgresql"))


@pytest.fixture
def cache(servers):
    return REDIS.format(servers.port("redis"))


@pytest.fixture
def urls(postgresql, cache):
    return {"postgresql": postgresql, "redis": cache}


@pytest.fixture
def engine(postgresql):
    engine = sqlalchemy.create_engine(postgresql)
    yield engine
    engine.dispose()


@pytest.fixture
def client(cache):
    with redis.Redis.from_url(cache) as client:
        yield client


def statuses(report):
    return {name: check["status"] for name, check in report["checks"].items()}


def test_both_answer(postgresql, cache, engine, client):
    """By URL, by engine and by client, and the gauges say so."""
    checks, backend = HealthChecks(), MemoryBackend()
    checks.register("database", postgresql)
    checks.register("engine", DatabaseCheck(engine))
    checks.register("cache", cache)
    checks.register("client", RedisCheck(client))
    with settings(backends=[backend]):
        report = checks.run()
    assert set(statuses(report).values()) == {"healthy"}, report
    assert [check["type"] for check in report["checks"].values()] == ["database", "database", "redis", "redis"]
    assert {metric["service"] for metric in backend.metrics} == {"database", "engine", "cache", "client"}
    assert all(metric["value"] > 0 for metric in backend.metrics)


def test_a_wrong_password(servers, postgresql, cache):
    """Whoever refuses the login fails, and the password shows nowhere."""
    checks = HealthChecks()
    checks.register("database", postgresql.replace("secret-of-postgresql", "hunter2"))
    checks.register("cache", cache.replace("secret-of-redis", "hunter2"))
    report = checks.run()
    assert set(statuses(report).values()) == {"degraded"}
    assert "password authentication failed" in report["checks"]["database"]["output"]
    assert report["checks"]["cache"]["output"].startswith("AuthenticationError: ")
    assert "hunter2" not in f"{report} {checks!r} {vars(checks)}"


@pytest.mark.parametrize("name", ["postgresql", "redis"])
def test_a_server_that_is_killed_and_comes_back(servers, name, urls, request):
    """Degraded, unhealthy at the threshold, and healthy again; the other one is not drawn in."""
    checks = HealthChecks(threshold=2)
    held = {"postgresql": ("engine", DatabaseCheck), "redis": ("client", RedisCheck)}
    fixture, kind = held[name]
    checks.register("by url", urls.pop(name))
    checks.register("held", kind(request.getfixturevalue(fixture)))
    checks.register("other", urls.popitem()[1])
    assert checks.run()["status"] == "healthy"
    servers.kill(name)
    assert statuses(checks.run()) == {"by url": "degraded", "held": "degraded", "other": "healthy"}
    assert statuses(checks.run()) == {"by url": "unhealthy", "held": "unhealthy", "other": "healthy"}
    report = checks.report()
    assert report["status"] == "unhealthy"
    assert "secret-of" not in str(report)
    servers.start(name)
    checks.run()  # in which a pool may find out that its connections are gone
    assert checks.run()["status"] == "healthy"
    assert is_idle()


def test_a_database_that_hangs_amid_the_question(servers, postgresql):
    """A server that takes `SELECT` and says nothing is left in time, and the thread that waits ends at once."""
    port = servers.port("postgresql")
    with FreezingRelay(port, b"SELECT 1") as relay:
        checks = HealthChecks(threshold=1)
        checks.register("database", POSTGRESQL.format(relay.port), timeout=1.0)
        engine = sqlalchemy.create_engine(POSTGRESQL.format(relay.port))
        checks.register("engine", DatabaseCheck(engine), timeout=1.0)
        began = time.monotonic()
        report = checks.run()
        ended(checks, "database")
        ended(checks, "engine")
        assert time.monotonic() - began < 5.0
        assert relay.frozen.is_set()
        assert relay.left.wait(10.0)
        engine.dispose()
    assert [check["output"] for check in report["checks"].values()] == ["no answer within 1 s"] * 2
    assert is_idle()


def test_a_redis_that_never_comes_to_an_end(servers, cache):
    """A server that drips bytes, so that no time-out of the client applies, is hung up on."""
    with FreezingRelay(servers.port("redis"), b"PING", drip=b"+") as relay:
        checks = HealthChecks(threshold=1)
        checks.register("cache", REDIS.format(relay.port), timeout=0.5)
        assert checks.run()["checks"]["cache"]["output"] == "no answer within 0.5 s"
        ended(checks, "cache")
        assert relay.left.wait(10.0)
    assert is_idle()


def test_fifty_checks_at_once(postgresql, cache, engine, client):
    """Fifty checks of real servers work side by side, and leave neither threads nor open files."""
    checks = HealthChecks()
    targets = [postgresql, cache, DatabaseCheck(engine), RedisCheck(client), lambda: True]
    for number in range(50):
        checks.register(f"check {number}", targets[number % 5], timeout=30.0)

    def open_now():
        engine.dispose()  # what their pools keep is theirs
        client.close()
        gc.collect()
        return len(set(OPEN_FILES.iterdir())), threading.active_count()

    checks.run()
    assert is_idle()
    before = open_now()
    for _ in range(3):
        assert set(statuses(checks.run()).values()) == {"healthy"}
    assert is_idle()
    # Fewer is as well: what a test before this one had left open may have been closed meanwhile.
    assert [now <= then for now, then in zip(open_now(), before, strict=True)] == [True, True]


@needs_fork
def test_a_forked_child_asks_by_itself(postgresql, cache):
    """A child that is forked after checks ran asks over connections of its own, and so does the parent after it."""
    checks = HealthChecks()
    checks.register("database", postgresql)
    checks.register("cache", cache)
    assert checks.run()["status"] == "healthy"

    def work():
        assert checks.run()["status"] == "healthy"

    for _ in range(5):
        assert ends_well_in_a_child(work)
        assert checks.run()["status"] == "healthy"
