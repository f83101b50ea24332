"""Ways to a real Consul: through its socket, and over TLS with certificates on both ends."""

import secrets
import subprocess
import sys

import pytest

from deploy.local import (
    ROOT,
    ConsulServer,
    Container,
    Process,
    child_environment,
    consul_binary,
    free_port,
    http_get,
    loopback_address,
)

pytestmark = pytest.mark.usefixtures("go_demo_image")


def once(registry, label, env):
    words = [sys.executable, "-m", "registrar", "--node-id", "n1", "-ip", "127.7.7.7", "--once", "--only-label",
             "=".join(*label.items()), registry]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=ROOT, env=child_environment(env))
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def web(go_demo_image):
    label = {"portbook.test": secrets.token_hex(6)}
    with Container(labels=label, env={"SERVICE_NAME": "web"}) as container:
        container.label = label
        yield container


def test_through_a_socket(tmp_path, web):
    path = tmp_path / "consul.sock"
    host = loopback_address()
    with ConsulServer(host=host, config={"addresses": {"http": f"unix://{path} {host}"}}) as consul:
        status, said = once(f"consul-unix://{path}", web.label, {})
        assert status == 0, said
        assert [i["ServicePort"] for i in consul.instances("web")] == [web.port()]
        status, said = once(f"consulkv-unix://{path}:/reg/istrar", web.label, {})
        assert status == 0, said
        assert consul.kv("reg/") == {f"reg/istrar/web/n1:{web.name}:8080": f"127.7.7.7:{web.port()}"}
        status, said = once("consul://", web.label, {"CONSUL_HTTP_ADDR": f"unix://{path}"})
        assert status == 0, said


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A Consul that wants a certificate, and whose own is for another name; (address, certificates)."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key",
            "-out", "ca.pem")
    for name in ("server", "client"):
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{name}.dc1.consul\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    host = loopback_address()
    port = free_port(host)
    config = {"ports": {"https": port}, "ca_file": f"{folder}/ca.pem", "cert_file": f"{folder}/server.pem",
              "key_file": f"{folder}/server.key", "verify_incoming_https": True}
    with ConsulServer(host=host, config=config) as consul:
        yield consul, f"{host}:{port}", folder


def test_over_tls(secure, web):
    consul, address, folder = secure
    env = {"CONSUL_CACERT": f"{folder}/ca.pem", "CONSUL_CLIENT_CERT": f"{folder}/client.pem",
           "CONSUL_CLIENT_KEY": f"{folder}/client.key", "CONSUL_TLS_SERVER_NAME": "server.dc1.consul"}
    status, said = once(f"consul-tls://{address}", web.label, env)
    assert status == 0, said
    assert [i["ServicePort"] for i in consul.instances("web")] == [web.port()]


@pytest.mark.parametrize(("missing", "status", "why"), [
    ("CONSUL_CACERT", 1, "TLS could not be agreed on"),
    ("CONSUL_TLS_SERVER_NAME", 1, "TLS could not be agreed on"),
    ("CONSUL_CLIENT_KEY", 2, "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY: give both or none"),
])
def test_over_tls_without_what_it_takes(secure, web, missing, status, why):
    _, address, folder = secure
    env = {"CONSUL_CACERT": f"{folder}/ca.pem", "CONSUL_CLIENT_CERT": f"{folder}/client.pem",
           "CONSUL_CLIENT_KEY": f"{folder}/client.key", "CONSUL_TLS_SERVER_NAME": "server.dc1.consul"}
    del env[missing]
    found, said = once(f"consul-tls://{address}", web.label, env)
    assert found == status and why in said


def test_an_agent_that_reaches_no_server_takes_registrations_and_that_is_said(tmp_path, web):
    host = loopback_address()
    port, serf = free_port(host), free_port(host)
    words = [consul_binary(), "agent", f"-data-dir={tmp_path}", "-node=alone", f"-bind={host}", f"-client={host}",
             f"-http-port={port}", f"-serf-lan-port={serf}", "-dns-port=-1"]
    with Process(words, name="consul") as agent:
        agent.wait_until(lambda: http_get(f"http://{host}:{port}/v1/agent/self").status == 200, 20)
        status, said = once(f"consul://{host}:{port}", web.label, {})
        assert status == 0 and "WARNING event=doubt why=\"Consul has no leader" in said, said
        assert f"n1:{web.name}:8080" in http_get(f"http://{host}:{port}/v1/agent/services").json()
