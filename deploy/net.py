"""Addresses that nobody else uses, and HTTP requests whose failure is an answer too."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

# Below the range from which Linux picks ports for outgoing connections and Docker picks published ones.
PORTS = range(15000, 32000)


def loopback_address() -> str:
    """A fresh 127.x.y.z: each part gets its own, so that parallel tests and a running demo never share a port."""
    return f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nothing listens at this address, for TCP nor UDP, drawn at random."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """So many different ones."""
    found: list[int] = []
    for _ in range(100 * count):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        if port not in found and _is_free(host, port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports were found at {host}")


def _is_free(host: str, port: int) -> bool:
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind((host, port))
    except OSError:
        return False
    return True


class Reply(NamedTuple):
    """An answer. Status 0 means that there was none; the body says why."""

    status: int
    headers: http.client.HTTPMessage  # without regard to case; None for one that is not there
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


def http_request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    host: str | None = None,
    body: str | bytes | None = None,
    timeout: float = 10.0,
) -> Reply:
    """One request on a connection of its own, with no redirects and nothing raised. `host` is the Host header."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    sent = dict(headers or {})
    if host is not None:
        sent["Host"] = host
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if isinstance(body, str):
        body = body.encode()  # http.client would take Latin-1
    try:
        connection.request(method, target, body=body, headers=sent)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Reply(0, http.client.HTTPMessage(), f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def http_get(
    url: str, headers: Mapping[str, str] | None = None, host: str | None = None, timeout: float = 10.0
) -> Reply:
    """GET as (status, headers, body); see http_request."""
    return http_request("GET", url, headers=headers, host=host, timeout=timeout)
