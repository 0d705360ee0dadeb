"""Backends that keep what they were made with, for tests of what a configuration makes of names, URLs and dicts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from time_execution.backends.base import BaseMetricsBackend

if TYPE_CHECKING:
    from os import PathLike as KnownToTypeCheckers


class Store(BaseMetricsBackend):
    """A backend with options of every kind; keeps what it was made with."""

    def __init__(
        self,
        path: str | Path = "default",
        *,
        retention: float | None = None,
        max_bytes: int = 0,
        durable: bool = False,
        hosts: str | Sequence[str] = (),
        password: str | None = None,
        odd: KnownToTypeCheckers[str] | None = None,
        stream: Any = None,
        limit=3,
    ) -> None:
        defaults: dict[str, Any] = Store.__init__.__kwdefaults__ or {}
        arguments = locals()
        names = ["path", *defaults]
        self.made_with = {n: arguments[n] for n in names if arguments[n] != defaults.get(n, "default")}
        self.closed = False
        self.written: list[str] = []

    @classmethod
    def options_from_url(cls, url):
        assert url.port is None  # raises for what is no number, and shows it
        return {"path": url.path.removeprefix("/")} | ({"password": unquote(url.password)} if url.password else {})

    def write(self, name, **data):
        self.written.append(name)

    def close(self, timeout=None):
        self.closed = True


class Plain(BaseMetricsBackend):
    """A backend without options, and without a constructor."""

    def write(self, name, **data):
        pass


class Open(Store):
    """A backend that hands what it does not know to its client."""

    def __init__(self, path: str = "", **client_options: Any) -> None:
        super().__init__(path)
        self.made_with = client_options


class Failing(Store):
    """A backend that shows its arguments in its errors, as clients do."""

    def __init__(self, path: str, password: str | None = None, kind: str = "talkative") -> None:
        try:
            os.environ[f"inner {password}"]
        except KeyError as exc:
            if kind == "discreet":
                raise RuntimeError("cannot connect") from exc
            raise ValueError(f"cannot connect to {path!r} with {password!r}") from exc


class Delivery(BaseMetricsBackend):
    """Stands in for `ThreadedBackend`."""

    def __init__(
        self,
        backend: Any,
        backend_args: Sequence[Any] | None = None,
        backend_kwargs: dict[str, Any] | None = None,
        bulk_size: int = 500,
        bulk_timeout: float = 1.0,
        *,
        max_bytes: int | None = 16,
        overflow: Literal["drop_oldest", "block"] = "drop_oldest",
        spool: str | Path | None = None,
    ) -> None:
        self.backend = backend(**(backend_kwargs or {})) if callable(backend) else backend
        arguments = locals()
        names = ("bulk_size", "bulk_timeout", "max_bytes", "overflow", "spool")
        self.made_with = {name: arguments[name] for name in names}

    def write(self, name, **data):
        pass


def make_store(path: str = "made", *, retention: float | None = None) -> Store:
    """Make a backend."""
    return Store(path, retention=retention)


class ReadyHook:
    """A hook that is an object."""

    def __call__(self, **_kwargs):
        return None


instance = Store()
