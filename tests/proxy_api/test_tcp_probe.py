"""Which addresses take connections."""

from __future__ import annotations

import socket
import time

from deploy.local import free_port, loopback_address
from proxy_api.haproxy import tcp_probe


def test_who_listens_and_who_does_not() -> None:
    with (socket.create_server((loopback_address(), 0)) as one, socket.create_server((loopback_address(), 0)) as two,
          socket.create_server(("::1", 0), family=socket.AF_INET6) as six):
        alive = [s.getsockname()[:2] for s in (one, two, six)]
        host = loopback_address()
        dead = [(host, free_port(host)), ("::1", free_port(host))]
        assert tcp_probe.silent([*alive, *dead, *alive]) == set(dead)
    assert tcp_probe.silent(alive) == set(alive)
    assert tcp_probe.silent([]) == set()


def full() -> tuple[socket.socket, list[socket.socket]]:
    """A listener whose queue is full: whoever connects gets no answer at all, as from a node that is gone."""
    listener = socket.socket()
    listener.bind((loopback_address(), 0))
    listener.listen(0)
    clients = []
    for _ in range(3):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        client.connect_ex(listener.getsockname())
        clients.append(client)
    return listener, clients


def test_one_that_never_answers_keeps_nobody_waiting_for_long() -> None:
    listener, clients = full()
    try:
        began = time.monotonic()
        assert tcp_probe.silent([listener.getsockname()] * 3) == {listener.getsockname()}
        assert time.monotonic() - began >= tcp_probe.PATIENCE_S
    finally:
        for opened in (listener, *clients):
            opened.close()


def test_of_more_than_can_be_asked_nothing_is_said() -> None:
    host = loopback_address()
    port = free_port(host)
    many = [(f"127.200.{n // 250}.{n % 250 + 1}", port) for n in range(tcp_probe.MAX_ASKED + 10)]
    assert tcp_probe.silent(many) == set(many[:tcp_probe.MAX_ASKED])
