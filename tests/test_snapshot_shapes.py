"""Tables and arrays are told by their class and shape, at once, and their elements never."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from tests.patience import least_time
from time_execution.formats.snapshot import snapshot
from time_execution.timer import Timer


def frame(**columns: Any) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns or {"a": [1, 2, 3], "b": [4, 5, 6]})


def geo_frame() -> Any:
    """Make what geopandas makes: a subclass of a data frame with a column and an attribute of its own."""
    pandas: Any = pytest.importorskip("pandas")

    class GeoDataFrame(pandas.DataFrame):
        _metadata = ("crs",)

        @property
        def _constructor(self) -> Any:
            return GeoDataFrame

        def __repr__(self) -> str:
            raise AssertionError("rendered")

        __str__ = _repr_html_ = __len__ = __repr__  # type: ignore[assignment]

    GeoDataFrame.__module__ = "geopandas.geodataframe"
    GeoDataFrame.__qualname__ = "GeoDataFrame"
    return GeoDataFrame({"geometry": ["POINT (0 0)"] * 4, "name": ["x"] * 4})


def from_library(library: str, make: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: make(pytest.importorskip(library))


@pytest.mark.parametrize(
    ("make", "kind", "shape"),
    [
        (frame, "DataFrame", (3, 2)),
        (lambda: frame()["a"], "Series", (3,)),
        (lambda: frame().index, "RangeIndex", (3,)),
        (lambda: frame()[[]], "DataFrame", (3, 0)),
        (from_library("numpy", lambda numpy: numpy.zeros((2, 3, 4))), "ndarray", (2, 3, 4)),
        (from_library("numpy", lambda numpy: numpy.ma.masked_array([1, 2], [0, 1])), "MaskedArray", (2,)),
        (from_library("pyarrow", lambda arrow: arrow.table({"a": [1, 2], "b": [3, 4]})), "Table", (2, 2)),
    ],
    ids=["frame", "series", "index", "no columns", "array", "masked", "arrow"],
)
def test_shape_is_told(make: Callable[[], Any], kind: str, shape: tuple[int, ...]) -> None:
    """The text has the class and the shape, nested or not."""
    value = make()
    text = snapshot(value)
    assert isinstance(text, str)
    assert kind in text
    assert f"shape={shape}" in text
    assert snapshot({"x": [value]}) == {"x": [text]}


def test_subclass_of_a_data_frame_is_told_without_its_own_code() -> None:
    """A geographic data frame is told by its own name; what it overrides is not called."""
    assert snapshot(geo_frame()) == "<geopandas.geodataframe.GeoDataFrame shape=(4, 2)>"


def test_values_of_a_table_are_in_no_record(tmp_path: Any) -> None:
    """A timer that is given tables writes their shapes, none of their cells, and in no time."""
    from time_execution import flush

    table = frame(password=["hunter2"] * 1000, text=["cell"] * 1000)
    timed = Timer(log_to_console=False, log_dir=tmp_path)(lambda data, more=None: len(data))
    assert timed(table, more={"rows": [table]}) == 1000
    assert flush(20)
    text = (tmp_path / "timing.log").read_text(encoding="utf-8")
    assert text.count("shape=(1000, 2)") == 2
    assert "hunter2" not in text
    assert "cell" not in text


@pytest.mark.serial
def test_size_of_a_table_costs_nothing() -> None:
    """A table of millions of cells is told as fast as a small one."""
    import time

    numpy = pytest.importorskip("numpy")
    values = [frame(**{f"c{n}": numpy.zeros(100_000) for n in range(50)}), numpy.zeros((5000, 1000))]

    def measure() -> float:
        started = time.perf_counter()
        for value in values:
            snapshot(value)
        return time.perf_counter() - started

    assert least_time(measure, 0.002) <= 0.002


# ---- what is no such library's -------------------------------------------------------------------------------------


class Claims:
    """Somebody's own class that has a shape, and keeps count of who asks for it."""

    asked: ClassVar[list[Any]] = []

    @property
    def shape(self) -> Any:
        self.asked.append(self)
        return (1, 2)


def test_shape_of_an_unknown_class_is_not_asked_for() -> None:
    """A property of that name is its owner's code."""
    assert snapshot(Claims()).endswith("Claims>")
    assert Claims.asked == []


def test_class_that_claims_to_be_a_librarys_is_not_asked() -> None:
    """The module that a class names must have that very class under its name."""

    class DataFrame:
        shape = Claims.shape
        asked = Claims.asked

    DataFrame.__module__ = "pandas.core.frame"
    DataFrame.__qualname__ = "DataFrame"
    pytest.importorskip("pandas")
    assert "shape" not in snapshot(DataFrame())
    assert Claims.asked == []


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Pretend that polars has a class, with whatever there is under shape."""

    def pretend(shape: Any) -> Any:
        module = types.ModuleType("polars.made_up")
        made = type("Made", (), {"shape": shape, "__module__": "polars.made_up"})
        module.Made = made  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "polars.made_up", module)
        return made()

    return pretend


def test_class_of_a_known_library_is_asked(library: Callable[[Any], Any]) -> None:
    """The pretence itself works."""
    assert snapshot(library(property(lambda _: (1, 2)))) == "<polars.made_up.Made shape=(1, 2)>"


@pytest.mark.parametrize(
    "shape",
    [
        property(lambda _: 1 / 0),
        property(lambda _: 5),
        property(lambda _: ("rows", 2)),
        property(lambda _: (True, 2)),
        property(lambda _: None),
        (1, 2),
        lambda _: (1, 2),
        None,
    ],
    ids=["raises", "number", "text", "bool", "none", "attribute", "method", "absent"],
)
def test_shape_that_is_none_is_left_out(library: Callable[[Any], Any], shape: Any) -> None:
    """A library of a version that is not known may have anything there; then the class has to do."""
    assert snapshot(library(shape)) == "<polars.made_up.Made>"


def test_subclass_with_parts_of_its_own_is_not_asked() -> None:
    """A data frame whose class has an index of its own runs none of that code; its class is all that shows."""
    asked = []
    pandas: Any = pytest.importorskip("pandas")

    class Own(pandas.DataFrame):
        @property
        def index(self) -> Any:
            asked.append("index")
            return super().index

    table = Own({"a": [1]})
    asked.clear()
    assert snapshot(table) == f"<{__name__}.{Own.__qualname__}>"
    assert asked == []
