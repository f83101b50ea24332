"""What each kind of setting may look like: rules like those of `grammar`, for an operator's text. Core."""

import re
from dataclasses import dataclass

from catalog.address import parse_endpoints
from catalog.errors import InvalidAddress
from proxy_api.core import grammar

MAX_SOCKET_PATH = 80  # sun_path holds 108 bytes, and HAProxy binds under a longer temporary name first


@dataclass(frozen=True, slots=True)
class BindItem:
    """An item of DEFAULT_PORTS or BIND_PORTS: `addr:port`, the operator's options, and whether it ends in `:ssl`."""

    address: str
    options: str
    tls: bool


def consul_addresses(text: str) -> str:
    """Addresses of Consul, as they are."""
    try:
        parse_endpoints(text)
    except InvalidAddress as fault:
        wrong, _, wanted = str(fault).rpartition(": ")
        raise ValueError(wrong or wanted, wanted if wrong else "give host:port") from None
    return text


def directory(text: str) -> str:
    """An absolute path."""
    if not text.startswith("/") or not text.isprintable():
        raise ValueError(f"{grammar.shown(text)} is not an absolute path", "give an absolute path")
    return text.rstrip("/") or "/"


def configs_directory(text: str) -> str:
    """An absolute path that leaves room for the names of HAProxy's sockets."""
    path = directory(text)
    if len(path) > MAX_SOCKET_PATH - len("/haproxy.sock"):
        raise ValueError(f"has {len(path)} characters", f"use at most {MAX_SOCKET_PATH - len('/haproxy.sock')}: "
                                                        "HAProxy's sockets are in it")
    return path


def bind_items(text: str) -> tuple[BindItem, ...]:
    """Items separated by commas; there may be none."""
    return tuple(_bind_item(item.strip()) for item in text.split(",") if item.strip())


def _bind_item(item: str) -> BindItem:
    wanted = "an item is port or addr:port, may carry HAProxy's bind options, and ends in :ssl for TLS"
    if not item.isprintable():
        raise ValueError("has a line break or a control character", wanted)
    tls = item.endswith(":ssl")
    address, _, options = item.removesuffix(":ssl").strip().partition(" ")
    address, tls = (address.removesuffix(":ssl"), True) if address.endswith(":ssl") else (address, tls)
    host, _, port = address.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{grammar.shown(item)} has no port from 1 to 65535", wanted)
    if not re.fullmatch(r"[A-Za-z0-9.*:\[\]_-]*", host):
        raise ValueError(f"{grammar.shown(item)} has no address to bind", wanted)
    return BindItem(f"{host or '*'}:{port}", options.strip(), tls)


def stats_port(text: str) -> str:
    """`port` or `addr:port`, or nothing."""
    item = _bind_item(text) if text else None
    if item and (item.options or item.tls):
        raise ValueError(f"{grammar.shown(text)} has more than an address", "give port or addr:port, as for an item of "
                                                                            "DEFAULT_PORTS without options and TLS")
    return text


def maxconn(text: str) -> int:
    """0 for auto."""
    return 0 if text == "auto" else grammar.number(1, 10_000_000)(text)
