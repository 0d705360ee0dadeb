"""What can be set of a monitor: defaults, environment, checks, and which of them goes before which."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from time_execution.exceptions import ConfigurationError
from time_execution.monitor.options import NAMES, Options, Settled, check, from_environment

pytestmark = pytest.mark.nooptionals

ROOT = Path(__file__).parents[2]
SEED = {
    "MONITOR_MAX_SAMPLES": 100,
    "MONITOR_SAMPLE_INTERVAL": 60,
    "MONITOR_REQUEST_LOGGING": 1,
    "MONITOR_SYSTEM_METRICS": 1,
    "MONITOR_SCHEDULED_CHECKS": 1,
    "MONITOR_UNHEALTHY_THRESHOLD": 3,
    "MONITOR_HEALTH_CHECK_INTERVAL": 60,
}
"""The variables of the table that users know, with their defaults."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(f"MONITOR_{name.upper()}", raising=False)


def test_defaults_are_those_that_users_know():
    """Without code or environment, each option has the default of the table."""
    options = dataclasses.asdict(Settled().options)
    assert {f"MONITOR_{name.upper()}": value for name, value in options.items() if name != "disk_path"} == SEED
    assert options["disk_path"] == str(Path("/"))


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("MONITOR_MAX_SAMPLES", "7", "max_samples", 7),
        ("MONITOR_SAMPLE_INTERVAL", "15", "sample_interval", 15.0),
        ("MONITOR_SAMPLE_INTERVAL", "0.5", "sample_interval", 0.5),
        ("MONITOR_SAMPLE_INTERVAL", " 2m ", "sample_interval", 120.0),
        ("MONITOR_REQUEST_LOGGING", "0", "request_logging", False),
        ("MONITOR_SYSTEM_METRICS", "no", "system_metrics", False),
        ("MONITOR_SCHEDULED_CHECKS", "1", "scheduled_checks", True),
        ("MONITOR_UNHEALTHY_THRESHOLD", "1", "unhealthy_threshold", 1),
        ("MONITOR_HEALTH_CHECK_INTERVAL", "10", "health_check_interval", 10.0),
        ("MONITOR_DISK_PATH", str(ROOT), "disk_path", str(ROOT)),
        ("MONITOR_MAX_SAMPLES", "", "max_samples", 100),
    ],
)
def test_every_variable_is_read(variable, text, name, value):
    """A variable sets the option of its name, in the option's type; an empty one is as good as none."""
    options = Options(**from_environment({variable: text}))
    assert getattr(options, name) == value
    assert type(getattr(options, name)) is type(value)


def test_variables_of_other_programs_are_left_alone():
    """The prefix is a common word: what we do not know may be somebody else's."""
    assert from_environment({"MONITOR_PORT": "80", "MONITOR": "1", "monitor_max_samples": "5"}) == {}


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MONITOR_MAX_SAMPLES", "many"),
        ("MONITOR_MAX_SAMPLES", "0"),
        ("MONITOR_MAX_SAMPLES", "1000001"),
        ("MONITOR_MAX_SAMPLES", "1.5"),
        ("MONITOR_SAMPLE_INTERVAL", "0"),
        ("MONITOR_SAMPLE_INTERVAL", "0.05"),
        ("MONITOR_SAMPLE_INTERVAL", "-60"),
        ("MONITOR_SAMPLE_INTERVAL", "inf"),
        ("MONITOR_REQUEST_LOGGING", "2"),
        ("MONITOR_UNHEALTHY_THRESHOLD", "0"),
        ("MONITOR_HEALTH_CHECK_INTERVAL", "soon"),
        ("MONITOR_DISK_PATH", "/no/such/place"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(variable, text):
    """The error names the variable, and what it was set to does not show where it is a text."""
    with pytest.raises(ConfigurationError, match=variable) as caught:
        from_environment({variable: text})
    assert text not in str(caught.value).replace(variable, "") or text.lstrip("-").replace(".", "").isdigit()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_samples", "100"),
        ("max_samples", True),
        ("max_samples", 1.0),
        ("sample_interval", "60"),
        ("sample_interval", True),
        ("sample_interval", float("nan")),
        ("system_metrics", 1),
        ("unhealthy_threshold", 0),
        ("health_check_interval", None),
        ("disk_path", 5),
        ("disk_path", ""),
        ("disk_path", "/no/such/place"),
        ("disk_path", "a\0b"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(name, value):
    """Code has to give the types that options have; no text is taken for a number."""
    with pytest.raises(ConfigurationError, match=f"^{name} must be"):
        check({name: value})


def test_an_unknown_option_is_refused_with_the_nearest():
    """A misspelt name is told with the one that was meant, and with all there are."""
    with pytest.raises(ConfigurationError, match="'sample_intervall'; did you mean 'sample_interval'"):
        check({"sample_intervall": 5})


def test_code_goes_before_environment_before_defaults(monkeypatch):
    """What code sets stays, what it does not set is the environment's, and the rest has its default."""
    monkeypatch.setenv("MONITOR_MAX_SAMPLES", "7")
    monkeypatch.setenv("MONITOR_SAMPLE_INTERVAL", "7")
    settled = Settled().changed({"sample_interval": 5}).changed({"unhealthy_threshold": 9})
    options = settled.options
    assert (options.max_samples, options.sample_interval, options.unhealthy_threshold) == (7, 5.0, 9)
    assert options.health_check_interval == 60.0


def test_the_environment_is_read_at_first_use_and_kept(monkeypatch):
    """Neither making it nor a later change of a variable matters, until something is configured again."""
    settled = Settled()
    monkeypatch.setenv("MONITOR_MAX_SAMPLES", "7")
    assert settled.options.max_samples == 7
    monkeypatch.setenv("MONITOR_MAX_SAMPLES", "8")
    assert settled.options.max_samples == 7
    assert settled.changed({}).options.max_samples == 8


def test_a_change_tells_a_wrong_variable_at_once(monkeypatch):
    """Whoever configures is told, and not whoever asks for the options later."""
    monkeypatch.setenv("MONITOR_MAX_SAMPLES", "wrong")
    with pytest.raises(ConfigurationError, match="MONITOR_MAX_SAMPLES"):
        Settled().changed({"sample_interval": 5})


def test_the_document_has_every_variable_with_its_default():
    """Each option has its row in docs/monitor.rst, and no other variable has one."""
    text = (ROOT / "docs" / "monitor.rst").read_text(encoding="utf-8")
    rows = re.findall(r"\* - ``MONITOR_(\w+)``.*\n +- ``(\w+)``\n +- (\S+)", text)
    defaults = {item.name: item.default for item in dataclasses.fields(Options)}
    assert [name.lower() for name, _, _ in rows] == [name for _, name, _ in rows] == list(defaults)
    shown = {name: default.strip("`") for _, name, default in rows}
    assert shown == {name: f"{int(value)}" if name != "disk_path" else value for name, value in defaults.items()}
