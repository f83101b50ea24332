"""What the log says of a pass."""

import logging

import pytest

from registrar.core.outcome import Draft, Outcome
from registrar.core.plan import Plan
from registrar.core.services import Skip
from registrar.shell.loop import tell
from registrar.status.journal import Journal


def lines(caplog, skips):
    with caplog.at_level(logging.INFO):
        outcome = Outcome(Draft(Plan(), skips=tuple(skips)), (), (), (), 0)
        tell(Journal(logging.getLogger("test.tell")), "full", outcome, 0.1)
    return [record.getMessage() for record in caplog.records]


def test_a_range_of_ports_that_is_not_registered_is_one_line(caplog):
    skips = [Skip("rtp", f"{port}/udp", "not-published", "exposed but not published") for port in range(10000, 11000)]
    said = lines(caplog, [*skips, Skip("web", "80/tcp", "ignored", "SERVICE_IGNORE is set")])
    assert len(said) == 2
    assert 'port="10000/udp, 10001/udp, 10002/udp, 10003/udp, 10004/udp, and 995 more"' in said[0]
    assert said[1] == 'event=skipped container=web port=80/tcp reason="SERVICE_IGNORE is set"'


@pytest.mark.parametrize("code", ["not-running", "filtered"])
def test_what_is_not_ours_to_look_at_is_no_news(caplog, code):
    assert lines(caplog, [Skip("web", "", code, "…")]) == []
