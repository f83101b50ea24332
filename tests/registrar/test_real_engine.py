"""The ways to a real engine that operators allow: a few reads only, TLS, an ordinary user."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import docker
import pytest

from deploy.local import ROOT, Container, RegistrarProcess, child_environment, run, wait_until
from tests.registrar.containers import PROBE, Slow
from tests.registrar.engine_front import certify, read_only, refused, tls

pytestmark = pytest.mark.usefixtures("go_demo_image")
WEB = {"SERVICE_NAME": "web"}
SOCKET = "/var/run/docker.sock"


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


@pytest.fixture
def folder():
    """A short one, as a socket's path must stay below 108 bytes."""
    path = Path(tempfile.mkdtemp(prefix="pb-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def start(consul, label, *flags, env=None):
    return RegistrarProcess(consul.address, "n1", "127.7.7.7", "--only-label", "=".join(*label.items()), *flags,
                            http=True, env=env)


def command(consul, label, *words, env=None):
    """What one run of registrar prints."""
    words = [sys.executable, "-m", "registrar", *words, "--node-id", "n1", f"consul://{consul.address}"]
    if words[3] != "drain":
        words += ["-ip", "127.7.7.7", "--only-label", "=".join(*label.items())]
    return subprocess.run(words, check=True, timeout=60, cwd=ROOT, env=child_environment(env), capture_output=True,
                          text=True).stdout


def passing(consul):
    return consul.get_json("/v1/health/service/web?passing")


def lives(consul, label):
    """A container from its start to its end, as the catalog shows it."""
    with Container(labels=label, env=WEB) as web:
        def known():
            return [i["ServicePort"] for i in consul.instances("web")]
        wait_until(lambda: known() == [web.port()], 5)
        web.restart()
        wait_until(lambda: known() == [web.port()], 5)
        web.stop()
        wait_until(lambda: not known(), 5)
        web.start()
        wait_until(lambda: known() == [web.port()], 5)
    wait_until(lambda: not known(), 5)


def test_a_proxy_that_lets_a_few_reads_through_is_enough(consul, label, folder):
    with read_only(folder) as (engine, proxy):
        env = {"DOCKER_HOST": engine}
        with start(consul, label, "--health", "gate", "--reconcile-interval", "0.5", env=env).wait_ready() as registrar:
            lives(consul, label)
            with Slow(label, Healthcheck=PROBE) as web:
                wait_until(lambda: "waiting for health" in registrar.output(), 30)
                assert not consul.instances("web")
                web.be(True)
                wait_until(lambda: passing(consul), 30)
                planned = json.loads(command(consul, label, "plan", "--json", env=env))
                assert [c["name"] for c in planned["containers"]] == [web.name]
                command(consul, label, "drain", web.name, env=env)
                assert not passing(consul) and consul.instances("web")
                command(consul, label, "drain", "--undo", web.name, env=env)
                wait_until(lambda: passing(consul), 5)
                web.end()
                wait_until(lambda: not passing(consul) and consul.instances("web"), 3)
                wait_until(lambda: not consul.instances("web"), 10)
            assert registrar.get("/ready").status == 200
        command(consul, label, "--once", env={"DOCKER_HOST": engine})
    # What a swarm's manager would be asked as well; without it only the swarm's own ports are missed.
    assert refused(proxy) <= {"GET /services"}


def test_tcp_with_tls_and_certificates_on_both_sides(consul, label, folder):
    other = folder / "other"
    other.mkdir()
    certify(other, "127.0.0.1")
    with tls(folder) as address:
        env = {"DOCKER_HOST": address, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder),
               # What a company's machines have for the rest of the world.
               "REQUESTS_CA_BUNDLE": str(other / "ca.pem")}
        with start(consul, label, env=env).wait_ready() as registrar:
            lives(consul, label)
            assert registrar.get("/ready").status == 200
        theirs, mine = folder / "theirs", folder / "mine"
        shutil.copytree(folder, theirs, ignore=lambda *_: ["other", "theirs", "mine"])
        shutil.copytree(theirs, mine)
        shutil.copy(other / "ca.pem", theirs)  # the engine is a stranger to registrar
        for file in ("cert.pem", "key.pem"):  # registrar is a stranger to the engine
            shutil.copy(other / file, mine)
        for wrong in (theirs, mine):
            with start(consul, label, env=env | {"DOCKER_CERT_PATH": str(wrong)}) as registrar:
                wait_until(lambda r=registrar: "what=docker" in r.output() and "DOCKER_CERT_PATH" in r.output(), 10)


def test_an_ordinary_user_of_the_sockets_group(consul, label):
    # May read any file, as checkout and interpreter may stand in root's own folder; that opens no socket.
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search"]
    words = [sys.executable, "-m", "registrar", "--node-id", "n1", "-ip", "127.7.7.7", "--only-label",
             "=".join(*label.items()), f"consul://{consul.address}"]
    with run([*user, f"--groups={os.stat(SOCKET).st_gid}", *words]) as registrar:
        wait_until(lambda: "event=start" in registrar.output(), 10)
        status = Path(f"/proc/{registrar.pid}/status").read_text()
        assert "Uid:\t65534\t65534" in status
        lives(consul, label)
        assert registrar.terminate() == 0
        assert "event=trouble" not in registrar.output()
    with run([*user, "--clear-groups", *words]) as stranger:
        wait_until(lambda: "permission denied" in stranger.output(), 10)


def test_a_container_out_of_memory_is_said_and_counted(consul, tmp_path):
    client = docker.APIClient(version="auto", timeout=60)
    # A child that is killed again and again: of a container that ends with it, the engine tells now and then nothing.
    eats = "while :; do sh -c 'x=aaaaaaaa; while :; do x=$x$x; done'; done"
    greedy = client.create_container(
        "portbook/go-demo:latest", entrypoint=["/bin/sh", "-c", eats],
        host_config=client.create_host_config(mem_limit="6m", memswap_limit="6m"))["Id"]
    try:
        with RegistrarProcess(consul.address, "n1", "127.7.7.7", "--only-label", "none=such", http=True) as process:
            process.wait_ready()
            client.start(greedy)
            process.wait_until(lambda: f"event=event action=oom container={greedy[:12]}" in process.output(), 20)
            assert 'registrar_events_total{event="oom"}' in process.get("/metrics").body
    finally:
        client.remove_container(greedy, force=True)
        client.close()
