"""Django: `MonitoringMiddleware` measures requests, and ``urls`` holds our pages.

::

    MIDDLEWARE = ["time_execution.web.django.MonitoringMiddleware", ...]  # in the settings, before all others
    urlpatterns = [path("", include("time_execution.web.django.urls")), ...]  # in the URLs, before the others

What can be set is in ``TIME_EXECUTION_WEB`` of Django's settings, a dict of the options of
`time_execution.web.options.Options`; its ``auth`` may be an import path.
"""

from __future__ import annotations

from time_execution.web.django.middleware import MonitoringMiddleware

__all__ = ["MonitoringMiddleware"]
