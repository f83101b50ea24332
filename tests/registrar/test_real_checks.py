"""Every kind of check as a real Consul takes it and runs it."""

import secrets
import sys

import pytest

from deploy.local import ConsulServer, Container, free_port, run, wait_until
from tests.registrar.probed import grpc, http, serving

pytestmark = pytest.mark.usefixtures("go_demo_image")


def once(consul, env, *flags, port=0):
    """One container, one pass; what Consul says of its check, and what registrar said. `port` is one of the host's."""
    label = {"portbook.test": secrets.token_hex(6)}
    settings = {"SERVICE_NAME": "web", "SERVICE_CHECK_INTERVAL": "200ms"} | env
    container = Container(labels=label, env=settings) if not port else Container(
        labels=label, env=settings | {f"SERVICE_{port}_NAME": "web", "PORT": str(free_port())}, network="host",
        exposed=[str(port)])
    words = ["-ip", "127.0.0.1", "--node-id", "n1", "--once", "--only-label", "=".join(*label.items()), *flags]
    with container:
        with run([sys.executable, "-m", "registrar", *words, f"consul://{consul.address}"]) as registrar:
            assert registrar.wait(20) == 0, registrar.output()
            yield registrar.output()
        yield container


def checks(consul):
    return [c for e in consul.get_json("/v1/health/service/web") for c in e["Checks"] if c["CheckID"] != "serfHealth"]


@pytest.fixture(scope="module")
def scripted(engine):
    with ConsulServer(config={"enable_script_checks": True}) as server:
        yield server


RUN = {
    "http": ({"HTTP": "/demo/hello"}, "passing"),
    "http, with method and header": (
        {"HTTP": "/demo/hello", "HTTP_METHOD": "HEAD", "HEADER": "Host: a.example, X-A: 1"}, "passing"),
    "http that fails": ({"HTTP": "/nowhere"}, "critical"),
    "tcp": ({"TCP": "true"}, "passing"),
    "script": ({"SCRIPT": "test $SERVICE_IP = 127.0.0.1 && test $SERVICE_PORT -gt 1024"}, "passing"),
    "script that fails": ({"SCRIPT": "exit 2"}, "critical"),
    "cmd without its helper": ({"CMD": "x"}, "critical"),
    "grpc, spoken to something else": ({"GRPC": "1", "TIMEOUT": "1s"}, "critical"),
    "grpc over TLS": ({"GRPC": "1", "GRPC_USE_TLS": "1", "TLS_SKIP_VERIFY": "1", "TIMEOUT": "1s"}, "critical"),
    "https, spoken to something else": ({"HTTPS": "/", "TLS_SKIP_VERIFY": "1"}, "critical"),
}


@pytest.mark.parametrize(("env", "status"), RUN.values(), ids=RUN)
def test_consul_runs_it(scripted, env, status):
    # The status that it begins with is the other one, so that only a probe that was made can change it.
    first = "critical" if status == "passing" else "passing"
    story = once(scripted, {f"SERVICE_CHECK_{k}": v for k, v in env.items()} | {"SERVICE_CHECK_INITIAL_STATUS": first})
    next(story)
    next(story)
    wait_until(lambda: [c["Status"] for c in checks(scripted)] == [status], 10)
    story.close()
    for key in scripted.get_json("/v1/agent/services"):
        scripted.deregister(key)


SERVED = {
    "https, whoever vouches for it": (http, True, {"HTTPS": "/", "TLS_SKIP_VERIFY": "1"}, "passing"),
    "https, with a certificate of its own": (http, True, {"HTTPS": "/"}, "critical"),
    "grpc": (grpc, False, {"GRPC": "1"}, "passing"),
    "grpc over TLS, whoever vouches for it": (
        grpc, True, {"GRPC": "1", "GRPC_USE_TLS": "1", "TLS_SKIP_VERIFY": "1"}, "passing"),
    "grpc over TLS, with a certificate of its own": (grpc, True, {"GRPC": "1", "GRPC_USE_TLS": "1"}, "critical"),
}


@pytest.mark.parametrize(("speak", "over_tls", "env", "status"), SERVED.values(), ids=SERVED)
def test_consul_finds_it_healthy(scripted, tmp_path, speak, over_tls, env, status):
    first = "critical" if status == "passing" else "passing"
    keys = {f"SERVICE_CHECK_{k}": v for k, v in env.items()} | {"SERVICE_CHECK_INITIAL_STATUS": first}
    with serving(speak, tmp_path if over_tls else None) as port:
        story = once(scripted, keys, port=port)
        next(story)
        next(story)
        wait_until(lambda: [c["Status"] for c in checks(scripted)] == [status], 10)
        story.close()
    for key in scripted.get_json("/v1/agent/services"):
        scripted.deregister(key)


def test_an_agent_without_scripts_gets_the_service_and_the_rest_is_said(consul):
    story = once(consul, {"SERVICE_CHECK_SCRIPT": "true", "SERVICE_WEIGHTS": "7,2", "SERVICE_8080_NAME": "web,api"})
    said = next(story)
    assert "event=metadata" in said and "runs scripts" in said
    assert checks(consul) == [] and len(consul.instances("web")) == len(consul.instances("api")) == 1
    assert consul.instances("web")[0]["ServiceWeights"] == {"Passing": 7, "Warning": 2}
    story.close()
