"""What the client makes of odd names, of several addresses, of one that hangs, and of newer versions' answers."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator

import pytest

from catalog import codec
from catalog.address import parse_endpoints
from catalog.consul_client import ConsulClient
from catalog.errors import CatalogRejected, CatalogUnavailable, NotAddressable
from deploy.local import ConsulServer
from tests.catalog.listener import Listener

ODD = ("x//y", "a/.", "..", "a\nb", "a b", "%2f", "é", "a?b#c", "a/b")


def answer(status: int, body: object, index: int = 7) -> bytes:
    text = body if isinstance(body, str) else json.dumps(body)
    return (f"HTTP/1.1 {status} X\r\nX-Consul-Index: {index}\r\nContent-Length: {len(text.encode())}\r\n\r\n{text}"
            ).encode()


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


def client(*addresses: str, patience_s: float = 5.0) -> ConsulClient:
    return ConsulClient(parse_endpoints(",".join(addresses)), patience_s=patience_s)


def test_nodes_with_odd_names_hurt_nobody(consul: ConsulServer, caplog: pytest.LogCaptureFixture) -> None:
    """One of them made every reading of the catalog fail."""
    for number, node in enumerate((*ODD, "good")):
        consul.put("/v1/catalog/register", {"Node": node, "Address": "10.0.0.1", "Service": {
            "ID": f"s{number}", "Service": "s", "Port": 1000 + number}})
    asked = client(consul.address)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = {i.node for i in asked.all_instances() if i.service == "s"}
            assert found == {"good", "a b", "%2f", "é", "a?b#c", "a/b"}, "all that can be addressed"
    told = [r.getMessage() for r in caplog.records if "node-left-out" in r.getMessage()]
    assert len(told) == 4, "each that cannot is told of once"
    assert {i.node for i in asked.instances("s")} == {*ODD, "good"}, "by the service they are all there"


@pytest.mark.parametrize("name", ["", "..", "x//y"])
def test_a_service_or_a_key_that_no_path_can_name_is_refused_before_it_is_sent(consul: ConsulServer, name: str) -> None:
    asked = client(consul.address)
    for call in (asked.instances, asked.kv_get, asked.agent_service, asked.node_instances):
        with pytest.raises(NotAddressable):
            call(name)
    assert asked.services(), "and the others are not"


@pytest.mark.parametrize("said", [answer(500, "No cluster leader"), answer(503, "away"), answer(429, "rate limit")])
def test_an_address_that_cannot_answer_is_left_for_one_that_can(said: bytes) -> None:
    with Listener(lambda request: said) as bad, Listener(lambda request: answer(200, {"consul": []})) as good:
        asked = client(f"127.0.0.1:{bad.port}", f"127.0.0.1:{good.port}", patience_s=0)
        for _ in range(3):
            assert asked.services() == {"consul": ()}
        assert (len(bad.requests), len(good.requests)) == (1, 3), "whoever answered is asked first from then on"


@pytest.mark.parametrize(("said", "moves_on"), [
    (answer(500, "No cluster leader"), True), (answer(500, "raft apply: timed out"), False)])
def test_a_write_goes_on_to_the_next_address_only_where_nothing_was_done(said: bytes, moves_on: bool) -> None:
    with Listener(lambda request: said) as bad, Listener(lambda request: answer(200, {"Results": []})) as good:
        asked = client(f"127.0.0.1:{bad.port}", f"127.0.0.1:{good.port}")
        if moves_on:
            asked.transact([codec.kv_set("a", b"1")])
        else:
            with pytest.raises(CatalogUnavailable, match="timed out"):
                asked.transact([codec.kv_set("a", b"1")])
        assert (len(bad.requests), len(good.requests)) == (1, int(moves_on))


def test_a_call_to_a_consul_that_hangs_ends_and_is_made_only_once(consul: ConsulServer) -> None:
    asked = client(consul.address)
    asked.services()
    consul.freeze()
    try:
        with pytest.raises(CatalogUnavailable, match="no answer in time"):
            asked.services()
    finally:
        consul.thaw()
    asked.services()


def test_one_address_that_hangs_leaves_time_for_the_next(consul: ConsulServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = client(f"127.0.0.1:{silent.getsockname()[1]}", consul.address, patience_s=0)
        assert "consul" in asked.services()


@pytest.mark.parametrize("body", ["[", "[]", "{}", '[{"Node": 5}]', "null"])
def test_an_answer_that_is_none_is_consuls_fault(body: str) -> None:
    with Listener(lambda request: answer(200, body)) as server:
        asked = client(f"127.0.0.1:{server.port}", patience_s=0)
        calls: list[Callable[[], object]] = [lambda: asked.kv_get("a"), lambda: asked.instances("a"),
                                             asked.agent_services]
        for call in calls:
            try:
                call()
            except CatalogUnavailable as fault:
                assert "could not be read" in str(fault)  # noqa: PT017


def test_a_defect_of_ours_is_told_as_one() -> None:
    with Listener(lambda request: answer(200, [])) as server:
        asked = client(f"127.0.0.1:{server.port}")
        with pytest.raises(AttributeError):
            asked.kv_get(1)  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            asked.instances(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [
    answer(500, 'invalid key name, keys should respect the "^[a-zA-Z0-9,_./\\\\-?&=]+$" format'),
    answer(400, "invalid key name: path traversal")])
def test_a_key_that_a_newer_consul_refuses_is_refused_and_consul_is_not_away(said: bytes) -> None:
    with Listener(lambda request: said) as server:
        with pytest.raises(CatalogRejected):
            client(f"127.0.0.1:{server.port}").kv_get("a:b")
        assert len(server.requests) == 1, "it would say so again"


@pytest.mark.parametrize(("service", "port"), [
    ({"Port": 80}, 80),
    ({"Port": 0, "Ports": [{"Name": "http", "Port": 8080}, {"Name": "grpc", "Port": 9090, "Default": True}]}, 9090),
    ({"Ports": [{"Name": "http", "Port": 8080, "Default": True}]}, 8080),
    ({"Port": 0, "Ports": []}, 0),
    ({"Port": 0, "Ports": None}, 0),
])
def test_a_service_with_several_ports_has_its_default_one(service: dict[str, object], port: int) -> None:
    """Consul 1.22."""
    entry = {"Node": {"Node": "n", "Address": "10.0.0.1"}, "Service": {"ID": "s", "Service": "s", **service}}
    assert codec.from_health(entry).port == port


def test_values_of_keys_are_bytes(consul: ConsulServer) -> None:
    asked = client(consul.address)
    value = bytes(range(256))
    asked.transact([codec.kv_set("contract/a b", value)])
    assert asked.kv_get("contract/a b").value == value  # type: ignore[union-attr]
    assert [e.value for e in asked.kv_list("contract/").entries] == [value]
