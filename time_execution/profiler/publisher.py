"""`Profiler`: what is measured around calls and who gets the records; `profiler` is the one that programs share."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from time_execution import config as package_config
from time_execution.complaint import kind_of
from time_execution.exceptions import ConfigurationError
from time_execution.plan import Target
from time_execution.profiler._instrument import MetricWrapper
from time_execution.profiler._mode import RESPONSE_SIZE, TIME_PROFILER, Callback, Mode
from time_execution.profiler._site import Site
from time_execution.profiler._steps import followed
from time_execution.profiler._text import OutputFormatter
from time_execution.profiler._trouble import Trouble, changing
from time_execution.profiler.config import SWITCHES, checked_handler, create_handlers, read_settings
from time_execution.profiler.handlers import (
    AsyncImpProfHandler,
    BaseHandler,
    ImpProfHandler,
    LoggerHandler,
    NamedLoggerHandler,
    StreamHandler,
    SyncBaseHandler,
)
from time_execution.profiler.metrics import ResponseSize, TimeProfiler
from time_execution.profiler.tree import watch_forks
from time_execution.quietlog import logger
from time_execution.settings import current
from time_execution.wrapper import wrap

if TYPE_CHECKING:
    from time_execution.profiler.tree import Entry
    from time_execution.profiler.types import Handler, LoggerLike

__all__ = [
    "RESPONSE_SIZE",
    "TIME_PROFILER",
    "AsyncImpProfHandler",
    "BaseHandler",
    "ImpProfHandler",
    "LoggerHandler",
    "NamedLoggerHandler",
    "OutputFormatter",
    "Profiler",
    "StreamHandler",
    "SyncBaseHandler",
    "profiler",
]

F = TypeVar("F")

_MOST_SERIES = 1000


class Profiler:
    """Profile functions, and hand what was measured in a tree of calls to handlers when its root has ended.

    Does nothing before `config` or `dict_config` is called. Records go to the handlers when their root has ended, or a
    hundred of them have gathered; times and metrics go to the backends of the settings besides. Thread-safe, task-safe
    and fork-safe: each thread has trees of its own, a task belongs to the tree in which it was started, and what is
    recorded after the root has ended is handled when the call ends in which it was. A forked child leaves to its parent
    what was recorded before.

    Whatever handlers, callbacks and metrics do, a profiled function returns what it would, and raises what it would.

    Attributes:
        before_root_func: Called before each root, with ``func=, args=, kwargs=``; None for nothing.
        before_func: Called before each call, after that.
        after_func: Called after each call, with ``fn_result=, args=, kwargs=``; the result of a call that raised is
            None.
        after_root_func: Called after each root, after that.
        callbacks: These four, by name; not to be changed.
        mode: All that a call has to know; replaced whole when something is changed.
        trouble: Counts what went wrong.
    """

    before_root_func = Callback()
    before_func = Callback()
    after_func = Callback()
    after_root_func = Callback()

    def __init__(self) -> None:
        self.trouble = Trouble()
        self.callbacks: dict[str, Any] = {}
        self._metrics: dict[str, MetricWrapper] = {}
        self._handlers: dict[str, Any] = {}
        self._job = ""
        self._is_on = self._is_disabled = self._error_raised_label = False
        self._series: dict[str, Target] = {}
        self.mode = self._compiled()

    def config(  # noqa: PLR0917 - in the order that older programs use
        self,
        logger: LoggerLike | str | None = None,
        job: str | bool = "",  # noqa: FBT001 - as above
        time_profile: bool | None = None,  # noqa: FBT001 - as above
        request_size_profile: bool | None = None,  # noqa: FBT001 - as above
        response_size_profile: bool | None = None,  # noqa: FBT001 - as above
        handle_records: bool | None = None,  # noqa: FBT001 - as above
        error_raised_label: bool | None = None,  # noqa: FBT001 - as above
        **others: Any,
    ) -> None:
        """Configure the profiler, and let it begin; handlers and metrics that were added before stay.

        May be called again: what is not given then has its default again.

        Args:
            logger: A logger or its name: where wrong values are told, and at the level DEBUG the records of calls that
                raised, if `error_raised_label` is set and no handler logs. By default the logger ``time_execution``.
            job: Who measures, for the metrics that the profiler brings along. With a bool in its place, the four
                switches follow the logger by position: times, response sizes, handling, error label.
            time_profile: Measure how long calls take, in milliseconds; on by default.
            request_size_profile: An older name of the next.
            response_size_profile: Measure how large the results of roots are, in bytes; off by default.
            handle_records: Measure and handle at all; on by default.
            error_raised_label: Give every record the label ``error_raised``, a bool; off by default.
            **others: There are none; refused by name.

        Raises:
            ConfigurationError: When a setting is unknown, or its value is wrong.
        """
        given: dict[str, Any] = {"logger": logger, "handle_records": handle_records, **others}
        given["error_raised_label"] = error_raised_label
        if isinstance(job, bool):
            by_position = (job, time_profile, request_size_profile, response_size_profile)
            given |= {key: value for key, value in zip(SWITCHES, by_position, strict=True) if value is not None}
        else:
            given |= {"job": job, "time_profile": time_profile, "request_size_profile": request_size_profile}
            given["response_size_profile"] = response_size_profile
        self._apply(read_settings({key: value for key, value in given.items() if value is not None}, "config()"))

    def dict_config(self, settings: Mapping[str, Any]) -> None:
        """Configure the profiler by a dict, and add the handlers that it describes.

        Nothing is changed when it is wrong.

        Args:
            settings: ``job``, which there must be, and what `config` takes; ``handlers``: reference ->
                ``{"class": import path, "handler_name": …, **arguments}``, where ``ext://sys.stdout`` stands for what
                is there, and ``env:NAME`` for an environment variable.

        Raises:
            ConfigurationError: When a key is unknown or missing, a value is wrong, or a handler cannot be made.
            MissingExtraError: When a handler needs a client that is not installed.
        """
        found = read_settings(settings, "dict_config()")
        if "job" not in found:
            raise ConfigurationError("dict_config(): job is missing: who measures, such as the name of the program")
        self._apply(found)

    async_config = config

    async def async_dict_config(self, settings: Mapping[str, Any]) -> None:
        """Do what `dict_config` does, for programs that await it."""
        self.dict_config(settings)

    def _apply(self, found: dict[str, Any]) -> None:
        handlers = create_handlers(found.get("handlers", {}))
        watch_forks()
        job, logger = found.get("job", ""), found.get("logger")
        brought: dict[str, MetricWrapper] = {}
        if found.get("time_profile", True):
            brought[TIME_PROFILER] = TimeProfiler(TIME_PROFILER, job)
        if found.get("response_size_profile", False):
            brought[RESPONSE_SIZE] = ResponseSize(RESPONSE_SIZE, job)
        with changing():
            for name in (TIME_PROFILER, RESPONSE_SIZE):
                self._detach(name)
            for metric in brought.values():
                metric.attach(self)
            others = {name: one for name, one in self._metrics.items() if name not in {TIME_PROFILER, RESPONSE_SIZE}}
            self.trouble.logger = logger
            self.change(
                metrics={**brought, **others},
                handlers=self._handlers | {handler.handler_name: handler for handler in handlers.values()},
                job=job,
                is_on=found.get("handle_records", True),
                is_disabled=package_config.is_disabled(),
                error_raised_label=found.get("error_raised_label", False),
            )

    def change(self, *, callbacks: dict[str, Any] | None = None, **changes: Any) -> None:
        """Put changes in force, for the calls that begin or end from now on.

        Args:
            callbacks: The callbacks by name.
            **changes: Values of other attributes, by name without the underscore.
        """
        with changing():
            if callbacks is not None:
                self.callbacks = callbacks
            for name, value in changes.items():
                setattr(self, f"_{name}", value)
            self.mode = self._compiled()

    def _compiled(self) -> Mode:
        return Mode(
            metrics=self._metrics,
            handlers=self._handlers,
            callbacks=self.callbacks,
            trouble=self.trouble,
            is_on=self._is_on and not self._is_disabled,
            error_raised_label=self._error_raised_label,
        )

    @property
    def is_on(self) -> bool:
        """Whether anything is measured in this thread or task; the settings' switch holds for the profiler, too."""
        return self._is_on and not self._is_disabled and current().values.enabled

    @property
    def job(self) -> str:
        """Who measures."""
        return self._job

    @property
    def logger(self) -> LoggerLike | None:
        """Where trouble is told; None for the logger ``time_execution``."""
        return self.trouble.logger

    @property
    def handle_records(self) -> bool:
        """Whether anything is measured and handled; may be set."""
        return self._is_on

    @handle_records.setter
    def handle_records(self, value: bool) -> None:
        self.change(is_on=bool(value))

    @property
    def error_raised_label(self) -> bool:
        """Whether every record has the label ``error_raised``; may be set."""
        return self._error_raised_label

    @error_raised_label.setter
    def error_raised_label(self, value: bool) -> None:
        self.change(error_raised_label=bool(value))

    @property
    def metrics(self) -> Mapping[str, MetricWrapper]:
        """The metrics by name, not to be changed."""
        return MappingProxyType(self._metrics)

    @property
    def handlers(self) -> Mapping[str, Any]:
        """The handlers by name, not to be changed."""
        return MappingProxyType(self._handlers)

    @property
    def time_profile(self) -> MetricWrapper | None:
        """The metric of what calls take."""
        return self._metrics.get(TIME_PROFILER)

    @property
    def resp_size_profile(self) -> MetricWrapper | None:
        """The metric of how large the responses of roots are."""
        return self._metrics.get(RESPONSE_SIZE)

    def add_metric(self, metric: MetricWrapper) -> None:
        """Handle the records of a metric with the others; one of the same name that was there is deleted.

        A metric that belongs to no profiler is recorded as well while a profiled function runs, by its profiler.

        Raises:
            ConfigurationError: When it is no metric.
        """
        if not isinstance(metric, MetricWrapper):
            raise ConfigurationError(f"add_metric() takes a metric, not {kind_of(metric)}")
        with changing():
            self._detach(metric.name)
            metric.attach(self)
            self.change(metrics=self._metrics | {metric.name: metric})

    def delete_metric(self, item: str) -> None:
        """Record nothing of a metric any more; that there is none is logged.

        Args:
            item: Its name.
        """
        with changing():
            if item not in self._metrics:
                self._warn(f"there is no metric {item!r} to delete")
                return
            self._detach(item)
            self.change(metrics={name: other for name, other in self._metrics.items() if name != item})

    def delete_metrics(self, rm_time_profile: bool = False, rm_resp_size_profile: bool = False) -> None:  # noqa: FBT001, FBT002 - as above
        """Delete all metrics that were added, and of those that the profiler brought along the ones that are named.

        Args:
            rm_time_profile: Delete that of what calls take, too.
            rm_resp_size_profile: Delete that of how large responses are, too.
        """
        kept = {TIME_PROFILER: not rm_time_profile, RESPONSE_SIZE: not rm_resp_size_profile}
        for name in list(self._metrics):
            if not kept.get(name, False):
                self.delete_metric(name)

    def add_handler(self, handler: Handler) -> None:
        """Hand records to a handler from now on; it takes the place of one of the same name, which is not closed.

        Args:
            handler: Anything with a ``handler_name`` and a method ``handle(records, profiler_name)``.

        Raises:
            ConfigurationError: When it has not that shape, or is asynchronous.
        """
        checked_handler(handler, "add_handler()")
        with changing():
            self.change(handlers=self._handlers | {handler.handler_name: handler})

    def delete_handler(self, handler_name: str) -> None:
        """Hand nothing to a handler any more; it is not closed, and that there is none is logged."""
        with changing():
            if handler_name not in self._handlers:
                self._warn(f"there is no handler {handler_name!r} to delete")
                return
            self.change(handlers={name: one for name, one in self._handlers.items() if name != handler_name})

    def delete_handlers(self) -> None:
        """Hand nothing to any handler any more."""
        self.change(handlers={})

    def stats(self) -> dict[str, dict[str, int]]:
        """Return what went wrong so far in this process.

        Returns:
            ``instrument``: ``"name.operation: wrong value"`` and its like -> how often nothing was recorded for it;
            ``callback`` and ``handler``: ``"which: class of the exception"`` -> how often it raised.
        """
        return self.trouble.as_dict()

    def publish(self, entries: Sequence[Entry]) -> None:
        """Hand records to the handlers."""
        self.mode.publish(entries)

    def series(self, context: str) -> Target:
        """Return how calls of a context go down the pipeline."""
        found = self._series.get(context)
        if found is None:
            if len(self._series) >= _MOST_SERIES:  # recursion makes as many as it is deep
                self._series = {}
            found = self._series[context] = Target(None, context)
        return found

    def profile(self, func: F) -> F:
        """Decorate a function: its calls are measured, and make up the tree.

        On functions, methods, coroutine functions, generators, asynchronous generators, partials and callable objects,
        above and below ``staticmethod``, ``classmethod`` and ``property``. Signature, kind and type stay.

        Raises:
            TypeError: When it is a class, or cannot be called.
        """
        return cast("F", self._profile(func))

    def _profile(self, func: Any) -> Any:
        if isinstance(func, (staticmethod, classmethod)):
            return type(func)(self._profile(func.__func__))
        if isinstance(func, property):
            fget, fset, fdel = (part and self._profile(part) for part in (func.fget, func.fset, func.fdel))
            return type(func)(fget, fset, fdel, func.__doc__)
        if isinstance(func, functools.cached_property):
            return type(func)(self._profile(func.func))
        if isinstance(func, type) or not callable(func):
            shown = f"the class {func.__qualname__}" if isinstance(func, type) else kind_of(func)
            raise TypeError(f"@profile measures functions and what is called like one, not {shown}")
        site = Site(func, self)
        return wrap(followed(func, site), site)

    def _detach(self, name: str) -> None:
        if name in self._metrics:
            self._metrics[name].detach(self)

    def _warn(self, message: str) -> None:
        (logger if self.trouble.logger is None else self.trouble.logger).warning("%s", message)

    def __reduce__(self) -> str:
        """Be found by name, where a profiled function is loaded that was pickled whole.

        Raises:
            TypeError: When it is not the one that programs share.
        """
        if self is not profiler:
            raise TypeError("a Profiler of one's own cannot be pickled, nor what it profiles, but by its name")
        return "profiler"


profiler = Profiler()
