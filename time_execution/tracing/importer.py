"""The import hook: modules that may hold wanted functions are loaded with these instrumented.

Only what is loaded from source, in files or in zip files, is; modules that other loaders make are left as they are, and
remembered.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, TypeVar
from zipimport import zipimporter

Compile = Callable[[bytes, str, str], CodeType]
_Code = TypeVar("_Code", bound="CodeType | None")


class Importer(MetaPathFinder):
    """Finds modules as the other finders do, and has their source compiled in our way.

    Args:
        concerns: Says of a module's name whether it is wanted.
        compile_source: Returns code for source, path and module name.

    Attributes:
        skipped: The wanted modules that could not be instrumented.
    """

    def __init__(self, concerns: Callable[[str], bool], compile_source: Compile) -> None:
        self._concerns = concerns
        self._compile = compile_source
        self.skipped: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the next finder has, with our loader where that is possible."""
        if not self._concerns(fullname):
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(fullname, path, target) if find is not None and finder is not self else None
            if spec is not None:
                self._take_over(spec)
                return spec
        return None

    def _take_over(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        # A subclass may do more than load; whoever made it relies on that.
        if type(loader) is SourceFileLoader:
            loader = Loader(loader.name, loader.path, self)
        elif type(loader) is zipimporter and (spec.origin or "").endswith(".py"):
            loader = ZipLoader(loader, self)
        elif loader is not None:
            self.skipped.add(spec.name)
        spec.loader = loader

    def code_of(
        self, loader: SourceFileLoader | zipimporter, name: str, ordinary: Callable[[str], _Code]
    ) -> CodeType | _Code:
        """Return instrumented code for a module, or its ordinary code when it cannot be taken apart."""
        path = loader.get_filename(name)
        try:
            with warnings.catch_warnings():
                # Without us, they show when a module is compiled for the first time, and never again.
                warnings.simplefilter("ignore")
                return self._compile(loader.get_data(path), path, name)
        except RecursionError:
            self.skipped.add(name)
            return ordinary(name)


class Loader(SourceFileLoader):
    """Loads a source file as its base class does, but for the code."""

    def __init__(self, fullname: str, path: str, importer: Importer) -> None:
        super().__init__(fullname, path)
        self._importer = importer

    def get_code(self, fullname: str) -> CodeType | None:
        """Return instrumented code; nothing is read from or written to the cache of compiled files."""
        return self._importer.code_of(self, fullname, super().get_code)


class ZipLoader(zipimporter):
    """Loads source out of a zip file as its base class does, but for the code."""

    def __init__(self, original: zipimporter, importer: Importer) -> None:
        super().__init__(os.path.join(original.archive, original.prefix))  # noqa: PTH118 - as zipimport takes it apart
        self._importer = importer

    def get_code(self, fullname: str) -> CodeType:
        """Return instrumented code."""
        return self._importer.code_of(self, fullname, super().get_code)
