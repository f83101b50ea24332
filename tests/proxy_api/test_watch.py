"""A watch goes on whatever its question raises."""

from __future__ import annotations

import logging
import threading

import pytest

from catalog.errors import CatalogUnavailable
from proxy_api.consul import watch


def test_no_exception_ends_a_watch(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(watch, "PAUSE_S", 0.01)
    monkeypatch.setattr(watch, "MIN_INTERVAL_S", 0.0)
    stop = threading.Event()
    hints: list[int] = []
    asked: list[int] = []
    answers: list[int | Exception] = [
        7, 8, OSError("no CA file"), RuntimeError("a defect"), 9, CatalogUnavailable("away"), 10, 11]

    def wait(index: int) -> int:
        asked.append(index)
        answer = answers[len(asked) - 1]
        if len(asked) == len(answers):
            stop.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    with caplog.at_level(logging.ERROR):
        thread = watch.start("w", wait, hints.append, stop)
        thread.join(5)
    assert not thread.is_alive()
    assert asked == [0, 7, 8, 0, 0, 9, 0, 10]
    assert hints == [0, 8, 0, 0, 11], "after a failure anything may have been missed"
    assert len([r for r in caplog.records if "watch-failed" in r.getMessage()]) == 1, "told once for each streak"


def test_a_hint_that_fails_does_not_end_it_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PAUSE_S", 0.01)
    stop = threading.Event()
    calls: list[int] = []

    def hint(index: int) -> None:
        calls.append(index)
        if len(calls) == 1:
            raise RuntimeError("a defect")
        stop.set()

    watch.watch(lambda index: 5, hint, stop)
    assert calls == [0, 0], "the same again, since the first one may not have arrived"
