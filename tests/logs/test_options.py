"""Options of the log: from the environment at its first use, from code, and wrong ones (M1, M12)."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from tests.child import printed_by
from time_execution.exceptions import ConfigurationError
from time_execution.logs import Options, configure, current_options, get_logger, logger, reset
from time_execution.logs.options import NAMES, from_environment, options_of

SECRETS = {"SLACK_WEBHOOK_URL", "SLACK_BOT_TOKEN", "SMTP_USERNAME", "SMTP_PASSWORD"}


def test_defaults_are_those_of_the_document(tmp_path):
    """With nothing set, everything is as the table of variables says."""
    options = current_options()
    assert options == Options(log_dir=tmp_path / "logs")
    assert (options.log_level, options.app_name, options.flask_env) == (logging.INFO, "proletto", "development")
    assert options.log_format == "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
    assert options.file("_error.log") == tmp_path / "logs" / "proletto_error.log"


def test_environment_is_read_when_it_is_first_needed(monkeypatch, tmp_path):
    """Variables that are set after the import, and before the first line, count; later ones do not."""
    monkeypatch.setenv("LOG_DIR", "elsewhere")
    monkeypatch.setenv("APP_NAME", "shop")
    monkeypatch.setenv("LOG_LEVEL", "warning")
    monkeypatch.setenv("LOG_CONSOLE", "0")
    monkeypatch.setenv("SMTP_HOST", "mail.example.org")
    monkeypatch.setenv("SMTP_FROM", "shop@example.org")
    monkeypatch.setenv("SMTP_TO", "ann@example.org, bob@example.org")
    monkeypatch.setenv("NOTICE_INTERVAL", "5m")
    assert logger.name == "shop"
    monkeypatch.setenv("APP_NAME", "other")
    options = current_options()
    assert (options.app_name, options.log_level, options.log_console) == ("shop", logging.WARNING, False)
    assert options.log_dir == tmp_path / "elsewhere"
    assert options.smtp_to == ("ann@example.org", "bob@example.org")
    assert (options.mail_port, options.notice_interval) == (587, 300.0)


def test_code_wins_over_the_environment_and_keeps_what_it_set(monkeypatch):
    """What configure() is given replaces variables; a later call changes its own options only, and reads them again."""
    monkeypatch.setenv("APP_NAME", "other")
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    configure(app_name="shop", log_files=False, log_console=False)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    configure(flask_env="production")
    options = current_options()
    assert (options.app_name, options.flask_env, options.log_level) == ("shop", "production", logging.DEBUG)
    reset()
    assert logger.name == "other"


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secrets_may_be_in_files_and_are_never_shown(monkeypatch, tmp_path, name):
    """A secret is taken from the file that a variable names, and is in no repr."""
    path = tmp_path / "secret"
    path.write_text("hunter2\n", encoding="utf-8")
    found = from_environment({f"{name}_FILE": str(path)})
    assert found == {name.lower(): "hunter2"}
    assert "hunter2" not in repr(Options(**found))
    with pytest.raises(ConfigurationError, match=f"{name}_FILE.*not both") as caught:
        from_environment({f"{name}_FILE": str(path), name: "hunter2"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=f"{name}_FILE"):
        from_environment({f"{name}_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "LOUD"),
        ("LOG_LEVEL", "-1"),
        ("LOG_FORMAT", "no field"),
        ("LOG_FORMAT", "%(message)s 100%"),
        ("LOG_FORMAT", "%(message)s\n%(name)s"),
        ("LOG_FORMAT", "%(message)s\x1b[0m"),
        ("LOG_PROFILE", "otel"),
        ("LOG_CONSOLE", "maybe"),
        ("LOG_FILES", "2"),
        ("APP_NAME", "../etc"),
        ("APP_NAME", "a/b"),
        ("APP_NAME", ".hidden"),
        ("APP_NAME", "a\nb"),
        ("APP_NAME", "x" * 101),
        ("SMTP_PORT", "0"),
        ("SMTP_PORT", "many"),
        ("SMTP_SSL", "perhaps"),
        ("NOTICE_INTERVAL", "0"),
        ("NOTICE_RATE", "0"),
        ("NOTICE_RATE", "1.5"),
    ],
)
def test_wrong_variables_are_errors_at_first_use(monkeypatch, tmp_path, name, value):
    """A wrong value is told by the name of its variable, and not shown; once it is right, all is well."""
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOG_DIR", "logs")
    monkeypatch.setenv("SMTP_FROM", "hunter2")
    child = get_logger("child")
    for use in (current_options, lambda: logger.info("line"), lambda: child.info("line")):
        with pytest.raises(ConfigurationError, match=name) as caught:
            use()
        assert len(value) < 4 or value not in str(caught.value)
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv(name)
    logger.info("line")


@pytest.mark.parametrize(
    ("variables", "needed"),
    [
        ({"SMTP_HOST": "x", "SMTP_TO": "a@b"}, "SMTP_FROM"),
        ({"SMTP_HOST": "x", "SMTP_FROM": "a@b"}, "SMTP_TO"),
        ({"SMTP_USERNAME": "x"}, "SMTP_PASSWORD"),
        ({"SLACK_BOT_TOKEN": "x"}, "SLACK_CHANNEL_ID"),
    ],
)
def test_options_that_need_others_are_errors_without_them(variables, needed):
    """What would never be sent is told when the options are read."""
    with pytest.raises(ConfigurationError, match=needed):
        options_of({}, variables)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"log_levl": "INFO"}, "log_level"),
        ({"log_level": 1.5}, "log_level"),
        ({"log_level": True}, "log_level"),
        ({"log_dir": ""}, "log_dir"),
        ({"log_dir": 5}, "log_dir"),
        ({"log_console": "yes"}, "log_console"),
        ({"app_name": None}, "app_name"),
        ({"flask_env": " "}, "flask_env"),
        ({"smtp_to": [1]}, "smtp_to"),
        ({"smtp_port": 70_000}, "smtp_port"),
        ({"slack_webhook_url": 5}, "slack_webhook_url"),
        ({"notice_interval": float("inf")}, "notice_interval"),
    ],
)
def test_wrong_options_are_errors_and_change_nothing(given, told):
    """configure() names the option that is wrong, and what was in force stays."""
    configure(app_name="shop", log_files=False, log_console=False)
    before = current_options()
    with pytest.raises(ConfigurationError, match=told):
        configure(**given)
    assert current_options() is before


@pytest.mark.parametrize("level", ["debug", "DEBUG", "10", 10, logging.DEBUG])
def test_levels_are_numbers_or_names(level):
    """A level may be said in each of the ways that people know."""
    configure(log_level=level, log_files=False, log_console=False)
    assert current_options().log_level == logging.DEBUG
    assert logger.getEffectiveLevel() == logging.DEBUG


def test_folder_that_can_never_be_written_to_is_an_error(tmp_path):
    """Where a file stands in the folder's place, that is told when it is configured."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="LOG_DIR"):
        configure(log_dir=tmp_path / "file")


def test_each_option_can_be_set_in_both_ways(tmp_path):
    """Every attribute of Options is a name of configure() and, in capitals, of a variable."""
    right = {
        "log_level": "DEBUG", "log_format": "%(message)s", "log_dir": "elsewhere", "log_profile": "ecs",
        "log_console": "0", "log_files": "0", "flask_env": "production", "app_name": "shop", "smtp_port": "25",
        "smtp_to": "a@example.org", "smtp_starttls": "0", "smtp_ssl": "1", "notice_interval": "60", "notice_rate": "3",
    }  # fmt: skip
    environ = {name.upper(): right.get(name, "text") for name in NAMES}
    by_environment = options_of({}, environ)
    assert all(getattr(by_environment, name) != getattr(Options(), name) for name in NAMES)
    given = {name: getattr(by_environment, name) for name in NAMES}
    configure(**given | {"smtp_host": None, "slack_webhook_url": None, "slack_bot_token": None})
    assert current_options().notice_rate == 3


def test_document_names_each_variable_with_its_default():
    """The table of docs/logs.rst has a row for each option, with its default, and tells which ones are secret."""
    text = (Path(__file__).parents[2] / "docs/logs.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^   \* - ``([A-Z_]+)``\n     - .*\n     -(?: ``(.*?)``)?", text, re.MULTILINE)
    assert sorted(name.lower() for name, _ in rows) == sorted(NAMES)
    defaults = {name.lower(): shown for name, shown in rows}
    for name in NAMES:
        default = getattr(Options(), name)
        if isinstance(default, bool):
            default = int(default)
        if name == "log_level":
            default = logging.getLevelName(default)
        if name == "smtp_port":
            default = Options().mail_port
        assert defaults[name] == str(default or "") or float(defaults[name]) == default, name
    secret = {row.upper() for row in re.findall(r"``([A-Z_]+)``\n     - .*\(secret\)", text)}
    assert secret == SECRETS


def test_importing_and_making_loggers_does_nothing():
    """Import, get_logger, decorators and levels read no variable, make no thread and no folder."""
    code = (
        "import os, sys, threading\nos.environ['LOG_LEVEL'] = 'WRONG'\n"
        "from time_execution.logs import *\nfrom time_execution.logs import logger, get_logger, log_function_call\n"
        "log = get_logger('a')\nlog_function_call(level=logger.DEBUG)(len)\nhandle_errors(reraise=False)(len)\n"
        "ErrorCapture('x')\nrepr(log), hash(log), logger == log\n"
        "known = sys.stdlib_module_names | {'time_execution', '__main__'}\n"
        "foreign = {name.partition('.')[0] for name in sys.modules} - known\n"
        "print(threading.active_count(), len(foreign - {'_distutils_hack', 'sitecustomize'}))\n"
    )
    assert printed_by(code)[:1] == ["1"]
