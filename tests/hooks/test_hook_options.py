"""Wrong options of hooks are refused where the hook is made, not at each call."""

from __future__ import annotations

from typing import Any

import pytest

from time_execution.exceptions import ConfigurationError
from time_execution.hooks import ArgumentsHook, ExceptionHook


@pytest.mark.parametrize(
    ("hook", "options"),
    [
        *(
            (hook, {"max_length": wrong})
            for hook in (ExceptionHook, ArgumentsHook)
            for wrong in (0, "x", None, True, 9.5)
        ),
        *((ExceptionHook, {"ignore": wrong}) for wrong in ([KeyError], KeyError, (KeyError(),), ("KeyError",), (int,))),
        *((ArgumentsHook, {"include": wrong}) for wrong in ("first", 5)),
        *((ArgumentsHook, {"exclude": wrong}) for wrong in ("first", 5, None)),
    ],
)
def test_wrong_option_of_a_hook_is_refused_at_once(hook: Any, options: dict[str, Any]) -> None:
    """The message names the hook and the option, and shows no value."""
    (key,) = options
    with pytest.raises(ConfigurationError, match=f"^{hook.__name__}: {key}: expected .*, got an? ?|None"):
        hook(**options)


def test_right_options_are_taken() -> None:
    """Whatever can be asked for a name is a list of names."""
    assert ExceptionHook(max_length=1, ignore=(KeyError, SystemExit)).ignore == (KeyError, SystemExit)
    assert ArgumentsHook(include={"a": 1}, exclude=("b",), max_length=1).include == frozenset("a")
