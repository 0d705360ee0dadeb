"""Dead letters to replay and to purge, and the commands that do."""

from __future__ import annotations

import pytest

from tests.cli.test_spool_command import metrics
from time_execution.delivery.deadletter import DeadLetters, read


@pytest.fixture(name="path")
def path_fixture(tmp_path):
    """Give the place of a file of letters."""
    return tmp_path / "letters.jsonl"


PURGE = ("spool", "purge", "--yes")
REPLAY = ("spool", "replay", "--to", "memory://")
WRITING = pytest.mark.parametrize("action", [PURGE, REPLAY], ids=["purge", "replay"])


def write_letters(path, count, *, first=0, name="f", reason="mapping", **options):
    writer = DeadLetters(path, **options)
    for metric in metrics(count, first=first, name=name):
        assert writer.append(metric, reason, "why")
    return path


def values(path):
    return [letter.metric["value"] for letter in read(path)]
