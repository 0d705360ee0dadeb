"""Things that a test makes as it goes, and that have to be closed when it is over."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager


@contextmanager
def closed_after(make, **options):
    """Give a function that does as another one does, which makes something; all that it made is closed at the end.

    Args:
        make: Makes it.
        options: For each call of ``close``.
    """
    with ExitStack() as stack:

        def made(*args, **kwargs):
            found = make(*args, **kwargs)
            stack.callback(found.close, **options)
            return found

        yield made
