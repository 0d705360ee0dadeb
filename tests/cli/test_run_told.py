"""What `time-execution run` says at the end: how many calls, what became of them, and how to see them."""

from __future__ import annotations

import re
import shlex
import sys
from argparse import Namespace
from types import SimpleNamespace

import pytest

from time_execution.cli.run import _SPAWNING, _Ending

FINE = {"offered": 10, "delivered": 10, "rejected": {}, "dropped": {}, "last_error": None}


@pytest.fixture(autouse=True)
def nothing_spawned(monkeypatch):
    """Forget that other tests have spawned processes from this one."""
    for name in _SPAWNING:
        monkeypatch.delitem(sys.modules, name, raising=False)


def told(capsys, *, quiet=False, children=0, patterns=("shop.*",), given=None, skipped=(), **stats):
    """Return the lines that are said of a program whose delivery came to these counts."""
    arguments = Namespace(db="metrics.db", quiet=quiet, pattern=given)
    backend = SimpleNamespace(stats=lambda: {**FINE, **stats})
    tracer = SimpleNamespace(functions=["f", "g"], selection=SimpleNamespace(include=patterns), skipped=skipped)
    ending = _Ending(arguments, backend, tracer)  # type: ignore[arg-type]
    ending._children = children
    ending._tell()
    return capsys.readouterr().err.replace("time-execution: ", "").splitlines()


def test_nothing_lost_is_said(capsys):
    """With the number of functions that might have been called, and the command that shows them."""
    assert told(capsys) == [
        "10 calls measured, none lost, written to metrics.db (2 functions watched)",
        "to see them: time-execution report metrics.db",
    ]
    assert told(capsys, children=1)[0].endswith("(2 functions watched; what forked children measured is stored, too)")
    assert told(capsys, quiet=True) == []


def test_what_was_lost_is_said_with_its_reasons(capsys):
    """All of them, and the last error of the store."""
    (first, _) = told(
        capsys,
        offered=2000,
        delivered=500,
        rejected={"queue_full": 1000, "reentrant": 300},
        dropped={"shutdown": 200},
        last_error="BackendDenied: readonly",
    )
    assert first.startswith(
        "1,700 calls measured, 1,200 LOST (1,000 queue_full, 200 shutdown, last error BackendDenied: readonly), written"
    )


def test_calls_of_the_delivery_itself_are_none_of_the_programs(capsys):
    """They are neither measured nor lost."""
    assert told(capsys, offered=13, rejected={"reentrant": 3})[0].startswith("10 calls measured, none lost")


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({}, ["name what is to be measured: --pattern 'package.*'"]),
        ({"given": ["shop"], "patterns": ("shop",)}, ["to measure a whole package: --pattern 'shop.*'"]),
        ({"given": ["shop.*"]}, ["functions of a script are __main__.*"]),
        (
            {"skipped": ["shop.deep"]},
            [
                "these have no source, or one too deeply nested: shop.deep",
                "name what is to be measured: --pattern 'package.*'",
            ],
        ),
    ],
)
def test_nothing_measured_says_what_to_do(capsys, options, lines):
    """It names the patterns, and what may be wrong with them."""
    first, *others = told(capsys, offered=0, delivered=0, **options)
    shown = options.get("patterns", ("shop.*",))[0]
    assert first == f"no call was measured: no function that ran has a name that matches {shlex.quote(shown)}"
    assert others == lines


def test_many_patterns_are_not_all_shown(capsys):
    """Six are enough to see what was meant."""
    (first, *_) = told(capsys, offered=0, delivered=0, patterns=tuple(f"p{n}" for n in range(7)))
    assert first.endswith("matches p0 p1 p2 p3 p4 p5 ...")


def test_a_name_with_blanks_can_be_copied(command, counts, script):
    """The command that is shown is one that a shell understands."""
    name = script("def work(): pass\nwork()\n")
    done = command("run", "--db", "my metrics.db", "--", name)
    assert counts("my metrics.db") == {"__main__.work": (1, 0)}
    assert "1 call measured, none lost, written to 'my metrics.db'" in done.stderr
    assert done.stderr.endswith("to see them: time-execution report 'my metrics.db'\n")


def test_what_the_store_calls_is_neither_measured_nor_lost(command, counts, script):
    """A function of the program's that takes the place of one that we call is measured for the program only."""
    name = script("""
        import os
        real = os.stat
        def stat(*args, **options):
            return real(*args, **options)
        os.stat = stat
        for _ in range(20):
            os.stat(".")
    """)
    done = command("run", name)
    (measured,) = re.findall(r"(\d+) calls measured, none lost", done.stderr)
    assert int(measured) == counts()["__main__.stat"][0] >= 20
