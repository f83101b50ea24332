"""The Docker engine stopped, killed and started again under a registrar: afterwards the catalog is right again."""

import secrets

import pytest

from deploy import go_demo
from deploy.local import RegistrarProcess, wait_until
from deploy.own_engine import OwnEngine
from tests.consul_gate import Gate


@pytest.fixture(scope="module")
def own_engine():
    with OwnEngine() as running:
        running.build()
        yield running


def run(engine, name, policy="no"):
    """A running go-demo with a port; its id."""
    made = engine.client.create_container_from_config({
        "Image": go_demo.IMAGE, "Env": ["SERVICE_NAME=web"], "ExposedPorts": {"8080/tcp": {}},
        "HostConfig": {"PortBindings": {"8080/tcp": [{}]}, "RestartPolicy": {"Name": policy}}}, name=name)["Id"]
    engine.client.start(made)
    return made


def running(engine):
    """The published port of each container that runs, by name."""
    listed = engine.client.containers()
    return {c["Names"][0][1:]: c["Ports"][0]["PublicPort"] for c in listed if c["Ports"]}


def start(consul, engine, *flags):
    """A registrar for which nothing but the engine's coming and going is a reason to look at everything."""
    return RegistrarProcess(getattr(consul, "address", consul), "n1", "127.7.7.7", "--reconcile-interval", "60", *flags,
                            http=True, env={"DOCKER_HOST": engine.host}).wait_ready()


def catalog(consul):
    return {i["ServiceID"].split(":")[1]: i["ServicePort"] for i in consul.instances("web")}


def away(registrar):
    return {"docker", "events"} & set(registrar.get("/ready").json()["reasons"])


def names():
    run = secrets.token_hex(3)
    return f"stays-{run}", f"ends-{run}"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_runs_after_a_restart_is_in_the_catalog_and_nothing_else(own_engine, consul, how):
    stays, ends = names()
    consul.register("db", "10.9.9.9", 5432)
    with start(consul, own_engine) as registrar:
        run(own_engine, stays, "always")
        ended = run(own_engine, ends)
        wait_until(lambda: catalog(consul) == running(own_engine) and len(catalog(consul)) == 2, 5)
        before = running(own_engine)
        getattr(own_engine, how)()
        wait_until(lambda: away(registrar), 5)
        # Stopped, it has ended its containers and said so. Killed, it has not: what runs is not known now.
        wait_until(lambda: catalog(consul) == ({} if how == "stop" else before), 5)
        own_engine.start()
        # At most 2 s between two tries to reach the engine.
        wait_until(lambda: catalog(consul) == running(own_engine) and set(catalog(consul)) == {stays}, 6)
        registrar.wait_ready(5)
        own_engine.client.start(ended)
        wait_until(lambda: catalog(consul) == running(own_engine) and len(catalog(consul)) == 2, 5)
        own_engine.client.remove_container(stays, force=True)
        own_engine.client.remove_container(ends, force=True)
        wait_until(lambda: catalog(consul) == {}, 5)
    assert len(consul.instances("db")) == 1


def test_with_live_restore_the_catalog_stays_as_it_is_and_is_not_written_to(consul):
    stays, ends = names()
    with OwnEngine("--live-restore") as engine, Gate(consul.address) as gate, start(gate, engine) as registrar:
        engine.build()
        run(engine, stays)
        ending = run(engine, ends)
        wait_until(lambda: catalog(consul) == running(engine) and len(catalog(consul)) == 2, 5)
        writes = gate.writes()
        engine.stop()
        wait_until(lambda: away(registrar), 5)
        assert len(catalog(consul)) == 2
        engine.start()
        registrar.wait_ready(6)
        assert catalog(consul) == running(engine) and len(running(engine)) == 2
        assert gate.writes() == writes
        engine.client.kill(ending)
        wait_until(lambda: set(catalog(consul)) == {stays}, 5)
