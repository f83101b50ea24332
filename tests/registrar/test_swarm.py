"""Services of a swarm: what is read of them, when they are asked for, and what of a node's tasks is registered."""

import pytest

from engine.errors import SwarmUnavailable
from engine.swarm import SwarmService, from_service
from tests.registrar.documents import WILD
from tests.registrar.fakes import World

WEB = SwarmService("s1", (("SERVICE_NAME", "web"), ("tier", "front")), ((8080, "tcp", 18080),))
OTHER = SwarmService("s2", (("SERVICE_NAME", "other"),), ())


def run(world, name, service="s1", number=1, **changes):
    labels = {"com.docker.swarm.service.id": service, "com.docker.swarm.service.name": "stack_web"}
    world.engine.run(name, labels=labels | changes.pop("labels", {}), created=f"2026-11-21T11:00:{number:02}Z",
                     **({"ports": {"8080/tcp": None}, "networks": {"ingress": "10.0.0.5"}} | changes))


@pytest.fixture
def world():
    world = World()
    world.engine.swarm = {"s1": WEB, "s2": OTHER}
    return world


def holder(world, key="n1:stack_web:8080"):
    return dict(world.agent.services[key].meta)["registrar-container"]


def skips(outcome):
    return {s.container: s.code for s in outcome.draft.skips}


@pytest.mark.parametrize(("document", "expected"), [
    ({"ID": "s1", "Spec": {"Labels": {"SERVICE_NAME": "web", "tier": "front"}}, "Endpoint": {"Ports": [
        {"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 18080, "PublishMode": "ingress"},
        {"Protocol": "tcp", "TargetPort": 8443, "PublishedPort": 18443, "PublishMode": "host"},
        {"Protocol": "udp", "TargetPort": 53, "PublishMode": "ingress"}]}}, WEB),
    ({"ID": "s2", "Spec": {"Labels": {"SERVICE_NAME": "other"}}, "Endpoint": {}}, OTHER),
    ({"ID": "s3"}, SwarmService("s3"))])
def test_reading_a_service(document, expected):
    assert from_service(document) == expected


def test_a_port_of_the_ingress_is_the_nodes_and_labels_are_the_services(world):
    run(world, "t1")
    world.full()
    entry = world.agent.services["n1:stack_web:8080"]
    assert (entry.name, entry.address, entry.port) == ("web", "10.0.0.5", 18080)


def test_a_label_of_the_task_beats_that_of_its_service(world):
    run(world, "t1", labels={"SERVICE_NAME": "own"})
    world.full()
    assert world.agent.services["n1:stack_web:8080"].name == "own"


def test_a_binding_of_the_host_beats_the_ingress(world):
    run(world, "t1", ports={"8080/tcp": [(WILD, 30000)]})
    world.full()
    assert world.ids == ["n1:t1:8080"] and world.agent.services["n1:t1:8080"].port == 30000


def test_the_oldest_task_holds_the_port_and_the_next_one_follows_without_a_gap(world):
    run(world, "t2", number=2)
    run(world, "t1", number=1)
    assert skips(world.full()) == {"t2": "shared"} and holder(world) == "t1"
    world.agent.writes.clear()
    world.kill("t1")
    assert holder(world) == "t2"
    world.end("t1")
    assert world.agent.writes == [("register", "n1:stack_web:8080")]


def test_the_only_task_drains_and_a_new_one_ends_that(world):
    run(world, "t1")
    world.full()
    world.kill("t1")
    assert world.agent.writes[-1] == ("hold", "n1:stack_web:8080")
    run(world, "t2", number=2)
    world.hint("t2")
    assert holder(world) == "t2" and not world.agent.notes


def test_without_a_manager_the_reason_says_so(world):
    world.engine.swarm = None
    run(world, "t1")
    outcome = world.full()
    assert skips(outcome) == {"t1": "ingress"} and not world.ids
    assert "manager" in outcome.draft.skips[0].reason


def test_a_manager_says_that_a_port_is_not_published(world):
    run(world, "t1", service="s2")
    assert skips(world.full()) == {"t1": "not-published"}


def test_a_swarm_that_cannot_answer_takes_nothing_out(world):
    run(world, "t1")
    world.full()
    world.engine.swarm = SwarmUnavailable("no leader")
    world.full()
    assert world.ids == ["n1:stack_web:8080"]
    world.restart()
    run(world, "t2", number=2)
    outcome = world.full()
    assert world.ids == ["n1:stack_web:8080"] and holder(world) == "t1"
    assert any("no leader" in doubt for doubt in outcome.draft.doubts)
    world.engine.swarm = {"s1": WEB}
    world.full()
    assert skips(world.full()) == {"t2": "shared"}


def test_a_service_that_was_removed_is_as_it_was_while_it_has_tasks(world):
    run(world, "t1", ports={"8080/tcp": [(WILD, 30000)]})
    world.full()
    world.engine.swarm = {}
    world.full()
    assert world.agent.services["n1:t1:8080"].name == "web"
    world.engine.containers.clear()
    for _ in range(2):
        world.full()
    assert world.ids == []


def test_a_new_service_is_asked_for_when_its_first_task_starts(world):
    world.engine.swarm = {}
    run(world, "t1", service="s2", ports={"8080/tcp": [(WILD, 30000)]})
    world.full()
    world.engine.swarm = {"s1": WEB}
    run(world, "t2", number=2)
    world.hint("t2")
    assert holder(world) == "t2"


def test_a_manager_is_asked_once_for_each_look(world):
    asked = []
    answer = world.engine.swarm_services
    world.engine.swarm_services = lambda: asked.append(1) or answer()
    world.restart()
    for number in range(5):
        run(world, f"t{number}", number=number)
    run(world, "plain", service="", labels={})
    world.full()
    world.hint("t3")
    assert len(asked) == 1
