"""What users import: the names, what importing costs, and that importing does nothing else."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import time_execution
from tests.patience import least
from time_execution.exceptions import MissingExtraError

ROOT = Path(time_execution.__file__).parent.parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(time_execution.__path__, "time_execution.", onerror=lambda _: None)
    if not module.name.endswith("__main__")
)


def run(code: str, *options: str, bytecode: bool = False) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that finds this package and no other third party's."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    command = [sys.executable, "-I", "-S", *([] if bytecode else ["-B"]), *options, "-c", start + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.nooptionals
def test_names_of_the_contract_are_importable():
    """What the documentation imports is there."""
    from time_execution import settings, time_execution, time_execution_async, write_metric
    from time_execution.backends.base import BaseMetricsBackend
    from time_execution.backends.threaded import ThreadedBackend

    assert time_execution is time_execution_async
    assert all(map(callable, (settings, write_metric, BaseMetricsBackend, ThreadedBackend)))


@pytest.mark.nooptionals
def test_star_import_gives_all_and_nothing_hidden():
    """`__all__` is sorted, complete for the core, and each name in it exists."""
    space: dict[str, object] = {}
    exec("from time_execution import *", space)
    assert sorted(time_execution.__all__) == list(time_execution.__all__)
    assert set(space) - {"__builtins__"} == set(time_execution.__all__)
    assert {"settings", "time_execution", "time_execution_async", "write_metric"} <= set(time_execution.__all__)
    assert {"block", "methods", "flush", "stats", "shutdown", "install_sigterm"} <= set(time_execution.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_every_name_in_all_can_be_imported(name):
    """A module that declares names has them, also those that it loads at first use; a missing extra says so."""
    try:
        module = importlib.import_module(name)
    except MissingExtraError as exc:
        assert "pip install" in str(exc)  # noqa: PT017 - only where a client is missing
        return
    for public in getattr(module, "__all__", ()):
        try:
            assert getattr(module, public) is not None or public.isupper()
        except MissingExtraError as exc:
            assert "pip install" in str(exc)  # noqa: PT017 - see above
    with pytest.raises(AttributeError):
        module.no_such_name_here  # noqa: B018 - a lazy module must not answer to anything


def test_instance_and_module_of_the_same_name_do_not_trip_each_other():
    """The package's `time_execution` and `block` are what users call, whatever submodules are loaded."""
    importlib.import_module("time_execution.block")
    importlib.import_module("time_execution.settings")
    assert repr(time_execution.time_execution) == "time_execution"
    assert callable(time_execution.block)
    assert hasattr(time_execution.settings, "configure")


# ---- importing -----------------------------------------------------------------------------------------------------


@pytest.mark.nooptionals
def test_importing_needs_the_standard_library_only():
    """With nothing else installed the package is imported, and takes nothing else when there is."""
    done = run(
        """
        import json
        import time_execution
        tops = {name.partition(".")[0] for name in sys.modules}
        print(json.dumps(sorted(tops - set(sys.stdlib_module_names) - {"__main__", "time_execution"})))
        """
    )
    assert json.loads(done.stdout) == []


@pytest.mark.nooptionals
def test_importing_has_no_side_effect():
    """No thread, no process, no file written or folder made, no environment read, nothing registered."""
    done = run(
        """
        import atexit, json, logging, os, signal, socket, tempfile, threading
        found = []

        def ours(depth):
            frame = sys._getframe(depth)
            passed_over = {"os", "collections.abc", "_collections_abc", "__main__"}
            while frame and frame.f_globals.get("__name__") in passed_over:
                frame = frame.f_back
            return frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "time_execution"

        class Environment(type(os.environ)):
            def __getitem__(self, key):
                if ours(1):
                    found.append(f"environment {key}")
                return super().__getitem__(key)

            def __iter__(self):
                if ours(1):
                    found.append("environment, all of it")
                return super().__iter__()

        os.environ.__class__ = Environment
        for module, name in ((atexit, "register"), (os, "register_at_fork"), (signal, "signal")):
            def wrapped(*args, real=getattr(module, name), name=name, **kwargs):
                if ours(1):
                    found.append(name)
                return real(*args, **kwargs)
            setattr(module, name, wrapped)

        def audit(event, args):
            if event == "open" and args[1] is not None and set(args[1]) & set("wax+"):
                found.append(f"open {args[0]} {args[1]}")
            elif event == "open" and not str(args[0]).endswith((".py", ".pyc", ".so", ".pyd", ".zip")):
                found.append(f"open {args[0]}")
            elif event in {"_thread.start_new_thread", "_thread.start_joinable_thread", "subprocess.Popen", "os.fork",
                           "os.mkdir", "os.putenv", "socket.connect", "socket.bind", "sqlite3.connect"}:
                found.append(event)

        handlers = len(logging.root.handlers), len(logging.getLogger("time_execution").handlers)
        sys.addaudithook(audit)
        import time_execution
        import time_execution.backends.base, time_execution.backends.threaded, time_execution.hooks
        time_execution.time_execution(lambda: 1)()
        threads = threading.active_count()
        assert handlers == (len(logging.root.handlers), len(logging.getLogger("time_execution").handlers))
        print(json.dumps([found, threads]))
        """
    )
    assert json.loads(done.stdout) == [[], 1]


def import_times(code: str, cache: Path) -> dict[str, int]:
    """Return what importing each module took by itself, in microseconds, with its bytecode kept in a folder."""
    times = {}
    for line in run(code, "-X", "importtime", "-X", f"pycache_prefix={cache}", bytecode=True).stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            times[name.strip()] = int(own)
    return times


class Importing:
    """What importing something takes beyond the bare interpreter, each module at its best of some."""

    def __init__(self, code: str, cache: Path) -> None:
        self._code, self._cache = code, cache
        self._bare = import_times("import site", cache)  # what a normal start has imported, without what it installs
        self.best: dict[str, int] = {}

    def again(self) -> float:
        """Import once more; returns the milliseconds as known by now."""
        for name, own in import_times(self._code, self._cache).items():
            if name not in self._bare:
                self.best[name] = min(own, self.best.get(name, own))
        return sum(self.best.values()) / 1000


@pytest.mark.serial
@pytest.mark.nooptionals
def test_importing_takes_less_than_forty_milliseconds(tmp_path):
    """Or, on a slower machine, less than asyncio takes, which is 1.3 times as much as ours."""
    ours, asyncios = Importing("import time_execution", tmp_path), Importing("import asyncio", tmp_path)
    for _ in range(7):
        ours.again()
        asyncios.again()

    def beyond_the_bound() -> float:
        return ours.again() / max(40.0, asyncios.again())

    assert least(beyond_the_bound, 1.0) < 1.0, sorted(ours.best.items(), key=lambda item: -item[1])[:10]
    assert "time_execution.decorator" in ours.best


def test_every_module_says_what_lives_in_it():
    """Each module begins with a docstring, and none is empty of sense."""
    for path in sorted((ROOT / "time_execution").rglob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text, path
        assert text.splitlines()[0].endswith((".", ":", "?")), path
