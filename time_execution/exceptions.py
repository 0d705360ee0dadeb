"""Every error this package raises on purpose, in one tree.

::

    TimeExecutionError
    ├── ConfigurationError (ValueError)       loud and early, names the key
    │   └── MissingExtraError (ImportError)   says which extra to install
    ├── DatabaseError                         a report cannot be made: raised to whoever asked for it
    │   ├── DatabaseMissingError (FileNotFoundError)  there is no file, or nothing in it as yet
    │   └── NotADatabaseError                 the file is something else, or of a later version
    └── BackendError                          quiet and counted: never reaches the measured call
        ├── BackendUnavailable                the batch is sent again, with backoff
        │   ├── BackendTimeout                no answer in time
        │   ├── BackendThrottled              the server asked for a pause (``retry_after``)
        │   └── BackendDenied                 credentials or address are wrong: asked again, but seldom
        └── BackendRejected                   these metrics will never be taken: dead letters
            └── BatchTooLarge                 the batch is halved and sent again

An exception of any other class that a backend raises counts as `BackendUnavailable`, so that nothing is given up
by mistake. Nothing in this module imports anything.
"""


class TimeExecutionError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(TimeExecutionError, ValueError):
    """A setting is unknown, of the wrong type, or cannot be honoured.

    Raised when the setting is made, never at the first metric. The message names the key, the type of the value
    (never the value itself: it may be a secret) and what would be right.
    """


class MissingExtraError(ConfigurationError, ImportError):
    """A backend needs a client library that is not installed; the message says what to install."""


class DatabaseError(TimeExecutionError):
    """A metrics database cannot be read: it is broken, or locked for too long; raised by `time_execution.report`."""


class DatabaseMissingError(DatabaseError, FileNotFoundError):
    """There is no metrics database: no file, or one that nothing has been put into as yet."""


class NotADatabaseError(DatabaseError):
    """The file is nothing that can be reported, or was written by a later version."""


class BackendError(TimeExecutionError):
    """A backend could not store metrics; the base of what backends raise for delivery to act on."""


class BackendUnavailable(BackendError):  # noqa: N818 - the name states a condition, and is public
    """The server cannot be reached or cannot take anything now; the same metrics are sent again later."""


class BackendTimeout(BackendUnavailable):
    """The server did not answer in time; whether it stored the metrics is unknown."""


class BackendThrottled(BackendUnavailable):
    """The server asked for a pause.

    Args:
        message: What the server said.
        retry_after: The pause it asked for, in seconds; None when it named none.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BackendDenied(BackendUnavailable):
    """The server answers and refuses us (credentials, missing index); asked again after the longest pause only."""


class BackendRejected(BackendError):  # noqa: N818 - the name states a condition, and is public
    """These metrics will never be stored as they are; sending them again is pointless."""


class BatchTooLarge(BackendRejected):
    """The batch is over a limit of the server; its halves may pass."""
