"""Constant fields: the release, the region, the team a metric belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from time_execution.types import Hook


def extra_fields(**fields: Any) -> Hook:
    """Return a hook that adds the same fields to every metric, over those of the same name.

    Args:
        fields: What to add; read at each call, never copied deeper than the dict itself.

    Example:
        >>> hook = extra_fields(release="2024.6", region="eu")
        >>> hook(response=None, exception=None, metric={}, func=len, func_args=(), func_kwargs={})
        {'release': '2024.6', 'region': 'eu'}
    """

    def add_fields(
        *, response: Any, exception: Any, metric: Any, func: Any, func_args: Any, func_kwargs: Any
    ) -> dict[str, Any]:
        return dict(fields)

    return add_fields
