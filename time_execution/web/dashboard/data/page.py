"""What all pages have in common: the head of each answer, what to show while there is no database, and sharing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from time_execution.exceptions import DatabaseError
from time_execution.web.dashboard.data.query import Query, QueryError

if TYPE_CHECKING:
    from time_execution.web.dashboard.data.store import Store

    Page: TypeAlias = Callable[[Store, Query], dict[str, Any]]

# How long a page loads what is not there yet; then it answers with what there is.
_PATIENCE = 0.04

STEP = "step"
"""Under this key a page's own data tells the seconds between two points; moved to ``range``."""


def page_of(
    name: str,
    own: Page,
    empty: Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    needs: Sequence[str] = (),
    reads_database: bool = True,
) -> Page:
    """Return a page: what is its own, below what all have.

    Args:
        name: The page's name.
        own: Makes what is its own.
        empty: The same for a database with nothing in it, or that cannot be read; never changed. Or what makes it of
            the state of the store.
        needs: The parameters without which it cannot be made.
        reads_database: Whether what is its own comes from there.
    """

    def answer(store: Store, query: Query) -> dict[str, Any]:
        for parameter in needs:
            if not getattr(query, parameter):
                raise QueryError(f"{parameter} is missing.")
        return store.answers.get((name, *query.key), lambda: _answer(store, query, own, empty, reads_database))

    answer.__name__ = name
    answer.__doc__ = own.__doc__
    return answer


def _answer(
    store: Store,
    query: Query,
    own: Page,
    empty: Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]],
    reads_database: bool,  # noqa: FBT001 - of this module only
) -> dict[str, Any]:
    query = replace(query, deadline=time.monotonic() + _PATIENCE)
    state = store.state()
    found: dict[str, Any] = {}
    if not reads_database or state["state"] == "ok":
        try:
            found = own(store, query)
        except DatabaseError as exc:
            # It went just now, or is damaged somewhere.
            state = store.state(exc)
    step = found.pop(STEP, query.range.step)
    of = query.range
    head = {"from": float(of.start), "to": float(of.end), "step": step, "label": of.label}
    otherwise = empty(state) if callable(empty) else empty
    return {"now": query.now, "range": head, "store": state, **otherwise, **found}
