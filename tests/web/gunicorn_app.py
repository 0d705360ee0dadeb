"""An application for gunicorn; imported in its master with ``--preload``, else in each worker."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import flask

from time_execution.monitor import monitor
from time_execution.web.flask import init_app

app = flask.Flask("shop")
init_app(app)


def note():
    """Write down what there is in a process that is about to fork: its threads, and files in its folder."""
    here = Path.cwd()
    files = [path.name for path in here.iterdir() if path.name not in {"before-fork", ".gunicorn"}]
    (here / "before-fork").write_text("\n".join([*(thread.name for thread in threading.enumerate()), *files]))


os.register_at_fork(before=note)


@app.get("/pid")
def pid():
    return f"{os.getpid()} {monitor.is_running()}"
