"""Figures of the machine, a threshold, a health check, and who is told: `monitor` in a program of one's own.

Run it as ``python examples/monitor_quick_start.py``: its log goes to the console, and to ``logs/``.
"""

from __future__ import annotations

from time_execution import flush, settings
from time_execution.backends.memory import MemoryBackend
from time_execution.monitor import Alert, monitor

store = MemoryBackend()
jobs: list[str] = []


def page(alert: Alert) -> None:
    """Tell somebody."""
    print(f"paged: {alert.message}")


def queue_is_short() -> bool:
    """Say whether the jobs are being worked off."""
    return len(jobs) < 1000


def main() -> None:
    settings.configure(backends=[store])
    monitor.configure(sample_interval=30)
    monitor.register_threshold(metric="cpu_percent", warning_threshold=80, critical_threshold=95, duration=300)
    monitor.register_threshold("queue_length", warning_threshold=100, critical_threshold=1000)
    monitor.register_notifier(page)
    monitor.register_health_check("queue", queue_is_short, critical=False)

    sample = monitor.sample()
    print(f"memory: {sample['memory_percent']:.0f} %, open files: {sample['open_files']}")

    for number in range(150):
        jobs.append(f"job {number}")
        monitor.observe("queue_length", len(jobs))
    jobs.clear()
    monitor.observe("queue_length", len(jobs))
    print("health:", monitor.check_health()["status"])

    monitor.flush()  # only to see everything before the program ends
    flush()
    print("metrics:", ", ".join(sorted({metric["name"] for metric in store.metrics})))


if __name__ == "__main__":
    main()
