"""Names of servers, looked up by a real HAProxy at a DNS server of ours."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from deploy.local import ConsulServer, ProxyProcess, loopback_address, wait_until
from deploy.origin import Origin

# HAProxy reads /etc/resolv.conf; only a mount of its own, which takes root, can give it another one (see `unshare`).


class Dns:
    """A DNS server that knows `names`, says "no such name" to others, and is silent when it is told to."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.silent = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.host = loopback_address()
        self._socket.bind((self.host, 53))
        self._socket.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                query, client = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            if not self.silent:
                self._socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question, kind = query[12:at + 5], struct.unpack("!H", query[at + 1:at + 3])[0]
        address = self.names.get(".".join(labels).lower())
        answers = b""
        if address and kind == 1:
            answers = struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
        return (query[:2] + struct.pack("!HHHHH", 0x8180 if address else 0x8183, 1, 1 if answers else 0, 0, 0)
                + question + answers)


@pytest.fixture
def dns() -> Iterator[Dns]:
    with Dns() as server:
        yield server


def program(directory: Path, dns: Dns) -> Path:
    """HAProxy with a /etc/resolv.conf of its own."""
    conf, script = directory / "resolv.conf", directory / "haproxy"
    conf.write_text(f"nameserver {dns.host}\n")
    script.write_text(f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind {conf} /etc/resolv.conf && exec haproxy "$@"\' '
                      'haproxy "$@"\n')
    script.chmod(0o755)
    return script


def test_a_name_is_looked_up_and_followed(consul: ConsulServer, dns: Dns, tmp_path: Path) -> None:
    with Origin("a") as a, Origin("b") as b:
        dns.names["db.example.test"] = a.host
        env = {"HAPROXY_BIN": str(program(tmp_path, dns))}
        with ProxyProcess(consul.address, env=env) as proxy:
            assert proxy.api("reconfigure", serviceName="x", servicePath="/x", outboundHostname="db.example.test",
                             port=a.port).status == 200
            wait_until(lambda: proxy.instances("/x", requests=3) == {"a"}, 5, "the name is known")
            # After a reload the new worker asks anew.
            assert proxy.api("reconfigure", serviceName="y", servicePath="/y", outboundHostname=b.host,
                             port=b.port).json["Change"] == "reload"
            wait_until(lambda: proxy.get("/x").status == 200, 1, "it is known again")
            assert proxy.instances("/y", requests=3) == {"b"}


def test_a_dns_server_that_does_not_answer_delays_nothing(consul: ConsulServer, dns: Dns, tmp_path: Path) -> None:
    dns.silent = True
    with Origin("b") as b:
        env = {"HAPROXY_BIN": str(program(tmp_path, dns))}
        with ProxyProcess(consul.address, env=env) as proxy:
            begun = time.monotonic()
            for n in range(3):
                assert proxy.api("reconfigure", serviceName=f"x{n}", servicePath=f"/x{n}",
                                 outboundHostname=f"host{n}.example.test", port=80).status == 200
            assert proxy.api("reconfigure", serviceName="y", servicePath="/y", outboundHostname=b.host,
                             port=b.port).status == 200
            assert time.monotonic() - begun < 10, "20 s a name with a look-up at the start"
            assert proxy.instances("/y", requests=3) == {"b"}


def test_a_name_that_only_the_hosts_file_knows_is_served(consul: ConsulServer, dns: Dns, tmp_path: Path) -> None:
    """As an address: HAProxy's own look-ups go to DNS alone."""
    with Origin("a", "127.0.0.1") as a, Origin("b", "127.0.0.1") as b:
        consul.register("x", "localhost", a.port, id="x-1")
        env = {"HAPROXY_BIN": str(program(tmp_path, dns))}
        with ProxyProcess(consul.address, env=env) as proxy:
            assert proxy.api("reconfigure", serviceName="x", servicePath="/x").json["Servers"] == 1
            assert proxy.instances("/x", requests=3) == {"a"}
            consul.register("x", "LocalHost.", b.port, id="x-2")
            answer = proxy.api("reconfigure", serviceName="x", servicePath="/x").json
            assert (answer["Servers"], answer["Change"]) == (2, "runtime"), "an address comes without a reload"
            assert proxy.instances("/x", requests=6) == {"a", "b"}
