"""The small grammars that options and metadata share: booleans, durations, hosts, comma lists. Pure.

Each reader returns a value that cannot be wrong or raises ValueError with what would be right.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address

_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
_FALSE = frozenset({"false", "0", "no", "off", "f", "n"})
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
SEPARATOR = re.compile(r"(?<!\\),")  # between the items of a list
SHORTEST_S, LONGEST_S = 0.001, 36e6  # in nanoseconds Go has neither less than one nor more than fit 64 bits
_USER = re.compile(r"://[^\s/\"`@]*@")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def read_bool(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("give true or false (1/0, yes/no and on/off mean the same)")


def read_duration(text: str) -> str:
    """A duration in Go's spelling, as Consul takes it; a bare number has no unit and is refused."""
    word = text.strip()
    parts = _DURATION.findall(word)
    if "".join(parts) != word or not re.search(r"[1-9]", word):
        raise ValueError("give a duration above zero with its unit, such as 15s, 1m30s or 500ms")
    if not SHORTEST_S <= duration_seconds(word) <= LONGEST_S:
        raise ValueError("give a duration from 1ms to 10000h")
    return word


def duration_seconds(text: str) -> float:
    """The length of a duration that `read_duration` has taken.

    >>> duration_seconds("1m30.5s")
    90.5
    """
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([^\d.]+)", text))


def read_host(text: str) -> str:
    """An IP address (brackets are taken off) or a host name; nothing that could not be connected to."""
    word = text.strip()
    literal = word[1:-1] if word.startswith("[") and word.endswith("]") else word
    try:
        address = ip_address(literal)
    except ValueError:
        return _read_host_name(word)
    if address.is_unspecified or address.is_multicast or "%" in literal:
        raise ValueError("give an address that others can connect to, not a wildcard, multicast or zoned one")
    return str(address)


def _read_host_name(word: str) -> str:
    labels = word.removesuffix(".").split(".")
    fits = len(word) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in labels)
    # 999.1.1.1 has the shape of a name, but whoever wrote it meant an address.
    if not fits or labels[-1].isdigit():
        raise ValueError("give an IP address or a host name")
    return word


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().removesuffix(".") in ("localhost", "localhost.localdomain")


def is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_ipv6(host: str) -> bool:
    return ":" in host


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if is_ipv6(host) else f"{host}:{port}"


def split_list(text: str) -> tuple[str, ...]:
    r"""Items of a comma list: trimmed, empty ones dropped, each once, in the order given.

    >>> split_list(r"a, b\,c,,a")
    ('a', 'b,c')
    """
    items = (item.replace("\\,", ",").strip() for item in SEPARATOR.split(text))
    return unique(item for item in items if item)


def hide_passwords(text: str) -> str:
    """The text without what stands before the @ of a URL.

    >>> hide_passwords("http://me:secret@host/")
    'http://…@host/'
    """
    return _USER.sub("://…@", text)


def unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
