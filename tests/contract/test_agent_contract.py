"""What the shell relies on in an agent: the same cases for Consul's own, for the external node that takes its place,
and for the fake of the shell's tests.
"""

from __future__ import annotations

import contextlib

import pytest

from catalog.consul_client import ConsulClient
from catalog.errors import CatalogError, CatalogRejected, CatalogUnavailable, NotRegistered
from registrar.consul.external_node import ExternalNode
from registrar.core.ownership_conflicts import QUESTION, question, questions
from registrar.core.services import services_of
from tests.consul_gate import Gate, Held
from tests.contract.fake_agent import MAINTENANCE, FakeAgent
from tests.registrar.documents import NODE, WILD, container, settings

WEB = "n1:web_1:8080"


class Behind:
    """An agent, or what stands in its place, behind a gate that can be shut."""

    def __init__(self, gate, agent):
        self._gate, self.agent = gate, agent

    def shut(self):
        def hold(method, path):
            raise Held
        self._gate.before = hold

    def open(self):
        self._gate.before = lambda method, path: None

    def refuse_writes(self):
        self._gate.answer = lambda method, path: (400, "so it is") if method == "PUT" else None

    def take_writes(self):
        self._gate.answer = lambda method, path: None


class InMemory:
    def __init__(self):
        self.agent = FakeAgent()
        self.agent.no_scripts = True

    def shut(self):
        self.agent.away = True

    def open(self):
        self.agent.away = False

    def refuse_writes(self):
        self.agent.refuse = {WEB: CatalogRejected("400 so it is")}

    def take_writes(self):
        self.agent.refuse = {}


@pytest.fixture(params=["fake", "agent", "external node"])
def site(request):
    if request.param == "fake":
        yield InMemory()
        return
    consul = request.getfixturevalue("consul")
    with contextlib.ExitStack() as stack:
        gate = stack.enter_context(Gate(consul.address))
        client = ConsulClient.from_environ(f"http://{gate.address}", {}, patience_s=0)
        external = ExternalNode(client, lambda: "external-1", lambda: "10.0.0.5")
        yield Behind(gate, client if request.param == "agent" else external)


@pytest.fixture
def agent(site):
    site.agent.agent_services()  # as every pass begins
    return site.agent


def registration(port=32768, **env):
    found = services_of(container(ports={"8080/tcp": [(WILD, port)]}, env=env), None, NODE, settings())
    return found.registrations[0]


def reason(agent):
    return agent.agent_checks().get(MAINTENANCE + WEB, {}).get("Notes")


def test_what_was_registered_stands_as_it_was_meant(agent):
    wanted = registration(SERVICE_TAGS="a,b", SERVICE_REGION="eu", SERVICE_CHECK_TTL="30s")
    agent.agent_register(wanted.body())
    assert agent.agent_services() == {WEB: wanted.held()}
    assert wanted.stands_as(agent.agent_service(WEB)) and agent.agent_service("nobody") is None
    assert f"service:{WEB}" in agent.agent_checks()


def test_a_second_registration_takes_the_place_of_the_first(agent):
    agent.agent_register(registration(1, SERVICE_CHECK_TTL="30s").body())
    changed = registration(2)
    agent.agent_register(changed.body())
    assert agent.agent_services() == {WEB: changed.held()}
    assert agent.agent_checks().keys() & {f"service:{WEB}"} == set()


def test_what_was_deregistered_is_gone_with_its_checks_and_what_never_was_is_no_error(agent):
    agent.agent_register(registration(SERVICE_CHECK_TTL="30s").body())
    agent.agent_maintenance(WEB, "work")
    agent.agent_deregister(WEB)
    assert agent.agent_services() == {} and not [key for key in agent.agent_checks() if key.endswith(WEB)]
    agent.agent_deregister(WEB)
    agent.agent_deregister("nobody")


def test_a_maintenance_has_the_reason_that_it_was_begun_with(agent):
    agent.agent_register(registration(SERVICE_CHECK_TTL="30s").body())
    agent.agent_maintenance(WEB, "first")
    agent.agent_maintenance(WEB, "second")
    assert reason(agent) == "first"
    agent.agent_maintenance(WEB, "")
    assert reason(agent) is None and f"service:{WEB}" in agent.agent_checks()
    agent.agent_maintenance(WEB, "")


def test_a_registration_that_keeps_the_checks_keeps_the_maintenance(agent):
    agent.agent_register(registration(1).body())
    agent.agent_maintenance(WEB, "work")
    agent.agent_register(registration(2).body(), replace_checks=False)
    assert reason(agent) == "work" and agent.agent_services()[WEB].port == 2


def test_a_check_is_taken_out_by_itself_and_one_that_is_not_there_is_no_error(agent):
    agent.agent_register(registration(SERVICE_CHECK_TTL="30s").body())
    agent.agent_check_deregister(f"service:{WEB}")
    assert f"service:{WEB}" not in agent.agent_checks() and WEB in agent.agent_services()
    agent.agent_check_deregister(f"service:{WEB}")


def test_a_heartbeat_is_the_status_of_its_check_and_needs_one(agent):
    agent.agent_register(registration(SERVICE_CHECK_TTL="30s").body())
    for status in ("warning", "passing"):
        agent.agent_check_update(f"service:{WEB}", status, "so it is")
        assert agent.agent_checks()[f"service:{WEB}"]["Status"] == status
    with pytest.raises(NotRegistered):
        agent.agent_check_update("service:nobody", "passing", "")


def test_a_maintenance_needs_its_service(agent):
    for reason in ("work", ""):
        with pytest.raises(NotRegistered):
            agent.agent_maintenance("nobody", reason)
    assert not [key for key in agent.agent_checks() if key.endswith("nobody")]


def test_a_question_stands_beside_the_other_checks_and_goes_with_its_service(agent):
    agent.agent_register(registration(SERVICE_CHECK_TTL="30s").body())
    agent.agent_check_register(question(WEB, 1000.6))
    assert questions(agent.agent_checks()) == {WEB: 1001} and f"service:{WEB}" in agent.agent_checks()
    agent.agent_check_deregister(QUESTION + WEB)
    assert questions(agent.agent_checks()) == {}
    agent.agent_check_register(question(WEB, 1000))
    agent.agent_deregister(WEB)
    assert questions(agent.agent_checks()) == {}
    with pytest.raises(NotRegistered):
        agent.agent_check_register(question("nobody", 1000))


def test_a_script_is_refused_in_words_that_the_shell_knows(agent):
    with pytest.raises(CatalogError, match="cripts are disabled"):
        agent.agent_register(registration(SERVICE_CHECK_SCRIPT="true").body())
    assert WEB not in agent.agent_services()


def test_a_write_that_is_refused_leaves_what_stood(site, agent):
    first = registration(1)
    agent.agent_register(first.body())
    site.refuse_writes()
    for write in (lambda: agent.agent_register(registration(2).body()), lambda: agent.agent_deregister(WEB),
                  lambda: agent.agent_maintenance(WEB, "work")):
        with pytest.raises(CatalogRejected):
            write()
    assert agent.agent_services() == {WEB: first.held()} and reason(agent) is None


def test_a_deregistration_that_was_refused_is_made_when_it_is_repeated(site, agent):
    agent.agent_register(registration().body())
    site.refuse_writes()
    with pytest.raises(CatalogRejected):
        agent.agent_deregister(WEB)
    site.take_writes()
    agent.agent_deregister(WEB)
    assert agent.agent_services() == {}


def test_an_agent_that_is_away_is_unknown_and_not_empty(site, agent):
    agent.agent_register(registration().body())
    assert agent.has_leader()
    site.shut()
    for ask in (agent.agent_services, lambda: agent.agent_service(WEB), agent.agent_self,
                lambda: agent.agent_register(registration(2).body()), lambda: agent.agent_deregister(WEB)):
        with pytest.raises(CatalogUnavailable):
            ask()
    site.open()
    assert agent.agent_services() == {WEB: registration().held()}
