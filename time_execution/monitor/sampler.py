"""The monitor's thread: jobs at intervals of their own, by deadlines that neither drift nor pile up.

`Schedule` says what is due and knows no thread; `Sampler` runs it on one. What a job does is none of their business.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from time_execution.delivery import lifecycle
from time_execution.quietlog import QuietLog

THREAD_NAME = "time-execution-monitor"
STOP_TIMEOUT = 2.0

_LONGEST_PAUSE = 3600.0
_AT_EXIT = 0.3


class Job(NamedTuple):
    """Something to do again and again.

    Attributes:
        name: Names it in counters and log lines.
        call: Does it.
        interval: Returns the seconds from one time to the next; None while it is not to be done. Asked anew each time.
    """

    name: str
    call: Callable[[], object]
    interval: Callable[[], float | None]


class Schedule:
    """When each job is due: all at first, then at multiples of its interval from there. Used by one thread.

    A time that was missed, since a job took too long or the machine slept, is not made up for: the job runs once, and
    then at its usual times.

    Args:
        jobs: In the order in which they run when they are due together.
        clock: Returns seconds, never going back.
    """

    def __init__(self, jobs: Sequence[Job], clock: Callable[[], float]) -> None:
        self._jobs = jobs
        self._clock = clock
        self._ran: dict[str, float] = {}

    def due(self, job: Job) -> float | None:
        """Return when a job is due; None when it is not to be done."""
        interval = job.interval()
        if interval is None:
            self._ran.pop(job.name, None)
            return None
        return self._ran[job.name] + interval if job.name in self._ran else self._clock()

    def run(self, attempt: Callable[[Job], object], *, is_over: Callable[[], bool]) -> None:
        """Hand over each job that is due, until told that it is over."""
        for job in self._jobs:
            due = self.due(job)
            if is_over():
                return
            if due is not None and due <= self._clock():
                attempt(job)
                self._ran[job.name] = self._latest(job, due)

    def pause(self) -> float:
        """Return the seconds until the next job is due, an hour at most."""
        waiting = [due - self._clock() for job in self._jobs if (due := self.due(job)) is not None]
        return max(0.0, min([*waiting, _LONGEST_PAUSE]))

    def _latest(self, job: Job, due: float) -> float:
        """Return the last of a job's times that has passed by now."""
        interval = job.interval()
        return due if interval is None else due + max(0.0, self._clock() - due) // interval * interval


class Sampler:
    """Runs jobs on a daemon thread of its own. Thread-safe; a forked child has none until it starts one.

    A job that raises is counted, logged once in a while, and run again at its next time.

    Args:
        jobs: What to do.
        at_end: Called once as the thread ends.
        clock: Returns seconds, never going back. When it is moved by hand, call `wake`.

    Attributes:
        failures: Job -> how many times it raised.
    """

    def __init__(
        self, jobs: Sequence[Job], *, at_end: Callable[[], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jobs = jobs
        self._at_end = Job("end", at_end, lambda: None)
        self._clock = clock
        self._log = QuietLog()
        self.failures: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._run: _Run | None = None

    def start(self) -> bool:
        """Start the thread unless it runs; says whether it did so. Costs next to nothing when it runs."""
        if self.is_running():
            return False
        with self._lock:
            if self.is_running():
                return False
            run = self._run = _Run(self._work)
            try:
                run.thread.start()
            except RuntimeError:  # none can be started any more as the interpreter ends, or for want of memory
                self._run = None
                self.failures["start"] += 1
                self._log.tell("start", "monitor: its thread could not be started")
                return False
            return True

    def is_running(self) -> bool:
        """Return whether the thread runs in this process and was not told to stop."""
        run = self._run
        return run is not None and run.pid == os.getpid() and run.is_alive()

    def stop(self, timeout: float = STOP_TIMEOUT) -> bool:
        """Let the thread end; idempotent, and takes no lock that a signal handler could wait for in vain.

        Args:
            timeout: The longest wait for it, in seconds; a job that is amid its work is not interrupted.

        Returns:
            False when it has not ended in time, or when called on the thread itself, which ends when the job returns.
        """
        with self._lock:
            run, self._run = self._run, None
        if run is None or run.pid != os.getpid():
            return True
        run.tell_to_stop()
        return run.wait(timeout)

    def wake(self) -> None:
        """Let the thread look at its clock and its intervals anew."""
        run = self._run
        if run is not None:
            run.mail.put(None)

    def after_fork(self) -> None:
        """Forget, in a forked child, the thread that only the parent has."""
        self._lock = threading.RLock()
        self._run = None
        self.failures.clear()
        self._log.after_fork()

    def _work(self, run: _Run) -> None:
        schedule = Schedule(self._jobs, self._clock)
        while not run.is_over():
            schedule.run(self._attempt, is_over=run.is_over)
            if not run.is_over():
                run.sleep(schedule.pause())
        self._attempt(self._at_end)

    def _attempt(self, job: Job) -> None:
        try:
            job.call()
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - on a thread of our own, there is nobody to raise it to
            self.failures[job.name] += 1
            self._log.tell(job.name, f"monitor: {job.name} raised {type(exc).__name__}; it is tried again")


class _Run:
    """One life of the thread.

    All that others touch is made for signal handlers: nothing that the interrupted thread may hold is waited for.
    """

    def __init__(self, work: Callable[[_Run], None]) -> None:
        self.pid = os.getpid()
        self.mail: queue.SimpleQueue[None] = queue.SimpleQueue()  # an Event has a lock that no handler may meet
        self.thread = threading.Thread(target=self._live, args=(work,), name=THREAD_NAME, daemon=True)
        self._is_over = False
        self._alive = threading.Lock()
        self._alive.acquire()

    def is_alive(self) -> bool:
        """Return whether it has not ended; also before it has begun."""
        return self._alive.locked()

    def is_over(self) -> bool:
        """Return whether it was told to stop."""
        return self._is_over

    def tell_to_stop(self) -> None:
        """Let it end; does not wait."""
        self._is_over = True
        self.mail.put(None)

    def sleep(self, seconds: float) -> None:
        """Wait until there is mail, at most for so long."""
        try:
            self.mail.get(timeout=seconds)
        except queue.Empty:
            return

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended; False at the time-out, on the thread itself, and where it has not even begun."""
        if self.thread.ident is None or self.thread is threading.current_thread():
            return False
        deadline = time.monotonic() + timeout
        if not self._alive.acquire(timeout=max(0.0, timeout)):
            return False
        self._alive.release()
        self.thread.join(max(0.0, deadline - time.monotonic()))
        return True

    def _live(self, work: Callable[[_Run], None]) -> None:
        try:
            work(self)
        finally:
            self._alive.release()


class Stoppable(Protocol):
    """What is to be stopped as the process ends."""

    def stop(self, timeout: float = STOP_TIMEOUT) -> bool:
        """Stop; wait for so many seconds at the most."""
        ...


_to_stop: dict[int, weakref.ref[Stoppable]] = {}


def stop_at_exit(stoppable: Stoppable) -> None:
    """Stop something as the process ends, if it still lives; asking twice changes nothing."""
    if not _to_stop:  # registering anew each time would take up a little memory for good
        atexit.register(_stop_all)
        lifecycle.come_last()  # which comes first: the last states tell what became of the metrics
    _to_stop[id(stoppable)] = weakref.ref(stoppable)


def _stop_all() -> None:
    for reference in list(_to_stop.values()):
        found = reference()
        if found is not None:
            found.stop(_AT_EXIT)
