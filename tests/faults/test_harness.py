"""The harness itself: its checks see an error of one, and its table of cases shows where they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness import DEADLINE, OUTAGE, FaultBackend, check_conservation, quick, wait_for


@pytest.mark.parametrize(
    "break_books",
    [
        lambda ledger: setattr(ledger, "delivered", ledger.delivered - 1),
        lambda ledger: setattr(ledger, "delivered", ledger.delivered + 1),
        lambda ledger: setattr(ledger, "taken", ledger.taken + 1),
        lambda ledger: ledger.dropped.update(["nothing"]),
    ],
)
def test_the_check_of_the_books_sees_an_error_of_one(deliver, break_books):
    """`check_conservation` fails for a delivery that counts one too many or too few, anywhere."""
    delivery = deliver(FaultBackend())
    for value in range(10):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    good = delivery.stats()
    ledger = delivery.channel.ledger
    saved = ledger.delivered, ledger.taken, ledger.dropped.copy()
    break_books(ledger)
    with pytest.raises(AssertionError):
        check_conservation(delivery.stats())
    ledger.delivered, ledger.taken, ledger.dropped = saved
    assert delivery.stats()["delivered"] == good["delivered"]


def test_the_check_of_the_books_sees_a_backend_that_loses_batches():
    """A delivery that forgets a batch without counting it does not pass (the harness's own test)."""
    delivery: Any = quick(FaultBackend([OUTAGE]))
    release = delivery.channel.release
    delivery.channel.release = lambda count, kept=(): release(count, ())
    for value in range(10):
        delivery.write("a", value=value)
    assert wait_for(delivery, lambda: delivery.backend.attempts and not delivery.channel.in_flight)
    with pytest.raises(AssertionError):
        check_conservation(delivery.stats(), offered=10)
    delivery.close(0.0)


def test_each_case_is_in_the_module_that_the_table_names():
    """A case of the README is named in a test of the module beside it, and each module of cases is there."""
    folder = Path(__file__).parent
    found: dict[Path, set[str]] = {}
    case = ""
    beside, _, elsewhere = (folder / "README.rst").read_text().partition("below ``tests``")
    for table, home in ((beside, folder), (elsewhere, folder.parent)):
        for line in table.splitlines():
            if match := re.fullmatch(r"([A-Z]\d+)? +.* ([a-z_/]*test_\w+)", line):
                case = match[1] or case
                found.setdefault(home / f"{match[2]}.py", set()).add(case)
    assert len(set().union(*found.values())) == 56
    for module, cases in found.items():
        assert cases <= set(re.findall(r"\b[A-Z]\d+\b", module.read_text())), module
