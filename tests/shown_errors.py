"""All that an error shows, to look for secrets in it."""

from __future__ import annotations

import pickle
import traceback


def everything_shown(exc: BaseException) -> str:
    """Return all that a traceback, `str`, `repr` and pickle show of an error, and of those behind it, shown or not."""
    shown = [str(exc), repr(exc), repr(pickle.dumps(str(exc))), "".join(traceback.format_exception_only(exc))]
    shown += [everything_shown(behind) for behind in (exc.__cause__, exc.__context__) if behind is not None]
    return "\n".join(shown)
