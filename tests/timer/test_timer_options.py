"""The parameters of `Timer` and `ErrorCatcher`: what each changes, and what is refused at once."""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.child import printed_by
from tests.timer.written import FIELDS
from tests.unprivileged import without_privileges
from time_execution import flush, stats
from time_execution.exceptions import ConfigurationError
from time_execution.timer import ErrorCatcher, Timer, sanitizer


def echo(text):
    return text


def fail(text):
    raise ValueError(text)


WRONG = [
    ({"log_to_console": "yes"}, "log_to_console"),
    ({"log_to_file": 1}, "log_to_file"),
    ({"sanitize_func": "no"}, "sanitize_func"),
    ({"max_arg_length": 0}, "max_arg_length"),
    ({"max_arg_length": True}, "max_arg_length"),
    ({"max_arg_length": 1.5}, "max_arg_length"),
    ({"max_bytes": 0}, "max_bytes"),
    ({"max_bytes": "1M"}, "max_bytes"),
    ({"backup_count": -1}, "backup_count"),
    ({"backup_count": None}, "backup_count"),
    ({"gzip_backups": "no"}, "gzip_backups"),
]
WRONG_FOR_TIMERS = [
    ({"track_resources": None}, "track_resources"),
    ({"results_format": "xlsx"}, "results_format"),
    ({"results_format": "CVS"}, r"results_format: expected 'csv', 'parquet' or None, got 'CVS'"),
    ({"results_format": ["csv"]}, "results_format"),
    ({"results_format": False}, "results_format"),
    ({"log_dir": ""}, "log_dir"),
    ({"log_dir": None}, "log_dir"),
    ({"log_dir": b"logs"}, "log_dir"),
    ({"log_dir": 5}, "log_dir"),
    ({"log_dir": "a\0b"}, "Timer: log_dir: timing.log must be the path of a file, not a text with NUL in it"),
    ({"log_dir": __file__}, "Timer: log_dir: timing.log must be the path of a file that can be .* is no folder"),
    ({"log_dir": __file__, "log_to_file": False}, "Timer: log_dir: timing_results.csv must be the path of a file that"),
    ({"name": ""}, "name"),
    ({"name": 5}, "name"),
]
WRONG_FOR_CATCHERS = [
    ({"error_log_file": ""}, "error_log_file"),
    ({"error_log_file": 5}, "error_log_file"),
    ({"error_log_file": b"x"}, "error_log_file"),
    ({"error_log_file": "a\0b"}, "ErrorCatcher: error_log_file must be the path of a file, not a text with NUL in it"),
    ({"error_log_file": "/"}, "ErrorCatcher: error_log_file must be the path of a file, not a folder"),
]


@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.parametrize(("options", "named"), WRONG)
def test_wrong_values_are_refused_by_both(tmp_path, options, named, to_file):
    """A wrong value is told by its name when the decorator is made, also where no file is wanted."""
    with pytest.raises(ConfigurationError, match=named):
        Timer(**{"log_dir": tmp_path, "log_to_file": to_file, "results_format": None, **options})
    with pytest.raises(ConfigurationError, match=named):
        ErrorCatcher(**{"error_log_file": tmp_path / "error.log", "log_to_file": to_file, **options})


@pytest.mark.parametrize(("options", "named"), WRONG_FOR_TIMERS)
def test_wrong_values_are_refused_by_a_timer(tmp_path, options, named):
    """The same for what only a timer takes."""
    with pytest.raises(ConfigurationError, match=named):
        Timer(**{"log_dir": tmp_path, **options})


@pytest.mark.parametrize(("options", "named"), WRONG_FOR_CATCHERS)
def test_wrong_values_are_refused_by_a_catcher(options, named):
    """The same for what only a catcher takes."""
    with pytest.raises(ConfigurationError, match=named):
        ErrorCatcher(**options)


@pytest.mark.parametrize("name", ["csv", "CSV", "Parquet"])
def test_table_is_named_in_any_case(tmp_path, name):
    """As upstream took it; a word that names none is shown, a text that is no word is not."""
    Timer(log_to_console=False, log_dir=tmp_path, results_format=name)(echo)("a")
    assert flush(20)
    assert (tmp_path / f"timing_results.{name.lower()}").exists()
    for wrong, told in (("xlsx", "'xlsx'"), ("a b", "a str"), ("x" * 30, "a str"), ("", "an empty str"), (5, "an int")):
        with pytest.raises(ConfigurationError, match=f"expected 'csv', 'parquet' or None, got {told}$"):
            Timer(log_dir=tmp_path, results_format=wrong)


def test_missing_parentheses_are_told():
    """Both decorators take parameters, so one that is used bare says what to write, before any call."""
    with pytest.raises(ConfigurationError, match=r"@Timer\(\)"):
        Timer(echo)
    with pytest.raises(ConfigurationError, match=r"@ErrorCatcher\(\)"):
        ErrorCatcher(echo)


def test_unknown_parameter_is_refused():
    """A misspelt parameter is an error, as with any function."""
    make: Any = Timer
    with pytest.raises(TypeError):
        make(track_resource=True)


def test_parameters_may_be_given_by_position(tmp_path, monkeypatch):
    """The first parameters are upstream's, in upstream's order."""
    monkeypatch.chdir(tmp_path)
    Timer(False, True, False, 3, sanitizer, "csv")(echo)("abc1")
    catcher = ErrorCatcher(False, True, "here.log", 10_000, 2, sanitizer, 3)
    with pytest.raises(ValueError, match="abc1"):
        catcher(fail)("abc1")
    assert flush(20)
    record = json.loads((tmp_path / "logs" / "timing.log").read_text(encoding="utf-8"))
    assert (record["arguments"], record["rss_bytes"]) == ("text='ab…", None)
    error = json.loads((tmp_path / "here.log").read_text(encoding="utf-8"))
    assert (error["arguments"], error["message"]) == ("text='ab…", "abc*")


# ---- where ---------------------------------------------------------------------------------------------------------


def test_default_paths_are_below_the_working_directory(tmp_path, monkeypatch):
    """Without a folder or a path, files stand in logs/, as upstream has them."""
    monkeypatch.chdir(tmp_path)
    both = ErrorCatcher(log_to_console=False)(Timer(log_to_console=False)(fail))
    with pytest.raises(ValueError, match="x"):
        both("x")
    assert flush(20)
    names = ["error.log", "timing.log", "timing_results.csv"]
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == names


def test_relative_folder_is_that_of_the_moment_it_was_named(tmp_path, monkeypatch):
    """Where the program goes later does not move its logs."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    both = ErrorCatcher(log_to_console=False, error_log_file="mine/e.log")(
        Timer(log_to_console=False, log_dir="mine")(fail)
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="x"):
        both("x")
    assert flush(20)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["e.log", "timing.log", "timing_results.csv"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_folder_that_can_never_be_written_is_refused(tmp_path):
    """A file in the place of the folder, and a folder without permission, are told at once."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="is no folder"):
        Timer(log_dir=tmp_path / "file")
    (tmp_path / "closed").mkdir(mode=0o500)
    with without_privileges(), pytest.raises(ConfigurationError, match="permission"):
        Timer(log_dir=Path("/") / "no-such-folder-of-ours")


def test_timers_with_equal_options_share_their_files(written):
    """Any number of timers may name one folder; through one queue, and each record once."""
    for number in range(5):
        written.timer()(echo)(number)
    assert len(written.timings()) == 5
    assert len(stats()["backends"]) == 2


def test_timings_and_errors_do_not_share_a_file(tmp_path):
    """Whoever comes second is told, whichever it is."""
    for name, first, second in (("a", Timer, ErrorCatcher), ("b", ErrorCatcher, Timer)):
        where = {Timer: {"log_dir": tmp_path / name}, ErrorCatcher: {"error_log_file": tmp_path / name / "timing.log"}}
        kept = first(log_to_console=False, **where[first])
        with pytest.raises(ConfigurationError, match=r"timing\.log is written to already"):
            second(log_to_console=False, **where[second])
        assert kept.outputs
    assert len(Timer(log_to_file=False, log_to_console=False, log_dir=tmp_path / "b").outputs) == 1  # its table


def test_timers_with_other_options_for_one_file_are_refused(written):
    """Two ways to turn one file over cannot both be kept, so the second is an error that names the file."""
    first = written.timer(max_bytes=1000)
    with pytest.raises(ConfigurationError, match=r"timing\.log is written to already"):
        written.timer(max_bytes=2000)
    with pytest.raises(ConfigurationError, match="other options"):
        written.catcher(error_log_file=written.folder / "timing.log", max_bytes=3000)
    written.timer(max_bytes=2000, log_dir=written.folder / "other")(echo)("x")
    first(echo)("y")
    assert written.arguments() == ["text='y'"]


def test_timer_without_a_log_writes_the_table_and_the_other_way_round(written):
    """log_to_file is about timing.log and results_format about the table."""
    written.timer(log_to_file=False)(echo)("x")
    assert flush(20)
    assert [path.name for path in written.folder.iterdir()] == ["timing_results.csv"]
    written.timer(results_format=None, log_dir=written.folder / "b")(echo)("x")
    assert flush(20)
    assert [path.name for path in (written.folder / "b").iterdir()] == ["timing.log"]


def test_timer_with_nothing_to_write_to_just_calls(written, tmp_path):
    """Without a file, a console and a backend there is nothing to measure for."""
    assert written.timer(log_to_file=False, results_format=None)(echo)("x") == "x"
    assert flush(20)
    assert list(tmp_path.iterdir()) == []


def test_parquet_holds_the_same(written):
    """results_format='parquet' writes the same columns with their types."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("time_execution.backends.files.parquet")
    from time_execution.backends.files import open_rows

    timed = written.timer(results_format="parquet")(echo)
    for number in range(20):
        timed(number)
    assert flush(20)
    assert not (written.folder / "timing_results.csv").exists()
    with open_rows(written.folder / "timing_results.parquet") as rows:
        found = list(rows)
    records = written.timings()
    assert len(found) == 20
    assert [list(row)[: len(FIELDS)] for row in found] == [FIELDS] * 20
    assert [row["call_id"] for row in found] == [record["call_id"] for record in records]
    assert [row["wall_ms"] for row in found] == [record["wall_ms"] for record in records]


def test_missing_pyarrow_is_told_when_the_timer_is_made():
    """Asking for Parquet without pyarrow names the extra to install."""
    code = (
        "import sys\nsys.modules['pyarrow'] = None\nfrom time_execution.timer import Timer\n"
        "try: Timer(results_format='parquet')\nexcept ImportError as exc: print(str(exc).rpartition(' ')[2])\n"
    )
    assert printed_by(code) == ["'timeexecution[parquet]'"]


# ---- turning over --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gzip_backups", [False, True])
def test_logs_turn_over(written, gzip_backups):
    """Older files are numbered, no more of them are kept than asked for, and each holds whole lines."""
    options = {"max_bytes": 5_000, "backup_count": 3, "gzip_backups": gzip_backups}
    timed = written.catcher(**options)(written.timer(**options)(fail))
    for number in range(200):
        with pytest.raises(ValueError, match="x"):
            timed(f"x{number}")
        if number % 20 == 0:
            assert flush(20)
    assert flush(20)
    ending = ".gz" if gzip_backups else ""
    for name in ("timing.log", "error.log"):
        found = sorted(path.name for path in written.folder.glob(f"{name}*"))
        assert found == [name, *(f"{name}.{number}{ending}" for number in (1, 2, 3))]
        for path in written.folder.glob(f"{name}.*"):
            data = gzip.decompress(path.read_bytes()) if gzip_backups else path.read_bytes()
            assert len(data) <= 5_000
            assert all(json.loads(line) for line in data.splitlines())
    assert written.timings()[-1]["arguments"] == "text='x199'"
    assert len(written.rows()) == 201


# ---- texts ---------------------------------------------------------------------------------------------------------


def test_sanitizer_of_the_user_sees_each_argument_by_name(written):
    """sanitize_func is handed name=text for each argument, and what it returns is what is written."""
    seen = []

    def clean(text):
        seen.append(text)
        return text.replace("secret", "*****")

    written.timer(sanitize_func=clean)(lambda a, b: None)("my secret", 5)
    assert seen == ["a='my secret'", "b=5"]
    assert written.arguments() == ["a='my *****', b=5"]


@pytest.mark.parametrize("broken", [lambda text: 1 / 0, lambda text: None, lambda: "x", functools.partial(int, base=7)])
def test_sanitizer_that_fails_lets_nothing_through(written, broken, caplog):
    """Whatever goes wrong in it, the text it was given is not written, the call is untouched, and it is counted."""
    assert written.timer(sanitize_func=broken)(echo)("my secret") == "my secret"
    (record,) = written.timings()
    assert record["arguments"] == "<sanitizer failed>"
    assert None not in record.values()
    assert "my secret" not in (written.folder / "timing_results.csv").read_text(encoding="utf-8")
    assert sum(stats()["errors"]["hook"].values()) == 1
    assert "hook" not in caplog.text  # which it is counted with; whoever reads the line gave a sanitizer


def test_sanitizer_that_is_measured_itself_ends(written):
    """A sanitizer that calls functions under the same timer is not measured: that might go on without end."""
    calls = []

    def clean(text):
        calls.append(text)
        assert len(calls) < 100
        return helper(text, 1)

    timer = written.timer(sanitize_func=clean)

    @timer
    def helper(text, n):
        return text * n

    assert timer(echo)("a") == "a"
    assert calls == ["text='a'"]
    assert written.arguments() == ["text='a'"]
    assert sum(stats()["errors"]["hook"].values()) == 1


def test_text_class_of_a_sanitizer_is_not_called(written):
    """A sanitizer may return a text of a class of its own, whose methods are not ours to call."""

    class Text(str):
        __slots__ = ()
        __len__ = __getitem__ = __str__ = __format__ = lambda *_: 1 / 0

    written.timer(sanitize_func=Text, max_arg_length=3)(echo)("abcdef")
    assert written.arguments() == ["text='ab…"]


def test_long_arguments_are_cut_after_they_were_cleaned(written):
    """max_arg_length cuts the text of each argument, so that no sanitizer misses half of a secret."""
    written.timer(max_arg_length=6, sanitize_func=lambda text: text.replace("secret", "*"))(lambda a, b: None)(
        "xsecretyz", "abcdefghij"
    )
    assert written.arguments() == ["a='x*yz', b='abcde…"]


def test_ready_made_sanitizer_hides_digits_and_secrets(written):
    """`sanitizer` puts an asterisk for each digit; secrets are masked with and without it."""
    assert sanitizer("card 4111 of ann, password=hunter2") == "card **** of ann, password=***"
    written.timer(sanitize_func=sanitizer)(lambda card, password: None)("4111", "hunter2")
    written.timer()(lambda card, password: None)("4111", "hunter2")
    assert written.arguments() == ["card='****', password=***", "card='4111', password=***"]


# ---- console -------------------------------------------------------------------------------------------------------


def test_console_gets_the_same_lines(written, capsys):
    """With log_to_console, each record is a line on the standard error stream, the same as in the file."""
    both = written.catcher(log_to_console=True)(written.timer(log_to_console=True)(fail))
    with pytest.raises(ValueError, match="x"):
        both("x")
    assert flush(20)
    printed = capsys.readouterr()
    assert printed.out == ""
    timing, error = printed.err.splitlines()
    assert timing + "\n" == (written.folder / "timing.log").read_text(encoding="utf-8")
    assert error + "\n" == (written.folder / "error.log").read_text(encoding="utf-8")


def test_console_alone_makes_no_file(tmp_path, monkeypatch, capsys):
    """Without files there is a console only, on by default."""
    monkeypatch.chdir(tmp_path)
    Timer(log_to_file=False, results_format=None)(echo)("x")
    assert flush(20)
    assert json.loads(capsys.readouterr().err)["arguments"] == "text='x'"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["sys.stderr.close()", "sys.stderr = None", "os.close(2)"])
def test_closed_console_is_harmless(tmp_path, how):
    """A program that closed its standard error stream works, and its files are written."""
    code = (
        "import os, sys\nfrom time_execution import flush\nfrom time_execution.timer import Timer\n"
        f"timed = Timer(log_dir={str(tmp_path)!r})(len)\n{how}\n"
        "for _ in range(50): assert timed('abc') == 3\nassert flush(10)\nprint('done')\n"
    )
    assert printed_by(code) == ["done"]
    assert len((tmp_path / "timing.log").read_text(encoding="utf-8").splitlines()) == 50


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_importing_opens_nothing():
    """Importing the timer and decorating with it open no file, start no thread and load nothing else."""
    code = (
        "import os, sys, threading\nbefore = len(os.listdir('/proc/self/fd'))\n"
        "from time_execution.timer import ErrorCatcher, Timer\n"
        "Timer(log_dir='/tmp/not-made')(ErrorCatcher(error_log_file='/tmp/not-made/e.log')(len))\n"
        "assert len(os.listdir('/proc/self/fd')) == before and threading.active_count() == 1\n"
        "print([name for name in ('psutil', 'pyarrow', 'pandas', 'numpy') if name in sys.modules])\n"
    )
    assert printed_by(code) == ["[]"]
    assert not Path("/tmp/not-made").exists()
