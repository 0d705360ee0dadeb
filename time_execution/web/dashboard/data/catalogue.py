"""`Catalogue`: which series there are, by the ids that the database gives them; the names that pages know."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from time_execution.formats.series import read_series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from time_execution.web.dashboard.data.reading import Look, Which

REQUEST = "http.server.request.duration"
ERROR = "error"
HEALTH = "health.check"
ALERT = "alert"
SYSTEM_PREFIX = "system."

_SINCE = "SELECT id, name, kind, family FROM temp.series WHERE id > ? ORDER BY id"
_LAST = "SELECT max(id) FROM names"


class Named(NamedTuple):
    """A series.

    Attributes:
        text: Its name, with its labels if it has any.
        kind: What its numbers are, such as ``timing``.
        family: Its name alone.
        labels: Label -> value.
    """

    text: str
    kind: str
    family: str
    labels: Mapping[str, str]

    @property
    def is_function(self) -> bool:
        """Whether it holds the durations of something that was called, and is no request."""
        return self.kind == "timing" and self.family != REQUEST


class Catalogue:
    """The series of a database, read as they come; nothing is forgotten while the file stays. Thread-safe."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.Lock()
        self._known: dict[int, Named] = {}
        self._file: Which | None = None
        self._last = 0

    def series(self, look: Look) -> Mapping[int, Named]:
        """Return id -> series: all that the view knows, perhaps more; never changed afterwards.

        Blocks for a millisecond where there are new ones.
        """
        (last,) = look.view.connection.execute(_LAST).fetchone()
        with self._lock:
            if look.file is None or look.file != self._file:
                self._file, self._known, self._last = look.file, {}, 0
            if last > self._last:
                rows = look.view.connection.execute(_SINCE, (self._last,))
                new = {key: Named(text, kind, family, read_series(text)[1]) for key, text, kind, family in rows}
                self._known, self._last = self._known | new, last
            return self._known
