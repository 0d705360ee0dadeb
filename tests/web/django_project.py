"""A Django project in one module: settings, URLs and views. Import it to have Django set up."""

from __future__ import annotations

import asyncio

import django
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path

from time_execution import time_execution
from time_execution.hooks import get_request_id

MIDDLEWARE = "time_execution.web.django.MonitoringMiddleware"

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DEBUG=False,
        MIDDLEWARE=[MIDDLEWARE],
        ROOT_URLCONF=__name__,
        SECRET_KEY="of tests",
        TIME_EXECUTION_WEB={"store": None, "sampler": False},
        USE_TZ=True,
    )
    django.setup()


@time_execution(name="inner")
def inner():
    return str(get_request_id())


def plain(request, **given):
    return HttpResponse(inner())


async def asynchronous(request):
    await asyncio.sleep(0)
    return HttpResponse(str(get_request_id()))


def boom(request):
    raise KeyError("x")


def denied(request):
    raise PermissionDenied


def stream(request):
    return StreamingHttpResponse(iter([b"a", b"b", b"c"]))


def failing_stream(request):
    def pieces():
        yield b"a"
        raise KeyError

    return StreamingHttpResponse(pieces())


async def async_stream(request):
    async def pieces():
        for piece in (b"a", b"b"):
            yield piece
            await asyncio.sleep(0)

    return StreamingHttpResponse(pieces())


async def failing_async_stream(request):
    async def pieces():
        yield b"a"
        raise KeyError

    return StreamingHttpResponse(pieces())


def file(request):
    return FileResponse(open(__file__, "rb"))  # noqa: PTH123 - which the response closes


def is_admin(request):
    return request.headers.get("X-User") == "admin"


async def is_admin_async(request):
    return is_admin(request)


urlpatterns = [
    path("", include("time_execution.web.django.urls")),
    path("", plain),
    path("users/<int:id>/", plain),
    path("api/", include([path("v1/", include([re_path(r"^items/(?P<id>\d+)$", plain)]))])),
    path("async", asynchronous),
    path("boom", boom),
    path("denied", denied),
    path("stream", stream),
    path("failing", failing_stream),
    path("async-stream", async_stream),
    path("failing-async", failing_async_stream),
    path("file", file),
    path("below/", include("time_execution.web.django.urls", namespace="below")),
]
