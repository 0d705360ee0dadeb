"""The dashboard on a real socket, served on a thread of the test's process."""

from __future__ import annotations

import argparse
import threading
from contextlib import contextmanager

from time_execution.cli import dashboard


def parsed(*options):
    """Return what the command line says, on any free port."""
    parser = argparse.ArgumentParser()
    dashboard.add_arguments(parser)
    return parser.parse_args(["--port", "0", *map(str, options)])


class Served:
    """A server at work: the command's, or one of another application.

    Attributes:
        address: Where it is, without a slash at the end.
        port: Where it listens.
    """

    def __init__(self, *options, environment=None, application=None):
        if application is None:
            self._server = dashboard.serve(parsed(*options), environment or {})
        else:
            from waitress.server import create_server

            self._server = create_server(application, host="127.0.0.1", port=0)
        self.address = f"http://127.0.0.1:{self._server.effective_port}"
        self.port = self._server.effective_port
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()

    def stop(self):
        """End it, with all connections."""
        # First: these threads wake the one that closes, by a descriptor that may be another file's by then.
        self._server.task_dispatcher.shutdown(timeout=30)
        self._server.trigger.pull_trigger(self._close)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _close(self):
        """On the server's own thread, which would fail in the middle of waiting for what another one closes."""
        self._server.close()
        for channel in list(self._server._map.values()):
            channel.close()


@contextmanager
def serving(*options, environment=None):
    """Serve for as long as the block takes, and give the address."""
    served = Served(*options, environment=environment)
    try:
        yield served.address
    finally:
        served.stop()
