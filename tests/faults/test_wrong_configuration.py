"""Wrong configuration is refused where it is written, and tells no secret: case B9."""

from __future__ import annotations

import itertools
import re
import traceback

import pytest

from tests.kept import Kept
from time_execution import settings
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import ConfigurationError

SECRET = "hunter2hunter2"


class Demanding:
    """A backend that wants arguments."""

    def __init__(self, host: str, *, password: str) -> None:
        raise ValueError(f"cannot connect to {host} with {password}")

    def write(self, name, **data):
        """Never reached."""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backends": [f"nosuch://user:{SECRET}@db/x"]}, r"backends\[0\]: no backend has that name.*sqlite"),
        ({"backends": [f"{SECRET}"]}, r"backends\[0\]"),
        ({"backends": [{"class": f"{__name__}.Demanding", "host": "db", "password": SECRET}]}, "Demanding"),
        ({"backends": [{"class": f"{__name__}.Demanding", "hosst": SECRET}]}, "hosst"),
        ({"backends": [Demanding]}, "Demanding"),
        ({"backends": [Kept(), 42]}, r"backends.*1"),
        ({"backends": ["no.such.module.Backend"]}, r"backends\[0\].*no module"),
        ({"hooks": [SECRET]}, "hooks"),
        ({"hooks": ["time_execution.hooks.nothing_here"]}, "hooks"),
        ({"bakends": [SECRET]}, "backends"),
        ({"origin": [SECRET]}, "origin.*list"),
        ({"sample_rate": SECRET}, "sample_rate"),
        ({"sample_rate": -0.1}, "sample_rate"),
        ({"exclude": [b"x"]}, "exclude"),
    ],
    ids=lambda value: re.sub("0x[0-9a-f]+", "0x", str(value)).replace(SECRET, "…")[:50],
)
def test_wrong_configuration_is_refused_where_it_is_written(changes, says):
    """The error comes at once, names the key and tells no secret, also down its chain (B9)."""
    for how in (settings.configure, lambda **given: settings(**given).__enter__()):
        with pytest.raises(ConfigurationError, match=says) as caught:
            how(**changes)
        assert isinstance(caught.value, ValueError)
        if changes.keys() <= {"backends", "hooks", "origin", "sample_rate", "bakends"}:
            seen = "".join(traceback.format_exception_only(type(caught.value), caught.value))
            assert SECRET not in seen
    assert (settings.backends, settings.hooks, settings.sample_rate) == ((), (), 1.0)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        *itertools.product([{"queue_maxsize": n} for n in (0, -1, 1.5, True, "9")], ["queue_maxsize"]),
        *itertools.product([{"bulk_size": n} for n in (0, -1, None)], ["bulk_size"]),
        *itertools.product([{"max_bytes": n} for n in (0, -1, "16 MiB")], ["max_bytes"]),
        *itertools.product([{"worker_limit": n} for n in (0, -1, 0.5)], ["worker_limit"]),
        *itertools.product([{"bulk_timeout": n} for n in (-1, float("nan"), float("inf"), "1")], ["bulk_timeout"]),
        ({"shutdown_timeout": -1}, "shutdown_timeout"),
        ({"queue_timeout": None}, "queue_timeout"),
        ({"overflow": "explode"}, "overflow"),
        ({"overflow": "spool"}, "spool"),
        ({"backend_kwargs": {"a": 1}}, "backend_kwargs"),
    ],
    ids=str,
)
def test_wrong_options_of_a_queue_are_refused_when_it_is_made(options, key):
    """Sizes, times and policies are checked at construction, and the key is named (B9)."""
    with pytest.raises(ConfigurationError, match=key):
        ThreadedBackend(Kept(), **options)


def test_import_path_that_leads_nowhere_is_refused_when_the_queue_is_made():
    """A queue around a backend that does not exist is no queue (B9)."""
    for path in ("no.such.module.Backend", "time_execution.types.NoBackend", "nodots"):
        with pytest.raises(ConfigurationError, match="backend"):
            ThreadedBackend(backend=path)


@pytest.mark.parametrize("thing", [object(), 42, None, object], ids=["object", "int", "None", "class"])
def test_what_is_no_backend_is_refused_when_the_queue_is_made(thing):
    """A queue around something that cannot be written to is no queue (B9)."""
    with pytest.raises((ConfigurationError, TypeError)):
        ThreadedBackend(thing)


@pytest.mark.parametrize("key", ["base", "cap", "max_age"])
def test_a_flag_is_no_number_of_seconds(key):
    """True would pass for one second everywhere else in Python (B9)."""
    with pytest.raises(ConfigurationError, match=key):
        Backoff(**{key: True})
