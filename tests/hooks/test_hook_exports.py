"""What `time_execution.hooks` offers, and what it costs to have it."""

from __future__ import annotations

import pytest

from tests.child import printed_by
from time_execution import hooks
from time_execution.hooks import extra_fields


def test_every_exported_hook_is_there() -> None:
    """The list of exports, the directory and what can be fetched agree."""
    assert all(callable(getattr(hooks, name)) for name in hooks.__all__)
    assert dir(hooks) == sorted(hooks.__all__)


def test_unknown_hook_is_an_attribute_error() -> None:
    """A misspelt hook fails as on any module."""
    with pytest.raises(AttributeError, match="no attribute 'status_hook'"):
        getattr(hooks, "status_hook")  # noqa: B009 - a type checker would know, too


def test_hooks_load_when_they_are_asked_for() -> None:
    """The package loads no hook's module, and a hook loads neither Celery nor OpenTelemetry nor psutil."""
    code = (
        "import sys, time_execution, time_execution.hooks as hooks\n"
        "print(sum(f'time_execution.hooks.{name}' in sys.modules for name in "
        "('arguments', 'celery', 'exception', 'resources', 'trace', 'call_tree')))\n"
        "[getattr(hooks, name) for name in hooks.__all__]\n"
        "print(sum(name in sys.modules for name in ('celery', 'opentelemetry', 'psutil')))"
    )
    assert printed_by(code) == ["0", "0"]


def test_extra_fields_are_on_every_metric(measured) -> None:
    """Constant fields are added to each metric, and one cannot spoil the next."""
    from time_execution import time_execution

    hook = extra_fields(release="1.2", team="web")
    metrics = measured(hook)
    call = time_execution(lambda: None)
    call()
    metrics[0]["release"] = "changed"
    call()
    assert [(metric["release"], metric["team"]) for metric in metrics] == [("changed", "web"), ("1.2", "web")]
