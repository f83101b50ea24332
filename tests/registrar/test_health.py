"""Docker's health checks: what counts as healthy, the gate, the mirror, and heartbeats of TTL checks."""

import pytest

from engine.health import read_health
from registrar.core.grammar import duration_seconds
from tests.registrar.fakes import World

WEB = "n1:a:8080"
GOOD, BAD = {"ExitCode": 0, "Output": "fine\n"}, {"ExitCode": 1, "Output": "no\n answer"}


def health(status, streak=0, *log):
    return {"state": {"Health": {"Status": status, "FailingStreak": streak, "Log": list(log)}}}


READ = {
    "none": ({}, {}, None),
    "switched off": ({}, {"Status": "none"}, None),
    "starting": ({}, {"Status": "starting"}, "starting"),
    "healthy": ({}, {"Status": "healthy", "Log": [GOOD]}, "healthy"),
    "unhealthy": ({}, {"Status": "unhealthy", "FailingStreak": 3, "Log": [BAD] * 3}, "unhealthy"),
    "unhealthy after its own number of tries": (
        {"Retries": 1}, {"Status": "unhealthy", "FailingStreak": 1, "Log": [BAD]}, "unhealthy"),
    "a probe that was stopped by a pause": ({}, {"Status": "unhealthy", "FailingStreak": 0, "Log": [GOOD]}, "healthy"),
    "the same before its first probe": ({}, {"Status": "unhealthy", "FailingStreak": 0, "Log": None}, "starting"),
}


@pytest.mark.parametrize(("test", "said", "status"), READ.values(), ids=READ)
def test_what_the_engine_says(test, said, status):
    found = read_health({"Healthcheck": test}, {"Health": said})
    assert (found.status if found else None) == status


def test_the_gate_opens_with_health_and_closes_without():
    world = World("--health", "gate")
    world.engine.run("a", **health("starting"))
    world.engine.run("plain")
    outcome = world.full()
    assert world.ids == ["n1:plain:8080"] and [s.reason for s in outcome.draft.skips] == [
        "waiting for health: Docker's health check says starting"]
    world.engine.run("a", **health("healthy", 0, GOOD))
    assert world.hint("a").registered == (WEB,)
    world.engine.run("a", **health("unhealthy", 3, BAD))
    assert world.hint("a").deregistered == (WEB,)


def test_health_between_signal_and_end_does_not_bring_it_back():
    world = World("--health", "gate", "--drain", "deregister")
    world.engine.run("a", **health("healthy", 0, GOOD))
    world.full()
    world.kill("a")
    world.engine.run("a", **health("unhealthy", 3, BAD))
    world.hint("a")
    world.engine.run("a", **health("healthy", 0, GOOD))
    assert world.hint("a").registered == () and world.ids == []


def test_off_does_not_look_at_it():
    world = World()
    world.engine.run("a", **health("unhealthy", 3, BAD))
    assert world.full().registered == (WEB,) and not world.agent.heartbeats


def test_the_mirror_reports_each_change_at_once_and_in_time_without_a_new_registration():
    world = World("--health", "mirror")
    world.engine.run("a", **health("starting"))
    world.full()
    check = f"docker-health:{WEB}"
    world.engine.run("a", **health("healthy", 0, GOOD))
    world.hint("a")
    world.hint("a")
    assert world.agent.heartbeats == [(check, "warning"), (check, "passing")]
    assert world.reconciler.due_in() == pytest.approx(20)
    world.now += 20
    world.hint()
    assert len(world.agent.heartbeats) == 3 and len(world.agent.writes) == 1


def test_a_ttl_check_is_reported_by_us_while_the_container_runs():
    world = World()
    world.engine.run("a", env={"SERVICE_CHECK_TTL": "9s"})
    for _ in range(3):
        world.hint()
        world.now += world.reconciler.due_in()
    assert world.agent.heartbeats == [(f"service:{WEB}", "passing")] * 3
    world.engine.run("a", env={"SERVICE_CHECK_TTL": "9s"}, state={"Running": False, "Pid": 0})
    world.hint("a")
    assert world.reconciler.due_in() is None


def test_a_check_that_the_agent_has_lost_lets_everything_be_read_again():
    world = World()
    world.engine.run("a", env={"SERVICE_CHECK_TTL": "9s"})
    world.full()
    world.agent.services.clear()
    world.agent.checks.clear()
    world.now += 3
    world.hint()
    assert world.hint().registered == (WEB,)
    world.now += 3
    world.hint()
    assert world.agent.heartbeats[-1] == (f"service:{WEB}", "passing") and not world.reconciler.retries.failures()


@pytest.mark.parametrize(("text", "seconds"), [("15s", 15), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1.5s", 1.5)])
def test_lengths_of_durations(text, seconds):
    assert duration_seconds(text) == seconds
