"""A metric of one's own, measured before each profiled function.

Run it as ``python examples/profiler_custom_metric.py``.
"""

from __future__ import annotations

import typing

import time_execution.profiler as phanos


# custom metric example
class CustomMetric(phanos.metrics.Counter):
    def __init__(self, name, job, units, labels):
        super().__init__(name, job, units, labels)
        # custom initialization
        self.count = 0

    def custom_op(self, value: int = 0, label_values: typing.Optional[typing.Dict[str, str]] = None):  # noqa: UP006, UP045
        self.count += value
        self.inc(self.count, label_values)

    def helper_method(self):
        pass

    def cleanup(self) -> None:
        super().cleanup()
        self.count = 0


my_metric = CustomMetric(name="name", job="MyJob", units="units", labels=["label_name"])


def before_function(func, args, kwargs):
    # this operation will be recorded
    my_metric.custom_op(2, {"label_name": "label_value"})
    # this won't be recorded
    my_metric.helper_method()


phanos.profiler.before_func = before_function

phanos.profiler.config(job="MyJob", time_profile=False)
phanos.profiler.add_handler(phanos.handlers.StreamHandler("stdout_handler"))


@phanos.profile
def outer():
    return inner()


@phanos.profile
def inner():
    return "done"


for _ in range(2):  # what is added up begins anew with each root, because of `cleanup`
    assert outer() == "done"
