"""What tracking costs, in floors of `tests.bench`; `make bench` holds it against the older library."""

from __future__ import annotations

import pytest

from tests.bench import tracked_calls
from tests.bench.floor import floor, noop
from tests.bench.measure import calling, compare
from tests.patience import least, on_this_python
from time_execution.tracker import ProcessTracker

pytestmark = pytest.mark.serial

# Set on CPython 3.11, where the older library's own figures are: 8.8, 11.9, 11.4, 11.0, 9.1 and 12.4 floors.
BOUNDS = {
    "entry point": 3.2,
    "with a part": 5.3,
    "with a timer": 6.3,
    "with a metric and an identifier": 6.7,
    "async entry point": 3.7,
    "async, with a part": 6.3,
}


@pytest.mark.parametrize("label", BOUNDS)
def test_an_entry_point_costs_at_most_so_many_floors(label):
    """With nothing configured, a line costs a few times as much as the least that measuring a call can cost."""
    window = tracked_calls.windows(ProcessTracker)[label]

    def ratio():
        return compare(calling(floor(noop)), window, calls=300, repeats=100).ratio

    bound = on_this_python(BOUNDS[label])
    assert least(ratio, bound) <= bound
