"""Checked access to JSON records."""

import json
import math
import random

import pytest

from data.checked_json import (
    DamagedRecord,
    is_inside,
    parse_json,
    parse_json_lines,
    read_at_most,
    read_json,
)

SOUND = {
    "step": 5,
    "loss": 2.5,
    "done": True,
    "name": "Zoë",
    "sha256": "ab" * 32,
    "path": "packed/train/shard-0.npy",
    "counts": [1, 2],
    "names": ["a", "b"],
    "files": {"x": {"bytes": 3}},
    "rows": [{"step": 1}],
    "nothing": None,
}
RECORD = parse_json(json.dumps(SOUND), "M/a.json", remedy="delete it")


def test_valid_fields_are_returned():
    assert RECORD.integer("step", minimum=5, maximum=5) == 5
    assert RECORD.number("loss") == 2.5
    assert (RECORD.number("step"), type(RECORD.number("step"))) == (5.0, float)
    assert RECORD.boolean("done") is True
    assert RECORD.text("name", choices={"Zoë"}) == "Zoë"
    assert RECORD.sha256("sha256") == "ab" * 32
    assert RECORD.relative_path("path") == SOUND["path"]
    assert RECORD.integers("counts", minimum=1) == [1, 2]
    assert RECORD.texts("names") == ["a", "b"]
    assert RECORD.mappings("files")["x"].integer("bytes") == 3
    assert [row.integer("step") for row in RECORD.rows("rows")] == [1]
    assert "nothing" in RECORD
    RECORD.refuse_other_fields(SOUND.keys())


def test_a_default_replaces_a_missing_field_and_null():
    for name in ("nothing", "missing"):
        assert RECORD.integer(name, default=None) is None
        assert RECORD.text(name, default="") == ""
        assert RECORD.rows(name, default=()) == ()
        assert RECORD.mappings(name, default=None) is None
    with pytest.raises(DamagedRecord, match=r"M/a\.json is damaged: step is 5, must be text"):
        RECORD.text("step", default="")


WRONG = [None, True, 5, -1, 2.5, math.inf, math.nan, "text", [], [None], {}, {"x": 1}, 10**400]


@pytest.mark.parametrize(
    ("method", "sound"),
    [
        ("integer", [5, -1]),
        ("number", [5, -1, 2.5]),
        ("boolean", [True]),
        ("text", ["text"]),
        ("relative_path", ["text"]),
        ("sha256", []),
        ("integers", [[]]),
        ("texts", [[]]),
        ("rows", [[]]),
        ("mapping", [{}, {"x": 1}]),
        ("mappings", [{}]),
    ],
)
def test_wrong_types_are_one_line_with_the_field_and_the_remedy(method, sound):
    for value in WRONG:
        record = parse_json(json.dumps({"f": value}), "M/a.json", remedy="delete it")
        if value in sound and not (isinstance(value, bool) and method != "boolean"):
            getattr(record, method)("f")
            continue
        with pytest.raises(
            DamagedRecord, match=r"^M/a\.json is damaged: f.*; delete it$"
        ) as caught:
            getattr(record, method)("f")
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("get", "message"),
    [
        (lambda r: r.integer("step", minimum=6), "step is 5, must be a whole number of at least 6"),
        (lambda r: r.integer("step", maximum=4), "must be a whole number and at most 4"),
        (lambda r: r.integer("absent"), "absent is missing"),
        (lambda r: r.text("name", choices={"b", "a"}), r'"Zo\\u00eb", must be one of a, b'),
        (lambda r: r.mapping("files").mapping("x").text("bytes"), r"files\.x\.bytes is 3"),
        (lambda r: r.integers("names"), r'names\[0\] is "a", must be a whole number'),
        (lambda r: r.rows("rows")[0].text("step"), r"rows\[0\]\.step is 1"),
        (lambda r: r.refuse_other_fields(["step"]), "loss is not a field of this record"),
    ],
)
def test_messages_name_the_field_and_the_value(get, message):
    with pytest.raises(DamagedRecord, match=message):
        get(RECORD)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is not JSON"),
        (b"\x00" * 50, "it is not JSON"),
        (b"\xff\xfe\xfd", "it is not JSON"),
        (b'{"step": 4, "fi', "it is not JSON"),
        (b"[" * 100_000, "it is nested more than 64 deep"),
        (b'{"a":' * 100_000, "it is nested more than 64 deep"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "it is nested more than 64 deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "it is not JSON"),
        (b"[]", "it is an empty list, must be an object"),
        (b"null", "it is null, must be an object"),
        (b'"' + b"x" * 300 + b'"', r"must be an object"),
        (b'{"a": "' + b"x" * 1000 + b'"}', "it has more than 1,000 bytes"),
    ],
)
def test_malformed_content_is_one_line(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    max_bytes = 1000 if b"xxxx" in content else 10**6
    with pytest.raises(DamagedRecord, match=message) as caught:
        read_json(path, max_bytes=max_bytes)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path} is damaged: ")
    assert len(line) < len(str(path)) + 160


def test_text_that_cannot_be_printed_is_refused():
    record = parse_json(b'{"a": "\\ud800", "\\ud800": 1}', "a.json")
    for read in (lambda: record.text("a"), lambda: record.text("\ud800")):
        with pytest.raises(DamagedRecord) as caught:
            read()
        str(caught.value).encode()


def test_missing_file_is_left_to_the_caller(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "a.json")


def test_required_fields_may_be_null():
    record = parse_json('{"a": {"b": null}}', "a.json").mapping("a")
    record.require("b")
    with pytest.raises(DamagedRecord, match=r"a\.json is damaged: a\.c is missing"):
        record.require("b", "c")


def test_errors_of_reading_name_the_file(tmp_path):
    with pytest.raises(OSError, match="/proc/self/mem"):
        read_at_most("/proc/self/mem", 10)


def test_valid_lines_are_found_among_damaged_ones():
    content = b'{"step": 1}\n{"ste\n\n[3]\n\x00\x00\n{"step": 4}\n{"step": 5}'
    lines = list(parse_json_lines(content, "m.jsonl"))
    assert [record and record.integer("step") for _, record in lines] == [1, None, None, None, 4, 5]
    assert b"".join(line for line, record in lines if record is None) == b'{"ste[3]\x00\x00'
    with pytest.raises(DamagedRecord, match=r"m\.jsonl is damaged: line 6\.step is 4"):
        lines[4][1].text("step")


@pytest.mark.parametrize("path", ["a", "a/b.npy", "packed/train/shard-00001-of-00002.npy", "..a/b"])
def test_paths_inside_the_folder(path):
    assert is_inside(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "/etc/passwd", "../x", "a/../../x", "a/..", "a//b", "a/", "./a"),
        *("C:/x", "a\\..\\b", "gs://b/x", "a\x00b", "~/../x", "a" * 1001),
    ],
)
def test_paths_outside_the_folder(path):
    assert not is_inside(path)


def test_ten_thousand_damaged_records_raise_nothing_else():
    rng = random.Random(0)
    content = json.dumps(SOUND).encode()
    for _ in range(10_000):
        damaged = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            record = parse_json(bytes(damaged), "a.json")
            record.integer("step", minimum=0)
            record.number("loss")
            record.text("name")
            record.integers("counts")
            record.mappings("files")["x"].integer("bytes")
        except (DamagedRecord, KeyError) as error:
            assert isinstance(error, DamagedRecord) or error.args == ("x",)
