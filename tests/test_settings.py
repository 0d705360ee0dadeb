"""The `settings` object: what `configure` merges, refuses and shows, and that old ones go."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from tests.owned_backends import hook, work
from time_execution import settings
from time_execution.exceptions import ConfigurationError
from time_execution.guard import faults
from time_execution.settings import live


def test_defaults_are_those_that_are_documented():
    """Unconfigured, nothing is written and everything would be measured."""
    assert (settings.backends, settings.hooks) == ((), ())
    assert (settings.duration_field, settings.origin, settings.raise_errors) == ("value", None, False)
    assert (settings.enabled, settings.sample_rate, settings.include, settings.exclude) == (True, 1.0, (), ())
    assert settings.hostname
    assert settings.log_interval == 10.0


def test_keys_given_replace_and_others_stay(kept: Kept):
    """Calls of configure() add up, key by key."""
    settings.configure(origin="shop", hooks=[hook])
    settings.configure(duration_field="ms")
    settings.configure(origin="other")
    assert settings.backends == (kept,)
    assert (settings.origin, settings.duration_field, settings.hooks) == ("other", "ms", (hook,))
    settings.configure(origin=None, hooks=[])
    assert (settings.origin, settings.hooks) == (None, ())


def test_mapping_and_keywords_come_together(kept: Kept):
    """Keyword arguments win over the mapping."""
    settings.configure({"origin": "mapping", "hostname": "web-1"}, origin="keyword")
    assert (settings.origin, settings.hostname) == ("keyword", "web-1")


def test_file_is_read(tmp_path):
    """A TOML file given by its path is a source of settings."""
    path = tmp_path / "metrics.toml"
    path.write_text('[time_execution]\norigin = "file"\nduration_field = "ms"\n')
    settings.configure(path, origin="keyword")
    assert (settings.origin, settings.duration_field) == ("keyword", "ms")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"originn": "x"}, "origin"),
        ({"backends": [object()]}, "backends"),
        ({"backends": ["no.such.module.Backend"]}, "backends"),
        ({"backends": [42]}, "int"),
        ({"hooks": ["nothing"]}, "hooks"),
        ({"hooks": [42]}, "int"),
        ({"duration_field": ""}, "duration_field"),
        ({"duration_field": "name"}, "duration_field"),
        ({"origin": 42}, "int"),
        ({"enabled": "yes"}, "str"),
        ({"sample_rate": 2}, "sample_rate"),
        ({"sample_rate": float("nan")}, "sample_rate"),
        ({"sample_rate": True}, "bool"),
        ({"include": [1]}, "include"),
        ({"log_interval": -1}, "log_interval"),
        ({"raise_errors": 1}, "int"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
@pytest.mark.parametrize("how", [settings.configure, settings], ids=["configure", "block"])
def test_wrong_settings_are_refused_at_once_and_change_nothing(kept: Kept, how: Callable[..., Any], changes, says):
    """The error names the key or the type, and what held before still holds (B9)."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        block = how(**{"origin": "half", **changes} if "origin" not in changes else changes)
        block.__enter__()
    assert isinstance(caught.value, ValueError)
    assert (settings.origin, settings.backends) == (None, (kept,))
    work()
    assert kept.names == ["work"]


def test_unknown_setting_is_no_attribute_and_none_can_be_assigned():
    """Reading or setting a misspelt name fails, and so does setting a right one."""
    with pytest.raises(AttributeError, match="originn"):
        _ = settings.originn  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="configure"):
        settings.origin = "shop"
    assert settings.origin is None


def test_representation_shows_the_settings_in_force(kept: Kept):
    """In a console one sees what is configured."""
    settings.configure(origin="shop")
    assert "origin='shop'" in repr(settings)
    assert "Kept" in repr(settings)
    values = live.snapshot.values
    assert repr(settings).removeprefix("Settings") == repr(values).removeprefix("Values")
    assert f"backends={values.backends!r}, " in repr(values)


def test_log_interval_is_what_the_log_keeps_to():
    """The pause between two lines of one kind is the one configured."""
    settings.configure(log_interval=0.0)
    assert faults.log.interval == 0.0
    settings.reset()
    assert faults.log.interval == 10.0


def test_configure_from_many_threads_ends_in_one_consistent_state(kept: Kept):
    """Settings changed at the same time all arrive, each key with one of the values that were set."""

    def run(key):
        for n in range(100):
            settings.configure(**{key: f"{key}{n}"})
            work()

    threads = [threading.Thread(target=run, args=(key,)) for key in ("origin", "hostname", "duration_field")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (settings.origin, settings.hostname, settings.duration_field) == (
        "origin99",
        "hostname99",
        "duration_field99",
    )
    assert len(kept.metrics) == 300


def test_old_settings_are_let_go(kept: Kept):
    """A function that was called keeps nothing of the settings before, so that backends can be collected."""
    import weakref

    backend = Kept()
    settings.configure(backends=[backend])
    work()
    gone = weakref.ref(backend)
    del backend
    settings.configure(backends=[kept])
    work()
    gc.collect()
    assert gone() is None
