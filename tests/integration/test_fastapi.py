"""The decorator on FastAPI routes and dependencies, whose parameters FastAPI reads from annotations that are text."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import fastapi
import pydantic

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer test clients announce that they will move to another HTTP client
    from fastapi.testclient import TestClient

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import settings, time_execution

log: list[str] = []


class Item(pydantic.BaseModel):
    """A body that is validated."""

    name: str
    price: float = 1.0


@time_execution
def pager(page: int = 1) -> dict[str, int]:
    """A plain dependency."""
    return {"page": page}


@time_execution
def session() -> Iterator[str]:
    """A dependency with something to clean up."""
    log.append("open")
    yield "session"
    log.append("closed")


@time_execution
async def async_session() -> AsyncIterator[str]:
    """The same, asynchronous."""
    log.append("async open")
    yield "async session"
    log.append("async closed")


@time_execution
class Filter:
    """A dependency that is a class."""

    def __init__(self, colour: str, size: int = 3) -> None:
        self.colour, self.size = colour, size


router = fastapi.APIRouter()


@router.get("/plain/{number}")
@time_execution
def plain(number: int, scale: float = 2.0) -> dict[str, float]:
    """Run in a thread pool."""
    return {"result": number * scale}


@router.post("/items")
@time_execution
async def create(item: Item, request: fastapi.Request) -> Item:
    """Take a validated body."""
    return Item(name=f"{request.method} {item.name}", price=item.price)


@router.get("/page")
@time_execution
async def page(
    paging: Annotated[dict[str, int], fastapi.Depends(pager)],
    one: Annotated[str, fastapi.Depends(session)],
    two: Annotated[str, fastapi.Depends(async_session)],
    chosen: Annotated[Filter, fastapi.Depends(Filter)],
) -> dict[str, Any]:
    """Take what dependencies give."""
    return {**paging, "one": one, "two": two, "colour": chosen.colour, "size": chosen.size}


@router.get("/broken")
@time_execution
async def broken() -> None:
    """Refuse."""
    raise fastapi.HTTPException(418, "teapot")


@router.get("/later")
@time_execution
async def later(tasks: fastapi.BackgroundTasks) -> str:
    """Leave something to do after the response."""
    tasks.add_task(time_execution(name="background")(log.append), "background")
    return "later"


@pytest.fixture(name="client")
def client_fixture() -> Iterator[TestClient]:
    """Return a client of an application with all routes."""
    log.clear()
    app = fastapi.FastAPI()
    app.include_router(router)
    with TestClient(app) as client:
        yield client


def short(kept: Kept) -> list[str]:
    """Return the last parts of the series' names, sorted."""
    return sorted(name.rpartition(".")[2] for name in kept.names)


def test_parameters_are_read_through_the_decorator(client, kept: Kept):
    """Path and query parameters are converted, and a wrong one is refused."""
    assert client.get("/plain/4?scale=0.5").json() == {"result": 2.0}
    assert client.get("/plain/four").status_code == 422
    assert short(kept) == ["plain"]


def test_body_and_special_parameters_are_recognised(client, kept: Kept):
    """A model is a body and a Request the request, though their names are text in the annotations."""
    assert client.post("/items", json={"name": "a"}).json() == {"name": "POST a", "price": 1.0}
    assert client.post("/items", json={"price": "x"}).status_code == 422
    assert short(kept) == ["create"]


def test_dependencies_of_every_kind_are_measured(client, kept: Kept):
    """Functions, generators, asynchronous generators and classes are resolved, cleaned up and measured."""
    found = client.get("/page?page=3&colour=red").json()
    assert found == {"page": 3, "one": "session", "two": "async session", "colour": "red", "size": 3}
    assert sorted(log) == ["async closed", "async open", "closed", "open"]
    assert short(kept) == ["Filter", "async_session", "page", "pager", "session"]


def test_refusal_is_the_routes_own(client, kept: Kept):
    """An HTTPException becomes its response, and the call is measured."""
    settings.configure(hooks=[lambda exception, **_: {"status": getattr(exception, "status_code", None)}])
    response = client.get("/broken")
    assert (response.status_code, response.json()) == (418, {"detail": "teapot"})
    assert kept.metrics[0]["status"] == 418


def test_background_task_is_measured(client, kept: Kept):
    """What runs after the response is measured, too."""
    assert client.get("/later").json() == "later"
    assert log == ["background"]
    assert short(kept) == ["background", "later"]


def test_documentation_of_the_interface_is_whole(client):
    """The OpenAPI document shows names, docstrings and parameters as written."""
    document = client.get("/openapi.json").json()
    described = document["paths"]["/plain/{number}"]["get"]
    assert described["summary"] == "Plain"
    assert described["description"] == "Run in a thread pool."
    assert [parameter["name"] for parameter in described["parameters"]] == ["number", "scale"]
    assert "Item" in document["components"]["schemas"]
