"""The older library's own examples, with nothing changed but the import: what they write is looked at."""

from __future__ import annotations

import re
import sys

import pytest

from tests.documents import ROOT, execute

SHOP = """
import logging
import {phanos}

class Flask:
    pass

logger, time_profile, resp_size_profile = logging.getLogger(), True, True
handle_records, error_raised_label = True, False
logger_instance, logging_level = logging.getLogger("shop"), logging.INFO
logging.basicConfig(level=logging.INFO, format="%(message)s")

class SomeApp(Flask):
    phanos.profiler.config(logger, time_profile, resp_size_profile, handle_records, error_raised_label)
    log_handler = phanos.handlers.LoggerHandler('handler_name', logger_instance, logging_level)
    phanos.profiler.add_handler(log_handler)

class SomeClass:
    @staticmethod
    @phanos.profile
    def some_method():
        pass

    @staticmethod
    @phanos.profiler.profile
    def other_method():
        SomeClass.some_method()

SomeClass.some_method()
SomeClass.other_method()
phanos.profiler.delete_metric(phanos.publisher.TIME_PROFILER)
SomeClass.some_method()
phanos.profiler.delete_metric(phanos.publisher.RESPONSE_SIZE)
SomeClass.some_method()
"""


def run(command, folder):
    """Return the lines that a program prints, without what calls took."""
    return re.sub(r"value: [\d.]+ (mS|B)", r"value: # \1", execute(command, folder, "example")).splitlines()


def time_of(method):
    return f"profiler: time_profiler, method: {method}, value: # mS"


def size_of(method):
    return f"profiler: response_size, method: {method}, value: # B"


def test_the_quick_start_writes_what_it_says(tmp_path):
    """Lines of text for the stream and the logger, and the same calls in the database."""
    lines = run([sys.executable, str(ROOT / "examples/profiler_quick_start.py")], tmp_path)
    root, child = "SomeClass:some_method", "SomeClass:some_method.helper"
    printed = [time_of(child), time_of(root), f"{root}: 2 calls", f"{child}: 2 calls", "response_size: 1 calls"]
    logged = [f"my_app: {time_of(child)}", time_of(root), f"my_app: {size_of(root)}"]
    assert sorted(lines) == sorted([*printed, *logged])


def test_the_custom_metric_records_its_own_operation(tmp_path):
    """Adding up from root to root, and beginning anew after each."""
    lines = execute(
        [sys.executable, str(ROOT / "examples/profiler_custom_metric.py")], tmp_path, "example"
    ).splitlines()
    outer = "profiler: name, method: __main__:outer, value: 2 units, labels: label_name=label_value"
    inner = "profiler: name, method: __main__:outer.inner, value: 4 units, labels: label_name=label_value"
    assert lines == [outer, inner] * 2


def test_configuring_in_code_works_as_in_the_older_document(tmp_path):
    """Positions included; each metric goes when it is deleted."""
    program = SHOP.format(phanos="time_execution.profiler as phanos")
    some, other = "SomeClass:some_method", "SomeClass:other_method"
    assert run([sys.executable, "-c", program], tmp_path) == [
        *(time_of(some), size_of(some)),
        *(time_of(f"{other}.some_method"), time_of(other), size_of(other)),
        size_of(some),
    ]


@pytest.mark.parametrize("name", ["quick_start", "custom_metric"])
def test_examples_differ_from_the_older_ones_by_the_import(name):
    """They use the older library's names throughout."""
    text = (ROOT / f"examples/profiler_{name}.py").read_text(encoding="utf-8")
    assert "import time_execution.profiler as phanos\n" in text
    assert "@phanos.profile\n" in text
