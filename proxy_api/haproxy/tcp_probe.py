"""Whether addresses accept connections, all of them asked at once and for a moment only. Edge."""

import contextlib
import errno
import select
import socket
import time
from collections.abc import Iterable

PATIENCE_S = 0.3
MAX_ASKED = 256  # connections at once; beyond that nothing is known of an address, and it is taken to answer

Address = tuple[str, int]


def silent(addresses: Iterable[Address]) -> frozenset[Address]:
    """Those that refuse a connection, or do not take one within PATIENCE_S."""
    poll = select.poll()
    with contextlib.ExitStack() as opened:
        waiting: dict[int, tuple[Address, socket.socket]] = {}
        refused: set[Address] = set()
        for address in list(dict.fromkeys(addresses))[:MAX_ASKED]:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            try:
                connection = opened.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            except OSError:
                break  # no room for more: nothing is known of the rest
            result = connection.connect_ex(address)
            if result == errno.EINPROGRESS:
                waiting[connection.fileno()] = address, connection
                poll.register(connection, select.POLLOUT)
            elif result:
                refused.add(address)
        end = time.monotonic() + PATIENCE_S
        while waiting and (left := end - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                address, connection = waiting.pop(descriptor)
                poll.unregister(descriptor)
                if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    refused.add(address)
        return frozenset(refused | {address for address, _ in waiting.values()})
