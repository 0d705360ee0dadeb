"""What processes tell of themselves."""

from __future__ import annotations

STATS = {
    "name": "SQLiteBackend",
    "offered": 110,
    "accepted": 105,
    "delivered": 90,
    "retried": 4,
    "pending": 5,
    "in_flight": 2,
    "spooled": 1,
    "dead_letters": 3,
    "rejected": {"after_close": 5},
    "dropped": {"queue_full": 7, "expired": 3},
    "oldest_age": 2.5,
    "last_error": None,
    "worker_restarts": 1,
}
PROCESS = {"hostname": "web-1", "pid": 17, "app": "shop", "started": 5.0}


def report(**statuses):
    """Return a report of health: name -> status."""
    checks = {
        name: {
            "status": status,
            "since": "2026-11-23T10:00:00.500Z",
            "time": None,
            "duration_ms": 3.5,
            "failures": 2,
            "output": "said",
            "critical": False,
            "type": "tcp",
        }
        for name, status in statuses.items()
    }
    return {"status": "degraded", "time": "2026-11-23T10:00:00Z", "checks": checks}
