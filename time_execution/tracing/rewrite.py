"""Compiling a module so that its functions take their own time.

The body of each wanted function becomes the body of a ``try`` between two readings of the clock. What those
instructions refer to is a constant, put into the code once it is compiled, so that the names of the module show
nothing; the first reading is a local variable whose name no program can have, and functions that look at their local
variables get a ``with`` instead, which is slower.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, TypeAlias

_READING = ".time_execution"
_SERIES = "\0time_execution.series"

# The second reading is taken after everything else that the function does, its own clean-up included.
_FRAME = f"""\
reading = {_SERIES!r}.clock()
try:
    pass
except:
    reading = {_SERIES!r}.fail(reading)
    raise
finally:
    if reading:
        {_SERIES!r}.end(reading)
"""
_FRAME_WITHOUT_VARIABLE = f"""\
with {_SERIES!r}.span():
    pass
"""
_LOOKS_AT_VARIABLES = {"locals", "vars", "dir", "eval", "exec"}
_OWN_DECORATORS = {"time_execution", "time_execution_async"}
_PLACED = (ast.expr, ast.stmt, ast.ExceptHandler)
_LISTS = ("body", "orelse", "finalbody", "handlers", "cases")

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"


def instrument(
    source: bytes,
    filename: str,
    module: str,
    *,
    is_wanted: Callable[[str], bool],
    series_of: Callable[[str], Any],
) -> CodeType:
    """Return the code of a module, its wanted functions instrumented.

    A function that carries our decorator is left to it; lambdas are not measured.

    Args:
        source: What the file holds.
        filename: Its path, as tracebacks show it.
        module: The module's name, with which the names of its functions begin.
        is_wanted: Says of a function's name whether it is measured.
        series_of: Returns what a function is to refer to.

    Raises:
        SyntaxError: As compiling the source does.
        RecursionError: When the source is nested too deeply to be taken apart.
    """
    tree = ast.parse(source, filename)
    found = False
    # Looking through every expression is slow, and seldom needed.
    may_look = any(word.encode() in source for word in _LOOKS_AT_VARIABLES)
    for name, function in _functions(tree, module):
        if is_wanted(name) and not _is_decorated(function):
            _enclose(function, hide_reading=may_look and _looks_at_variables(function))
            found = True
    code: CodeType = compile(tree, filename, "exec", dont_inherit=True)
    return _with_series(code, module, series_of) if found else code


def _functions(tree: ast.Module, module: str) -> Iterator[tuple[str, Function]]:
    """Yield each function with its name, in no particular order; looks at statements only, which is where they are."""
    waiting: list[tuple[ast.AST, str]] = [(tree, module)]
    while waiting:
        node, name = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{name}.{node.name}"
        for field in _LISTS:
            waiting += [(child, name) for child in getattr(node, field, ())]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield name, node


def _is_decorated(function: Function) -> bool:
    """Whether a function carries our decorator, by the look of it."""
    for decorator in function.decorator_list:
        node: ast.AST = decorator
        while isinstance(node, ast.Call):
            node = node.func
        if getattr(node, "attr", getattr(node, "id", None)) in _OWN_DECORATORS:
            return True
    return False


def _enclose(function: Function, *, hide_reading: bool) -> None:
    """Put the frame around the body of a function; a docstring stays in front."""
    body = function.body
    has_docstring = ast.get_docstring(function, clean=False) is not None
    docstring, statements = (body[:1], body[1:]) if has_docstring else ([], body)
    frame = ast.parse(_FRAME_WITHOUT_VARIABLE if hide_reading else _FRAME).body
    _place(frame, statements[0] if statements else docstring[0])
    block = frame[-1]
    if isinstance(block, (ast.Try, ast.With)) and statements:
        block.body = statements
    function.body = [*docstring, *frame]


def _looks_at_variables(function: Function) -> bool:
    return any(isinstance(node, ast.Name) and node.id in _LOOKS_AT_VARIABLES for node in ast.walk(function))


def _place(frame: list[ast.stmt], statement: ast.stmt) -> None:
    """Put nodes where a statement stands, so that no line shows up that the program does not have."""
    line, column = statement.lineno, statement.col_offset
    for inserted in frame:
        for node in ast.walk(inserted):
            if isinstance(node, ast.Name):
                node.id = _READING
            if isinstance(node, _PLACED):
                node.lineno = node.end_lineno = line
                node.col_offset = node.end_col_offset = column


def _with_series(code: CodeType, name: str, series_of: Callable[[str], Any]) -> CodeType:
    """Return code with each function's constant in place; functions and classes in it are named by their nesting."""
    constants: list[Any] = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            # The scope of type parameters is no part of a name.
            inner = name if constant.co_name.startswith("<") else f"{name}.{constant.co_name}"
            constants.append(_with_series(constant, inner, series_of))
        else:
            constants.append(series_of(name) if constant == _SERIES else constant)
    return code.replace(co_consts=tuple(constants))
