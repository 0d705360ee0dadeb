"""Configuring a profiler: in code, by a dict, and what is refused."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest

import time_execution.profiler as phanos
from tests.documents import ROOT
from time_execution.exceptions import ConfigurationError
from time_execution.profiler import handlers


def test_a_dict_configures_everything(own, capsys):
    """Each of its keys, with none at its default."""
    own.dict_config(
        {
            "job": "shop",
            "logger": "shop.trouble",
            "time_profile": False,
            "response_size_profile": True,
            "handle_records": False,
            "error_raised_label": True,
            "handlers": {
                "any": {"class": "phanos.handlers.StreamHandler", "handler_name": "x", "output": "ext://sys.stdout"}
            },
        }
    )
    assert (own.job, own.logger) == ("shop", logging.getLogger("shop.trouble"))
    assert set(own.metrics) == {"response_size"}
    assert set(own.handlers) == {"collector", "x"}
    assert (own.handle_records, own.error_raised_label) == (False, True)
    own.handle_records = True
    own.profile(len)("abc")
    line = "profiler: response_size, method: builtins:len, value: 28.0 B, labels: error_raised=False"
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize("path", ["phanos.handlers.{}", "phanos.publisher.{}", "time_execution.profiler.handlers.{}"])
def test_handlers_are_known_by_every_path(own, path):
    """By the older library's two, and by ours."""
    own.dict_config(
        {
            "job": "j",
            "handlers": {
                "a": {"class": path.format("LoggerHandler"), "handler_name": "logger"},
                "b": {"class": path.format("NamedLoggerHandler"), "handler_name": "named", "logger_name": "n"},
                "c": {"class": handlers.StreamHandler, "handler_name": "stream"},
            },
        }
    )
    found = [type(own.handlers[name]) for name in ("logger", "named", "stream")]
    assert found == [handlers.LoggerHandler, handlers.NamedLoggerHandler, handlers.StreamHandler]


def test_the_older_name_of_response_sizes_counts(own):
    """In a dict, by keyword, and in the older order of arguments."""
    own.dict_config({"job": "j", "request_size_profile": True})
    assert set(own.metrics) == {"time_profiler", "response_size"}
    own.config(job="j")
    assert set(own.metrics) == {"time_profiler"}
    own.config(job="j", request_size_profile=True, time_profile=False)
    assert set(own.metrics) == {"response_size"}
    own.config(None, "j", True, False, True, False, True)
    assert set(own.metrics) == {"time_profiler", "response_size"}
    assert (own.handle_records, own.error_raised_label) == (False, True)


def test_switches_may_follow_the_logger_by_position(own):
    """As the older library's own example does: logger, times, response sizes, handling, error label."""
    logger = logging.getLogger("of.program")
    own.config(logger, False, True, True, True)
    assert set(own.metrics) == {"response_size"}
    assert (own.logger, own.handle_records, own.error_raised_label) == (logger, True, True)
    own.config(logger, True)
    assert set(own.metrics) == {"time_profiler"}
    assert (own.handle_records, own.error_raised_label) == (True, False)


def test_metrics_and_handlers_survive_another_configuration(own, collector):
    """Only what `config` brought along is made anew, with the job."""
    metric = phanos.metrics.Counter("count", "j", "u")
    own.add_metric(metric)
    before = own.time_profile
    own.config(job="other")
    assert own.metrics["count"] is metric
    assert own.handlers == {"collector": collector}
    before.observe(1.0)  # which nobody has any more
    assert collector.handed == []
    own.time_profile.observe(1.0)
    assert collector.records[0]["job"] == "other"


def test_programs_that_await_their_configuration_may(own):
    """The names that other programs await exist, and do the same."""

    async def main():
        await own.async_dict_config({"job": "awaited"})
        assert own.job == "awaited"
        own.async_config(job="again")

    asyncio.run(main())
    assert own.job == "again"


STREAM = {"class": "phanos.handlers.StreamHandler", "handler_name": "x"}


def described(**handler):
    return {"job": "j", "handlers": {"a": handler}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "job is missing"),
        ({"job": 5}, "job must be a text, not an int"),
        ({"job": "j", "handlerz": {}}, r"no setting 'handlerz'; did you mean 'handlers'\?"),
        ({"job": "j", "time_profil": True}, r"did you mean 'time_profile'\?"),
        ({"job": "j", "time_profile": "yes"}, "time_profile must be true or false"),
        ({"job": "j", "response_size_profile": 0}, "response_size_profile must be true or false"),
        ({"job": "j", "request_size_profile": "yes"}, "response_size_profile must be true or false"),
        ({"job": "j", "logger": 5}, "logger must be a logger or its name"),
        ({"job": "j", "handlers": []}, "expected a dict of handlers, got a list"),
        (described(), r"handlers\['a'\]: expected a dict with 'class'"),
        (described(**{"class": "phanos.handlers.Nope"}), "has no 'Nope'"),
        (described(**{"class": "no_such_module.X"}), "no module no_such_module"),
        (described(**{"class": "sys.path"}), "'class' must name a class, got a list"),
        (
            {"job": "j", "handlers": {"a": {"class": "phanos.handlers.StreamHandler"}}},
            "missing 1 required .*handler_name",
        ),
        (
            {"job": "j", "handlers": {"a": {"class": "phanos.handlers.StreamHandler", "handler_nam": "x"}}},
            r"unknown option 'handler_nam'; did you mean 'handler_name'\?",
        ),
        (
            {
                "job": "j",
                "handlers": {"a": {"class": "phanos.handlers.StreamHandler", "handler_name": "x", "output": 5}},
            },
            "output must be a text stream, not int",
        ),
        ({"job": "j", "handlers": {"a": {"class": "builtins.dict"}}}, "expected an object with a handler_name"),
        ([("job", "j")], "expected a dict of settings, got a list"),
    ],
)
def test_mistakes_are_loud_and_change_nothing(own, settings, message):
    """Each is told by its key, with what would be right, and the profiler stays as it was."""
    before = (own.job, own.mode, dict(own.handlers), dict(own.metrics))
    with pytest.raises(ConfigurationError, match=message):
        own.dict_config(settings)
    assert (own.job, own.mode, dict(own.handlers), dict(own.metrics)) == before


def test_an_unknown_argument_is_told_as_such(own):
    """In code as in a dict."""
    with pytest.raises(ConfigurationError, match=r"config\(\): there is no setting 'time_prof'; did you mean"):
        own.config(job="j", time_prof=True)


def test_no_password_is_told(own, monkeypatch):
    """Neither when a handler cannot be made, nor where a password came from the environment."""
    monkeypatch.setenv("PROFILER_PASSWORD", "hunter2")
    config = {"class": "phanos.handlers.ImpProfHandler", "handler_name": "h", "password": "env:PROFILER_PASSWORD"}
    with pytest.raises(ConfigurationError) as caught:
        own.dict_config({"job": "j", "handlers": {"a": {**config, "port": 0}}})
    assert "hunter2" not in str(caught.value)
    own.dict_config({"job": "j", "handlers": {"a": config}})
    handler = own.handlers["h"]
    assert "hunter2" not in f"{handler!r} {handler.delivery!r} {vars(handler)}"


class Named:
    """A handler by its shape that is none in some way."""

    handler_name = "named"

    def handle(self, records):
        """Take too little."""


class Asynchronous:
    """A handler that nobody awaits."""

    handler_name = "asynchronous"

    async def handle(self, records, profiler_name):
        """Do nothing."""


@pytest.mark.parametrize("wrong", [object(), Named(), Asynchronous(), Named, None])
def test_what_is_no_handler_is_refused_at_once(own, wrong):
    """When it is added, not with the first records."""
    with pytest.raises(ConfigurationError, match=r"add_handler\(\): "):
        own.add_handler(wrong)


def test_the_front_door_has_what_programs_look_for():
    """The names of the older library."""
    assert phanos.profiler.profile == phanos.profile
    assert phanos.phanos_profiler is phanos.profiler
    assert (phanos.publisher.TIME_PROFILER, phanos.publisher.RESPONSE_SIZE) == ("time_profiler", "response_size")
    assert isinstance(phanos.profiler, phanos.Profiler)
    assert phanos.tree.MethodTreeNode.__name__ == "MethodTreeNode"
    assert phanos.types.Record.__name__ == "Record"
    assert phanos.config.create_handlers({}) == {}
    for name in phanos.publisher.__all__:
        assert getattr(phanos.publisher, name) is not None


def test_importing_it_registers_nothing():
    """No fork hook, no thread, and no client: that is for whoever configures it."""
    code = (
        "import os, sys, threading; asked = []; os.register_at_fork = lambda **hooks: asked.append(hooks)\n"
        "import concurrent.futures.thread, logging, random  # which have hooks of their own\n"
        "asked.clear(); import time_execution.profiler as phanos; assert asked == [], asked\n"
        "assert threading.active_count() == 1; assert 'pika' not in sys.modules\n"
        "phanos.profiler.config(job='j'); assert len(asked) == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
