"""Alerts as people get them: lines of the log, messages in Slack, mail; each told once."""

from __future__ import annotations

import json

import pytest

from tests.fault_server import Answer, FaultServer
from time_execution import flush, logs, settings
from time_execution.backends.memory import MemoryBackend
from time_execution.logs.options import NAMES
from time_execution.monitor import Monitor

PATIENCE = 20.0


@pytest.fixture(autouse=True)
def _fresh_log(monkeypatch, tmp_path):
    for name in NAMES:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MONITOR_SYSTEM_METRICS", "0")
    monkeypatch.chdir(tmp_path)
    yield
    logs.reset()


@pytest.fixture
def watching():
    made = Monitor()
    made.register_threshold("jobs", warning_threshold=10, critical_threshold=20)
    yield made
    made.reset()


def observe(watching, *values):
    """Observe values, and wait until everything that comes of them is where it belongs."""
    for value in values:
        watching.observe("jobs", value)
    assert watching.flush(PATIENCE)
    assert flush(PATIENCE)


def test_alerts_are_lines_of_the_application_s_log(watching, tmp_path):
    """A warning, what is critical and the recovery have levels of their own, and the figures beside the text."""
    logs.configure(log_dir=tmp_path, app_name="shop", log_console=False)
    observe(watching, 11, 21, 1)
    lines = (tmp_path / "shop_structured.json").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [(record["level"], record["message"]) for record in records] == [
        ("WARNING", "warning: jobs is 11, above 10"),
        ("CRITICAL", "critical: jobs is 21, above 20"),
        ("INFO", "resolved: jobs is 1, after less than 1 s of being critical at 20"),
    ]
    assert {record["logger"] for record in records} == {"shop"}
    shown = records[1]["alert"]
    assert (shown["metric"], shown["observed"], shown["threshold"]) == ("jobs", 21, 20.0)


def test_alert_is_no_error_besides(watching, tmp_path):
    """What is critical is an event named alert, and its line in the log makes no error of it; other lines do."""
    logs.configure(log_dir=tmp_path, app_name="shop", log_console=False)
    store = MemoryBackend()
    settings.configure(backends=[store])
    observe(watching, 21)
    logs.logger.critical("the shop is on fire")
    assert [(record["name"], record["message"]) for record in store.metrics] == [
        ("alert", "critical: jobs is 21, above 20"),
        ("error", "the shop is on fire"),
    ]


def test_slack_hears_what_is_critical_and_mail_hears_all(watching):
    """Slack gets the critical alert and its recovery; each of both is told once, though the log tells them, too."""
    pytest.importorskip("slack_sdk")
    with FaultServer(Answer(200, "ok")) as slack:
        logs.configure(slack_webhook_url=f"{slack.url}/services/T/B/x", log_files=False, log_console=False)
        observe(watching, 11, 1, 11, 21, 1)
        texts = [json.loads(request.body)["text"].splitlines()[0] for request in slack.requests]
        assert [text.partition(",")[0] for text in texts] == [
            "ALERT critical: jobs is 21",
            "ALERT resolved: jobs is 1",
        ]


def test_mail_hears_of_everything(watching):
    """Each alert, a warning's too, is one mail."""
    pytest.importorskip("aiosmtpd")
    from tests.mail_server import MailServer

    with MailServer() as server:
        logs.configure(
            smtp_host="127.0.0.1",
            smtp_port=server.port,
            smtp_starttls=False,
            smtp_from="monitor@example.org",
            smtp_to="ops@example.org",
            log_files=False,
            log_console=False,
        )
        observe(watching, 11, 21, 1)
        assert [mail.subject.strip().partition(",")[0] for mail in server.mails] == [
            "ALERT warning: jobs is 11",
            "ALERT critical: jobs is 21",
            "ALERT resolved: jobs is 1",
        ]


def test_a_log_that_is_configured_wrongly_keeps_nobody_else_from_being_told(watching, monkeypatch):
    """A variable of the log's that is wrong costs its own lines only: the event and the notifiers are told."""
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    told = []
    watching.register_notifier(told.append)
    settings.configure(backends=[store := MemoryBackend()])
    observe(watching, 11)
    assert [alert.level for alert in told] == ["warning"]
    assert [record["name"] for record in store.metrics] == ["alert"]
