"""The form of log lines: that it can be read back, and that nothing from outside forges a part of it."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs import form

LINE = re.compile(r"(\S+) ([A-Z]+) (event=.*)")
FIELD = re.compile(r'([a-z-]+)=("(?:[^"\\]|\\.)*"|\S*)(?: |$)')


@pytest.fixture(scope="module")
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    form.set_up(out)
    yield out
    root.handlers[:], root.level = handlers, level


def said(stream: io.StringIO) -> str:
    text = stream.getvalue()
    stream.seek(0)
    stream.truncate()
    return text


def fields(line: str) -> dict[str, str]:
    found = LINE.fullmatch(line)
    assert found, line
    assert datetime.fromisoformat(found[1]).tzinfo is not None
    assert "".join(m[0] for m in FIELD.finditer(found[3])) == found[3], line
    return {name: json.loads(value) if value.startswith('"') else value for name, value in FIELD.findall(found[3])}


@given(st.text(), st.text(st.characters(codec="utf-8")))
def test_whatever_a_value_is_there_is_one_line_that_gives_it_back(stream: io.StringIO, one: str, other: str) -> None:
    logging.getLogger("x").info('event=x one=%s other="%s" number=%d', one, other, 3)
    line, rest = said(stream).split("\n")
    assert rest == ""
    assert fields(line) == {"event": "x", "one": one, "other": other, "number": "3"}


def test_a_line_has_time_zone_and_level(stream: io.StringIO) -> None:
    logging.getLogger("x").warning("event=x")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 WARNING event=x\n", said(stream))


def test_a_line_that_comes_whole_stays_as_it_is_on_one_line(stream: io.StringIO) -> None:
    logging.getLogger("x").info('event=x share="100 %s"\nevent=forged')
    assert said(stream).count("\n") == 1


def test_a_traceback_forges_no_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("bad\n2026-11-27T13:05:49.123+00:00 INFO event=forged\x1b[2J")
    except ValueError:
        logging.getLogger("x").exception("event=failed")
    first, *rest = said(stream).splitlines()
    assert fields(first) == {"event": "failed"}
    assert all(line.startswith(form.INDENT) for line in rest)
    assert "ValueError: bad" in "\n".join(rest) and "\x1b" not in "\n".join(rest)


def test_a_library_has_the_same_form(stream: io.StringIO) -> None:
    logging.getLogger("gunicorn.error").error("Connection in use: %s", ("127.0.0.1", 80))
    line, _ = said(stream).split("\n")
    assert fields(line) == {"event": "library-says", "library": "gunicorn.error",
                            "text": "Connection in use: ('127.0.0.1', 80)"}


def test_a_mistake_in_a_call_loses_no_line() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "event=x number=%d", ("three",), None)
    assert "event=x" in form.Form().format(record) and "three" in form.Form().format(record)


LINES = {
    "plain values stand as they are": ({"ms": 3, "id": "n1:web:80"}, "event=x ms=3 id=n1:web:80"),
    "others are quoted": ({"why": 'a "b" c', "empty": ""}, r'event=x why="a \"b\" c" empty=""'),
    "a line break cannot forge a line": ({"v": "a\nevent=y"}, r'event=x v="a\nevent=y"'),
    "names have dashes": ({"node_id": "a"}, "event=x node-id=a"),
}


@pytest.mark.parametrize(("given", "text"), LINES.values(), ids=LINES)
def test_a_message_made_of_fields_is_written_as_it_is(
        stream: io.StringIO, given: dict[str, object], text: str) -> None:
    assert form.line("x", given) == text
    logging.getLogger("x").info(form.line("x", given))
    assert said(stream).endswith(f" INFO {text}\n")
