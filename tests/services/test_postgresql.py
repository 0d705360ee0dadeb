"""`SQLAlchemyBackend` on a real PostgreSQL: what is stored, once, through restarts, lost answers and locks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from datetime import datetime, timezone

import pytest

pytest.importorskip("sqlalchemy", reason="what the backend speaks to databases with")
pytest.importorskip("psycopg", reason="the driver of PostgreSQL")

import sqlalchemy

from tests.error_logs import fields_of
from tests.faults.harness import check_conservation
from tests.forked import ends_well_in_a_child, needs_fork
from tests.log_records import record
from tests.patience import least
from tests.services.brokers import DEADLINE, Relay, Stream
from tests.services.postgresql_tables import PASSWORD, Tables, connect, url_of
from tests.shown_errors import everything_shown
from time_execution.backends.sqlalchemy import SQLAlchemyBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendDenied, BackendTimeout, BackendUnavailable
from time_execution.testing import BackendContract
from time_execution.types import STORED, Reject, Stored

MOMENT = datetime(2025, 5, 10, 6, 35, 12, 548000, tzinfo=timezone.utc)
SOON = Backoff(base=0.05, cap=0.2)


@pytest.fixture(scope="module")
def port(servers):
    return servers.port("postgresql")


@pytest.fixture
def tables(port):
    tables = Tables(f"t{uuid.uuid4().hex[:12]}")
    yield tables
    tables.drop()


@pytest.fixture
def backend(tables):
    with SQLAlchemyBackend(url_of(), tables.name) as backend:
        yield backend


class TestContract(BackendContract):
    """Rows of a table; what is no part of a record is in `extra`."""

    keeps_order = False  # without a queue, ids are random
    secrets = (PASSWORD,)

    @pytest.fixture
    def backend(self, tables):
        self.tables = tables
        with SQLAlchemyBackend(url_of(), tables.name) as backend:
            yield backend

    def read_back(self, backend):
        (is_there,) = self.tables.execute("SELECT to_regclass(%s) AS name", f'"{backend.table}"')
        return list(map(fields_of, self.tables.rows())) if is_there["name"] else []


def test_a_record_is_a_row(tables, backend):
    """Moments have a zone, numbers their size, and characters that the server refuses are escaped."""
    assert list(backend.write_many([record(1, timestamp=MOMENT, message="a\0b\ud800", request_id="r" * 500)])) == [
        STORED
    ]
    (row,) = tables.rows()
    assert row["timestamp"] == MOMENT
    assert row["thread_id"] == 140_000_000_000_000
    assert row["message"] == r"a\x00b\ud800"
    assert row["request_id"] == "r" * 127 + "…"
    assert "user_id" in row["extra"]


def test_the_short_url_finds_a_driver(tables):
    """Whichever of the two is installed."""
    with SQLAlchemyBackend(url_of().replace("+psycopg", ""), tables.name) as backend:
        assert list(backend.write_many([record(1)])) == [STORED]


def test_a_restart_in_the_middle_loses_and_doubles_nothing(servers, tables):
    """The server is killed twice while records come; each is there once in the end."""
    backend = SQLAlchemyBackend(url_of(), tables.name)
    with ThreadedBackend(backend, bulk_size=20, bulk_timeout=0.02, retry=SOON) as queue:
        with Stream(queue) as stream:
            for kills in (1, 2):
                _wait_until(lambda kills=kills: stream.count > 200 * kills and queue.stats()["delivered"])
                servers.kill("postgresql")
                servers.start("postgresql")
        assert queue.flush(DEADLINE), queue.stats()
        stats = queue.stats()
    check_conservation(stats, offered=stream.count, pending=0)
    assert stats["retries"] > 0
    assert max(stream.waits) < 1.0
    tables.reconnect()
    assert tables.numbers() == list(range(stream.count))


def test_an_answer_that_is_lost_doubles_nothing(tables, port):
    """The transaction was committed, and the client does not know."""
    with Relay(port) as relay, SQLAlchemyBackend(url_of(port=relay.port), tables.name) as backend:
        backend.write_many([record(0)])
        relay.lose_answer(containing=b"COMMIT\0")
        with pytest.raises(BackendUnavailable):
            list(backend.write_many([record(1), record(2)]))
        assert relay.lost == 1
        assert list(backend.write_many([record(1), record(2)])) == [Stored(duplicate=True)] * 2
    assert [row["message"] for row in tables.rows()] == ["boom 0", "boom 1", "boom 2"]


def test_a_record_that_comes_while_its_first_attempt_is_committed_is_stored_once(tables, backend):
    """The second attempt waits for the first, and knows what the refusal of the key means."""
    backend.write_many([record(0)])
    twin = SQLAlchemyBackend(url_of(), tables.name)
    twin.write_many([record(0)])
    results = []

    def is_waiting():
        with connect() as watcher:
            return watcher.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'").fetchall()

    with tables.connection.transaction():
        tables.execute("INSERT INTO {} (id, timestamp) VALUES ('00000000000000aa-000000000001', now())")
        thread = threading.Thread(target=lambda: results.extend(twin.write_many([record(1), record(2)])), daemon=True)
        thread.start()
        _wait_until(is_waiting)
    thread.join(20)
    assert results == [Stored(duplicate=True), STORED]
    assert len(tables.rows()) == 3


def test_a_record_that_the_server_refuses_fails_by_itself(tables, backend):
    """A rule of the table turns down one of fifty."""
    backend.write_many([record(1000)])
    tables.execute("ALTER TABLE {} ADD CONSTRAINT picky CHECK (message <> 'boom 13')")
    results = list(backend.write_many([record(number) for number in range(50)]))
    assert [number for number, result in enumerate(results) if isinstance(result, Reject)] == [13]
    assert "23514" in results[13].detail
    assert len(tables.rows()) == 50


def test_processes_that_begin_at_once_make_one_table(tables):
    """Whoever comes second uses what the first has made."""
    code = (
        "import sys; from tests.log_records import record\n"
        "from time_execution.backends.sqlalchemy import SQLAlchemyBackend\n"
        "backend = SQLAlchemyBackend(sys.argv[1], sys.argv[2]); sys.stdin.read()\n"
        "results = list(backend.write_many([record() for _ in range(20)]))\n"
        "assert all(type(result).__name__ == 'Stored' for result in results)\n"
    )
    command = [sys.executable, "-c", code, url_of(), tables.name]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(8)]
    for child in children:
        child.stdin.close()
    assert [child.wait(60) for child in children] == [0] * 8
    assert len(tables.rows()) == 160


def test_a_locked_table_is_not_waited_for_without_end(tables):
    """The bound is that of the backend, on the server; the records come later."""
    with SQLAlchemyBackend(url_of(), tables.name, timeout=0.3) as backend:
        backend.write_many([record(0)])
        with tables.connection.transaction():
            tables.execute("LOCK TABLE {}")
            with pytest.raises(BackendTimeout, match=r"55P03|57014"):
                list(backend.write_many([record(1)]))
        assert list(backend.write_many([record(1)])) == [STORED]


def test_a_server_that_hangs_holds_up_neither_caller_nor_exit(tables, port):
    """What it says is held back: a write takes no longer, and closing is bounded."""

    def close():
        with Relay(port) as relay:
            backend = SQLAlchemyBackend(url_of(port=relay.port), tables.name, timeout=1.0)
            queue = ThreadedBackend(backend, bulk_timeout=0.01)
            queue.enqueue(record())
            assert queue.flush(20)
            relay.hold()
            began = time.perf_counter()
            for number in range(100):
                queue.enqueue(record(number))
            assert time.perf_counter() - began < 1.0
            began = time.perf_counter()
            queue.close(0.5)
            took = time.perf_counter() - began
            assert queue.undelivered() == 100
            relay.release()
        return took

    assert least(close, 1.0) < 1.0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"password": "hunter2"}, "refuses the login"),
        ({"user": "nobody_at_all"}, "refuses the login"),
        ({"database": "no_such_database"}, "no such database"),
    ],
)
def test_a_refusal_says_what_to_check_and_shows_no_secret(port, options, named):
    """It is asked again seldom."""
    backend = SQLAlchemyBackend(url_of(**options))
    with pytest.raises(BackendDenied, match=named) as caught:
        list(backend.write_many([record(1)]))
    assert not [secret for secret in (PASSWORD, "hunter2") if secret in everything_shown(caught.value)]


def test_a_user_who_may_not_write_is_told_what_is_missing(tables, backend):
    """The table is there, and the right is not."""
    backend.write_many([record(1)])
    user = f"reader_{uuid.uuid4().hex[:8]}"
    tables.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'reading'")
    try:
        tables.execute(f"GRANT SELECT ON {{}} TO {user}")
        reader = SQLAlchemyBackend(url_of(user=user, password="reading"), tables.name)
        with pytest.raises(BackendDenied, match="INSERT"):
            list(reader.write_many([record(2)]))
        with pytest.raises(BackendDenied, match="CREATE"):
            list(SQLAlchemyBackend(url_of(user=user, password="reading"), "no_such_table").write_many([record(2)]))
    finally:
        tables.execute(f"DROP OWNED BY {user}")
        tables.execute(f"DROP ROLE {user}")


def test_a_schema_that_is_not_there_is_named(port):
    """It is not made."""
    with pytest.raises(BackendDenied, match="schema"):
        list(SQLAlchemyBackend(url_of(), "nowhere.error_logs").write_many([record(1)]))


def test_a_table_of_the_applications_own_model_is_filled(tables, backend):
    """Numbers for ids, JSON, moments without a zone, and small integers."""
    tables.execute(
        "CREATE TABLE {} (id serial PRIMARY KEY, timestamp timestamp NOT NULL, level varchar(3), message text,"
        " line smallint, thread_id integer, extra jsonb, created_at timestamptz NOT NULL DEFAULT now())"
    )
    backend.write_many([record(1, timestamp=MOMENT), record(2, line=100_000)])
    first, second = tables.rows()
    assert (first["id"], second["id"]) == (1, 2)
    assert first["timestamp"] == MOMENT.replace(tzinfo=None)
    assert (first["level"], first["line"], first["thread_id"]) == ("ER…", 45, None)
    assert first["extra"]["user_id"] == "12345"
    assert first["extra"]["thread_id"] == 140_000_000_000_000
    assert (second["line"], second["extra"]["line"]) == (None, 100_000)


@needs_fork
def test_a_child_does_not_speak_on_its_parents_connection(tables):
    """Nor does its end close it: the pool of the application goes on in both."""
    engine = sqlalchemy.create_engine(url_of(), pool_size=1, max_overflow=0)
    store = SQLAlchemyBackend(engine, tables.name)
    store.write_many([record(1)])
    with engine.connect() as connection:
        pid = connection.scalar(sqlalchemy.text("SELECT pg_backend_pid()"))

    def work():
        with engine.connect() as connection:
            assert connection.scalar(sqlalchemy.text("SELECT pg_backend_pid()")) != pid
        assert list(store.write_many([record(number)])) == [STORED]
        engine.dispose()

    try:
        for number in range(2, 7):  # noqa: B007 - the child knows it
            assert ends_well_in_a_child(work)
            with engine.connect() as connection:
                assert connection.scalar(sqlalchemy.text("SELECT pg_backend_pid()")) == pid
        store.write_many([record(7)])
    finally:
        engine.dispose()
    assert [row["message"] for row in tables.rows()] == [f"boom {number}" for number in range(1, 8)]


def test_flask_sqlalchemy_on_postgresql(tables):
    """As an application sets it up: the database first, then the destination of the log."""
    flask = pytest.importorskip("flask", reason="the framework")
    flask_sqlalchemy = pytest.importorskip("flask_sqlalchemy", reason="what connects it with databases")
    db = flask_sqlalchemy.SQLAlchemy()
    app = flask.Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = url_of()
    db.init_app(app)
    with ThreadedBackend(SQLAlchemyBackend(db, tables.name), bulk_timeout=0.01) as queue:
        for number in range(200):
            queue.enqueue(record(number))
        assert queue.flush(DEADLINE)
    with app.app_context():
        found = db.session.execute(sqlalchemy.text(f'SELECT message FROM "{tables.name}" ORDER BY id')).scalars().all()
        db.session.remove()
        db.engine.dispose()
    assert found == [f"boom {number}" for number in range(200)]


def test_nothing_of_the_url_is_in_the_log_of_the_delivery(port, caplog, wake_service_logger):
    """However often it fails."""
    with ThreadedBackend(SQLAlchemyBackend(url_of(password="hunter2")), bulk_timeout=0.01, retry=SOON) as queue:
        queue.enqueue(record(1))
        _wait_until(lambda: queue.stats()["last_error"])
        said = queue.stats()["last_error"]
        queue.close(0.1)
    assert "refuses the login" in caplog.text
    assert not [secret for secret in ("hunter2", PASSWORD) if secret in caplog.text + said]


@pytest.fixture
def wake_service_logger(monkeypatch, caplog):
    """Let the delivery's lines reach the test, whatever other tests have made of its logger."""
    import logging

    logger = logging.getLogger("time_execution")
    monkeypatch.setattr(logger, "disabled", False)
    with caplog.at_level(logging.WARNING, "time_execution"):
        yield


def _wait_until(is_so):
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, os.getpid()
        time.sleep(0.01)
