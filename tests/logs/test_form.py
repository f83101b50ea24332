"""One event is one line of the log, whatever it says; its time has a zone."""

import doctest
import io
import json
import logging
import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs import form

LINES = {
    "plain values stand as they are": ({"ms": 3, "id": "n1:web:80"}, "event=x ms=3 id=n1:web:80"),
    "others are quoted": ({"why": 'a "b" c', "empty": ""}, r'event=x why="a \"b\" c" empty=""'),
    "a line break cannot forge a line": ({"v": "a\nevent=y"}, r'event=x v="a\nevent=y"'),
    "names have dashes": ({"node_id": "a"}, "event=x node-id=a"),
}


@pytest.fixture
def said():
    """What is written by a program that has set up its log; the test's own handlers are back afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    form.set_up(stream)
    yield stream
    root.handlers[:], root.level = handlers, level


def test_the_examples_hold():
    assert doctest.testmod(form).failed == 0


@pytest.mark.parametrize(("fields", "text"), LINES.values(), ids=LINES)
def test_line(fields, text):
    assert form.line("x", fields) == text


@given(st.text())
def test_a_field_is_one_word_or_quoted_and_says_the_same(value):
    text = form.field(value)
    assert text.isprintable() and (json.loads(text) if text.startswith('"') else text) == value


def test_a_line_has_its_time_with_a_zone_its_level_and_its_event(said):
    logging.getLogger("registrar").warning(form.line("note", {"text": "so it is"}))
    time, level, message = said.getvalue().rstrip("\n").split(" ", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", time)
    assert abs(datetime.now().astimezone() - datetime.fromisoformat(time)) < timedelta(hours=1)
    assert (level, message) == ("WARNING", 'event=note text="so it is"')


def test_what_a_library_says_has_the_same_form_on_one_line(said):
    logging.getLogger("urllib3.pool").warning("retry\nof %s", "it")
    assert said.getvalue().endswith(r'WARNING event=message logger=urllib3.pool text="retry\nof it"' + "\n")


def test_a_message_with_a_line_break_and_one_with_a_traceback_are_one_line_each(said):
    log = logging.getLogger("proxy-api")
    log.info("event=x why=%s", "a\nb\x1b[0m")
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("event=defect")
    first, second = said.getvalue().splitlines()
    assert first.endswith(r'INFO event=x why="a\nb\u001b[0m"')
    assert " ERROR event=defect trace=" in second and "ValueError: odd" in second


@pytest.fixture(scope="module")
def stream():
    root, out = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    form.set_up(out)
    yield out
    root.handlers[:], root.level = handlers, level


FIELD = re.compile(r'([a-z-]+)=("(?:[^"\\]|\\.)*"|\S*)(?: |$)')


@given(st.text(), st.text(st.characters(codec="utf-8")))
def test_whatever_an_argument_is_there_is_one_line_that_gives_it_back(stream, one, other):
    logging.getLogger("x").info('event=x one=%s other="%s" number=%d', one, other, 3)
    written, rest = stream.getvalue().split("\n")
    stream.seek(0)
    stream.truncate()
    assert rest == ""
    fields = written.split(" ", 2)[2]
    assert "".join(found[0] for found in FIELD.finditer(fields)) == fields
    assert {name: json.loads(value) if value.startswith('"') else value for name, value in FIELD.findall(fields)} == {
        "event": "x", "one": one, "other": other, "number": "3"}


def test_a_message_that_comes_whole_may_have_a_per_cent_sign(said):
    logging.getLogger("x").info(form.line("x", {"share": "100 %s"}))
    assert said.getvalue().endswith('INFO event=x share="100 %s"\n')


def test_a_mistake_in_a_call_loses_no_line():
    record = logging.LogRecord("x", logging.INFO, "", 0, "event=x number=%d", ("three",), None)
    assert "event=x number=%d ('three',)" in form.Form().format(record)
