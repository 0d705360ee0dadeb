"""What the model of the delivery runs with in place of threads and files."""

from __future__ import annotations

import threading
from collections import Counter, deque

from time_execution.delivery.worker import Worker
from time_execution.types import Metric


class Draft:
    """What a measured call leaves in the queue; its metric holds the reading of the clock as the value."""

    def metric(self, started, ended, wall_offset):
        return Metric({"name": "draft", "value": started})


class Disk:
    """A spool in memory, with the contract of `SpoolStore`."""

    def __init__(self, capacity):
        self.rows = {}
        self.leased = set()
        self.dropped: Counter[str] = Counter()
        self.duplicates = 0
        self.corrupt_files = 0
        self.capacity = capacity
        self.is_full = False
        self._last = 0
        self.news = deque()

    def append(self, metrics):
        if self.is_full:
            return 0
        for metric in metrics:
            self._last += 1
            self.rows[self._last] = metric
        for key in [key for key in self.rows if key not in self.leased]:
            if len(self.rows) <= self.capacity:
                break
            del self.rows[key]
            self.dropped["spool_full"] += 1
        return len(metrics)

    def peek(self, limit, *, after=None):
        found = [(key, metric) for key, metric in self.rows.items() if key > (after or 0)][:limit]
        self.leased |= {key for key, _ in found}
        return found

    def delete(self, keys):
        for key in keys:
            del self.rows[key]
        return len(keys)

    def claim(self):
        return 0

    def adopt(self, *, limit=None):
        return 0

    def after_fork(self):
        self.rows.clear()
        self.leased.clear()

    def close(self):
        pass

    def oldest_age(self):
        return 0.0

    def __len__(self):
        return len(self.rows)


class StillWorker(Worker):
    """A worker without a thread: it counts as running from `start` until it dies."""

    me = threading.current_thread()

    def is_alive(self):
        return self.thread is not None

    def start(self):
        if self.thread is None:
            if self._died:
                self._channel.ledger.worker_restarts += 1
                self._died = False
            self.thread = threading.current_thread()


class Killed(BaseException):
    """Ends the worker in the midst of its work."""
