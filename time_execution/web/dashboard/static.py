"""The files that pages load, each by its name in a list; no path of a request ever reaches the file system."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from time_execution.web.dashboard import answer

if TYPE_CHECKING:
    from time_execution.web.message import Request, Response

NAMES = (
    "dashboard.css",
    "delivery.js",
    "detail.js",
    "dom.js",
    "errors.js",
    "filter.js",
    "functions.js",
    "icon.svg",
    "keys.js",
    "live.js",
    "logs.js",
    "numbers.js",
    "overview.js",
    "page.js",
    "plot.js",
    "requests.js",
    "services.js",
    "state.js",
    "system.js",
    "table.js",
    "theme.js",
    "uplot.min.js",
)
"""All that is served; whatever else lies in the folder, such as a licence, is not."""

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
# One address has one content for ever where it holds the version; else a browser asks each time whether it changed.
_FOR_EVER, _ASK_AGAIN = "private, max-age=31536000, immutable", "private, no-cache"
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class _File:
    kind: str
    plain: bytes
    packed: bytes
    tag: str


def serve(path: str, request: Request) -> Response | None:
    """Return a file; None where there is none of that name.

    Args:
        path: Its name, or ``VERSION/NAME``, which may be kept for good.
        request: What is answered.
    """
    folder, _, name = path.rpartition("/")
    if name not in NAMES or folder not in {"", version()}:
        return None
    found = _load()[name]
    keep = _FOR_EVER if folder else _ASK_AGAIN
    return answer.file(request, kind=found.kind, plain=found.plain, packed=found.packed, tag=found.tag, keep=keep)


@cache
def version() -> str:
    """Return what changes whenever one of the files does."""
    return _digest(b"".join(found.plain for found in _load().values()))


@cache
def _load() -> dict[str, _File]:
    """Return all files, read once."""
    folder = files(__package__).joinpath("static")
    found = {}
    for name in NAMES:
        plain = folder.joinpath(name).read_bytes()
        kind = _TYPES[name.rpartition(".")[2]]
        found[name] = _File(kind, plain, answer.compressed(plain), _digest(plain))
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
