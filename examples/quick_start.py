"""The least there is: a decorator, a setting, and the numbers read back.

Run it as ``python examples/quick_start.py``.
"""

from __future__ import annotations

import time

from time_execution import flush, settings, time_execution
from time_execution.report import read

settings.configure(backends=["sqlite:///quick_start.db"])


@time_execution
def make_tea(minutes: float) -> str:
    time.sleep(minutes / 1000)
    return "tea"


for minutes in (1, 2, 3):
    make_tea(minutes)

flush(timeout=5)  # the end of the program would do it, too
for function in read("quick_start.db"):
    print(f"{function.name}: {function.calls} calls, {function.mean:.3f} ms each, {function.max:.3f} ms at most")
