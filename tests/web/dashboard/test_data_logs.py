"""The log page: lines newest first, searched, and followed, also while files turn over."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import texts
from tests.web.dashboard.logged import NAME, everything, line, logs, numbers
from time_execution.append_file import AppendFile
from time_execution.formats.log_line import ecs_line
from time_execution.types import Metric
from time_execution.web.dashboard.data import QueryError
from time_execution.web.dashboard.data.log_lines import MOST_READ


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "logs"


@pytest.fixture
def log(folder):
    """Return a log that turns over at ten kilobytes."""
    return AppendFile(folder / NAME, max_bytes=10_000, backup_count=20)


class TestLines:
    """What a line shows."""

    def test_flat(self, folder, log):
        """The fields of the seed in their places, all others beside them."""
        exception = {"type": "ValueError", "message": "no", "traceback": ["Traceback", "ValueError: no"]}
        log.append(line(7, "ERROR", request_id="r1", module="m", exception=exception, user={"id": 5}))
        answer = logs(folder)
        (shown,) = answer["lines"]
        cursor = shown.pop("cursor")
        assert shown == {
            "time": 1_700_000_007.0,
            "level": "ERROR",
            "logger": "shop",
            "message": "line 00007",
            "request_id": "r1",
            "fields": {"number": 7, "module": "m", "user.id": 5},
            "exception": exception,
        }
        assert answer["files"] == [NAME]
        assert (answer["older"], answer["store"]["state"]) == (None, "missing")
        assert logs(folder, before=cursor)["lines"] == []

    def test_ecs(self, folder, log):
        """The same of a file in the Elastic Common Schema."""
        record = {"timestamp": 1_700_000_007 * 10**9, "level": "ERROR", "logger": "shop", "message": "m", "line": 3}
        record |= {"exception": {"type": "E", "message": "no", "traceback": ["a", "b"]}, "request_id": "r1", "user": 5}
        log.append(ecs_line(Metric(record), service="shop").encode())
        (shown,) = logs(folder, request_id="r1", level="error")["lines"]
        assert (shown["time"], shown["level"], shown["logger"], shown["message"]) == (
            1_700_000_007.0,
            "ERROR",
            "shop",
            "m",
        )
        assert shown["exception"] == {"type": "E", "message": "no", "traceback": ["a", "b"]}
        assert (shown["fields"]["user"], shown["fields"]["log.origin.file.line"]) == (5, 3)

    @pytest.mark.parametrize("text", [b"not json", b"[1]", b'"x"', b"{", b"\xff\xfe", b"[" * 5000, b"1" * 5000])
    def test_what_is_no_record(self, folder, log, text):
        """It is shown as a message, since somebody wrote it."""
        log.append(line(1))
        log.append(text + b"\n")
        log.append(line(2))
        answer = logs(folder)
        assert len(answer["lines"]) == 3
        assert answer["lines"][1]["level"] == ""
        assert json.dumps(answer)

    def test_half_a_line_is_not_shown(self, folder, log):
        """What is being written shows once it is whole."""
        log.append(line(1))
        with (folder / NAME).open("ab") as file:
            file.write(line(2)[:20])
            file.flush()
            newer = logs(folder)["newer"]
            assert numbers(logs(folder)) == [1]
            file.write(line(2)[20:])
        assert numbers(logs(folder)) == [2, 1]
        assert numbers(logs(folder, after=newer)) == [2]

    @given(
        fields=st.dictionaries(
            st.sampled_from(["message", "level", "logger", "timestamp", "exception", "x"]),
            texts | st.integers() | st.none() | st.lists(texts) | st.dictionaries(texts, texts),
        )
    )
    def test_whatever_stands_in_a_line(self, tmp_path_factory, fields):
        """Every line is shown, in a form that JSON takes."""
        folder = tmp_path_factory.mktemp("any")
        AppendFile(folder / NAME).append(json.dumps(fields).encode() + b"\n")
        (shown,) = logs(folder)["lines"]
        assert isinstance(shown["message"], str)
        assert json.dumps(shown, allow_nan=False)

    def test_long_texts_are_cut(self, folder, log):
        """A line of half a megabyte is shown by its beginning."""
        log.append(line(1, message="x" * 500_000, note="y" * 9000))
        (shown,) = logs(folder)["lines"]
        assert (len(shown["message"]), len(shown["fields"]["note"])) == (2001, 2001)


class TestPaging:
    """Going back, and following."""

    @pytest.mark.parametrize("gzip_backups", [False, True])
    def test_every_line_once(self, folder, gzip_backups):
        """Page by page through all files, the newest first."""
        log = AppendFile(folder / NAME, max_bytes=10_000, backup_count=50, gzip_backups=gzip_backups)
        for number in range(500):
            log.append(line(number))
        assert len(list(folder.iterdir())) > 5
        assert everything(folder) == list(range(499, -1, -1))
        assert everything(folder, limit=7) == list(range(499, -1, -1))

    @settings(max_examples=30)
    @given(
        turns=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=8),
        limit=st.integers(1, 9),
        gzip_backups=st.booleans(),
    )
    def test_places_survive_rotation(self, tmp_path_factory, turns, limit, gzip_backups):
        """Whoever goes back while lines are written and files turn over sees each line once; so does who follows."""
        folder = tmp_path_factory.mktemp("turning")
        log = AppendFile(folder / NAME, max_bytes=3000, backup_count=90, gzip_backups=gzip_backups)
        for number in range(40):
            log.append(line(number))
        answer = logs(folder, limit=limit)
        back, ahead, written = numbers(answer), [], 40
        older, newer = answer["older"], answer["newer"]
        for count, turn in [*turns, (0, False)] * 3:
            for number in range(written, written + count):
                log.append(line(number))
            written += count
            if turn and count:
                log.append(b"\n" * 3000)
            if older is not None:
                answer = logs(folder, before=older, limit=limit)
                back, older = back + numbers(answer), answer["older"]
            answer = logs(folder, after=newer, limit=500)
            ahead, newer = ahead + numbers(answer)[::-1], answer["newer"]
        assert back == list(range(39, 39 - len(back), -1))
        assert older is None or len(back) < 40
        assert ahead == list(range(40, written))

    def test_following_is_bounded(self, folder):
        """Of more new lines than were asked for, the earliest come first, and none is passed over."""
        log = AppendFile(folder / NAME)
        log.append(line(0))
        newer = logs(folder)["newer"]
        log.append(b"".join(line(number) for number in range(1, 1200)))
        found, answer = [], {}
        for _ in range(4):
            answer = logs(folder, after=newer, limit=500)
            found += numbers(answer)[::-1]
            newer = answer["newer"]
        assert found == list(range(1, 1200))
        assert (answer["lines"], answer["lost"]) == ([], False)

    def test_a_place_in_a_file_that_is_gone(self, folder, log):
        """Nothing is older; who follows is shown the newest lines, and told."""
        log.append(line(1))
        answer = logs(folder)
        (folder / NAME).write_bytes(line(5) + line(6))
        assert logs(folder, before=answer["newer"])["lines"] == []
        found = logs(folder, after=answer["newer"])
        assert (numbers(found), found["lost"]) == ([6, 5], True)

    def test_files_that_begin_alike_are_told_apart(self, folder):
        """Three files with the same first line have places of their own."""
        folder.mkdir()
        for suffix, number in (("", 3), (".1", 2), (".2", 1)):
            (folder / f"{NAME}{suffix}").write_bytes(b'{"message": "began"}\n' + line(number))
        found = []
        answer = logs(folder, limit=1)
        while answer["lines"]:
            found += [each["message"] for each in answer["lines"]]
            answer = logs(folder, limit=1, before=answer["older"]) if answer["older"] else {"lines": []}
        assert found == ["line 00003", "began", "line 00002", "began", "line 00001", "began"]

    @pytest.mark.parametrize("cursor", ["x", "0-0-0", "../../etc/passwd", "a" * 16 + "-5", "0" * 16 + "-1-" + "9" * 30])
    def test_a_place_that_is_none(self, folder, log, cursor):
        """What no answer has given is refused."""
        log.append(line(1))
        with pytest.raises(QueryError, match="The cursor is none that this log has given"):
            logs(folder, before=cursor)
        with pytest.raises(QueryError, match="Either before or after"):
            logs(folder, before="0" * 16 + "-1-1", after="0" * 16 + "-1-1")


class TestSearch:
    """Which lines are wanted."""

    def test_by_level(self, folder, log):
        """That level and above; what has no level is not above any."""
        for number, level in enumerate(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTICE")):
            log.append(line(number, level))
        assert numbers(logs(folder, level="warning")) == [4, 3, 2]
        assert numbers(logs(folder, level="DEBUG")) == [4, 3, 2, 1, 0]
        assert len(numbers(logs(folder))) == 6
        with pytest.raises(QueryError, match="level must be one of"):
            logs(folder, level="loud")

    def test_by_request(self, folder, log):
        """All lines of one request, and no others that mention it."""
        log.append(
            line(1, request_id="abc") + line(2, request_id="abcd") + line(3, note="abc") + line(4, request_id="abc")
        )
        assert numbers(logs(folder, request_id="abc")) == [4, 1]

    @pytest.mark.parametrize(
        ("q", "found"),
        [
            ("SECOND", [2]),
            ("note=a b", [3]),
            ('say "hi"', [4]),
            ("ÄRGER", [5]),
            ("valueerror: bad", [6]),
            ("frame one", [6]),
            ("back\\slash", [7]),
            ("message", []),
            (".*", []),
            ("(a+)+$", []),
            ("straße", [8]),
            ("STRASSE", [8]),
            ("user.id=5", [9]),
            ("tags=[1,2]", [9]),
            ("=", [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ],
    )
    def test_by_text(self, folder, log, q, found):
        """In what can be read there, in any case, not in the names of known fields; a pattern is a text."""
        exception = {"type": "ValueError", "message": "bad", "traceback": ["frame one", "ValueError: bad"]}
        extra = {
            2: {"message": "the second"},
            3: {"note": "A b"},
            4: {"message": 'to say "hi"'},
            5: {"who": "ärger"},
            6: {"exception": exception},
            7: {"path": "back\\slash"},
            8: {"where": "Straße"},
            9: {"user": {"id": 5}, "tags": [1, 2]},
        }
        log.append(b"".join(line(number, **extra.get(number, {})) for number in range(1, 10)))
        assert numbers(logs(folder, q=q)) == found

    @settings(max_examples=60)
    @given(messages=st.lists(texts, max_size=8), q=texts)
    def test_as_python_finds_it(self, tmp_path_factory, messages, q):
        """A message is found if, and only if, Python finds the text in it."""
        folder = tmp_path_factory.mktemp("search")
        log = AppendFile(folder / NAME)
        log.append(b'{"message":""}\n')
        for message in messages:
            log.append(json.dumps({"message": message}).encode() + b"\n")
        found = [shown["message"] for shown in logs(folder, q=q)["lines"] if shown["message"]]
        assert found == [text for text in messages[::-1] if q.casefold() in text.casefold() and text]

    def test_a_search_goes_on(self, folder):
        """What lies further back than one answer reads is found by going on."""
        log = AppendFile(folder / NAME)
        filling = line(2, note="x" * 900)
        log.append(line(1, "CRITICAL") + filling * (3 * MOST_READ // len(filling)))
        answers = [logs(folder, level="CRITICAL")]
        while answers[-1]["older"] is not None:
            answers.append(logs(folder, level="CRITICAL", before=answers[-1]["older"]))
        assert [numbers(answer) for answer in answers] == [[], [], [], [1]]
