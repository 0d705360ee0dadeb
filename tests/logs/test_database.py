"""`add_db_handler`: errors go into a table as well, whichever way the database is given (M3)."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy", reason="talks to databases")

import sqlalchemy

from tests.line_servers import free_port
from tests.logs.kept_log import KeptLog, settled_but
from time_execution import flush, stats
from time_execution.exceptions import ConfigurationError
from time_execution.logs import add_db_handler, configure, logger


@pytest.fixture
def url(tmp_path):
    """Return the URL of a database that is not there yet."""
    return f"sqlite:///{tmp_path / 'errors.db'}"


def rows(url, table="error_logs"):
    """Return the messages in the table, once all is written."""
    assert flush(20)
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(sqlalchemy.text(f"SELECT level, message FROM {table} ORDER BY id")).all()
    engine.dispose()
    return [tuple(row) for row in found]


def dispose(db, *applications):
    """Close the connections of applications."""
    for application in applications:
        with application.app_context():
            db.engine.dispose()


def write():
    """Write a line of each level."""
    logger.warning("no error")
    logger.error("an error, password=%s", "hunter2")
    logger.critical("worse")


WRITTEN = [("ERROR", "an error, password=***"), ("CRITICAL", "worse")]


def test_errors_go_into_a_table_of_a_url(kept, url):
    """Lines from ERROR on are rows, once, however often it is asked for, and after the log was configured anew."""
    add_db_handler(url)
    add_db_handler(url)
    write()
    configure(flask_env="production")
    logger.error("later")
    assert rows(url) == [*WRITTEN, ("ERROR", "later")]
    assert len(kept.records()) == 4
    assert sum("SQLAlchemy" in name for name in stats()["backends"]) == 1


def test_errors_go_into_a_table_of_an_engine(kept, url):
    """An engine stays its maker's; the table has the name that is given."""
    engine = sqlalchemy.create_engine(url)
    add_db_handler(engine, table="failures")
    write()
    assert rows(url, "failures") == WRITTEN
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
    engine.dispose()


@pytest.mark.parametrize("is_inside", [True, False])
def test_errors_go_into_a_table_of_flask_sqlalchemy(kept, url, is_inside):
    """The ``db`` of an application is enough, after init_app(), within its context or without."""
    flask = pytest.importorskip("flask")
    flask_sqlalchemy = pytest.importorskip("flask_sqlalchemy")
    application, db = flask.Flask("shop"), flask_sqlalchemy.SQLAlchemy()
    application.config["SQLALCHEMY_DATABASE_URI"] = url
    db.init_app(application)
    if is_inside:
        with application.app_context():
            add_db_handler(db)
    else:
        add_db_handler(db)
    write()
    assert rows(url) == WRITTEN
    dispose(db, application)


def test_database_of_one_among_several_applications(kept, tmp_path):
    """Where two applications share a ``db``, it is said which one is meant."""
    flask = pytest.importorskip("flask")
    flask_sqlalchemy = pytest.importorskip("flask_sqlalchemy")
    db, urls, applications = flask_sqlalchemy.SQLAlchemy(), [], []
    for name in ("one", "two"):
        applications.append(flask.Flask(name))
        urls.append(f"sqlite:///{tmp_path / name}.db")
        applications[-1].config["SQLALCHEMY_DATABASE_URI"] = urls[-1]
        db.init_app(applications[-1])
    add_db_handler(db, app=applications[0])
    write()
    assert rows(urls[0]) == WRITTEN
    assert not (tmp_path / "two.db").exists()
    dispose(db, *applications)


@pytest.mark.parametrize("thing", [5, None, "no url", object()])
def test_what_is_no_database_is_an_error(kept, thing):
    """It is told at once, and the log goes on."""
    with pytest.raises(ConfigurationError):
        add_db_handler(thing)
    logger.error("line")
    assert kept.messages() == ["line"]


def test_database_that_is_away_holds_up_nobody(tmp_path, monkeypatch):
    """Rows wait, files have their lines, and no password is in any message."""
    monkeypatch.setattr("time_execution.logs.setup._CLOSING", 0.1)
    kept = KeptLog(tmp_path / "logs")
    pytest.importorskip("psycopg")
    add_db_handler(f"postgresql+psycopg://ann:hunter2@127.0.0.1:{free_port()}/shop")
    logger.error("line")
    assert settled_but("SQLAlchemyBackend")["SQLAlchemyBackend"]["delivered"] == 0
    assert "hunter2" not in str(stats())
    assert (kept.folder / "shop.log").read_text(encoding="utf-8").endswith("line\n")
