"""Who leaves rotation although it runs: after a stop signal, by hand, while paused; and who comes back."""

import pytest

from catalog.errors import CatalogRejected
from registrar.core.drains import MARGIN_S, PAUSED, PAUSED_FOR_S, by_hand, is_ours
from tests.registrar.fakes import World

WEB = "n1:a:8080"
PAUSE = {"state": {"Paused": True}}


@pytest.fixture
def world():
    made = World("--drain-limit", "20")
    made.now = 1000.0
    made.engine.run("a")
    made.full()
    return made


def held(world, service=WEB):
    return world.agent.notes.get(f"_service_maintenance:{service}", "")


@pytest.mark.parametrize(("number", "drains"), [(15, True), (9, True), (1, False), (2, False), (10, False)])
def test_the_stop_signal_and_9_drain_and_other_signals_do_nothing(world, number, drains):
    outcome = world.kill("a", number)
    assert bool(held(world)) is drains and (outcome.held == (WEB,)) is drains
    assert world.ids == [WEB]


@pytest.mark.parametrize(("text", "number"), [
    ("SIGUSR1", 10), ("quit", 3), ("3", 3), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("", 15), ("SIGNONSENSE", 15)])
def test_the_stop_signal_is_the_containers_own(world, text, number):
    world.engine.run("a", stop_signal=text)
    world.hint("a")
    world.kill("a", number)
    assert held(world)


@pytest.mark.parametrize(("stop_timeout", "after"), [(None, 20), (3, 20), (40, 40 + MARGIN_S)])
def test_a_container_that_survives_comes_back_by_itself_after_the_limit_or_its_own_timeout(world, stop_timeout, after):
    world.engine.run("a", stop_timeout=stop_timeout)
    world.hint("a")
    world.kill("a")
    assert world.reconciler.due_in() == pytest.approx(after)
    world.now += after - 0.1
    world.full()
    assert held(world)
    world.now += 0.2
    assert world.hint().released == (WEB,)
    assert not held(world) and world.reconciler.due_in() is None


def test_a_stop_with_a_long_time_of_its_own_is_not_over_by_default():
    world = World()
    world.engine.run("a", stop_timeout=3)
    world.full()
    world.kill("a")
    world.now += 1800
    assert world.full().released == () and held(world, "n1:a:8080")


def test_a_stop_that_somebody_has_ended_by_hand_is_over_and_the_next_one_counts(world):
    world.kill("a")
    world.agent.agent_maintenance(WEB, "")
    assert world.full().held == () and world.hint("a").held == () and not held(world)
    world.now += 1
    assert world.kill("a").held == (WEB,)


def test_a_service_that_the_agent_has_lost_while_it_drains_is_not_taken_for_one_that_was_put_back(world):
    world.kill("a")
    world.agent.lose(WEB)
    assert world.full().registered == () and world.ids == []


def test_nothing_that_happens_between_signal_and_end_ends_the_drain_and_no_write_is_repeated(world):
    world.kill("a")
    writes = list(world.agent.writes)
    for _ in range(3):
        world.hint("a")
        world.full()
    assert held(world) and world.agent.writes == writes


def test_the_end_takes_it_out_and_the_next_start_is_in_rotation(world):
    world.kill("a")
    world.engine.run("a", state={"Running": False, "Pid": 0})
    assert world.hint("a").deregistered == (WEB,)
    world.now += 1
    world.engine.run("a", state={"StartedAt": "1970-01-01T00:16:41Z"})
    assert world.hint("a").registered == (WEB,)
    assert not held(world)


def test_a_restart_that_is_seen_only_afterwards_ends_the_drain(world):
    world.kill("a")
    world.engine.run("a", state={"StartedAt": "1970-01-01T00:16:41.5Z"})
    assert world.hint("a").released == (WEB,) and not held(world)


def test_a_signal_to_the_run_before_this_one_does_not_count(world):
    world.engine.run("a", state={"StartedAt": "1970-01-01T00:16:41.5Z"})
    world.kill("a", 9, at=1001.4)
    assert not held(world)


def test_an_operators_maintenance_is_kept_and_is_not_taken_for_ours(world):
    world.agent.agent_maintenance(WEB, "work on the disk")
    world.full()
    assert world.kill("a").held == ()
    world.now += 100
    assert world.full().released == () and held(world) == "work on the disk"


def test_a_restarted_registrar_finds_its_drains_and_ends_them_in_time(world):
    world.engine.run("a", stop_timeout=20)
    world.hint("a")
    world.kill("a")
    world.restart()
    world.now += 10
    assert world.full().released == () and held(world)
    world.now += 15 + MARGIN_S
    assert world.hint().released == (WEB,)


def test_a_drain_by_hand_lasts_as_long_as_the_container_runs(world):
    world.agent.agent_maintenance(WEB, by_hand(world.engine.containers["a"]))
    world.now += 10000
    assert world.full().released == () and held(world)
    world.engine.run("a", state={"StartedAt": "1970-01-01T03:03:20Z"})
    assert world.full().released == (WEB,)


def test_a_pause_counts_after_a_while_only(world):
    world.engine.run("a", **PAUSE)
    assert world.hint("a").held == () and world.reconciler.due_in() == PAUSED_FOR_S
    world.now += PAUSED_FOR_S
    assert world.hint().held == (WEB,) and held(world) == PAUSED
    assert world.reconciler.due_in() is None
    world.restart()
    assert world.full().released == () and held(world)
    world.engine.run("a")
    assert world.hint("a").released == (WEB,)


def test_a_short_pause_is_none(world):
    world.engine.run("a", **PAUSE)
    world.hint("a")
    world.now += 0.1
    world.engine.run("a")
    world.hint("a")
    world.now += 10
    world.hint()
    assert len(world.agent.writes) == 1


def test_drain_off_does_nothing():
    world = World("--drain", "off")
    world.engine.run("a")
    world.full()
    world.kill("a")
    world.engine.run("a", **PAUSE)
    world.hint("a")
    world.now += 10
    assert world.full().held == () and len(world.agent.writes) == 1


def test_drain_deregister_takes_it_out_and_puts_it_back_if_it_survives():
    world = World("--drain", "deregister", "--drain-limit", "20")
    world.engine.run("a")
    world.full()
    assert world.kill("a").deregistered == (WEB,)
    assert [s.code for s in world.full().draft.skips] == ["draining"] and world.ids == []
    world.now += 100
    assert world.hint().registered == (WEB,)


def test_what_is_not_registered_yet_is_not_registered_while_it_drains(world):
    world.engine.run("b")
    world.kill("b")
    assert world.ids == [WEB]


def test_a_hold_of_what_the_agent_has_lost_is_not_done_and_leads_to_a_look_at_all_it_has(world):
    world.engine.run("b", port=2)
    world.full()
    world.agent.lose(WEB)
    world.agent.lose("n1:b:8080")
    outcome = world.kill("a")
    assert outcome.held == () and outcome.failed
    world.now += 1
    assert world.hint().registered == ("n1:b:8080",)


def test_a_hold_that_fails_is_tried_again(world):
    world.agent.refuse = {WEB: CatalogRejected("400")}
    assert world.kill("a").failed
    world.agent.refuse = {}
    world.now += 1
    assert world.hint().held == (WEB,)


@pytest.mark.parametrize("reason", ["", "work", "registrar: told to stop", "Maintenance mode is enabled"])
def test_other_reasons_are_not_ours(reason):
    assert not is_ours(reason)
