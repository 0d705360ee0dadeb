"""Secrets in what is logged, raised, checked and alerted: none is in anything that is written or shown (S7)."""

from __future__ import annotations

import copy

import pytest

pytest.importorskip("slack_sdk", reason="the client of Slack")
pytest.importorskip("sqlalchemy", reason="the table of errors")
pytest.importorskip("aiosmtpd", reason="the server that takes mail")

from tests.logs.kept_log import KeptLog
from tests.mail_server import MailServer
from tests.secret_corpus import PLANTED
from tests.slack_server import SlackServer
from time_execution import flush, settings, stats
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.spool import Spool
from time_execution.exceptions import BackendUnavailable
from time_execution.logs import ErrorCapture, add_db_handler, handle_errors, log_function_call, record_error
from time_execution.monitor import Monitor


class Away(MemoryBackend):
    """Takes nothing, so that all goes to the spool."""

    def write_many(self, metrics):
        raise BackendUnavailable("away")


def fail(error):
    raise error


def tell(logger, monitor, value):
    """Log, raise, check and alert with a value, in every way that there is."""

    @log_function_call
    @handle_errors(reraise=False)
    def work(given, **more):
        with ErrorCapture("work", user_id=given, **more):
            raise ValueError(given) from LookupError(str(given))

    logger.critical("got %s", value)
    text = f"got {value}"
    logger.critical(text, extra={"given": value, "deep": {"er": [value]}})
    work(value)
    work(given=[{"in": value}], more=value)
    try:
        fail(ConnectionError(f"cannot reach {value}"))
    except ConnectionError as exc:
        logger.exception("failed", stack_info=True)
        logger.critical("failed", exc_info=exc)
        record_error(ConnectionResetError(str(value)), given=value)
    monitor.register_health_check("service", lambda: {"status": "unhealthy", "output": f"{value}"})
    monitor.check_health()
    monitor.register_threshold(f"jobs of {value}", critical_threshold=1)
    monitor.observe(f"jobs of {value}", 5)


def everything(folder):
    """Return all that stands in the files of a folder."""
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file())


def test_no_secret_leaves_by_any_way(tmp_path, monkeypatch, capfd):
    """Files, console, table, Slack, mail, store with its states, spool, counters: and what was given is as it was."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    before = copy.deepcopy([value for _, value in PLANTED])
    memory = MemoryBackend()
    store = ThreadedBackend(SQLiteBackend(tmp_path / "metrics.db"))
    spooled = ThreadedBackend(Away(), spool=Spool(tmp_path / "spool.db"))
    monitor = Monitor()
    with SlackServer() as slack, MailServer() as mail, settings(backends=[memory, store, spooled]):
        kept = KeptLog(
            tmp_path / "logs",
            log_console=True,
            log_level="DEBUG",
            notice_rate=100_000,
            slack_webhook_url=slack.webhook_url,
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_from="shop@example.org",
            smtp_to="ann@example.org",
            smtp_starttls=False,
        )
        add_db_handler(f"sqlite:///{tmp_path / 'errors.db'}")
        for _, value in PLANTED:
            tell(kept.logger, monitor, value)
        monitor._write_states()
        assert monitor.stop(20)
        flush(30)
        shown = capfd.readouterr()
        told = {
            "files, table, store, spool": everything(tmp_path),
            "console": shown.out + shown.err,
            "slack": repr(slack.raw),
            "mail": "\n".join(each.text + each.subject for each in mail.mails),
            "events": "\n".join(map(repr, memory.metrics)),
            "counters": f"{stats()} {monitor.stats()} {monitor.health()}",
        }
        spooled.close(0.1)
        store.close(5)
    found = {where: [secret for secret, _ in PLANTED if secret in text] for where, text in told.items()}
    assert found == {where: [] for where in told}
    assert all(
        len(told[where]) > 10_000 for where in ("files, table, store, spool", "console", "slack", "mail", "events")
    )
    assert [value for _, value in PLANTED] == before
