"""Whether addresses could be bound, tried before HAProxy does. Edge.

HAProxy's check does not bind. A reload that cannot bind fails for every service, and can end its master (2.6), so an
address that is somebody else's is found out first.
"""

import socket
from collections.abc import Iterable

MAX_PORTS = 32  # of one range


def unbindable(addresses: Iterable[tuple[str, int, int]]) -> str:
    """The first of these (host, first port, last port) that cannot be bound, and why; "" where all can.

    HAProxy's own listeners share their ports with other sockets of the same user that ask to (SO_REUSEPORT), so what
    it binds already does not count as taken. What cannot be tried here is left to HAProxy.
    """
    for host, first, last in addresses:
        for port in range(first, min(last, first + MAX_PORTS - 1) + 1):
            why = _try(host, port)
            if why:
                return f"{host or '*'}:{port} cannot be bound: {why}"
    return ""


def _try(host: str, port: int) -> str:
    plain = host.strip("[]")
    if any(c in plain for c in "@/$%") or port < 1:
        return ""
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            probe.bind(("" if plain == "*" else plain, port))
    except PermissionError:
        return ""  # HAProxy may have been started by somebody who may
    except OSError as fault:
        return fault.strerror or str(fault)
    return ""
