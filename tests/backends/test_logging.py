"""`LoggingBackend`: a record for each metric, through whatever handlers there are."""

from __future__ import annotations

import json
import logging
from urllib.parse import urlsplit

import pytest

from time_execution.backends.logging import LoggingBackend
from time_execution.exceptions import ConfigurationError
from time_execution.types import Metric, Result


def test_a_record_has_the_line_and_the_fields(caplog):
    """Handlers see JSON as the message, and the fields for those that want them."""
    caplog.set_level(logging.INFO, logger="shop.metrics")
    LoggingBackend("shop.metrics").write("a", value=1.5, note="100 %s", timestamp=0)
    (record,) = caplog.records
    assert record.name == "shop.metrics"
    assert record.levelno == logging.INFO
    assert json.loads(record.getMessage())["note"] == "100 %s"
    assert record.metric["value"] == 1.5


def test_a_record_is_of_the_level_and_holds_a_copy(caplog):
    """What a handler keeps is plain, and does not change with what the caller does later."""
    caplog.set_level(logging.DEBUG, logger="shop.metrics")
    items = [1]
    backend = LoggingBackend("shop.metrics", level="WARNING")
    list(backend.write_many([Metric({"name": "a", "items": items, "lock": object()})]))
    items.append(2)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.metric == {"name": "a", "items": [1], "lock": "<builtins.object>"}


@pytest.mark.parametrize("extra", [{"app": "shop", "metric": "theirs"}, None], ids=["extra", "no extra"])
def test_a_record_through_adapters_has_the_fields_and_theirs(caplog, extra):
    """An adapter adds its own attributes, around another one, too, and takes none of ours away."""

    class Prefixed(logging.LoggerAdapter):
        def process(self, msg, kwargs):
            return f"prefix {msg}", kwargs

    caplog.set_level(logging.INFO, logger="shop.metrics")
    adapter = logging.LoggerAdapter(logging.getLogger("shop.metrics"), extra)
    LoggingBackend(Prefixed(adapter, {})).write("a", value=1.5)
    (record,) = caplog.records
    assert record.metric["value"] == 1.5
    assert getattr(record, "app", None) == ("shop" if extra else None)
    assert record.getMessage().startswith('prefix {"name":"a"')
    assert extra is None or extra["metric"] == "theirs"


def test_the_level_decides(caplog, monkeypatch):
    """A logger that does not take the level costs no formatting, and the metrics count as taken."""
    caplog.set_level(logging.WARNING, logger="shop.metrics")
    monkeypatch.setattr("time_execution.backends.logging.document", pytest.fail)
    backend = LoggingBackend("shop.metrics", level="INFO")
    assert len(list(backend.write_many([Metric({"name": "a"}), Metric({"name": "b"})]))) == 2
    assert caplog.records == []


def test_a_handler_that_raises_leaves_those_before(caplog):
    """The results before the exception hold; it speaks for the rest."""
    taken: list[logging.LogRecord] = []

    class Failing(logging.Handler):
        def emit(self, record):
            if len(taken) == 2:
                raise OSError
            taken.append(record)

    logger = logging.Logger("failing")  # noqa: LOG001 - one that no other test sees
    logger.addHandler(Failing())
    results = LoggingBackend(logger).write_many([Metric({"name": str(number)}) for number in range(5)])
    stored: list[Result] = []
    with pytest.raises(OSError):  # noqa: PT011 - the handler's own
        stored.extend(results)
    assert len(taken) == 2


@pytest.mark.parametrize(("level", "number"), [("INFO", 20), ("debug", 10), (35, 35), (logging.ERROR, 40)])
def test_levels_by_name_and_number(level, number):
    """Both ways of logging itself are taken."""
    assert LoggingBackend(level=level).level == number


@pytest.mark.parametrize("level", ["LOUD", "", None, 1.5, True])
def test_an_unknown_level_is_refused(level):
    """Case B9: when it is made, not at the first metric."""
    with pytest.raises(ConfigurationError, match="level must be"):
        LoggingBackend(level=level)


def test_what_is_no_logger_is_refused():
    """Case B9 for the logger."""
    with pytest.raises(ConfigurationError, match="logger must be a logger or its name, not int"):
        LoggingBackend(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "options"), [("logging://shop.Metrics?level=INFO", {"logger": "shop.Metrics"}), ("logging://", {})]
)
def test_a_url_names_the_logger(url, options):
    """Upper case is kept, as logger names are case-sensitive."""
    assert LoggingBackend.options_from_url(urlsplit(url)) == options
