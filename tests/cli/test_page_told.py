"""What a page says in words: what was asked for, what is missing, what is left out, and in what its plots count."""

from __future__ import annotations

import re

import pytest

from tests.cli.test_page_pictures import page, section, words  # noqa: F401 - `page` is a fixture
from tests.report_files import lines, timing
from time_execution.cli import report as command_module


def test_files_know_every_moment(in_process, tmp_path):
    """As programs get them, with a fraction where there is one."""
    lines(tmp_path / "timing.log", timing(4), timing(0), timing(3, ended="2024-05-01T12:00:44.250000Z"))
    out = in_process("report", "timing.log", "--json").stdout
    assert '"first_seen": "2024-05-01T12:00:00Z"' in out
    assert '"last_seen": "2024-05-01T12:00:44.250000Z"' in out


def test_what_was_asked_for_stands_at_the_head(page, tmp_path):  # noqa: F811 - the fixture
    """Pattern and range; a page of everything says nothing."""
    lines(tmp_path / "a", timing(0), timing(70, name="other"))
    shown = words(page("a", options=("--pattern", "shop.*<b>", "--since", "2024-05-01T12:00Z")))
    assert "Only names that match shop.*<b> , since 2024-05-01 12:00 UTC" in shown
    assert "No name matches shop.*<b> in this time." in shown
    assert "Only" not in words(page("a"))
    assert "There is no metric in this time." in words(page("a", options=("--since", "2024-05-02T12:00Z")))


def test_a_file_that_is_cut_off_is_named_loudly(in_process, tmp_path):
    """On stderr in every form, and on the page; what could be read is reported."""
    path = lines(tmp_path / "t.log.gz", *(timing(n) for n in range(2000)))
    path.write_bytes(path.read_bytes()[:5000])
    for form in ([], ["--json"], ["--csv"], ["--html", "page.html"]):
        done = in_process("report", path.name, *form)
        assert done.returncode == 0
        assert "t.log.gz IS NOT WHOLE: the file is cut off or damaged" in done.stderr
    assert "Not whole: t.log.gz" in re.sub(r"<.*?>", "", (tmp_path / "page.html").read_text("utf-8"))


def test_a_page_is_bounded_unless_told_otherwise(page, tmp_path, monkeypatch):  # noqa: F811 - the fixture
    """It says how many functions are left out, and what puts them there; bars say that they are the first ones."""
    monkeypatch.setattr(command_module, "_PAGE_LIMIT", 15)
    lines(tmp_path / "a", *(timing(n, 1.0 + n, name=f"f{n}") for n in range(20)))
    bounded, whole = page("a"), page("a", options=("--limit", "0"))
    assert "15 of 20 functions are on this page; --limit 0 puts all of them there." in words(bounded).replace("  ", " ")
    assert (bounded.count("<tr><td><span"), whole.count("<tr><td><span")) >= (15, 20)
    assert "are on this page" not in whole
    assert "shown are the 12 of 20 functions that took most" in section(whole, "Time per function")
    assert "of 20 functions that changed it most" in section(whole, "Memory change per function")
    lines(tmp_path / "b", timing())
    assert "shown are" not in page("b")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (range(41), ("calls per 1 s", "41 calls, at most 1 per 1 s")),
        (range(0, 1500, 5), ("calls per 30 s", "300 calls, at most 6 per 30 s")),
        (range(0, 80_000, 1000), ("calls per 30 min", "80 calls, at most 2 per 30 min")),
        ([0], ("calls per 100 ms", "1 call, at ")),
        ([7, 7, 7], ("calls per 100 ms", "3 calls, all at the same moment, at ")),
    ],
)
def test_calls_are_counted_in_round_periods(page, tmp_path, seconds, said):  # noqa: F811 - the fixture
    """From a round moment on; the plot and its words name the period, and those of one moment claim no other."""
    lines(tmp_path / "a", *(timing(n) for n in seconds))
    found = section(page("a"), "Calls over time")
    for each in said:
        assert each in found
    if list(seconds) == list(range(41)):
        assert found.count("<title>") == 41
    if len(set(seconds)) == 1:
        assert found.count("<title>") == 1
        assert " to " not in words(found)
        assert 'viewBox="0 0 21 100"' in found


def test_single_calls_have_titled_columns_and_short_ids(page, tmp_path):  # noqa: F811 - the fixture
    """Arguments under their title; of an id its beginning, the whole under the pointer."""
    lines(tmp_path / "a", timing(call_id="0123456789abcdef"), timing(1))
    found = page("a")
    assert found.count('<th scope="col" class="wide">arguments</th>') == 2
    assert found.count('title="0123456789abcdef">01234567…<') == 2
    assert "call_id=" not in found
    lines(tmp_path / "b", timing(call_id="<b>" * 9, arguments="x"))
    assert 'title="&lt;b&gt;&lt;b&gt;' in page("b")
