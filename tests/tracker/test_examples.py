"""Programs written for goblinfish-metrics-trackers run with the import changed, and so do our own examples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.emf_schema import check

ROOT = Path(__file__).parents[2]
START = "from time_execution.tracker import ProcessTracker\n"
OTHER = """
@tracker.track
def some_other_function():
    {body}

some_function()
"""
# In the seed's order; its "do stuff here" is a sum.
PROGRAMS = {
    "an entry point": (
        "tracker = ProcessTracker()\n@tracker\ndef some_function():\n    sum(range(10))\nsome_function()\n",
        (["some_function"], {}, {}),
    ),
    "a timer": (
        (
            "tracker = ProcessTracker()\n@tracker\ndef some_function():\n"
            "    with tracker.timer('some_process_name'):\n        sum(range(10))\nsome_function()\n"
        ),
        (["some_process_name", "some_function"], {}, {}),
    ),
    "a child function": (
        "tracker = ProcessTracker()\n@tracker\ndef some_function():\n"
        "    with tracker.timer('some_process_name'):\n        some_other_function()\n" + OTHER.format(body="pass"),
        (["some_other_function", "some_process_name", "some_function"], {}, {}),
    ),
    "metrics and an identifier": (
        "tracker = ProcessTracker()\n@tracker\ndef some_function():\n"
        "    with tracker.timer('some_process_name'):\n"
        "        try:\n            some_other_function()\n"
        "        except Exception as error:\n"
        "            tracker.set_metric('some_function_errors', 1)\n"
        "            tracker.set_metric('some_function_error_name', error.__class__.__name__)\n"
        "            tracker.set_identifier('correlation_id', '00000000-0000-0000-0000-000000000001')\n"
        + OTHER.format(body="raise LookupError('x')"),
        (
            ["some_other_function", "some_process_name", "some_function"],
            {"some_function_errors": 1, "some_function_error_name": "LookupError"},
            {"correlation_id": "00000000-0000-0000-0000-000000000001"},
        ),
    ),
    "an output of one's own": (
        (
            "def my_log_formatter(output: str) -> None:\n    print(output)\n"
            "tracker = ProcessTracker(my_log_formatter)\n@tracker\ndef some_function():\n    pass\nsome_function()\n"
        ),
        (["some_function"], {}, {}),
    ),
    "an asynchronous process": (
        (
            "import asyncio\ntracker = ProcessTracker()\n"
            "async def get_person_data():\n"
            "    with tracker.timer('get_person_data'):\n        await asyncio.sleep(0.02)\n"
            "    return {'person_data': ('Professor Plum', dict())}\n"
            "@tracker\ndef main():\n    return asyncio.run(get_person_data())\nmain()\n"
        ),
        (["get_person_data", "main"], {}, {}),
    ),
}


def printed_by(*command, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_of_the_older_library_print_their_line(name, tmp_path):
    """What its documents show runs with the import changed, and prints the keys that they show."""
    program, (latencies, metrics, identifiers) = PROGRAMS[name]
    (text,) = printed_by("-c", START + program, folder=tmp_path)
    line = json.loads(text)
    assert list(line) == ["latencies", "metrics", *identifiers]
    assert list(line["latencies"]) == latencies
    assert all(latency == int(latency * 1000 + 0.5) / 1000 for latency in line["latencies"].values())
    assert line["metrics"] == metrics
    assert {key: line[key] for key in identifiers} == identifiers
    assert text == json.dumps(line)


def test_awaited_work_is_in_the_latency(tmp_path):
    """The asynchronous example measures how long the work takes, not how long making a coroutine does."""
    (text,) = printed_by("-c", START + PROGRAMS["an asynchronous process"][0], folder=tmp_path)
    latencies = json.loads(text)["latencies"]
    assert latencies["main"] >= latencies["get_person_data"] >= 15


def test_quick_start_prints_two_lines(tmp_path):
    """Our own first example: one call that went well, one with an error noted and a child called twice."""
    first, second = map(json.loads, printed_by(str(ROOT / "examples/tracker_quick_start.py"), folder=tmp_path))
    assert list(first["latencies"]) == ["some_other_function", "some_process_name", "some_function"]
    assert first["metrics"] == {}
    assert second["metrics"] == {"some_function_errors": 1, "some_function_error_name": "ValueError"}
    assert second["repeats"]["some_other_function"]["count"] == 2
    assert first["latencies"]["some_function"] >= first["latencies"]["some_other_function"] >= 1.9


def test_lambda_example_prints_a_document(tmp_path):
    """The handler's document is what CloudWatch takes."""
    (text,) = printed_by(str(ROOT / "examples/tracker_lambda.py"), folder=tmp_path)
    document = check(text)
    assert {metric["Name"] for metric in document["_aws"]["CloudWatchMetrics"][0]["Metrics"]} == {
        "load", "render", "handler", "orders",
    }  # fmt: skip
    assert document["orders"] == 2


def test_asyncio_example_prints_a_line_for_each_entry_point(tmp_path):
    """Entry points that run at the same time each have their own parts, once."""
    lines = list(map(json.loads, printed_by(str(ROOT / "examples/tracker_asyncio.py"), folder=tmp_path)))
    assert {line["guess"] for line in lines} == {"plum in the library", "scarlet in the kitchen"}
    for line in lines:
        assert list(line["latencies"]) == ["get_room", "get_person", "guess"]
        assert "repeats" not in line
