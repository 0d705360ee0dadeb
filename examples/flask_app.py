"""A monitored Flask application, and some requests to it. For real: ``flask --app flask_app run``, or gunicorn."""

from __future__ import annotations

from flask import Flask, abort

from time_execution import flush, time_execution
from time_execution.monitor import monitor
from time_execution.web.flask import init_app

PRICES = {"tea": 3.2, "cake": 4.5}


@time_execution
def price_of(thing):
    return PRICES.get(thing)


def create_app():
    app = Flask(__name__)
    # Nobody is an administrator here: say who is, and the dashboard at /admin/monitoring/ opens.
    init_app(app, auth=lambda request: False)

    @app.get("/prices/<thing>")
    def price(thing):
        found = price_of(thing)
        if found is None:
            abort(404)
        return {thing: found}

    return app


if __name__ == "__main__":
    client = create_app().test_client()
    for path in ("/prices/tea", "/prices/cake", "/prices/gold", "/nowhere", "/livez", "/admin/monitoring/"):
        with client.get(path) as answer:
            print(answer.status_code, path, answer.headers["X-Request-ID"])
    for row in monitor.requests.routes():
        print(f"{row['method']} {row['route']}: {row['count']} requests, {row['p95']:.2f} ms", row["statuses"])
    flush()
    print("Now look at it: time-execution report metrics.db")
