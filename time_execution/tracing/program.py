"""Running a script or a module as ``python`` would, in this process and for the rest of its life."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any
from zipimport import zipimporter

from time_execution.exceptions import TimeExecutionError

_MAIN = "__main__"
# What stands between the call of a program and its first line: this package, and what it takes source apart with.
_OURS = (str(Path(__file__).parent), ast.__file__)
CompileMain = Callable[[bytes, str, str], CodeType]


class ProgramMissingError(TimeExecutionError):
    """There is no such script or module.

    Args:
        message: What is missing.
        status: The exit status of ``python`` in this case.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class Program:
    """A script (a file, a folder or a zip file with a ``__main__.py``) or, with `is_module`, a module to be run.

    Args:
        target: The path or the module's name.
        arguments: The rest of the command line.
        is_module: Whether it is run as by ``python -m``.
    """

    def __init__(self, target: str, arguments: Sequence[str] = (), *, is_module: bool = False) -> None:
        self.target = target
        self.arguments = list(arguments)
        self.is_module = is_module

    def default_patterns(self) -> list[str]:
        """Return patterns for what is this program's own: its package, or the script and what lies beside it.

        Raises:
            ProgramMissingError: When there is no script.
        """
        if self.is_module:
            return [f"{self.target.partition('.')[0]}.*"]
        path = self._path()
        around = path if path.is_dir() or _is_zip(path) else path.parent
        # What cannot be looked into, such as another user's folder, holds no module for the program either.
        names = {module.name for module in pkgutil.iter_modules([str(around)])}
        beside = sorted(name for name in names if name.isidentifier() and not name.startswith("__"))
        return [f"{name}.*" for name in (_MAIN, *beside)]

    def load(self, compile_main: CompileMain) -> CodeType:
        """Set ``sys.argv``, ``sys.path`` and ``__main__`` up, and return the program's code.

        Args:
            compile_main: Returns code for the source, path and name of a script.

        Raises:
            ProgramMissingError: When there is no such program, or it cannot be run.
        """
        try:
            return self._load_module() if self.is_module else self._load_script(compile_main)
        except (SyntaxError, ImportError):
            begin_traceback_after(Program.load.__code__)
            raise

    def _path(self) -> Path:
        """Return where the script is, links followed.

        Raises:
            ProgramMissingError: When there is none, or none that we may see.
        """
        try:
            path = Path(os.path.realpath(self.target))
            path.stat()
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or str(exc)
            raise ProgramMissingError(f"can't open file {self.target!r}: {reason}", status=2) from exc
        return path

    def _load_module(self) -> CodeType:
        _set_path(os.getcwd())  # noqa: PTH109 - as a str, as ``python`` has it
        sys.argv[:] = ["-m", *self.arguments]
        spec = _find(self.target)
        if spec.submodule_search_locations is not None and spec.name != _MAIN:
            spec = _find(f"{self.target}.{_MAIN}", package=self.target)
        code = _code_of(spec)
        sys.argv[0] = spec.origin or self.target
        _set_main(
            __file__=spec.origin, __cached__=spec.cached, __loader__=spec.loader, __package__=spec.parent, __spec__=spec
        )
        return code

    def _load_script(self, compile_main: CompileMain) -> CodeType:
        sys.argv[:] = [self.target, *self.arguments]
        path = self._path()
        if path.is_dir() or _is_zip(path):
            return self._load_folder(compile_main)
        _set_path(str(path.parent))
        filename = os.path.abspath(self.target)  # noqa: PTH100 - links stay, as tracebacks show them
        try:
            source = path.read_bytes()
        except OSError as exc:
            raise ProgramMissingError(f"can't open file {self.target!r}: {exc.strerror}", status=2) from exc
        code = compile_main(source, filename, _MAIN)
        loader = SourceFileLoader(_MAIN, filename)
        _set_main(__file__=filename, __cached__=None, __loader__=loader, __package__=None, __spec__=None)
        return code

    def _load_folder(self, compile_main: CompileMain) -> CodeType:
        folder = os.path.abspath(self.target)  # noqa: PTH100 - links stay
        _set_path(folder)
        spec = PathFinder.find_spec(_MAIN, [folder])
        if spec is None:
            raise ProgramMissingError(f"can't find a {_MAIN} module in {self.target!r}", status=1)
        loader: Any = spec.loader
        if isinstance(loader, (SourceFileLoader, zipimporter)) and (spec.origin or "").endswith(".py"):
            code = compile_main(loader.get_data(loader.get_filename(_MAIN)), loader.get_filename(_MAIN), _MAIN)
        else:
            code = _code_of(spec)
        _set_main(__file__=spec.origin, __cached__=spec.cached, __loader__=spec.loader, __package__="", __spec__=spec)
        return code


def execute(code: CodeType) -> None:
    """Run a program's code in ``__main__``; whatever it raises passes, and its traceback begins in the program.

    The interpreter deals with it as ever: exit status, ``sys.excepthook``, death by an interrupt.
    """
    try:
        exec(code, sys.modules[_MAIN].__dict__)  # noqa: S102 - this is what was asked for
    except BaseException:
        begin_traceback_after(execute.__code__)
        raise


def begin_traceback_after(outermost: CodeType) -> None:
    """Have the interpreter, should an exception end the process, leave out the frames up to that of some code."""
    hook = sys.excepthook

    def show(kind: type[BaseException], exc: BaseException, traceback: TracebackType | None) -> None:
        inner = traceback
        while inner is not None and inner.tb_frame.f_code is not outermost:
            inner = inner.tb_next
        while inner is not None and inner.tb_frame.f_code.co_filename.startswith(_OURS):
            inner = inner.tb_next
        hook(kind, exc.with_traceback(inner), inner)

    sys.excepthook = show


def _is_zip(path: Path) -> bool:
    """Whether a file can be imported from; an ordinary script has no finder."""
    return path.is_file() and PathFinder.find_spec(_MAIN, [str(path)]) is not None


def _find(name: str, *, package: str = "") -> ModuleSpec:
    """Return the spec of a module that is to be run; its parent packages are imported."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not name.startswith(exc.name):
            raise
        spec = None
    if spec is None and package:
        raise ProgramMissingError(
            f"No module named {name}; {package!r} is a package and cannot be directly executed", status=1
        )
    if spec is None:
        raise ProgramMissingError(f"No module named {name}", status=1)
    return spec


def _code_of(spec: ModuleSpec) -> CodeType:
    get_code = getattr(spec.loader, "get_code", None)
    code: CodeType | None = get_code(spec.name) if get_code is not None else None
    if code is None:
        raise ProgramMissingError(f"No code object available for {spec.name}", status=1)
    return code


def _set_path(folder: str) -> None:
    """Put a folder where ``python`` would, in place of the one put there for this command."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = folder


def _set_main(**attributes: Any) -> None:
    """Make a fresh ``__main__``; the one that was there is kept, as whoever runs us is still in it."""
    main = ModuleType(_MAIN)
    main.__dict__.update(attributes, __builtins__=builtins, __annotations__={})
    _replaced.append(sys.modules.get(_MAIN))
    sys.modules[_MAIN] = main


_replaced: list[ModuleType | None] = []
