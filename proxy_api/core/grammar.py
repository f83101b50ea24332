"""What each kind of text from outside may look like. Core.

A rule takes the text and returns its value or raises ValueError("what is wrong", "what would be right"). Nothing that
passes one of these can end a quoted word, a line or a map entry of HAProxy's configuration.
"""

import ipaddress
import re
from collections.abc import Callable

MAX_LIST = 256
MAX_PATH = 1024
PATH_TYPES = ("path_beg", "path", "path_dir", "path_end", "path_sub", "path_reg")
FOLLOW = ("never", "restarts", "all")
_TRUE = frozenset(("1", "t", "true", "yes", "on"))
_FALSE = frozenset(("0", "f", "false", "no", "off"))

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE | re.ASCII)
# RFC 3986 pchar, less the quotes; a per cent sign only as part of an escape.
_PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&()*+;=:@/]|%[0-9A-Fa-f]{2})+")
_FILE = re.compile(r"[A-Za-z0-9._/-]+")


def shown(text: str) -> str:
    """A value as an error may show it: escaped and short."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def name(text: str) -> str:
    """A name of a service, also a segment of a Consul key and of an HAProxy section name.

    Consul from 1.21.5 on takes no two dots in a row in a key, and that version nothing but what is allowed here.
    """
    if not _NAME.fullmatch(text) or ".." in text:
        raise ValueError(f"{shown(text)} is not a name", "use 1 to 128 letters, digits, '_', '-' or single '.', "
                                                         "beginning with a letter or digit")
    return text


def optional_name(text: str) -> str:
    """A name, or nothing."""
    return name(text) if text else ""


def boolean(text: str) -> bool:
    """The booleans that the predecessor knew, in any case, and the usual words."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"{shown(text)} is not a boolean", "use true or false")


def one_of(*words: str) -> Callable[[str], str]:
    """Exactly one of these words."""
    def rule(text: str) -> str:
        if text not in words:
            raise ValueError(f"{shown(text)} is not known", f"use one of {', '.join(w for w in words if w)}")
        return text
    return rule


def number(low: int, high: int) -> Callable[[str], int]:
    """A whole number in decimal digits."""
    def rule(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"{shown(text)} is not a number from {low} to {high}", f"use {low} to {high}")
        return int(text)
    return rule


port = number(1, 65535)


def items(rule: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    """A comma-separated list, in the order given; the fault names the item."""
    def parse(text: str) -> tuple[str, ...]:
        parts = text.split(",")
        if len(parts) > MAX_LIST:
            raise ValueError(f"has {len(parts)} items", f"use at most {MAX_LIST}")
        found: dict[str, None] = {}
        for place, part in enumerate(parts, 1):
            try:
                found[rule(part)] = None
            except ValueError as fault:
                raise ValueError(f"item {place}, {fault.args[0]}", fault.args[1]) from None
        return tuple(found)
    return parse


def literal_path(text: str) -> str:
    """A path, or a part of one, that is compared as it is."""
    wanted = "use a URL path of unreserved characters, others as %XX"
    if not text:
        raise ValueError("is empty", wanted)
    if len(text) > MAX_PATH:
        raise ValueError(f"{shown(text)} has {len(text)} characters", f"use at most {MAX_PATH}")
    if not _PATH.fullmatch(text):
        raise ValueError(f"{shown(text)} has a character that a path cannot have", wanted)
    if ".." in text.split("/"):
        raise ValueError(f"{shown(text)} has a '..' segment", "give the path that clients send")
    return text


def rooted_path(text: str) -> str:
    """A literal path from the root."""
    if text and not text.startswith("/"):
        raise ValueError(f"{shown(text)} does not begin with '/'", "begin it with '/'")
    return literal_path(text)


def regex_path(text: str) -> str:
    """A regular expression for HAProxy; whether it compiles is for HAProxy to say."""
    wanted = "use printable ASCII without blanks, quotes and '#'; HAProxy checks the expression itself"
    if not text:
        raise ValueError("is empty", wanted)
    if len(text) > MAX_PATH:
        raise ValueError(f"{shown(text)} has {len(text)} characters", f"use at most {MAX_PATH}")
    if any(not "!" <= c <= "~" or c in "\"'#`" for c in text) or "%[" in text:
        raise ValueError(f"{shown(text)} has a character that an expression cannot have here", wanted)
    if re.search(r"\{(?!\d+\})", text):
        raise ValueError(f"{shown(text)} has a brace that is no quantifier", "write {n}, or escape it as \\x7b")
    return text


def path_rule(path_type: str) -> Callable[[str], str]:
    """The rule for one path under a path type; path_beg is the default."""
    if path_type == "path_reg":
        return regex_path
    return literal_path if path_type in ("path_end", "path_sub", "path_dir") else rooted_path


def domain(text: str) -> str:
    """A host name without a port; a leading `*.` stands for one or more labels."""
    wanted = "use a host name such as acme.com or *.acme.com, without scheme, port and path (IDN as punycode)"
    bare = text.removeprefix("*.")
    if not _is_host(bare):
        raise ValueError(f"{shown(text)} is not a host name", wanted)
    return text


def hostname(text: str) -> str:
    """The name or address of a server; "" for none."""
    if not text:
        return ""
    try:
        if text.startswith("[") and text.endswith("]"):
            return str(ipaddress.IPv6Address(_unscoped(text[1:-1])))
        return str(ipaddress.ip_address(_unscoped(text)))
    except ValueError:
        if _is_host(text) and not re.fullmatch(r"[0-9.]+", text):
            return text
    raise ValueError(f"{shown(text)} is neither a host name nor an IP address", "use a name, IPv4 or IPv6 address")


def _unscoped(text: str) -> str:
    """An address as it is; ipaddress takes any text at all behind a per cent sign, for the name of an interface."""
    if "%" in text:
        raise ValueError("has a scope")
    return text


def _is_host(text: str) -> bool:
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def template_path(text: str) -> str:
    """A file of the operator's below CONSUL_TEMPLATES_PATH; whether it is there is checked when it is read."""
    wanted = "use the path of a file below CONSUL_TEMPLATES_PATH"
    if not text:
        return ""
    if len(text) > MAX_PATH or not _FILE.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a plain path", wanted)
    if ".." in text.split("/"):
        raise ValueError(f"{shown(text)} has a '..' segment", wanted)
    return text


def single_line(text: str) -> str:
    """Printable text of one line."""
    if not text.isprintable():
        raise ValueError("has a line break or a control character", "use one line of printable text")
    return text
