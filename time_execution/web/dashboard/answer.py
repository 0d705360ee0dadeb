"""How pages, data and files are sent: headers that keep browsers from doing more than they should, and compression."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from time_execution.web.message import Response

if TYPE_CHECKING:
    from time_execution.web.message import Request

POLICY = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
    "; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What a page may load and do: what comes from this host, and no markup that a script has made of a text."""

SECURITY: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What every answer carries."""

NOT_KEPT = ("Cache-Control", "no-store")
_LEVEL = 5
_WORTH_IT = 1000


def html(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return a page, which nobody keeps."""
    return _made(status, "text/html; charset=utf-8", text.encode(), NOT_KEPT, *headers)


def document(status: int, value: Mapping[str, Any], request: Request, *headers: tuple[str, str]) -> Response:
    """Return a JSON document, which nobody keeps, compressed where the client takes that.

    Args:
        status: The status code.
        value: What it says; numbers that JSON does not know become null.
        request: What is answered.
        *headers: More headers.
    """
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except ValueError:
        text = json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False)
    body = text.encode("utf-8", "replace")
    vary = ("Vary", "Accept-Encoding")
    if len(body) > _WORTH_IT and takes_gzip(request):
        headers = (*headers, ("Content-Encoding", "gzip"))
        body = compressed(body)
    return _made(status, "application/json", body, NOT_KEPT, vary, *headers)


def file(request: Request, *, kind: str, plain: bytes, packed: bytes, tag: str, keep: str) -> Response:
    """Return a file, or 304 where the client has it.

    Args:
        request: What is answered.
        kind: Its content type.
        plain: The file.
        packed: The same, compressed.
        tag: Tells its content from any other's.
        keep: For how long it may be kept: the value of ``Cache-Control``.
    """
    is_packed = takes_gzip(request)
    etag = f'"{tag}-gzip"' if is_packed else f'"{tag}"'
    headers = [("ETag", etag), ("Cache-Control", keep), ("Vary", "Accept-Encoding")]
    known = request.headers.get("if-none-match", "")
    if etag in [each.strip().removeprefix("W/") for each in known.split(",")]:
        return Response(304, [*SECURITY.items(), *headers])
    if is_packed:
        headers.append(("Content-Encoding", "gzip"))
    return _made(200, kind, packed if is_packed else plain, *headers)


def takes_gzip(request: Request) -> bool:
    """Whether the client says that it understands what is compressed."""
    for each in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def compressed(body: bytes) -> bytes:
    """Return what `gzip` makes of a body, the same each time."""
    return gzip.compress(body, _LEVEL, mtime=0)


def _made(status: int, kind: str, body: bytes, *headers: tuple[str, str]) -> Response:
    return Response(status, [("Content-Type", kind), *SECURITY.items(), *headers], body)


def _finite(value: Any) -> Any:
    """Return a value with null for each number that JSON does not know."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value
