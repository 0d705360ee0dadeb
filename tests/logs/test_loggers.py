"""The application's logger, those below it and beside it, and what changes when they are configured anew."""

from __future__ import annotations

import copy
import logging
import logging.config
import os
import pickle
import shutil
import stat
import threading

import pytest

from tests.logs.kept_log import KeptLog
from time_execution import flush, shutdown, stats
from time_execution.exceptions import ConfigurationError
from time_execution.logs import attach, configure, get_logger, logger, reset
from time_execution.logs.handler import RecordHandler


def test_logger_is_the_standard_librarys(kept):
    """Whatever that has, the proxy has, and tools that know its name find the same one."""
    real = logging.getLogger("shop")
    assert logger.name == "shop"
    assert logger.real is real
    assert [logger.DEBUG, logger.INFO, logger.WARNING, logger.ERROR, logger.CRITICAL] == [10, 20, 30, 40, 50]
    logger.propagate = False
    assert real.propagate is False
    del logger.propagate
    logger.propagate = True
    real.info("by the real one")
    logger.log(logger.WARNING, "by %s", "the proxy")
    assert kept.messages() == ["by the real one", "by the proxy"]
    assert not hasattr(logger, "no_such_attribute")


def test_get_logger_returns_loggers_below(kept):
    """Their lines go where the application's go, once, under their own names."""
    get_logger("billing").info("one")
    get_logger("shop.orders").info("two")
    get_logger().info("three")
    assert [record["logger"] for record in kept.records()] == ["shop.billing", "shop.orders", "shop"]
    assert get_logger("billing") is get_logger("billing")
    assert get_logger("shop").real is logger.real


def test_after_a_reset_nobody_knows_whom_it_stands_for(kept):
    """Till its next use, it shows what it was asked for with."""
    child = get_logger("billing")
    child.info("line")
    assert "shop.billing" in repr(child)
    reset()
    assert repr(child) == "<LazyLogger billing>"


@pytest.mark.parametrize("name", ["", 5])
def test_names_that_are_none_are_errors(name):
    """A logger's name is a text that is not empty."""
    with pytest.raises(ConfigurationError, match="get_logger"):
        get_logger(name)


def test_loggers_can_be_copied_and_pickled(kept):
    """A logger that an object refers to goes along with it, by its name."""
    for each in (logger, get_logger("billing")):
        assert pickle.loads(pickle.dumps(each)) is each
        assert copy.deepcopy([each])[0] is each
    assert kept.records() == []


def test_lines_below_the_level_are_not_recorded(kept):
    """LOG_LEVEL holds for the application's logger and those below it."""
    logger.debug("no")
    get_logger("billing").debug("no")
    configure(log_level="DEBUG")
    get_logger("billing").debug("yes")
    assert kept.messages() == ["yes"]


def test_files_are_for_their_owner_only(kept):
    """Whatever the umask is, files are 0600 and the folder 0700."""
    before = os.umask(0)
    try:
        logger.error("line")
        assert len(kept.lines()) == 1
    finally:
        os.umask(before)
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    names = sorted(path.name for path in kept.folder.iterdir())
    assert names == ["shop.log", "shop_error.log", "shop_structured.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.folder.iterdir()} == {0o600}


def test_each_destination_takes_its_levels(kept, capsys):
    """The console and two files have all lines, the error file those from ERROR on."""
    configure(log_console=True)
    for level in ("INFO", "WARNING", "ERROR", "CRITICAL"):
        logger.log(logging.getLevelName(level), "a line of %s", level)
    assert len(kept.records()) == 4
    assert [line.rpartition(" ")[2] for line in kept.lines()] == ["INFO", "WARNING", "ERROR", "CRITICAL"]
    assert [line.rpartition(" ")[2] for line in kept.lines("_error.log")] == ["ERROR", "CRITICAL"]
    out, err = capsys.readouterr()
    assert out.splitlines() == kept.lines()
    assert "a line of" not in err


def test_nothing_is_attached_unless_asked(kept):
    """Other loggers and the root get no handler of ours; the application's gets one, however often it is configured."""
    configure(log_level="DEBUG")
    configure(flask_env="test")
    assert sum(isinstance(handler, RecordHandler) for handler in logger.handlers) == 1
    assert not any(isinstance(handler, RecordHandler) for handler in logging.root.handlers)
    logging.getLogger("elsewhere").warning("no")
    assert kept.messages() == []


def test_attached_loggers_feed_the_same_destinations_once(kept):
    """A line that comes by several attached loggers on its way to the root is recorded once."""
    try:
        attach("root")
        attach(logging.getLogger("library"), level="INFO")
        attach("library")
        attach(get_logger("billing"))
        logging.getLogger("library.part").info("one")
        logging.getLogger("elsewhere").warning("two")
        get_logger("billing").info("three")
        logger.info("four")
        assert kept.messages() == ["one", "two", "three", "four"]
        reset()
        assert not any(isinstance(handler, RecordHandler) for handler in logging.root.handlers)
    finally:
        logging.getLogger("library").setLevel(logging.NOTSET)


def test_repeated_lines_are_no_repetition(kept):
    """With several loggers attached, equal lines are recorded each, and nothing is kept of them."""
    library = logging.getLogger("library")
    attach("library", level="INFO")
    for _ in range(1000):
        library.info("same")
    library.setLevel(logging.NOTSET)
    assert kept.messages() == ["same"] * 1000
    assert not next(handler for handler in library.handlers if isinstance(handler, RecordHandler))._seen


@pytest.mark.parametrize(("target", "options"), [(5, {}), (None, {}), ("library", {"level": "LOUD"})])
def test_what_is_no_logger_cannot_be_attached(kept, target, options):
    """Neither can one whose level is none."""
    with pytest.raises(ConfigurationError, match="attach"):
        attach(target, **options)


def test_a_new_name_is_a_new_logger_and_new_files(kept):
    """After the name changed, the proxy is the new logger, the old one as it was, and each file has its lines."""
    logger.info("old")
    before = logger.real
    configure(app_name="market")
    logger.info("new")
    before.info("nowhere")
    assert (before.level, before.handlers) == (logging.NOTSET, [])
    assert flush(20)
    assert (kept.folder / "market.log").read_text(encoding="utf-8").endswith(" - market - INFO - new\n")
    assert kept.messages() == ["old"]


def test_configuring_keeps_what_does_not_change(kept):
    """Destinations that are wanted as they were go on; others deliver what they have before they are closed."""
    logger.info("before")
    open_before = list(stats()["backends"])
    configure(flask_env="production")
    assert list(stats()["backends"]) == open_before
    logger.info("between")
    configure(log_profile="ecs")
    logger.info("after")
    flat, between, after = kept.records()
    assert (flat["environment"], between["environment"]) == ("development", "production")
    assert after["service"] == {"name": "shop", "environment": "production"}
    assert len(kept.lines()) == 3


def test_lines_written_while_it_is_configured_are_kept(kept):
    """Each line of threads that log all the while is in a file once, whatever folder is configured meanwhile."""
    stop = threading.Event()
    written = []

    def write():
        number = 0
        while not stop.is_set():
            logger.info("line %d", number)
            number += 1
        written.append(number)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(6):
        configure(log_dir=kept.folder / str(number))
    stop.set()
    for thread in threads:
        thread.join(20)
    assert flush(20)
    found = [line for path in kept.folder.rglob("shop.log") for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(found) == sum(written)


def test_lines_after_the_end_are_counted(kept):
    """After shutdown() a line raises nothing and is counted; configuring again opens everything anew."""
    logger.info("before")
    shutdown(20)
    logger.error("too late")
    assert [each["rejected"] for each in stats()["backends"].values()] == [{"after_close": 1}] * 3
    configure()
    logger.info("after")
    assert kept.messages() == ["before", "after"]


def test_files_that_others_remove_or_rename_are_made_again(kept):
    """After logrotate has moved them, or somebody has removed the folder, lines go to new files."""
    logger.error("one")
    kept.lines()
    for ending in (".log", "_error.log", "_structured.json"):
        (kept.folder / f"shop{ending}").rename(kept.folder / f"old{ending}")
    logger.error("two")
    assert kept.messages() == ["two"]
    assert len(kept.lines()) == len(kept.lines("_error.log")) == 1
    assert (kept.folder / "old.log").read_text(encoding="utf-8").endswith(" - one\n")
    shutil.rmtree(kept.folder)
    logger.error("three")
    assert kept.messages() == ["three"]


@pytest.fixture
def other_loggers():
    """Let all loggers that there are be as they are, whatever a test does to them."""
    known = {each: each.disabled for each in logging.Logger.manager.loggerDict.values() if hasattr(each, "disabled")}
    handlers = logging.root.handlers[:]
    yield
    for each, disabled in known.items():
        each.disabled = disabled
    logging.root.handlers[:] = handlers


@pytest.mark.usefixtures("other_loggers")
@pytest.mark.parametrize("loggers", [{}, {"shop": {"level": "INFO", "handlers": []}}], ids=["unknown", "known"])
def test_configuring_again_after_logging_was_configured(kept, loggers):
    """What `logging.config` silenced, or took the handler off, is set up by `configure`, as the document says."""
    logging.config.dictConfig({"version": 1, "loggers": loggers})
    logger.info("lost")
    configure()
    logger.info("kept")
    assert kept.messages() == ["kept"]


def test_set_up_once_by_many_threads(tmp_path):
    """Threads that write the first line at once make one set of destinations and lose no line."""
    barrier = threading.Barrier(8)

    def write(number):
        barrier.wait(20)
        logger.info("line %d", number)

    os.environ["LOG_CONSOLE"] = "0"
    try:
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    finally:
        del os.environ["LOG_CONSOLE"]
    assert flush(20)
    assert len(stats()["backends"]) == 3
    assert len((tmp_path / "logs" / "proletto.log").read_text(encoding="utf-8").splitlines()) == 8


def test_filters_have_their_say(kept):
    """A filter of the handler keeps a line out; one that fails costs that line, counted."""
    handler = logger.handlers[0]
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    logger.info("secret")
    logger.info("public")
    handler.addFilter(lambda record: bool(1 / 0))
    logger.info("lost")
    assert kept.messages() == ["public"]
    assert stats()["errors"]["hook"] == {"log: ZeroDivisionError": 1}


def test_own_log_formats_may_name_any_field(tmp_path):
    """LOG_FORMAT knows all of logging's names and those of extra fields; what a line does not have is a dash."""
    fields = (
        "%(asctime)s|%(created)d|%(msecs)03d|%(levelno)03d|%(pathname)s|%(filename)s|%(processName)s|%(threadName)s"
    )
    kept = KeptLog(tmp_path / "logs", log_format=f"{fields}|%(user_id)5d|%(missing)s|%(funcName)-10.10s|100%%")
    logger.info("line", extra={"user_id": 7})
    logger.info("line", extra={"user_id": "ann\n"})
    one, two = kept.lines()
    assert one.endswith("|020|" + __file__ + "|test_loggers.py|MainProcess|MainThread|    7|-|test_own_l|100%")
    assert two.endswith("|MainThread|ann\\n|-|test_own_log_formats_may_name_any_field|100%")
    assert set(kept.records()[0]) >= {"timestamp", "user_id"}
    assert not any(key.startswith("_") for key in kept.records()[0])
