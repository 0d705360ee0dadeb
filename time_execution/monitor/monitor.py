"""`Monitor`, and the one of them that programs share: `monitor`. What happens is in the modules beside this one."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from time_execution.forking import hold_forks_up
from time_execution.monitor import _watch, state
from time_execution.monitor.alert import Alerts, Notifier
from time_execution.monitor.options import Options, Settled
from time_execution.monitor.sampler import STOP_TIMEOUT, Job, Sampler, stop_at_exit
from time_execution.monitor.system import SystemReader, emit_sample, require_psutil
from time_execution.monitor.threshold import Level, Threshold

if TYPE_CHECKING:
    from time_execution.monitor.health import HealthChecks
    from time_execution.monitor.requests import RequestStatistics

_SHORTEST_INTERVAL = 0.1
_FRESH = 5.0


class Monitor:
    """Samples the machine, runs health checks, alerts, and tells other processes how this one is.

    Thread-safe. Fork-safe: a child inherits what was configured and registered, but no thread, sample or state of an
    alert, and starts a thread of its own when `start` is called in it. Usually there is one, `monitor`; others are
    independent of it, but for the settings that all send their metrics to.

    Args:
        clock: Returns seconds, never going back; when it is moved by hand, call `wake`.
        wall: Returns seconds since the epoch.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._sampler = Sampler(self._jobs(), at_end=self._write_states, clock=clock)
        self._lock = threading.RLock()
        self._reading = threading.RLock()
        self._forget()

    def _forget(self) -> None:
        """Set what users set to what it is at first."""
        self._settled = Settled()
        self._pid = 0
        self._started = 0.0
        self._reader: SystemReader | None = None
        self._samples: deque[dict[str, Any]] = deque()
        self._alerts = Alerts()
        self._watch = _watch.Watch(self._alerts.tell, clock=self._clock, wall=self._wall)
        self._checks: HealthChecks | None = None
        self._requests: RequestStatistics | None = None

    def configure(self, **given: Any) -> None:
        """Set options by name; those given replace, others stay: code before environment before defaults.

        The environment is read anew. A monitor that runs goes by the new options at once. Without arguments, it checks
        the environment, as an application does that wants to fail as it starts and not at its first request.

        Args:
            **given: Fields of `Options`.

        Raises:
            ConfigurationError: When there is no option of a name, or a value or a variable is wrong; nothing changes.
            MissingExtraError: When the machine is to be sampled and psutil is not installed.
        """
        with self._lock:
            self._check_process()
            chosen = self._settled.changed(given)
            if chosen.options.system_metrics:
                require_psutil()
            self._settled = chosen
            self._watch.wait_for_samples(chosen.options.sample_interval)
            if self._reader is not None:
                self._reader.disk_path = chosen.options.disk_path
            if self._checks is not None:
                self._checks.configure(**_for_checks(chosen.options))
        self._sampler.wake()

    @property
    def options(self) -> Options:
        """The options in force; the environment is read when they are first asked for.

        Raises:
            ConfigurationError: When a variable is wrong.
        """
        return self._settled.options

    def reset(self) -> None:
        """Stop, and forget all that was configured, registered and sampled; for tests."""
        self.stop()
        with self._lock:
            self._forget()

    def start(self) -> None:
        """Start the monitor's thread, unless it runs; what the web adapters do at a worker's first request.

        Does not wait. It runs as a daemon until `stop`, or the end of the process, which lets it write its last states.

        Raises:
            ConfigurationError: When a variable of the environment is wrong.
            MissingExtraError: When the machine is to be sampled and psutil is not installed.
        """
        if self._sampler.is_running():
            return
        with self._lock:
            self._check_process()
            if self.options.system_metrics:
                self._system()
            self._started = self._started or self._wall()
        # Not under the lock: a signal that comes now may stop the thread, which would wait for it.
        if self._sampler.start():
            stop_at_exit(self)

    def stop(self, timeout: float = STOP_TIMEOUT) -> bool:
        """End the thread, once it has written its last states, and wait until alerts are told.

        Idempotent; may be called anywhere: on the thread itself, in a check, in a notifier, and in the handler of a
        signal, where it waits in vain if what was interrupted keeps the thread waiting. `start` starts it again.

        Args:
            timeout: The longest wait, in seconds.

        Returns:
            False when something was still at work after that, or is what called this.
        """
        deadline = time.monotonic() + timeout
        is_over = self._sampler.stop(timeout)
        return self._alerts.flush(max(0.0, deadline - time.monotonic())) and is_over

    def is_running(self) -> bool:
        """Return whether the thread runs in this process."""
        return self._sampler.is_running()

    def wake(self) -> None:
        """Let the thread look at its clock anew."""
        self._sampler.wake()

    def flush(self, timeout: float = STOP_TIMEOUT) -> bool:
        """Wait until everybody was told the alerts so far; False at the time-out, in seconds."""
        return self._alerts.flush(timeout)

    def sample(self) -> dict[str, Any]:
        """Read the machine now, keep the sample, send it down the pipeline, and hold it against the thresholds.

        Takes less than a millisecond as a rule, at the first time 0.1 seconds, and 2 seconds for each of disk and
        connections at the most, should the system hang.

        Returns:
            ``cpu_percent``, ``memory_percent``, ``disk_percent`` (0 to 100), ``open_files``, ``network_connections``
            (int), ``load_1m``, ``load_5m``, ``load_15m`` (float), each None where it could not be read; and
            ``timestamp`` (float seconds since the epoch). A dict of the caller's own.

        Raises:
            ConfigurationError: When a variable of the environment is wrong.
            MissingExtraError: When psutil is not installed.
        """
        self._check_process()
        with self._reading:
            figures = self._system().read()
        taken = {**figures, "timestamp": self._wall()}
        with self._lock:
            self._samples.append(taken)
            while len(self._samples) > self.options.max_samples:
                self._samples.popleft()
        emit_sample(figures)
        for key, value in figures.items():
            self._watch.judge(key, value)
        return dict(taken)

    def samples(self) -> list[dict[str, Any]]:
        """Return the samples that are kept, oldest first, at most ``max_samples``; copies, in the shape of `sample`."""
        with self._lock:
            return [dict(taken) for taken in self._samples]

    def _system(self) -> SystemReader:
        with self._reading:
            if self._reader is None:
                self._reader = SystemReader(self.options.disk_path, clock=self._clock, sleep=self._sleep)
            return self._reader

    def register_threshold(
        self,
        metric: str,
        warning_threshold: float | None = None,
        critical_threshold: float | None = None,
        duration: float = 0.0,
        *,
        recovery: float | None = None,
        below: bool = False,
    ) -> None:
        """Alert once when a figure exceeds a threshold for a time, and once when it has recovered.

        There is one for each figure and direction: registering another replaces it, and what it has fired is taken
        over, so that its recovery is told.

        Args:
            metric: A key of `sample`; ``request_error_rate`` (%), ``request_p95`` (ms) or ``request_rate`` (a second),
                of the last minute; or any other name, for what is given to `observe`.
            warning_threshold: The level of a warning, in the figure's unit; None for none.
            critical_threshold: The level that is critical, further off; None for none. It fires also after a warning.
            duration: For how many seconds it must be exceeded, at every reading.
            recovery: At which reading an alert is over; None for 5 % of the first threshold's amount on its good side.
            below: Alert when the figure falls below the thresholds, rather than rises above them.

        Raises:
            ConfigurationError: When an argument is wrong, or no threshold is given.
        """
        self._check_process()
        given: dict[str, Any] = {"duration": duration, "recovery": recovery, "below": below}
        made = Threshold(metric, warning_threshold=warning_threshold, critical_threshold=critical_threshold, **given)
        self._watch.register(made, sample_interval=self.options.sample_interval)

    def unregister_threshold(self, metric: str, *, below: bool = False) -> bool:
        """Forget a threshold, and what it has fired; says whether there was one."""
        return self._watch.unregister(metric, below=below)

    def thresholds(self) -> list[dict[str, Any]]:
        """Return each threshold: ``metric``, ``level`` (None unless it fires), ``observed`` (last), and its options."""
        return self._watch.described()

    def observe(self, metric: str, value: float) -> None:
        """Hold a number of the application's against the thresholds of that name; without any, nothing happens.

        It stands until the next one, five minutes at the most. Costs a few microseconds; never raises and never waits
        for whom an alert is told. What is no finite number counts as a reading that is missing.
        """
        self._watch.observe(metric, value)

    def register_notifier(self, notifier: Notifier, *, level: Level = "warning") -> None:
        """Have a function or a coroutine function called with each `Alert`, on a thread of its own.

        What it raises is counted and logged; one that hangs holds up nobody but itself.

        Args:
            notifier: Takes the alert. Registering it again only changes its level.
            level: ``critical`` for critical ones and their recovery only.

        Raises:
            ConfigurationError: When it cannot be called with an alert, or there is no such level.
        """
        self._check_process()
        self._alerts.register(notifier, level=level)

    def unregister_notifier(self, notifier: Notifier) -> bool:
        """Tell a notifier nothing more; says whether it was registered."""
        return self._alerts.unregister(notifier)

    @property
    def requests(self) -> RequestStatistics:
        """What is known of the application's requests; the web adapters tell it."""
        if self._requests is None:
            from time_execution.monitor.requests import RequestStatistics  # noqa: PLC0415 - for those who serve any

            with self._lock:
                if self._requests is None:
                    self._requests = RequestStatistics()
        return self._requests

    def register_health_check(
        self, name: str, check: Any, *, timeout: float = 5.0, critical: bool = True, interval: float | None = None
    ) -> None:
        """Ask from time to time whether something that the application needs is there.

        Args:
            name: Of the service.
            check: A check of `time_execution.monitor.checks`; a function or coroutine function, which fails when it
                raises or returns False; or a URL such as ``postgresql://…``, ``redis://…``, ``https://…``, ``tcp://…``.
            timeout: After so many seconds it has failed.
            critical: Whether the whole is unhealthy when this is; else it is degraded.
            interval: Seconds from one time to the next; None for ``health_check_interval``.

        Raises:
            ConfigurationError: When an argument is wrong.
            MissingExtraError: When the check needs a client that is not installed.
        """
        self._health().register(name, check, timeout=timeout, critical=critical, interval=interval)

    def unregister_health_check(self, name: str) -> bool:
        """Forget a health check; says whether there was one."""
        return self._health().unregister(name)

    def health_checks(self) -> list[str]:
        """Return the names of the health checks; begins none of them."""
        return [] if self._checks is None else self._checks.names()

    def health(self) -> dict[str, Any]:
        """Return the last results of the health checks; never waits for a service.

        Where the checks are not scheduled, those that were not run within five seconds begin to run, in the background,
        for the next who asks. Otherwise nothing is begun.

        Returns:
            ``status`` (``healthy``, ``degraded`` or ``unhealthy``), ``time`` (ISO 8601), and ``checks``: name ->
            ``status, since, time, duration_ms, failures, output, critical, type``.
        """
        return self._health().report(max_age=None if self.options.scheduled_checks else _FRESH)

    def check_health(self) -> dict[str, Any]:
        """Run all health checks now, side by side, and return what `health` does; waits up to the longest time-out."""
        return self._health().run()

    def _health(self) -> HealthChecks:
        if self._checks is None:
            from time_execution.monitor.health import HealthChecks  # noqa: PLC0415 - for those who check anything

            with self._lock:
                if self._checks is None:
                    given = _for_checks(self.options)
                    self._checks = HealthChecks(**given, clock=self._clock, wall=self._wall)
        return self._checks

    def stats(self) -> dict[str, Any]:
        """Return what the monitor counts of itself in this process.

        Returns:
            ``running`` (bool), ``samples`` (int), ``failures`` (job -> int), ``unreadable`` (figure -> int), ``alerts``
            (who is told -> ``told, failed, dropped, waiting``).
        """
        return {
            "running": self.is_running(),
            "samples": len(self._samples),
            "failures": dict(self._sampler.failures),
            "unreadable": dict(self._reader.failures) if self._reader else {},
            "alerts": self._alerts.stats(),
        }

    def _jobs(self) -> list[Job]:
        return [
            Job("sample", self.sample, lambda: self.options.sample_interval if self.options.system_metrics else None),
            Job("thresholds", lambda: self._watch.judge_others(self._requests), lambda: _watch.INTERVAL),
            # In the background: a service that hangs must not hold up all else here.
            Job("health", lambda: self._checks and self._checks.refresh(), self._next_check),
            Job("states", self._write_states, lambda: state.INTERVAL),
        ]

    def _next_check(self) -> float | None:
        """Return the seconds until a health check is due; None when none is to run by itself."""
        due = self._checks.next_due() if self._checks is not None and self.options.scheduled_checks else None
        return None if due is None else max(_SHORTEST_INTERVAL, due)

    def _write_states(self) -> None:
        started = (self._reader.process_started() if self._reader else None) or self._started
        health = None if self._checks is None else self._checks.report
        state.write_states(started=started, monitor=self.stats, health=health)

    def _check_process(self) -> None:
        """Have forks told, and notice one that Python was not told of, as under some servers written in C."""
        pid = os.getpid()
        if self._pid == pid:
            return
        if self._pid:
            self.after_fork()
        self._pid = pid
        hold_forks_up(self)

    def fork_locks(self) -> Sequence[threading.RLock]:
        """Return no lock: the child makes its own."""
        return ()

    def after_fork(self) -> None:
        """Begin afresh in a forked child; what was configured and registered stays."""
        self._lock, self._reading = threading.RLock(), threading.RLock()
        self._pid = os.getpid()
        self._started = 0.0
        self._samples.clear()
        self._sampler.after_fork()
        self._alerts.after_fork()
        self._watch.after_fork()
        if self._reader is not None:
            self._reader.after_fork()


def _for_checks(options: Options) -> dict[str, Any]:
    return {"threshold": options.unhealthy_threshold, "interval": options.health_check_interval}


monitor = Monitor()
"""The one that programs share, and the web adapters start."""
