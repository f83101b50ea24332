"""Whether addresses could be bound, tried before somebody does. Edge.

HAProxy's check does not bind. A reload that cannot bind fails for every service, and can end its master (2.6), so an
address that is somebody else's is found out first.
"""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterable

from proxy_api.core.errors import Fault
from proxy_api.core.listeners import Listener, not_bound

MAX_PORTS = 32  # of one range


def unbindable(addresses: Iterable[tuple[str, int, int]]) -> str:
    """The first of these (host, first port, last port) that cannot be bound, and why; "" where all can.

    HAProxy's own listeners share their ports with other sockets of the same user that ask to (SO_REUSEPORT), so what
    it binds already does not count as taken. What cannot be tried here is left to HAProxy.
    """
    for host, first, last in addresses:
        for port in range(first, min(last, first + MAX_PORTS - 1) + 1):
            fault = _try(host.strip("[]").removeprefix("*"), port, shared=True)
            if fault is not None and not isinstance(fault, PermissionError):  # HAProxy may have been started by root
                return f"{host or '*'}:{port} cannot be bound: {fault.strerror or fault}"
    return ""


def faults(listeners: Iterable[Listener], program: str, beside_haproxy: bool) -> list[Fault]:
    """The listeners that could not be bound now, the API's by this process and the others by HAProxy's `program`.

    `beside_haproxy`: ours runs, and has some of them already.
    """
    found = []
    for listener in listeners:
        of_haproxy = listener.setting != "PORT"
        fault = _try(listener.host, listener.port, shared=of_haproxy and beside_haproxy) if listener.plain else None
        if fault is not None and not (of_haproxy and isinstance(fault, PermissionError) and _has_rights(program)):
            found.append(not_bound(listener, fault.errno or 0, fault.strerror or str(fault)))
    return found


def _try(host: str, port: int, shared: bool) -> OSError | None:
    """Bind, and let go. `shared` does it as HAProxy does, beside others of the same user that do so too."""
    if any(c in host for c in "@/$%") or port < 1:
        return None
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
            probe.bind((host, port))
    except OSError as fault:
        return fault
    return None


def _has_rights(program: str) -> bool:
    """Whether a program has rights that whoever starts it has not."""
    with contextlib.suppress(OSError, TypeError):
        path = shutil.which(program)
        return bool(path and os.stat(path).st_mode & 0o4000) or bool(os.getxattr(path or "", "security.capability"))
    return False

