"""A monitored FastAPI application, and some requests to it. For real: ``uvicorn fastapi_app:app``."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, FastAPI, HTTPException

from time_execution import flush, time_execution
from time_execution.monitor import monitor
from time_execution.web.asgi import init_app

PRICES = {"tea": 3.2, "cake": 4.5}
router = APIRouter()


@router.get("/prices/{thing}")
async def price(thing: str) -> float:
    found = await price_of(thing)
    if found is None:
        raise HTTPException(404)
    return found


@time_execution
async def price_of(thing: str) -> float | None:
    await asyncio.sleep(0.01)
    return PRICES.get(thing)


app = FastAPI()
app.include_router(router, prefix="/v1")
# Nobody is an administrator here: say who is, and the dashboard at /admin/monitoring/ opens.
init_app(app, auth=lambda request: False)


async def get(path):
    """Ask the application for a path, as a server would."""

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        if message["type"] == "http.response.start":
            print(message["status"], path, dict(message["headers"]).get(b"x-request-id", b"").decode())

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "client": ("::1", 1)}
    await app(scope, receive, send)


async def main():
    things = ("tea", "cake", "tea", "gold")
    await asyncio.gather(*(get(f"/v1/prices/{thing}") for thing in things), get("/livez"), get("/admin/monitoring/"))


if __name__ == "__main__":
    asyncio.run(main())
    for row in monitor.requests.routes():
        print(f"{row['method']} {row['route']}: {row['count']} requests, {row['p95']:.2f} ms", row["statuses"])
    flush()
    print("Now look at it: time-execution report metrics.db")
