"""Values at the edge of what a setting, an option or a hook may be."""

from __future__ import annotations

import functools
import math

import pytest

from tests.hooked_calls import configure
from time_execution import settings, stats, time_execution
from time_execution.backends.logging import LoggingBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.config import discover, resolve_backend, resolve_hook, validate
from time_execution.config.text import convert
from time_execution.exceptions import ConfigurationError


class Custom:
    """A backend that keeps the password it was given."""

    def __init__(self, *, password: str = "") -> None:
        self.password = password

    def write(self, name, **data):
        """Take anything."""


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan, math.inf, -math.inf, True, "0.5", None])
def test_sample_rate_is_a_number_from_0_to_1(rate):
    """Anything else is refused, also what compares with nothing."""
    with pytest.raises(ConfigurationError, match="sample_rate: expected a number from 0 to 1"):
        validate({"sample_rate": rate})


@pytest.mark.parametrize("interval", [-0.1, math.nan, math.inf, False])
def test_log_interval_is_a_number_of_seconds(interval):
    """Anything else is refused."""
    with pytest.raises(ConfigurationError, match="log_interval: expected a number of seconds"):
        validate({"log_interval": interval})


@pytest.mark.parametrize("name", ["", "name", "hostname", "timestamp", "origin", "hook_error"])
def test_duration_takes_no_other_fields_name(name):
    """It would be overwritten by that field, or it by the duration."""
    with pytest.raises(ConfigurationError, match="duration_field: expected the name of the field"):
        validate({"duration_field": name})


def test_secret_from_a_file_keeps_its_spaces(tmp_path):
    """Only the end of the last line is no part of it."""
    (tmp_path / "secret").write_text(" hunter 2 \r\n")
    made = resolve_backend({"class": f"{__name__}.Custom", "password_file": tmp_path / "secret"}, index=0)
    assert made.password == " hunter 2 "


def test_options_in_a_url_are_decoded_and_a_plus_stays_one():
    """As in the path of a URL, not as in a form."""
    made = resolve_backend("logging://?logger=shop%20%26+co", index=0)
    assert isinstance(made, LoggingBackend)
    assert "shop &+co" in repr(made)


@pytest.mark.parametrize("text", ["# time_execution is not used here\n", "[time_execution_of_another]\na = 1\n"])
def test_file_that_only_speaks_of_us_says_nothing(tmp_path, text):
    """A table or a section of ours is what counts."""
    (tmp_path / "setup.cfg").write_text(text)
    (tmp_path / "pyproject.toml").write_text(text)
    assert discover(tmp_path) == {}


@pytest.mark.parametrize("hint", [float | int, int | float, float | int | None, str | float | int])
def test_whole_number_stays_one_where_both_kinds_are_taken(hint):
    """In whatever order the annotation names them."""
    found = convert("5", hint, name="x")
    assert (found, type(found)) == (5, int)
    assert convert("5.5", hint, name="x") == 5.5


def test_hook_that_does_not_say_what_it_takes_is_accepted():
    """A function written in C need not have a signature."""
    assert resolve_hook(max, index=0) is max


def test_partial_of_a_hook_is_counted_under_its_functions_name():
    """Nobody would know it by ``partial``."""

    def failing(**_):
        raise KeyError

    configure(functools.partial(failing))
    time_execution(lambda: None)()
    (key,) = stats()["errors"]["hook"]
    assert key.endswith("failing: KeyError")
    settings.reset()


@pytest.mark.parametrize(
    ("url", "queued"),
    [
        ("memory://", False),
        ("stream://", False),
        ("logging://", False),
        ("jsonl:///{folder}/a.jsonl", True),
        ("csv:///{folder}/a.csv", True),
        ("sqlite:///{folder}/a.db", True),
    ],
)
def test_stores_that_write_files_get_a_queue(url, queued, tmp_path):
    """No call waits for a disk unless it is asked for."""
    made = resolve_backend(url.format(folder=tmp_path), index=0)
    made.close()
    assert isinstance(made, ThreadedBackend) is queued


@pytest.mark.parametrize("scheme", ["sqlite", "jsonl", "csv"])
def test_path_in_a_url_is_decoded(scheme, tmp_path):
    """What would end the path there is written as in any URL."""
    made = resolve_backend(f"{scheme}:///{tmp_path}/my%20file%23%3F.x?threaded=false", index=0)
    assert made.path == tmp_path / "my file#?.x"
    made.close()
