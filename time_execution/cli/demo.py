"""Run a shop under load, and serve its dashboard until Ctrl-C; or measure a program and show the report.

The shop is a real web application on this machine: Flask, a database, a payment service that has bad times, and
visitors who rush in and out. Nothing is made up: what the dashboard shows was measured. --report, or a document, shows
what the command line does instead, on docutils turning a document into HTML.
"""

from __future__ import annotations

import argparse
import math
import signal
import sqlite3
import tempfile
import time
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from time_execution.cli import demo_program
from time_execution.cli.bounds import whole
from time_execution.cli.say import say

EPILOG = """\
examples:
  time-execution demo --open
  time-execution demo --rate 200 --db shop.db
  time-execution demo --report
"""
_NEEDED = ("flask", "psutil")
_SEED = 20_260
_VISITORS = 8
_LOCAL = frozenset({"127.0.0.1", "localhost"})
_SAMPLES_EVERY = 5
_LONGEST_WAIT = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    demo_program.add_arguments(parser)
    parser.add_argument("--report", action="store_true", help="measure a program, and show the report")
    parser.add_argument("--port", type=whole(0), default=8765, help="the shop's port; 0: any (default: 8765)")
    parser.add_argument("--rate", type=whole(1), default=60, help="requests a second (default: %(default)s)")
    parser.add_argument("--seconds", type=whole(1), metavar="N", help="end by itself after so many seconds")
    parser.add_argument("--open", action="store_true", help="open the browser")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked for."""
    if arguments.report or arguments.document is not None:
        return demo_program.run(arguments)
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        say(f"the shop needs {', '.join(missing)}: pip install 'timeexecution[flask]'; here is the report")
        return demo_program.run(arguments)
    return _run_shop(arguments)


def _run_shop(arguments: argparse.Namespace) -> int:
    from time_execution.cli.demo_visitors import Visitors

    with ExitStack() as stack:
        # What is ended from outside cleans up as well.
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _end))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="time-execution-")))
        server = _server(arguments, folder, stack)
        address = f"http://127.0.0.1:{server.port}/admin/monitoring/"
        say(f"a shop is open at http://127.0.0.1:{server.port}/, its dashboard at {address} (Ctrl-C ends both)")
        visitors = Visitors(server.port, rate=arguments.rate, number=_VISITORS, seed=_SEED)
        visitors.start()
        if arguments.open:
            import webbrowser

            webbrowser.open(address)
        try:
            _wait(arguments.seconds)
        finally:
            visitors.stop()
            say(f"{visitors.sent} requests were answered")
    return 0


def _wait(seconds: float | None) -> None:
    """Wait for a signal that raises; None for no other end.

    For a moment at a time: a signal is often taken by a thread that starts another one, as the shop does for each
    request, and then wakes nobody.
    """
    end = math.inf if seconds is None else time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(_LONGEST_WAIT, left))


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _server(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> Any:
    """Return a server with the monitored shop, at work; all that is set up ends with the stack."""
    from time_execution import logs
    from time_execution.cli.demo_shop import PaymentService, Shop, application, serve
    from time_execution.hooks import call_tree_hook, exception_hook
    from time_execution.monitor import monitor
    from time_execution.operations import shutdown
    from time_execution.settings import settings
    from time_execution.web.flask import init_app

    stack.callback(shutdown)
    store = arguments.db or folder / "shop.metrics.db"
    settings.configure(backends=[f"sqlite:///{Path(store).absolute()}"], hooks=[call_tree_hook, exception_hook])
    logs.configure(app_name="shop", log_dir=folder / "logs", log_console=False)
    payment = PaymentService(_SEED)
    stack.callback(payment.close)
    goods = folder / "goods.db"
    app = application(Shop(goods, payment.address))
    init_app(app, store=store, auth=_is_local)
    monitor.configure(sample_interval=_SAMPLES_EVERY, health_check_interval=_SAMPLES_EVERY)
    stack.callback(monitor.stop)
    monitor.register_health_check("goods", lambda: _answers(goods))
    monitor.register_health_check("payment", f"tcp://127.0.0.1:{payment.address[1]}")
    monitor.register_threshold(metric="request_p95", warning_threshold=100, critical_threshold=1000, duration=10)
    monitor.register_threshold(metric="cpu_percent", warning_threshold=90, critical_threshold=99, duration=60)
    server = serve(app, arguments.port)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return server


def _is_local(request: Any) -> bool:
    """Whether the browser means this machine by the name that it asked for; some page may have led it here."""
    return request.host.partition(":")[0] in _LOCAL


def _answers(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("SELECT 1 FROM goods LIMIT 1")
