"""`Timer` and `ErrorCatcher`: a record for each call, and for each error, in files that people and tools read."""

from time_execution.timer.error_catcher import ErrorCatcher
from time_execution.timer.sanitizing import sanitizer
from time_execution.timer.timer import Timer

__all__ = ["ErrorCatcher", "Timer", "sanitizer"]
