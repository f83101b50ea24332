"""Passes against an engine and an agent that fail in every way they can."""

import pickle
from dataclasses import replace

import pytest

from catalog.errors import CatalogDenied, CatalogRejected, CatalogUnavailable
from catalog.model import AgentService
from engine.errors import EngineUnavailable
from engine.events import Exit
from registrar.core.ownership_conflicts import OwnershipConflicts
from registrar.shell.registry import NO_LEADER
from tests.registrar.fakes import World

STOPPED = {"state": {"Running": False, "Pid": 0, "ExitCode": 0}}
FAILED = {"state": {"Running": False, "Pid": 0, "ExitCode": 3}}
KILLED = {"state": {"Running": False, "Pid": 0, "ExitCode": 137}}


@pytest.fixture
def world():
    return World()


def test_a_full_pass_registers_what_runs_and_the_next_one_writes_nothing(world):
    world.engine.run("a")
    assert world.full().registered == ("n1:a:8080",)
    assert world.full().registered == () and len(world.agent.writes) == 1


def test_a_hint_looks_at_that_container_only(world):
    world.engine.run("a")
    world.full()
    world.engine.run("b")
    world.engine.inspected.clear()
    assert world.hint("b").registered == ("n1:b:8080",)
    assert world.engine.inspected == ["b"]


def test_an_end_that_the_engine_tells_is_believed_at_once_and_made_sure_of_a_second_later(world):
    world.engine.run("a")
    world.full()
    world.engine.inspected.clear()
    assert world.end("a").deregistered == ("n1:a:8080",) and world.engine.inspected == []
    assert world.reconciler.due_in() == 1
    world.now += 1
    assert world.hint().registered == ("n1:a:8080",)  # it was wrong: the container runs
    assert world.reconciler.due_in() is None


def test_the_end_of_the_run_before_does_not_count(world):
    world.engine.run("a", state={"StartedAt": "1970-01-01T00:00:50Z"})
    world.full()
    assert not world.end("a", at=49).deregistered and world.ids == ["n1:a:8080"]


def test_an_end_and_a_new_start_at_once_is_the_new_run(world):
    world.engine.run("a", port=1)
    world.full()
    world.engine.run("a", port=2, state={"StartedAt": "1970-01-01T00:00:50Z"})
    world.reconciler.note([Exit("a", 0, 40)])
    assert world.hint("a").registered == ("n1:a:8080",)
    assert world.agent.services["n1:a:8080"].port == 2 and len(world.agent.writes) == 2


def test_on_success_knows_the_exit_code_from_the_event():
    world = World("-deregister", "on-success")
    world.engine.run("a")
    world.full()
    assert not world.end("a", 3).deregistered
    world.restart()
    world.full()
    assert world.end("a", 0).deregistered


def test_a_restart_with_another_port_is_one_write(world):
    world.engine.run("a", port=1)
    world.full()
    world.engine.run("a", port=2)
    world.hint("a")
    assert world.agent.services["n1:a:8080"].port == 2 and len(world.agent.writes) == 2


def test_a_rename_registers_the_new_id_before_it_removes_the_old_one(world):
    world.engine.run("a")
    world.full()
    world.engine.run("b", id="a")
    world.hint("a")
    assert world.agent.writes[1:] == [("register", "n1:b:8080"), ("deregister", "n1:a:8080")]


def test_a_network_hint_asks_only_about_containers_that_serve(world):
    world.engine.run("a")
    world.full()
    world.engine.inspected.clear()
    world.engine.run("a", port=2)
    world.engine.run("b")
    world.hint(rewired=["a", "b"])
    assert world.engine.inspected == ["a"]
    assert world.agent.services["n1:a:8080"].port == 2


def test_a_container_in_anothers_network_follows_that_one(world):
    world.engine.run("pod", port=1)
    world.engine.run("app", mode="container:pod", ports={}, exposed=["8080/tcp"])
    world.full()
    assert world.agent.services["n1:app:8080"].port == 1
    world.engine.run("pod", port=2)
    world.hint("pod")
    assert world.agent.services["n1:app:8080"].port == 2


# --- what is not known is not gone ---------------------------------------------------------------------------------

def test_a_failed_listing_changes_nothing(world):
    world.engine.run("a")
    world.full()
    world.engine.away = True
    with pytest.raises(EngineUnavailable):
        world.full()
    assert world.ids == ["n1:a:8080"]


def test_a_listing_that_lacks_what_runs_proves_nothing(world):
    for name in "abc":
        world.engine.run(name)
    world.full()
    world.engine.hidden = {"a", "b", "c"}
    assert world.full().deregistered == () and len(world.ids) == 3


def test_an_engine_that_has_nothing_any_more_is_asked_again_before_it_is_believed(world):
    for name in "abc":
        world.engine.run(name)
    world.full()
    kept, world.engine.containers = world.engine.containers, {}
    world.on_sleep = lambda: setattr(world.engine, "containers", kept)
    assert world.full().deregistered == () and world.slept == [1.0]
    world.on_sleep = lambda: None
    world.engine.containers = {}
    assert len(world.full().deregistered) == 3


def test_one_container_that_cannot_be_inspected_keeps_its_entries_and_holds_up_nothing(world):
    world.engine.run("a")
    world.full()
    world.engine.unreadable = {"a"}
    world.engine.run("b")
    assert world.full().registered == ("n1:b:8080",) and "n1:a:8080" in world.ids
    world.engine.unreadable = set()
    del world.engine.containers["a"]
    world.full()
    assert world.ids == ["n1:b:8080"]


def test_a_token_that_lost_its_rights_reads_an_empty_list_and_nothing_is_written_on_it(world):
    world.engine.run("a")
    world.full()
    world.agent.denied = True
    with pytest.raises(CatalogDenied):
        world.full()
    assert len(world.agent.writes) == 1
    world.agent.denied = False
    assert world.full().registered == ()


def test_an_agent_that_really_lost_everything_gets_it_again(world):
    world.engine.run("a")
    world.full()
    world.agent.services.clear()
    assert world.full().registered == ("n1:a:8080",)


def test_an_agent_that_shows_nothing_at_first_is_doubted_when_it_denies_its_own_description(world):
    world.agent.denied = True
    assert any("token" in doubt for doubt in world.full().draft.doubts)


def test_a_node_whose_address_cannot_be_told_for_a_moment_keeps_it(world):
    world.engine.run("a")
    world.full()
    world.address = ("", "")
    assert world.full().registered == () and world.ids == ["n1:a:8080"]


# --- writes that fail ------------------------------------------------------------------------------------------------

def test_a_failed_write_is_tried_again_until_it_holds_and_does_not_hold_up_the_others(world):
    world.engine.run("a")
    world.engine.run("b")
    world.agent.refuse = {"n1:a:8080": CatalogRejected("400")}
    outcome = world.full()
    assert outcome.registered == ("n1:b:8080",) and outcome.failed == (("n1:a:8080", "400"),)
    assert world.full().failed and world.agent.writes.count(("register", "n1:a:8080")) == 1  # not yet due
    for _ in range(12):
        world.now = world.reconciler.retries.next_due()
        world.hint()
    assert world.agent.writes.count(("register", "n1:a:8080")) == 13
    world.agent.refuse = {}
    world.now = world.reconciler.retries.next_due()
    assert world.hint().registered == ("n1:a:8080",)
    assert world.reconciler.retries.next_due() is None


def test_the_pause_between_tries_is_bounded_and_a_changed_definition_is_tried_at_once(world):
    world.engine.run("a")
    world.agent.refuse = {"n1:a:8080": CatalogRejected("400")}
    world.full()
    for _ in range(20):
        before, world.now = world.now, world.reconciler.retries.next_due()
        world.hint()
        assert world.now - before <= 30
    world.agent.refuse = {}
    world.engine.run("a", env={"SERVICE_NAME": "other"})
    assert world.hint("a").registered == ("n1:a:8080",)


def test_a_500_for_one_service_is_that_services_trouble(world):
    world.engine.run("a")
    world.engine.run("b")
    world.agent.refuse = {"n1:a:8080": CatalogUnavailable("500 scripts are disabled")}
    assert world.full().registered == ("n1:b:8080",)


def test_an_agent_that_runs_no_scripts_gets_the_service_without_the_check_and_it_is_reported(world):
    world.engine.run("a", env={"SERVICE_CHECK_SCRIPT": "true"})
    world.agent.no_scripts = True
    assert world.full().registered == ("n1:a:8080",)
    outcome = world.full()
    assert not outcome.registered and "runs scripts" in outcome.draft.faults[0].rule
    world.agent.no_scripts = False
    world.restart()
    assert world.full().registered == ("n1:a:8080",) and "service:n1:a:8080" in world.agent.checks


def test_a_consul_that_goes_away_ends_the_pass_and_no_service_is_blamed(world):
    world.engine.run("a")
    world.full()
    world.engine.run("b")
    world.agent.away = True
    with pytest.raises(CatalogUnavailable):
        world.hint("b")
    assert world.reconciler.retries.failures() == ()
    world.agent.away = False
    assert world.full().registered == ("n1:b:8080",)


def test_what_was_written_before_consul_went_away_is_not_written_again(world):
    world.engine.run("a")
    world.full()
    world.engine.run("b", id="a")
    world.agent.before = lambda question, of: setattr(world.agent, "away", question == "deregister" or world.agent.away)
    with pytest.raises(CatalogUnavailable):
        world.hint("a")
    world.agent.before, world.agent.away = lambda question, of: None, False
    assert world.hint().deregistered == ("n1:a:8080",)
    assert world.agent.writes.count(("register", "n1:b:8080")) == 1


def test_a_failed_removal_is_tried_again(world):
    world.engine.run("a")
    world.full()
    world.agent.refuse = {"n1:a:8080": CatalogRejected("400")}
    world.engine.run("a", **STOPPED)
    assert world.hint("a").failed
    world.agent.refuse, world.now = {}, 60
    assert world.hint().deregistered == ("n1:a:8080",)


# --- whose entries ---------------------------------------------------------------------------------------------------

def test_a_new_registrar_finds_its_entries_again_and_corrects_them(world):
    world.engine.run("a")
    world.engine.run("b")
    world.full()
    world.restart()
    del world.engine.containers["a"]
    world.engine.run("b", port=5)
    world.engine.run("c")
    world.full()
    assert world.ids == ["n1:b:8080", "n1:c:8080"] and world.agent.services["n1:b:8080"].port == 5


def test_a_custom_id_that_became_somebody_elses_since_the_last_look_is_not_overwritten(world):
    world.full()
    theirs = AgentService("x", "theirs", "10.0.0.9", 1, (), ())
    world.agent.services["x"] = theirs
    world.engine.run("a", env={"SERVICE_ID": "x"})
    assert world.hint("a").registered == ("n1:a:8080",)
    assert world.agent.services["x"] == theirs


def test_withdraw_takes_out_our_entries_and_nobody_elses(world):
    world.engine.run("a")
    world.agent.services["db"] = AgentService("db", "db", "10.0.0.9", 1, (), (("registrar-owner", "n2"),))
    world.full()
    assert world.reconciler.withdraw() == 1 and world.ids == ["db"]


@pytest.mark.parametrize("check", [{}, {"SERVICE_CHECK_TCP": "1"}])
def test_an_operators_maintenance_outlives_a_change(world, check):
    world.engine.run("a", port=1, env=check)
    world.full()
    world.agent.agent_maintenance("n1:a:8080", "work on the disk")
    world.engine.run("a", port=2)
    world.hint("a")
    assert world.agent.services["n1:a:8080"].port == 2
    assert list(world.agent.checks) == ["_service_maintenance:n1:a:8080"]


# --- another registrar with the same node id --------------------------------------------------------------------------

def theirs(container, id=None, port=80):
    id = id or f"n1:{container}:80"
    meta = (("registrar-container", container), ("registrar-hash", container), ("registrar-owner", "n1"))
    return AgentService(id, "theirs", "10.0.0.9", port, (), meta)


def question_about(world, service):
    return world.agent.checks.get(f"registrar-question:{service}")


def answer(world, service):
    """What the registrar does that looks after it."""
    world.agent.agent_check_deregister(f"registrar-question:{service}")


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_entry_of_another_living_registrar_is_asked_for_and_then_left_alone_and_reported(world, when):
    if when == "after":
        world.full()
    world.agent.services["n1:x:80"] = theirs("x")
    outcome = world.full()
    assert not outcome.deregistered and not outcome.draft.conflicts
    assert question_about(world, "n1:x:80")["Status"] == "passing"
    answer(world, "n1:x:80")
    for _ in range(3):
        world.now += 100
        outcome = world.full()
        assert not outcome.deregistered and "n1:x:80" in outcome.draft.conflicts[0]
        assert not question_about(world, "n1:x:80")
    world.reconciler.withdraw()
    assert world.ids == ["n1:x:80"]
    del world.agent.services["n1:x:80"]
    assert not world.full().draft.conflicts


def test_an_entry_that_nobody_answers_for_is_removed_after_a_while(world):
    world.agent.services["n1:x:80"] = theirs("x")
    world.full()
    world.restart()  # the question stands in Consul
    world.now += 20
    assert not world.full().deregistered
    world.now += 20
    assert world.full().deregistered == ("n1:x:80",)
    assert not question_about(world, "n1:x:80")


def test_a_question_about_our_own_is_answered_and_is_no_conflict(world):
    world.engine.run("a")
    world.full()
    world.agent.agent_check_register({"ID": "registrar-question:n1:a:8080", "ServiceID": "n1:a:8080", "TTL": "24h",
                                      "Status": "passing", "Notes": "registrar: whose entry is this? asked at 5"})
    world.full()
    assert not question_about(world, "n1:a:8080")
    assert not world.full().draft.conflicts and not world.full().deregistered


def test_a_container_that_runs_here_and_is_not_selected_may_be_another_registrars():
    world = World("--only-label", "mine=yes")
    world.engine.run("x")
    world.agent.services["n1:x:80"] = replace(theirs("x"), address="10.0.0.5")
    assert not world.full().deregistered and question_about(world, "n1:x:80")


def test_an_entry_at_our_own_address_of_a_container_that_is_gone_is_removed_at_once(world):
    world.agent.services["n1:x:80"] = replace(theirs("x"), address="10.0.0.5")
    assert world.full().deregistered == ("n1:x:80",)


def test_an_entry_that_is_back_after_it_was_removed_is_left_alone_and_reported(world):
    for _ in range(2):
        world.agent.services["n1:x:80"] = replace(theirs("x"), address="10.0.0.5")
        outcome = world.full()
    assert not outcome.deregistered and "n1:x:80" in outcome.draft.conflicts[0]
    del world.agent.services["n1:x:80"]
    assert not world.full().draft.conflicts


def test_an_id_that_somebody_has_overwritten_is_left_to_the_one_that_answers_for_it(world):
    world.engine.run("a")
    world.full()
    world.agent.services["n1:a:8080"] = theirs("x", "n1:a:8080")
    world.full()
    answer(world, "n1:a:8080")
    assert "n1:a:8080" in world.full().draft.conflicts[0]
    assert world.agent.services["n1:a:8080"] == theirs("x", "n1:a:8080")


def test_an_id_that_somebody_has_overwritten_who_does_not_answer_is_ours_again(world):
    world.engine.run("a")
    world.full()
    world.agent.services["n1:a:8080"] = theirs("x", "n1:a:8080")
    world.full()
    world.now += 40
    assert world.full().registered == ("n1:a:8080",) and not question_about(world, "n1:a:8080")


def test_what_is_remembered_of_conflicts_does_not_grow_with_what_has_been():
    conflicts, sizes = OwnershipConflicts(), []
    for number in range(300):
        entry = theirs(f"{number:06}")
        mine = {entry.id: entry}
        conflicts.look(mine, {}, frozenset())
        conflicts.asked(entry)
        conflicts.look(mine, {}, frozenset())
        assert conflicts.contested
        conflicts.wrote(entry)
        conflicts.removed(entry.id)
        conflicts.look({}, {}, frozenset())
        sizes.append(len(pickle.dumps(conflicts)))
    assert max(sizes[200:]) <= max(sizes[:100])


def test_a_correction_of_an_edit_by_hand_is_no_rivalry(world):
    world.engine.run("a")
    world.full()
    for _ in range(4):
        entry = world.agent.services["n1:a:8080"]
        world.agent.services["n1:a:8080"] = replace(entry, port=1)
        assert world.full().registered == ("n1:a:8080",)


def test_stopping_and_starting_a_container_is_no_rivalry(world):
    for _ in range(4):
        world.engine.run("a")
        world.full()
        world.engine.run("a", **STOPPED)
        world.full()
    assert not world.full().draft.conflicts


# --- what Registrator left behind ------------------------------------------------------------------------------------

def test_leftovers_of_a_named_host_are_taken_over_and_nobody_elses():
    world = World("--adopt-host", "bfdfeaf59e92", "-ip", "10.0.0.5")
    world.engine.run("a", port=1)
    world.engine.run("b", port=2, env={"SERVICE_ID": "mine", "SERVICE_NAME": "b"})
    world.engine.run("c", port=3, env={"SERVICE_ID": "taken", "SERVICE_NAME": "c"})
    kept = {"other:a:8080": "10.0.0.5", "bfdfeaf59e92:not-a-port": "10.0.0.5", "taken": "10.9.9.9"}
    for id, address in {**kept, "bfdfeaf59e92:web:8080": "10.0.0.5", "bfdfeaf59e92:gone:53:udp": "10.0.0.5"}.items():
        world.agent.services[id] = AgentService(id, "x", address, 1, (), ())
    world.agent.services["mine"] = AgentService("mine", "b", "10.0.0.5", 2, (), ())
    marked = AgentService("bfdfeaf59e92:z:1", "x", "10.0.0.5", 1, (), (("registrar-owner", "n2"),))
    world.agent.services[marked.id] = marked
    world.full()
    assert world.ids == sorted([*kept, marked.id, "n1:a:8080", "mine", "n1:c:8080"])
    assert world.agent.services["mine"].meta_value("registrar-owner") == "n1"
    assert world.agent.writes.index(("register", "n1:a:8080")) < world.agent.writes.index(
        ("deregister", "bfdfeaf59e92:web:8080"))


# --- -deregister on-success ------------------------------------------------------------------------------------------

ENDS = {
    "success goes": (STOPPED, []),
    "a signal's end goes": (KILLED, []),
    "a failure stays": (FAILED, ["n1:a:8080"]),
    "a restart loop after a failure stays": (
        {"state": {"Running": True, "Restarting": True, "Pid": 0, "ExitCode": 1}}, ["n1:a:8080"]),
}


@pytest.mark.parametrize(("end", "ids"), ENDS.values(), ids=ENDS)
def test_on_success(end, ids):
    world = World("-deregister", "on-success")
    world.engine.run("a")
    world.full()
    world.engine.run("a", **end)
    world.hint("a")
    assert world.ids == ids
    world.restart()
    world.full()
    assert world.ids == ids
    del world.engine.containers["a"]
    world.full()
    assert world.ids == []


def test_always_takes_out_failures_too(world):
    world.engine.run("a")
    world.full()
    world.engine.run("a", **FAILED)
    world.hint("a")
    assert world.ids == []


def test_a_cluster_without_a_leader_is_a_doubt_until_it_has_one():
    world = World()
    world.engine.run("web")
    world.agent.leader = False
    assert [NO_LEADER] == list(world.full().draft.doubts) == list(world.hint("web").draft.doubts)
    assert world.ids == ["n1:web:8080"]
    world.agent.leader = True
    assert world.full().draft.doubts == world.hint("web").draft.doubts == ()


PAGE = "http://meta/zone"


@pytest.fixture
def zoned():
    return World("-tags", "prod,zone-{{httpGet `http://meta/zone`}}")


def tags(world, key="n1:a:8080"):
    return world.agent.services[key].tags


def test_a_page_that_is_late_holds_up_no_registration_and_its_tag_follows(zoned):
    zoned.engine.run("a")
    zoned.full()
    assert tags(zoned) == ("prod",)
    zoned.pages.turn(PAGE, "eu")
    assert zoned.hint().registered == ("n1:a:8080",) and tags(zoned) == ("prod", "zone-eu")
    assert zoned.full().registered == ()


def test_tags_that_stand_stay_while_their_page_cannot_be_had(zoned):
    zoned.engine.run("a")
    zoned.pages.turn(PAGE, "eu")
    zoned.full()
    zoned.pages.known.clear()
    zoned.restart()
    assert zoned.full().registered == () and tags(zoned) == ("prod", "zone-eu")
    zoned.pages.turn(PAGE, fault="http://meta/zone answers 500")
    outcome = zoned.full()
    assert outcome.registered == () and [f.key for f in outcome.draft.faults] == ["-tags"]
    zoned.engine.run("a", port=32999)
    assert zoned.hint("a").registered == ("n1:a:8080",)
    assert zoned.agent.services["n1:a:8080"].port == 32999 and tags(zoned) == ("prod", "zone-eu")
    zoned.pages.turn(PAGE, "us")
    zoned.hint()
    assert tags(zoned) == ("prod", "zone-us")


def test_another_container_of_the_same_name_does_not_inherit_tags_by_that(zoned):
    zoned.engine.run("a", env={"SERVICE_TAGS": "blue"})
    zoned.pages.turn(PAGE, "eu")
    zoned.full()
    del zoned.engine.containers["a"]
    zoned.pages.turn(PAGE, fault="http://meta/zone answers 500")
    zoned.engine.run("a", id="other", env={"SERVICE_TAGS": "green"})
    zoned.full()
    assert tags(zoned) == ("green", "prod")


def test_a_template_that_fails_for_one_container_is_told_and_costs_no_other_anything():
    world = World("-tags", "all,{{index .Config.Labels `zone` | split `-` | sIndex 1}},{{index (split `-` .Name) 1}}")
    world.engine.run("web-1", labels={"zone": "eu-1"})
    world.engine.run("db")
    faults = world.full().draft.faults
    assert tags(world, "n1:web-1:8080") == ("all", "1")
    assert world.agent.services["n1:db:8080"].tags == ("all",)
    assert [(f.container, f.key, f.rule) for f in faults] == [
        ("db", "-tags", "index: index out of range: 1: the tag is left out")]


def test_an_event_of_a_container_without_the_label_says_no_more_of_it_than_a_listing():
    world = World("--only-label", "node=a")
    world.full()
    world.engine.run("foreign")
    assert world.hint("foreign").draft.skips == () and world.ids == []


def test_a_preview_writes_nothing_and_neither_does_a_second_start(world):
    world.engine.run("a")
    assert [r.id for r in world.reconciler.preview().plan.register] == ["n1:a:8080"]
    assert world.agent.writes == []
    world.restart()
    world.full()
    world.restart()
    assert world.full().registered == ()
    assert len(world.agent.writes) == 1


def test_a_look_that_ends_half_way_writes_nothing(world):
    world.engine.run("a")
    world.engine.run("b")
    look = world.engine.inspect

    def inspect(container_id):
        if container_id == "b":
            raise EngineUnavailable("away")
        return look(container_id)

    world.engine.inspect = inspect
    with pytest.raises(EngineUnavailable):
        world.full()
    assert world.agent.writes == []
    world.engine.inspect = look
    assert world.full().registered == ("n1:a:8080", "n1:b:8080")
