"""consulkv://: the key-value store in Registrator's form, in a real Consul."""

import secrets

import pytest

from deploy.local import Container, RegistrarProcess, wait_until

pytestmark = pytest.mark.usefixtures("go_demo_image")


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags):
    key, value = next(iter(label.items()))
    return RegistrarProcess(f"consulkv://{consul.address}/reg/web", "n1", "127.7.7.7", "--only-label",
                            f"{key}={value}", "--reconcile-interval", "0.3", *flags, http=True)


def test_keys_come_and_go_with_their_containers_and_nobody_elses_are_touched(consul, label):
    consul.kv_put("reg/web/api/n1:other:80", "10.9.9.9:80")
    consul.kv_put("reg/webmaster", "x")
    theirs = {"reg/web/api/n1:other:80": "10.9.9.9:80", "reg/webmaster": "x"}
    with start(consul, label).wait_ready() as registrar, \
            Container(labels=label, env={"SERVICE_NAME": "api", "SERVICE_TAGS": "a"}) as web:
        key = f"reg/web/api/n1:{web.name}:8080"
        wait_until(lambda: consul.kv("reg/") == theirs | {key: f"127.7.7.7:{web.port()}"}, 5)
        index = consul.get_json(f"/v1/kv/{key}")[0]["ModifyIndex"]
        web.restart()
        wait_until(lambda: consul.kv("reg/") == theirs | {key: f"127.7.7.7:{web.port()}"}, 5)
        index = consul.get_json(f"/v1/kv/{key}")[0]["ModifyIndex"]
        registrar.kill()
        with start(consul, label).wait_ready() as again:
            assert consul.get_json(f"/v1/kv/{key}")[0]["ModifyIndex"] == index
            again.kill()
        web.kill()
        assert key in consul.kv("reg/")
        with start(consul, label).wait_ready():
            wait_until(lambda: consul.kv("reg/") == theirs, 5)
