"""A monitored Django project in one file, and some requests to it."""

from __future__ import annotations

import django
from django.conf import settings
from django.http import Http404, JsonResponse
from django.test import Client
from django.urls import include, path

from time_execution import flush, time_execution
from time_execution.monitor import monitor

PRICES = {"tea": 3.2, "cake": 4.5}

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["time_execution.web.django.MonitoringMiddleware"],
    # Nobody is an administrator here: say who is, and the dashboard at /admin/monitoring/ opens.
    TIME_EXECUTION_WEB={"auth": lambda request: False},
)
django.setup()


@time_execution
def price_of(thing):
    return PRICES.get(thing)


def price(request, thing):
    found = price_of(thing)
    if found is None:
        raise Http404
    return JsonResponse({thing: found})


urlpatterns = [
    path("", include("time_execution.web.django.urls")),
    path("prices/<thing>/", price),
]

if __name__ == "__main__":
    client = Client()
    for where in ("/prices/tea/", "/prices/cake/", "/prices/gold/", "/nowhere/", "/livez", "/admin/monitoring/"):
        answer = client.get(where)
        print(answer.status_code, where, answer.headers["X-Request-ID"])
    for row in monitor.requests.routes():
        print(f"{row['method']} {row['route']}: {row['count']} requests, {row['p95']:.2f} ms", row["statuses"])
    flush()
    print("Now look at it: time-execution report metrics.db")
