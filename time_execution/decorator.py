"""The decorator: what users write, and which parts of a thing are wrapped; `time_execution.wrapper` knows how."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar, overload

from time_execution import config
from time_execution.block import Block
from time_execution.construction import measure_construction
from time_execution.naming import name_of
from time_execution.plan import Target
from time_execution.wrapper import wrap

if TYPE_CHECKING:
    from time_execution.types import AnyHook

F = TypeVar("F")
C = TypeVar("C", bound=type)


class TimeExecution:
    """Measure what a callable costs: `time_execution` is the one instance.

    As a decorator, bare or with parameters, on functions, methods, coroutine functions, generators, asynchronous
    generators, classes, partials, callable objects and Celery tasks, above and below ``staticmethod``, ``classmethod``
    and ``property``. The decorated thing keeps its signature, its kind and its type to a type checker; its result,
    its exception and its timing are its own. Generators are measured from the first ``next`` until they are exhausted
    or closed; a class keeps its identity, and its construction is measured. Thread-safe.

    Example:
        >>> @time_execution
        ... def hello():
        ...     return "World"
        >>> hello()
        'World'
    """

    @overload
    def __call__(self, func: F, /) -> F: ...

    @overload
    def __call__(
        self,
        func: None = None,
        /,
        *,
        name: str | None = None,
        extra_hooks: Sequence[AnyHook | str] | AnyHook | str | None = None,
        disable_default_hooks: bool = False,
        get_fqn: Callable[[Any], str] | None = None,
    ) -> Callable[[F], F]: ...

    def __call__(
        self,
        func: Any = None,
        /,
        *,
        name: str | None = None,
        extra_hooks: Sequence[AnyHook | str] | AnyHook | str | None = None,
        disable_default_hooks: bool = False,
        get_fqn: Callable[[Any], str] | None = None,
    ) -> Any:
        """Decorate a callable, or return a decorator that does; one decorator may be used many times.

        Args:
            func: What to measure.
            name: Its series; by default the fully qualified name, without ``<locals>``.
            extra_hooks: Run after the hooks of the settings; callables or import paths, in a list or a single one.
            disable_default_hooks: Leave out the hooks of the settings.
            get_fqn: Returns the series for a callable; an older way to set `name`.

        Raises:
            ConfigurationError: When a hook cannot be called as hooks are, or another parameter is wrong.
            TypeError: When `func` cannot be called.
        """
        config.expect("a callable", get_fqn, where="get_fqn", is_right=get_fqn is None or callable(get_fqn))
        is_bool = isinstance(disable_default_hooks, bool)
        config.expect("True or False", disable_default_hooks, where="disable_default_hooks", is_right=is_bool)
        hooks = () if extra_hooks is None else config.resolve_hooks(extra_hooks, where="extra_hooks")

        def decorator(wrapped: Any) -> Any:
            def target(inner: Any) -> Target:
                series = (get_fqn or name_of)(inner) if name is None else name
                return Target(inner, series, extra_hooks=hooks, disable_default_hooks=disable_default_hooks)

            return decorate(wrapped, target)

        return decorator if func is None else decorator(func)

    def block(self, name: str, /, **fields: Any) -> Block:
        """Return a context manager, for ``with`` and ``async with``, that measures a block of code.

        Hooks run as for calls. It may be used again and again. What is put into its ``fields`` while it is open is
        stored, too.

        Args:
            name: The series.
            **fields: Constant fields of the metric; none of its core fields.

        Raises:
            ConfigurationError: When the name is no text or empty, or a field is one of the core fields.

        Example:
            >>> with time_execution.block("orders.import", source="csv"):
            ...     total = sum(range(1000))
        """
        return Block(name, fields)

    def methods(self, cls: C, pattern: str = "*", **options: Any) -> C:
        """Measure each method that a class itself defines and whose name matches; returns the class.

        Special methods (``__len__`` and the like) are measured only when the pattern names them with underscores.

        Args:
            cls: Changed in place.
            pattern: Matched against the method's name with `fnmatch`.
            **options: As for the decorator.

        Raises:
            ConfigurationError: When no method has such a name, or an option is wrong.
            TypeError: When `cls` is no class.
        """
        given: object = cls
        if not isinstance(given, type):
            msg = f"methods() measures those of a class, not of an instance: it was given a {type(given).__name__}"
            raise TypeError(msg)
        matches = 0
        for attribute, member in list(vars(cls).items()):
            special = attribute.startswith("__")
            if special and not pattern.startswith("__"):
                continue
            plain = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
            if inspect.isfunction(plain) and fnmatchcase(attribute, pattern):
                setattr(cls, attribute, self(**options)(member))
                matches += 1
        wanted = f"the pattern of a method that {cls.__qualname__} itself defines"
        config.expect(wanted, pattern, where="methods()", is_right=matches > 0)
        return cls

    def __repr__(self) -> str:
        """Return the name users know it by."""
        return "time_execution"


time_execution = TimeExecution()
time_execution_async = time_execution


def decorate(wrapped: Any, target: Callable[[Any], Target]) -> Any:
    """Return the measured form of what a decorator was put on: the function, the parts of a property, the class.

    Args:
        wrapped: What was decorated.
        target: Returns how a callable in it is measured.

    Raises:
        TypeError: When it cannot be called.
    """
    if isinstance(wrapped, (staticmethod, classmethod)):
        return type(wrapped)(decorate(wrapped.__func__, target))
    if isinstance(wrapped, property):
        fget, fset, fdel = (part and decorate(part, target) for part in (wrapped.fget, wrapped.fset, wrapped.fdel))
        return type(wrapped)(fget, fset, fdel, wrapped.__doc__)
    if isinstance(wrapped, functools.cached_property):
        return type(wrapped)(decorate(wrapped.func, target))
    if isinstance(wrapped, type):
        measure = target(wrapped)
        return measure_construction(wrapped, lambda function: wrap(function, measure), kind=type(measure))
    if not callable(wrapped):
        msg = f"time_execution measures callables, not {type(wrapped).__name__}"
        raise TypeError(msg)
    if _is_celery_task(wrapped):
        wrapped.run = wrap(wrapped.run, target(wrapped))  # a Celery task stays the task that its worker knows
        return wrapped
    return wrap(wrapped, target(wrapped))


def _is_celery_task(thing: Any) -> bool:
    """Whether it is one, or will be once its application is complete; asked without importing Celery."""
    if not any(str(base.__module__).startswith("celery.") for base in type(thing).__mro__):
        return False
    return callable(getattr(thing, "delay", None)) and callable(getattr(thing, "run", None))
