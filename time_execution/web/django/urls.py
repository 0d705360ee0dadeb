"""Our URLs, to be included in a project's: before those that would take them, as ``admin/`` takes all below it.

The patterns are made when Django asks for them: the prefix of the dashboard is in its settings.
"""

from __future__ import annotations

import re
from typing import Any

from time_execution.extra import extra
from time_execution.web.django.installation import prefix_of_settings
from time_execution.web.django.views import answer, probe

with extra("django"):
    from django.urls import re_path

app_name = "time_execution"


def __getattr__(name: str) -> Any:
    """Make the patterns when they are first asked for."""
    if name != "urlpatterns":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    patterns = [re_path(r"^(?P<page>livez|readyz|healthz|metrics)$", probe, name="probe")]
    prefix = prefix_of_settings()
    if prefix is not None:
        patterns.append(re_path(rf"^(?P<page>{re.escape(prefix.strip('/'))}(?:/.*)?)$", answer, name="dashboard"))
    return patterns
