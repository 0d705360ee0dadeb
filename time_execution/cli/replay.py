"""Sending undelivered metrics again: stored, then removed, so that an interruption costs a repetition and no metric."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution import config
from time_execution.backends.base import batch_sender
from time_execution.backends.threaded import ThreadedBackend
from time_execution.cli.letters import Refusal, find_proved, take_out
from time_execution.cli.numbers import count, plural
from time_execution.cli.say import Progress
from time_execution.delivery import deadletter
from time_execution.delivery.spool import Spool, inspect_folder
from time_execution.exceptions import BackendError, BackendRejected, BatchTooLarge, ConfigurationError
from time_execution.guard import Failed, Step
from time_execution.types import STORED, Reject, Result, Retry, Stored

if TYPE_CHECKING:
    from time_execution.backends.base import BatchSender
    from time_execution.delivery.deadletter import DeadLetter
    from time_execution.delivery.spool import SpoolStore
    from time_execution.types import Metric

_BATCH = 500


@dataclass(slots=True)
class Outcome:
    """What became of a replay.

    Attributes:
        stored: Metrics that the backend took.
        refused: Reason -> metrics that it will never take; they stay where they were.
        left: Metrics that were not sent, or are to be sent again.
        unread: Lines of dead letters that hold none; they stay.
        busy: Files left to the process that is at work on them.
        foreign: Files in the place of dead letters that are something else; they stay as they are.
        trouble: Why it ended early; empty when it did not.
    """

    stored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    left: int = 0
    unread: int = 0
    busy: int = 0
    foreign: list[Path] = field(default_factory=list)
    trouble: str = ""

    def is_complete(self) -> bool:
        """Whether all was stored that nobody else is going to send."""
        return not (self.trouble or self.left or self.refused or self.unread or self.foreign)

    def told(self) -> str:
        """Return it in a sentence."""
        parts = [f"{plural(self.stored, 'metric')} stored and removed"]
        parts += [f"{count(number)} refused ({reason}) and kept" for reason, number in sorted(self.refused.items())]
        if self.left or self.trouble:
            parts.append(f"{count(self.left)} kept" + (f": {self.trouble}" if self.trouble else ""))
        if self.unread:
            parts.append(f"{plural(self.unread, 'line')} could not be read and kept")
        parts += [f"{path} is no file of dead letters" for path in self.foreign]
        if self.busy:
            parts.append(f"{plural(self.busy, 'file')} left to the processes at work on them")
        return ", ".join(parts)

    def count(self, result: Result) -> None:
        """Count one metric."""
        if isinstance(result, Stored):
            self.stored += 1
        elif isinstance(result, Reject):
            self.refused[result.reason] += 1
        else:
            self.left += 1


def replay(path: Path, backend: str, *, name: str | None = None) -> Outcome:
    """Send what lies in a spool folder or a file of dead letters to a backend, and remove what it stored.

    Args:
        path: The folder or file.
        backend: A URL or an import path.
        name: Only what was meant for the backend of this name.

    Raises:
        ConfigurationError: When there is no such backend, or a file of letters is asked for those of one backend.
        Refusal: When the file is none of dead letters.
        OSError: When a file cannot be read or written.
    """
    if name is not None and not path.is_dir():
        raise ConfigurationError("dead letters tell no backend: leave out --name")
    built = config.resolve_backend(backend, index=0)
    # What its queue could not tell us: which metrics are stored.
    store = built.backend if isinstance(built, ThreadedBackend) else built
    target = Step(partial(_ask, batch_sender(store)), kind="backend", label=type(store).__name__, raises=False)
    outcome, progress = Outcome(), Progress("time-execution: sending metrics:")
    try:
        if path.is_dir():
            _replay_spool(path, name, target, outcome, progress)
            if not outcome.trouble and name is None:
                _replay_letters_of(path, target, outcome, progress)
        else:
            _replay_letters(path, target, outcome, progress)
    finally:
        progress.clear()
        close = getattr(store, "close", None)
        if callable(close):
            close()
    return outcome


def _replay_spool(folder: Path, name: str | None, target: Step, outcome: Outcome, progress: Progress) -> None:
    files = [file for file in inspect_folder(folder) if name is None or file.name == name]
    outcome.busy = sum(1 for file in files if file.has_owner)
    for each in sorted({file.name for file in files if not file.has_owner and file.problem != "damaged"}):
        if not outcome.trouble:
            # Without a bound, so that what the backend does not take loses nothing.
            _replay_store(Spool(folder, max_bytes=sys.maxsize).open(each), target, outcome, progress)


def _replay_store(store: SpoolStore, target: Step, outcome: Outcome, progress: Progress) -> None:
    """Take over what processes now gone left behind, as any process of that backend would, and send it."""
    place: int | None = None
    left, refused = outcome.left, outcome.refused.total()
    try:
        while not outcome.trouble:
            store.adopt(limit=_BATCH)
            rows = store.peek(_BATCH, after=place)
            if not rows:
                return
            place = rows[-1][0]
            results = _send(target, [metric for _, metric in rows], outcome)
            store.delete(key for (key, _), result in zip(rows, results, strict=True) if isinstance(result, Stored))
            progress.show(count(outcome.stored))
    finally:
        # Of what was not looked at, nothing was counted yet.
        outcome.left = left + max(0, len(store) - (outcome.refused.total() - refused))
        store.close()


def _replay_letters_of(folder: Path, target: Step, outcome: Outcome, progress: Progress) -> None:
    try:
        _replay_letters(folder / deadletter.NAME, target, outcome, progress)
    except Refusal as exc:
        outcome.trouble = str(exc)


def _replay_letters(path: Path, target: Step, outcome: Outcome, progress: Progress) -> None:
    """Send the letters of a file and its kin; those not stored go back, those refused again with the new reason."""
    files = find_proved(path)
    outcome.unread += sum(file.others for file in files if not file.problem)
    outcome.foreign += [file.path for file in files if file.problem]
    done = outcome.stored + outcome.refused.total()
    letters = sum(file.letters for file in files if not file.problem)

    def judge(lines: Sequence[tuple[bytes, DeadLetter]]) -> Iterator[bytes]:
        results: list[Result] = [Retry()] * len(lines)
        if not outcome.trouble:
            results = _send(target, [letter.metric for _, letter in lines], outcome)
        progress.show(count(outcome.stored))
        for (line, letter), result in zip(lines, results, strict=True):
            if isinstance(result, Reject):
                now = datetime.now(timezone.utc)
                yield dataclasses.replace(letter, time=now, reason=result.reason, detail=result.detail).line()
            elif not isinstance(result, Stored):
                yield line

    left = outcome.left
    try:
        take_out(path, files, judge)
    except OSError as exc:
        outcome.trouble = str(exc)
    finally:
        outcome.left = left + max(0, letters - (outcome.stored + outcome.refused.total() - done))


def _send(target: Step, metrics: Sequence[Metric], outcome: Outcome) -> list[Result]:
    """Send a batch and count what came of it; returns a result for each metric."""
    results: list[Result] = []
    trouble = target.attempt(metrics, results)
    outcome.trouble = trouble.error if isinstance(trouble, Failed) else trouble
    results += [Retry()] * (len(metrics) - len(results))
    for result in results:
        outcome.count(result)
    return results


def _ask(send: BatchSender, metrics: Sequence[Metric], results: list[Any]) -> str:
    """Send a batch, add its results as far as there are any, and return what was in the way of the others."""
    taken: list[Any] = []
    try:
        answer = send(metrics)
        taken.extend([STORED] * len(metrics) if answer is None else islice(answer, len(metrics)))
    except BatchTooLarge as exc:
        if len(metrics) > 1 and not taken:
            half = len(metrics) // 2
            return _ask(send, metrics[:half], results) or _ask(send, metrics[half:], results)
        taken += [Reject(type(exc).__name__)] * (len(metrics) - len(taken))
    except BackendRejected as exc:
        taken += [Reject(type(exc).__name__, str(exc))] * (len(metrics) - len(taken))
    except (BackendError, OSError) as exc:
        return f"{type(exc).__name__}: {exc}"
    finally:
        results += taken
    results += [Retry()] * (len(metrics) - len(taken))
    return ""
