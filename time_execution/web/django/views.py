"""The views behind our URLs."""

from __future__ import annotations

from typing import Any

from time_execution.extra import extra
from time_execution.web.django.installation import monitoring
from time_execution.web.message import MAX_BODY, Request

with extra("django"):
    from django.http import HttpResponse, StreamingHttpResponse
    from django.views.decorators.csrf import csrf_exempt


@csrf_exempt  # type: ignore[untyped-decorator]  # what comes in is never acted on by who sent it, and a refusal is to look the same for all
def answer(request: Any, page: str) -> Any:
    """Answer a request at one of our paths.

    Args:
        request: Django's.
        page: The path below the place where our URLs were included.
    """
    set_up = monitoring()
    set_up.prepare()
    found = set_up.site.handle(_translated(request, f"/{page}"))
    if found is None:
        return HttpResponse(status=404)
    kind = HttpResponse if isinstance(found.body, bytes) else StreamingHttpResponse
    response = kind(found.body, status=found.status)
    del response["Content-Type"]
    for name, value in found.headers:
        response[name] = value
    return response


@csrf_exempt  # type: ignore[untyped-decorator]  # as above
def probe(request: Any, page: str) -> Any:
    """Do what `answer` does, for health and metrics: their readers sign in nowhere, and take a redirect for health."""
    return answer(request, page)


probe.login_required = False  # which `LoginRequiredMiddleware` goes by, since Django 5.1


def _translated(request: Any, path: str) -> Request:
    meta = request.META
    length = meta.get("CONTENT_LENGTH") or "0"
    is_short = length.isdecimal() and int(length) <= MAX_BODY
    return Request(
        method=request.method or "",
        path=path,
        query={name: list(values) for name, values in request.GET.lists()},
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.read(MAX_BODY + 1) if is_short else bytes(MAX_BODY + 1),  # under ASGI, a length may be untold
        client=meta.get("REMOTE_ADDR") or None,
        scheme=request.scheme or "http",
        mount=request.path.removesuffix(path),
        native=request,
    )
