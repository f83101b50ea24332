"""What HAProxy writes, line by line: with its own level, each once, and only what is new."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from proxy_api.supervise import haproxy_log
from proxy_api.supervise.haproxy_log import HaproxyLog, parsed


@pytest.mark.parametrize(("line", "level", "text"), [
    ("[ALERT]    (12) : Starting frontend services: cannot bind socket", logging.ERROR,
     "Starting frontend services: cannot bind socket"),
    ("[WARNING]  (12) : config : careful", logging.WARNING, "config : careful"),
    ("[WARNING] 330/130549 (12) : careful", logging.WARNING, "careful"),
    ("[EMERG]    (12) : out of it", logging.CRITICAL, "out of it"),
    ("[NOTICE]   (12) : New worker (13) forked", logging.DEBUG, "New worker (13) forked"),
    ("[WARNING]  (12) : Proxy services stopped (cumulated conns: FE: 0, BE: 0).", logging.DEBUG,
     "Proxy services stopped (cumulated conns: FE: 0, BE: 0)."),
    ("[ODD] (12) : what", logging.INFO, "what"),
    ("no level at all", logging.INFO, "no level at all"),
])
def test_a_line(line: str, level: int, text: str) -> None:
    assert parsed(line) == (level, text)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage().partition("text=")[2] for record in caplog.records]
    caplog.clear()
    return found


def test_only_whole_lines_that_are_new_are_passed_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "haproxy.log"
    path.write_text("old\n")
    relayed = HaproxyLog(path)
    relayed.relay(once=False)
    assert said(caplog) == []
    with path.open("a") as file:
        file.write("[ALERT] (1) : one\n[ALERT] (1) : t")
        file.flush()
        relayed.relay(once=False)
        assert said(caplog) == ["one"]
        file.write("wo\n")
    relayed.relay(once=False)
    assert said(caplog) == ["two"]
    path.write_text("[ALERT] (1) : x\n")  # somebody has emptied it
    relayed.relay(once=False)
    with path.open("a") as file:
        file.write("[ALERT] (1) : after\n")
    relayed.relay(once=False)
    assert said(caplog)[-1] == "after"


def test_what_was_told_is_told_again_only_where_it_may_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "haproxy.log"
    relayed = HaproxyLog(path)

    def write(pid: int) -> None:
        with path.open("a") as file:
            file.write(f"[ALERT] ({pid}) : cannot bind\n[WARNING] ({pid}) : so it goes\n")

    for pid in (1, 2, 3):
        write(pid)
        relayed.relay(once=True)
    assert said(caplog) == ["cannot bind", "so it goes"]
    assert relayed.alerts() == "cannot bind"
    write(4)
    relayed.relay(once=False)
    assert len(said(caplog)) == 2
    relayed.forget()
    assert relayed.alerts() == ""
    write(5)
    relayed.relay(once=True)
    assert said(caplog) == ["cannot bind", "so it goes"]


def test_the_file_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.log"
    relayed = HaproxyLog(path)
    path.write_text("x\n" * (haproxy_log.MAX_BYTES // 2 + 1))
    relayed.relay(once=True)
    assert path.stat().st_size == 0
