"""`DatabaseCheck` on databases that need no server, and on one that never answers."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest

from tests.monitor.checked import ended, unlogged  # noqa: F401 - a fixture
from tests.monitor.silent_server import SilentServer
from time_execution.exceptions import ConfigurationError
from time_execution.monitor.checks import check_of
from time_execution.monitor.health import HealthChecks

sqlalchemy = pytest.importorskip("sqlalchemy")
from time_execution.monitor.checks import DatabaseCheck  # noqa: E402 - needs SQLAlchemy

pytestmark = pytest.mark.usefixtures("unlogged")


@pytest.fixture
def engine(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    yield engine
    engine.dispose()


def test_a_database_that_answers_is_healthy(engine, tmp_path):
    """By URL and by engine, and the engine has its connection back."""
    assert DatabaseCheck(f"sqlite:///{tmp_path / 'other.db'}")().status == "healthy"
    assert DatabaseCheck(engine)().status == "healthy"
    assert engine.pool.checkedout() == 0


def test_a_database_that_cannot_be_opened_fails(tmp_path):
    """What the driver says is shown, without the advice and the statement that SQLAlchemy adds."""
    found = DatabaseCheck(f"sqlite:///{tmp_path}/nowhere/shop.db")()
    assert (found.status, found.output) == ("failed", "OperationalError: unable to open database file")


def test_the_question_is_select_1(engine):
    """Asked is `SELECT 1`, and nothing is written."""
    asked = []
    sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    DatabaseCheck(engine)()
    assert asked == ["SELECT 1"]


def test_a_flask_extension_is_asked_for_its_engine(tmp_path):
    """The extension's only application is found from a thread outside of it; with two, one has to be at work."""
    flask = pytest.importorskip("flask")
    database = pytest.importorskip("flask_sqlalchemy").SQLAlchemy()
    check = DatabaseCheck(database)
    assert repr(check) == "DatabaseCheck(<SQLAlchemy>)"
    checks = HealthChecks()
    checks.register("db", check)
    assert "serves 0 applications" in checks.run()["checks"]["db"]["output"]
    apps = []
    for name in ("a", "b"):
        app = flask.Flask(name)
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / name}.db"
        database.init_app(app)
        apps.append(app)
        if name == "a":
            assert checks.run()["checks"]["db"]["status"] == "healthy"
    assert "serves 2 applications" in checks.run()["checks"]["db"]["output"]
    with apps[0].app_context():
        assert check().status == "healthy"
    for app in apps:
        with app.app_context():
            database.engine.dispose()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("", "one of SQLAlchemy"),
        ("hello", "one of SQLAlchemy"),
        ("postgresql://app:hunter2@host:port/db", "one of SQLAlchemy"),
        ("hello://app:hunter2@host/db", "no database or driver hello://"),
        ("postgresql+hello://app:hunter2@host/db", r"no database or driver postgresql\+hello://"),
        ("mysql+pymysql://app:hunter2@host/db", "pymysql is not installed; another is named as in"),
        ("sqlite+aiosqlite:///shop.db", "is not installed|asynchronous"),
        (None, "not NoneType"),
        (3, "not int"),
        (object(), "not object"),
    ],
)
def test_wrong_targets_are_refused(target, words, monkeypatch):
    """Each is refused at once, without the URL, and without an exception behind it that shows it."""
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(ConfigurationError, match=words) as caught:
        DatabaseCheck(target)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_asynchronous_engines_are_refused():
    """The connections of an asynchronous driver belong to a loop in which no check runs."""
    pytest.importorskip("psycopg")
    from sqlalchemy.ext.asyncio import create_async_engine

    with pytest.raises(ConfigurationError, match="asynchronous"):
        DatabaseCheck("postgresql+psycopg_async://app:hunter2@host/db")
    engine = create_async_engine("postgresql+psycopg_async://app:hunter2@host/db")
    with pytest.raises(ConfigurationError, match="asynchronous") as caught:
        DatabaseCheck(engine.sync_engine)
    assert "hunter2" not in str(caught.value)
    asyncio.run(engine.dispose())


def test_postgres_is_postgresql():
    """The scheme that some providers write is taken for the one that SQLAlchemy knows."""
    pytest.importorskip("psycopg")
    engine = check_of("postgres+psycopg://app:hunter2@host/postgres")._engine_for(1.0)
    assert (engine.name, engine.driver, engine.url.database) == ("postgresql", "psycopg", "postgres")


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ("postgresql+psycopg", {"connect_timeout": 3}),
        ("postgresql+psycopg2", {"connect_timeout": 3}),
        ("postgresql+pg8000", {"timeout": 2.5}),
        ("mysql+pymysql", {"connect_timeout": 3, "read_timeout": 3, "write_timeout": 3}),
        ("mysql+mysqldb", {"connect_timeout": 3, "read_timeout": 3, "write_timeout": 3}),
        ("mysql+mysqlconnector", {"connection_timeout": 3}),
        ("oracle+oracledb", {"tcp_connect_timeout": 2.5}),
        ("mssql+pyodbc", {"timeout": 3}),
        ("mssql+pymssql", {"timeout": 3, "login_timeout": 3}),
        ("sqlite", {"timeout": 2.5}),
        ("oracle+cx_oracle", {}),
    ],
)
def test_drivers_are_told_how_long_to_wait(driver, expected):
    """Each driver gets the time-out under its own name, in whole seconds where it knows no others."""
    from time_execution.monitor.clients.sqlalchemy import timeouts_of

    assert timeouts_of(sqlalchemy.engine.make_url(f"{driver}://host/db"), 2.5) == expected


def test_time_outs_of_the_url_hold():
    """What the URL says itself is left to the driver; less than libpq takes is not asked for."""
    from time_execution.monitor.clients.sqlalchemy import timeouts_of

    assert timeouts_of(sqlalchemy.engine.make_url("postgresql+psycopg://host/db?connect_timeout=9"), 2.5) == {}
    assert timeouts_of(sqlalchemy.engine.make_url("postgresql+psycopg://host/db"), 0.1) == {"connect_timeout": 2}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://app:hunter2@db.example.com/shop", "postgresql+psycopg://db.example.com/shop"),
        ("postgresql+psycopg://app:hu%40nter2@db/shop?sslpassword=hunter2", "postgresql+psycopg://db/shop"),
        ("sqlite:///shop.db", "sqlite:///shop.db"),
    ],
)
def test_no_secret_shows(url, shown):
    """Neither the check, nor its attributes, nor those of a check of the engine, show a login."""
    pytest.importorskip("psycopg")
    check = check_of(url)
    assert repr(check) == f"DatabaseCheck('{shown}')"
    of_engine = DatabaseCheck(sqlalchemy.create_engine(url))
    assert repr(of_engine) == f"DatabaseCheck('{shown}')"
    assert "nter2" not in f"{vars(check)} {vars(of_engine)}"


def test_a_driver_that_shows_a_password_is_not_quoted(engine):
    """When the text of an error holds the password, its type is all that is told."""
    url = "sqlite:///file:shop.db?uri=true&password=hunter2-in-full"
    leaking = sqlalchemy.create_engine(url)

    @sqlalchemy.event.listens_for(leaking, "do_connect")
    def refuse(*_):
        raise leaking.dialect.dbapi.OperationalError("cannot open with hunter2-in-full")

    found = DatabaseCheck(leaking)()
    assert found.output == "OperationalError (its text is withheld: it shows credentials)"


def test_a_server_that_never_answers():
    """One that takes the connection and says nothing fails in time, and the thread that waits for it ends."""
    pytest.importorskip("psycopg")
    checks = HealthChecks(threshold=1)
    with SilentServer() as server:
        url = f"postgresql+psycopg://app:hunter2@127.0.0.1:{server.port}/shop"
        checks.register("db", url, timeout=0.3)
        shown = checks.run()["checks"]["db"]
        assert (shown["status"], shown["output"]) == ("unhealthy", "no answer within 0.3 s")
        ended(checks, "db")  # after the two seconds that the driver waits at least
        assert server.left.wait(10.0)


def test_a_connection_that_is_never_made_is_closed():
    """What psycopg has open when it gives up is closed there and then, not when garbage is collected."""
    pytest.importorskip("psycopg")
    gc.disable()
    try:
        with SilentServer() as server:
            found = DatabaseCheck(f"postgresql+psycopg://app@127.0.0.1:{server.port}/shop").probe(1.0)
            assert (found.status, found.error_type) == ("failed", "ConnectionTimeout")
            assert server.left.wait(5)
    finally:
        gc.enable()
