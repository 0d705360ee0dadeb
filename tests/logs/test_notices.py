"""Slack, mail and the database as destinations of the log: what goes there, and what goes there not twice."""

from __future__ import annotations

import pytest

pytest.importorskip("slack_sdk", reason="the client of Slack")

from tests.logs.kept_log import KeptLog, settled_but
from tests.mail_server import MailServer
from tests.slack_server import CHANNEL, TOKEN, SlackServer
from time_execution import stats
from time_execution.exceptions import ConfigurationError
from time_execution.logs import configure, current_options, logger, notice_backends, reset
from time_execution.logs.options import options_of
from time_execution.types import Metric


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch):
    """The servers are on this machine, and the client would ask a proxy of the environment for them."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


def mail_options(server):
    return {
        "smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_from": "shop@example.org",
        "smtp_to": "ann@example.org", "smtp_starttls": False,
    }  # fmt: skip


def test_nothing_is_told_unless_it_is_configured(kept):
    """Without their options, there are neither Slack nor mail."""
    assert notice_backends() == []
    logger.critical("line")
    assert len(kept.records()) == 1
    assert len(stats()["backends"]) == 3


def test_critical_lines_are_told(tmp_path):
    """A line of CRITICAL is posted and mailed, others are not, and the files have all; many alike are told once."""
    with SlackServer() as slack, MailServer() as mail:
        kept = KeptLog(tmp_path / "logs", slack_webhook_url=slack.webhook_url, **mail_options(mail))
        assert len(notice_backends()) == 2
        logger.error("an error")
        for _ in range(100):
            logger.critical("the database is gone, password=%s", "hunter2")
        slack.wait_for_messages(1)
        mail.wait_for(1)
        assert len(kept.records()) == 101
        assert len(slack.messages) == len(mail.mails) == 1
        assert "the database is gone, password=***" in slack.messages[0]
        assert "the database is gone" in mail.mails[0].subject
        assert "hunter2" not in f"{slack.raw} {mail.mails}"


def test_ten_thousand_lines_of_one_kind_are_two_messages():
    """L5: the first, and at the end a summary with the exact number, though each line says something else."""
    with SlackServer() as slack, MailServer() as mail:
        configure(log_files=False, log_console=False, slack_webhook_url=slack.webhook_url, **mail_options(mail))
        for number in range(10_000):
            logger.critical("order %d cannot be stored", number)
        reset()
        assert len(slack.messages) == len(mail.mails) == 2
        assert "order 0 cannot be stored" in slack.messages[0]
        for text in (slack.messages[1], mail.mails[1].text):
            assert "9999 more messages" in text
            assert "9999 times: CRITICAL proletto (development): order 1 cannot be stored" in text


def test_lines_that_were_told_already_are_not_told_again(tmp_path):
    """A line with _noticed=True is in the files, without that field, and nowhere else; others still are."""
    with SlackServer() as slack:
        kept = KeptLog(tmp_path / "logs", slack_webhook_url=slack.webhook_url)
        logger.critical("told", extra={"_noticed": True, "alert": {"metric": "cpu"}})
        (backend,) = notice_backends()
        backend.enqueue(Metric({"name": "alert", "message": "by the monitor", "level": "warning"}, kind="event"))
        logger.critical("not told", extra={"_noticed": False})
        slack.wait_for_messages(2)
        told, other = kept.records()
        assert told["alert"] == {"metric": "cpu"}
        assert not any("noticed" in key for record in (told, other) for key in record)
        assert [text for text in slack.messages if "told" in text] == [slack.messages[1]]
        assert "by the monitor" in slack.messages[0]


def test_slack_that_is_away_holds_up_nobody(tmp_path, monkeypatch):
    """While a webhook does not answer, lines are written, and what could not be told is counted."""
    monkeypatch.setattr("time_execution.logs.setup._CLOSING", 0.1)
    with SlackServer() as slack:
        url = slack.webhook_url
    kept = KeptLog(tmp_path / "logs", slack_webhook_url=url)
    logger.critical("line")
    found = settled_but("SlackBackend")["SlackBackend"]
    assert (found["delivered"], found["pending"]) == (0, 1)
    assert url not in str(stats())
    assert "line" in (kept.folder / "shop.log").read_text(encoding="utf-8")


def test_a_bot_is_used_where_there_is_no_webhook(monkeypatch):
    """SLACK_BOT_TOKEN with SLACK_CHANNEL_ID is the other way; with both, the webhook wins."""
    made = []

    class Slack:
        def __init__(self, **arguments):
            made.append(arguments)

        def write_many(self, metrics):
            return None

    monkeypatch.setattr("time_execution.backends.slack.SlackBackend", Slack)
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("SLACK_CHANNEL_ID", CHANNEL)
    configure(log_files=False, log_console=False, notice_rate=3)
    assert made == [{"bot_token": TOKEN, "channel": CHANNEL, "interval": 300.0, "rate": 3}]
    configure(slack_webhook_url="https://hooks.slack.com/services/x", notice_interval=60)
    assert made[1:] == [{"webhook_url": "https://hooks.slack.com/services/x", "interval": 60.0, "rate": 3}]
    assert TOKEN not in repr(current_options())
    assert "hooks" not in repr(current_options())


def test_mail_port_is_that_of_the_way_it_is_encrypted():
    """587 with STARTTLS, 465 with TLS from the beginning, or what is said."""
    needed = {"SMTP_HOST": "mail", "SMTP_FROM": "a@example.org", "SMTP_TO": "b@example.org"}
    assert options_of({}, needed).mail_port == 587
    assert options_of({}, needed | {"SMTP_SSL": "1"}).mail_port == 465
    assert options_of({}, needed | {"SMTP_SSL": "1", "SMTP_PORT": "2465"}).mail_port == 2465


def test_a_destination_that_cannot_be_made_changes_nothing(kept):
    """A webhook that is no URL is told without being shown, and the log goes on as it was."""
    with pytest.raises(ConfigurationError) as caught:
        configure(slack_webhook_url="hunter2", app_name="other")
    assert "hunter2" not in str(caught.value)
    logger.info("line")
    assert kept.messages() == ["line"]
    assert current_options().app_name == "shop"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"SLACK_WEBHOOK_URL": "hunter2"}, "SLACK_WEBHOOK_URL"),
        ({"SLACK_BOT_TOKEN": "hunter2 hunter2", "SLACK_CHANNEL_ID": "C0"}, "SLACK_BOT_TOKEN"),
        ({"SMTP_HOST": "a/b", "SMTP_FROM": "a@example.org", "SMTP_TO": "b@example.org"}, "SMTP_HOST"),
        ({"SMTP_HOST": "mail", "SMTP_FROM": "nobody", "SMTP_TO": "b@example.org"}, "SMTP_FROM"),
        ({"SMTP_HOST": "mail", "SMTP_FROM": "a@example.org", "SMTP_TO": "b@example.org, c"}, "SMTP_TO"),
    ],
)
def test_wrong_variables_of_notices_are_named(monkeypatch, variables, named):
    """What is wrong is told by the name of its variable, without what it holds."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{named} ") as caught:
        logger.info("line")
    assert "hunter2" not in str(caught.value)
