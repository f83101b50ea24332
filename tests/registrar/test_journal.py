"""Trouble is told when it starts and when it ends; facts are told once."""

import logging

from registrar.status.journal import Journal


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
