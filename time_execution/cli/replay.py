"""Sending undelivered metrics again: stored, then removed, so that an interruption costs a repetition and no metric."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution import config
from time_execution.backends.base import batch_sender
from time_execution.backends.threaded import ThreadedBackend
from time_execution.cli.numbers import count, plural
from time_execution.cli.say import Progress
from time_execution.delivery import deadletter
from time_execution.delivery.deadletter import DeadLetter, DeadLetters
from time_execution.delivery.spool import Spool, inspect_folder
from time_execution.exceptions import BackendError, BackendRejected, BatchTooLarge
from time_execution.types import STORED, Reject, Result, Retry, Stored

if TYPE_CHECKING:
    from time_execution.backends.base import BatchSender
    from time_execution.delivery.spool import SpoolStore
    from time_execution.types import Metric

_BATCH = 500
_LETTERS = "dead-letters.jsonl"


@dataclass(slots=True)
class Outcome:
    """What became of a replay.

    Attributes:
        stored: Metrics that the backend took.
        refused: Reason -> metrics that it will never take; they stay where they were.
        left: Metrics that were not sent, or are to be sent again.
        busy: Files left to the process that is at work on them.
        trouble: Why it ended early; empty when it did not.
    """

    stored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    left: int = 0
    busy: int = 0
    trouble: str = ""

    def is_complete(self) -> bool:
        """Whether all was stored that nobody else is going to send."""
        return not (self.trouble or self.left or self.refused)

    def told(self) -> str:
        """Return it in a sentence."""
        parts = [f"{plural(self.stored, 'metric')} stored and removed"]
        parts += [f"{count(number)} refused ({reason}) and kept" for reason, number in sorted(self.refused.items())]
        if self.left or self.trouble:
            parts.append(f"{count(self.left)} kept" + (f": {self.trouble}" if self.trouble else ""))
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
        ConfigurationError: When there is no such backend.
        OSError: When a file cannot be read or written.
    """
    built = config.resolve_backend(backend, index=0)
    # What its queue could not tell us: which metrics are stored.
    target = built.backend if isinstance(built, ThreadedBackend) else built
    send, outcome, progress = batch_sender(target), Outcome(), Progress("time-execution: sending metrics:")
    try:
        if path.is_dir():
            _replay_spool(path, name, send, outcome, progress)
            letters = path / _LETTERS
            if letters.exists() and not outcome.trouble and name is None:
                _replay_letters(letters, send, outcome, progress)
        else:
            _replay_letters(path, send, outcome, progress)
    finally:
        progress.clear()
        close = getattr(target, "close", None)
        if callable(close):
            close()
    return outcome


def _replay_spool(folder: Path, name: str | None, send: BatchSender, outcome: Outcome, progress: Progress) -> None:
    files = [file for file in inspect_folder(folder) if name is None or file.name == name]
    outcome.busy = sum(1 for file in files if file.has_owner)
    for each in sorted({file.name for file in files if not file.has_owner and file.problem != "damaged"}):
        if not outcome.trouble:
            _replay_store(Spool(folder).open(each), send, outcome, progress)


def _replay_store(store: SpoolStore, send: BatchSender, outcome: Outcome, progress: Progress) -> None:
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
            results = _send(send, [metric for _, metric in rows], outcome)
            store.delete(key for (key, _), result in zip(rows, results, strict=True) if isinstance(result, Stored))
            progress.show(count(outcome.stored))
    finally:
        # Of what was not looked at, nothing was counted yet.
        outcome.left = left + max(0, len(store) - (outcome.refused.total() - refused))
        store.close()


def _replay_letters(path: Path, send: BatchSender, outcome: Outcome, progress: Progress) -> None:
    """Send letters from a file that is moved aside meanwhile; those not stored go back."""
    for each in (path.with_name(f"{path.name}.1"), path):
        aside = each.with_name(f"{path.name}.replay")
        # One that is there was left by a replay that was interrupted.
        for source in (None, each):
            if source is not None and source.exists():
                os.replace(source, aside)  # noqa: PTH105 - at once, whoever writes
            if aside.exists():
                _replay_file(aside, DeadLetters(path), send, outcome, progress)


def _replay_file(aside: Path, back: DeadLetters, send: BatchSender, outcome: Outcome, progress: Progress) -> None:
    for letters in _batches(deadletter.read(aside)):
        metrics = [letter.metric for letter in letters]
        if outcome.trouble:
            results: list[Result] = [Retry()] * len(letters)
            outcome.left += len(letters)
        else:
            results = _send(send, metrics, outcome)
        for letter, result in zip(letters, results, strict=True):
            if isinstance(result, Stored):
                continue
            reason = result if isinstance(result, Reject) else Reject(letter.reason, letter.detail)
            back.append(letter.metric, reason.reason, reason.detail)
        progress.show(count(outcome.stored))
    aside.unlink()


def _batches(letters: Iterator[DeadLetter]) -> Iterator[list[DeadLetter]]:
    batch: list[DeadLetter] = []
    for letter in letters:
        batch.append(letter)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _send(send: BatchSender, metrics: Sequence[Metric], outcome: Outcome) -> list[Result]:
    """Send a batch and count what came of it; returns a result for each metric."""
    results: list[Any] = []
    try:
        answer = send(metrics)
        results.extend([STORED] * len(metrics) if answer is None else answer)
    except BatchTooLarge as exc:
        if len(metrics) > 1 and not results:
            half = len(metrics) // 2
            return _send(send, metrics[:half], outcome) + _send(send, metrics[half:], outcome)
        results += [Reject(type(exc).__name__)] * (len(metrics) - len(results))
    except BackendRejected as exc:
        results += [Reject(type(exc).__name__, str(exc))] * (len(metrics) - len(results))
    except (BackendError, OSError) as exc:
        outcome.trouble = f"{type(exc).__name__}: {exc}"
    results += [Retry()] * (len(metrics) - len(results))
    for result in results:
        outcome.count(result)
    return results
