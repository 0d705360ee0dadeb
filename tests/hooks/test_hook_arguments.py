"""The arguments hook: named, redacted, detached, bounded."""

from __future__ import annotations

import functools
import gc
import time
import weakref
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.patience import least_time
from tests.secret_corpus import PLANTED
from time_execution import block, time_execution
from time_execution.exceptions import ConfigurationError
from time_execution.hooks import ArgumentsHook, arguments_hook


class Sly:
    def __repr__(self) -> str:
        raise AssertionError

    __str__ = __hash__ = __eq__ = __repr__  # type: ignore[assignment]


def target(first, second=2, /, third=3, *rest, fourth=4, **more):
    """Has a parameter of each kind."""


@pytest.mark.parametrize(
    ("args", "kwargs", "arguments"),
    [
        ((1,), {}, {"first": 1}),
        ((1, 2, 3, 4, 5), {"fourth": 6}, {"first": 1, "second": 2, "third": 3, "*rest": [4, 5], "fourth": 6}),
        ((1,), {"x": 7}, {"first": 1, "x": 7}),
        ((1,), {"third": None}, {"first": 1, "third": None}),
    ],
)
def test_arguments_have_their_parameters_names(outcome, args, kwargs, arguments) -> None:
    """Positional, surplus and keyword arguments are named; defaults that were not overridden are left out."""
    fields = arguments_hook(**outcome(func=target, func_args=args, func_kwargs=kwargs))
    assert fields == {"arguments": arguments}


def test_no_arguments_add_nothing(outcome, measured) -> None:
    """A call without arguments has no field, and neither has a block, whose fields are no arguments."""
    assert arguments_hook(**outcome(func=target)) is None
    metrics = measured(arguments_hook)
    with block("part", items=3):
        pass
    assert metrics[0]["items"] == 3
    assert "arguments" not in metrics[0]


def test_call_with_wrong_arguments_is_told_as_it_was(measured) -> None:
    """What a failed call was given is recorded, though it fits no signature; the TypeError passes."""
    metrics = measured(arguments_hook)
    call: Any = time_execution(lambda a: None)
    with pytest.raises(TypeError):
        call(1, 2, b=3)
    assert metrics[0]["arguments"] == {"a": 1, "*args": [2], "b": 3}


def test_receiver_is_left_out(measured) -> None:
    """A method's ``self`` and a class method's ``cls`` are no arguments."""
    metrics = measured(arguments_hook)

    class Shop:
        @time_execution
        def sell(self, item):
            return item

        @classmethod
        @time_execution
        def open(cls, hour):
            return hour

    assert (Shop().sell(item=7), Shop.open(9)) == (7, 9)
    assert [metric["arguments"] for metric in metrics] == [{"item": 7}, {"hour": 9}]


def test_partials_and_functions_without_a_signature_are_named_as_far_as_possible(outcome) -> None:
    """Without a signature, positional arguments stand in a list."""

    def hidden(a): ...

    hidden.__signature__ = "none"  # type: ignore[attr-defined]
    assert arguments_hook(**outcome(func=hidden, func_args=("ab",))) == {"arguments": {"*args": ["ab"]}}
    partial = functools.partial(target, 1)
    assert arguments_hook(**outcome(func=partial, func_args=(20,))) == {"arguments": {"second": 20}}


def test_callable_without_a_hash_is_named_too(outcome) -> None:
    """An object that cannot be a key is read anew each time, and its hash is not missed."""

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, size):
            return size

    fields = arguments_hook(**outcome(func=Unhashable(), func_args=(3,)))
    assert fields == {"arguments": {"size": 3}}


def test_include_and_exclude_choose_parameters(outcome) -> None:
    """Only included parameters are taken, and none that is excluded."""
    given = outcome(func=target, func_args=(1, 2, 3), func_kwargs={"fourth": 4, "x": 5})
    assert ArgumentsHook(include=["first", "x"])(**given) == {"arguments": {"first": 1, "x": 5}}
    assert ArgumentsHook(exclude={"first", "x"})(**given) == {"arguments": {"second": 2, "third": 3, "fourth": 4}}
    assert ArgumentsHook(include=["first"], exclude=["first"])(**given) is None


@pytest.mark.parametrize("options", [{"include": "first"}, {"exclude": "first"}, {"max_length": 0}])
def test_wrong_option_is_refused_at_once(options) -> None:
    """A string where a list is wanted would leave out the wrong parameters."""
    with pytest.raises(ConfigurationError):
        ArgumentsHook(**options)


@pytest.mark.parametrize(("secret", "value"), PLANTED)
def test_secret_in_an_argument_is_gone(outcome, secret, value) -> None:
    """Whatever is planted in an argument does not reach the metric."""
    fields = arguments_hook(**outcome(func=lambda it: None, func_args=(value,)))
    assert secret not in repr(fields)
    assert fields is not None


def test_secret_is_told_by_its_parameter(outcome) -> None:
    """A positional argument is masked by its parameter's name, a dataclass's field by its own."""

    @dataclass
    class Account:
        user: str
        password: str
        note: str = field(default="seen", repr=False)

    def login(password, token_count, account): ...

    fields = arguments_hook(**outcome(func=login, func_args=("hunter2", 5, Account("a", "hunter2"))))
    assert fields == {"arguments": {"password": "***", "token_count": 5, "account": {"user": "a", "password": "***"}}}


def test_no_code_of_a_value_runs(outcome) -> None:
    """A value whose every method raises is named by its class."""
    fields = arguments_hook(**outcome(func=target, func_args=(Sly(), [Sly()])))
    assert fields == {"arguments": {"first": f"<{__name__}.Sly>", "second": [f"<{__name__}.Sly>"]}}


def test_what_is_recorded_is_detached(outcome) -> None:
    """Changing an argument later changes nothing that was recorded."""
    items: list[Any] = [1, {"a": 2}]
    fields = arguments_hook(**outcome(func=target, func_args=(items,)))
    items[1]["a"] = 3
    items.clear()
    assert fields == {"arguments": {"first": [1, {"a": 2}]}}


def test_long_text_is_cut(outcome) -> None:
    """Texts are cut to the chosen length, at any depth."""
    hook = ArgumentsHook(max_length=5)
    fields = hook(**outcome(func=target, func_args=(["a" * 9],)))
    assert fields == {"arguments": {"first": ["aaaaa…[cut, 9 characters]"]}}


def test_huge_arguments_cost_little(outcome) -> None:
    """Ten megabytes of text and a list of a million items take milliseconds, not seconds."""
    given = outcome(func=target, func_args=("x" * 10**7, list(range(10**6)), {"k": ["token "] * 10**5}))
    arguments_hook(**given)

    def seconds_taken():
        started = time.process_time()
        for _ in range(20):
            arguments_hook(**given)
        return (time.process_time() - started) / 20

    assert least_time(seconds_taken, 0.02) <= 0.02


def test_hook_keeps_no_function_alive(outcome) -> None:
    """Functions made at run time can be collected after their calls were recorded."""

    def make():
        def short_lived(a): ...

        return short_lived

    func = make()
    arguments_hook(**outcome(func=func, func_args=(1,)))
    gone = weakref.ref(func)
    del func
    gc.collect()
    assert gone() is None
