"""Lines of key=value; trouble is told when it starts and when it ends; facts are told once."""

import logging

import pytest

from registrar.status.journal import Journal, line

LINES = {
    "plain values stand as they are": ({"ms": 3, "id": "n1:web:80"}, "event=x ms=3 id=n1:web:80"),
    "others are quoted": ({"why": 'a "b" c', "empty": ""}, r'event=x why="a \"b\" c" empty=""'),
    "a line break cannot forge a line": ({"v": "a\nevent=y"}, r'event=x v="a\nevent=y"'),
    "names have dashes": ({"node_id": "a"}, "event=x node-id=a"),
}


@pytest.mark.parametrize(("fields", "text"), LINES.values(), ids=LINES)
def test_line(fields, text):
    assert line("x", fields) == text


def test_trouble_is_told_once_at_each_end(caplog):
    journal = Journal(logging.getLogger("test.journal"))
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            journal.trouble("consul", "refused")
        assert journal.troubles() == {"consul": "refused"}
        journal.over("consul")
        journal.over("consul")
    assert [r.getMessage().split()[0] for r in caplog.records] == ["event=trouble", "event=trouble-over"]


def test_news_are_what_did_not_hold_before():
    journal = Journal(logging.getLogger("test"))
    assert journal.news("fault", ["a", "b", "a"]) == ["a", "b"]
    assert journal.news("fault", ["b", "c"]) == ["c"]
    assert journal.news("fault", []) == []
    assert journal.news("fault", ["b"]) == ["b"]
