"""An operator's HAProxy text taken apart into sections. Core.

Nothing here judges a directive: HAProxy does, over the whole configuration. What is refused are the sections that would
reach beyond the service: `global`, and `defaults`, which changes every section after it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from proxy_api.core.errors import InvalidTemplate

# HAProxy 2.6 configuration manual, chapters 3 and 4, and the sections of 12.
KEYWORDS = frozenset((
    "global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "mailers", "resolvers", "cache",
    "program", "ring", "log-forward", "http-errors", "fcgi-app",
))
_REFUSED = {
    "global": "it would change the whole proxy",
    "defaults": "it would change every section after it",
    "program": "it would start a program beside HAProxy",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a configuration: `frontend x` and its lines, stripped, without comments and blanks.

    `ignored`: what stood behind the name of a backend, and is left out.
    """

    keyword: str
    name: str
    lines: tuple[str, ...]
    ignored: str = ""


@dataclass(frozen=True, slots=True)
class Custom:
    """What the templates of one service add: lines for the shared frontend, and sections of their own."""

    frontend: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    warnings: tuple[str, ...] = ()

    def acl_names(self) -> frozenset[str]:
        """The names of the ACLs among the shared frontend's lines."""
        return frozenset(said[1] for line in self.frontend if len(said := words(line)) > 1 and said[0] == "acl")


def _lines(text: str) -> Iterable[str]:
    if "\0" in text:
        raise InvalidTemplate("the text has a NUL character")
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            # The first word, the name of an ACL, an address. HAProxy would put another one there: "${X-global}" and
            # \x67lobal are global.
            judged = line.split()[:2 if words(line)[0] in ("acl", "bind") else 1]
            if any("$" in word or "\\x" in word.lower() for word in judged):
                raise InvalidTemplate(f"the line {line!r} begins with a word in disguise; write it plainly")
            if words(line)[0].startswith("."):
                raise InvalidTemplate(f"{words(line)[0]!r} is refused in a template: it would switch lines "
                                      "on and off, those of other services among them")
            yield line


def words(line: str) -> list[str]:
    """The words that say what a line is, as HAProxy reads them: quotes and backslashes go, a hash ends the line."""
    return re.sub(r"[\"'\\]", "", line).partition("#")[0].split() or [""]


def parse_inside(text: str) -> tuple[str, ...]:
    """The lines of a text that stands inside a section; raises InvalidTemplate where it begins one."""
    lines = tuple(_lines(text))
    for line in lines:
        said = words(line)
        if said[0] in KEYWORDS:
            raise InvalidTemplate(f"the line {line!r} begins a section; this text stands inside frontend services")
        if said[0] == "acl" and len(said) > 1 and said[1].startswith("pb:"):
            raise InvalidTemplate(f"the line {line!r} uses the prefix pb:, which is reserved")
    return lines


def parse_sections(text: str) -> tuple[Section, ...]:
    """The sections of a text; raises InvalidTemplate for a refused one or a line before the first."""
    sections: list[Section] = []
    for line in _lines(text):
        said = words(line)
        if said[0] in _REFUSED:
            raise InvalidTemplate(f"the section {said[0]!r} is refused in a template: {_REFUSED[said[0]]}")
        if said[0] in KEYWORDS:
            kept = said if said[0] != "backend" else said[:4 if said[2:3] == ["from"] else 2]
            sections.append(Section(said[0], " ".join(kept[1:]), (), " ".join(said[len(kept):])))
        elif not sections:
            raise InvalidTemplate(f"the line {line!r} stands before any section; begin with one such as 'backend x'")
        else:
            sections[-1] = replace(sections[-1], lines=(*sections[-1].lines, line))
    if not sections:
        raise InvalidTemplate("the text has no section")
    return tuple(sections)


def refused_later(sections: Sequence[Section], ours: Sequence[str]) -> tuple[str, ...]:
    """What of a text a newer HAProxy refuses although an older one takes it; `ours` are the frontends beside it.

    Words behind the name of a backend mean nothing to HAProxy up to 3.1 and end the start of 3.2.
    """
    frontends = {*ours, *(_name(s) for s in sections if s.keyword == "frontend")}
    backends = {_name(s) for s in sections if s.keyword in ("backend", "listen")}
    return (
        *(f"a frontend and a backend are both called {name}, which HAProxy refuses from 3.3 on: rename one"
          for name in sorted(frontends & backends)),
        *(f"the words {s.ignored!r} behind 'backend {_name(s)}' mean nothing and are left out: "
          "newer HAProxies refuse them" for s in sections if s.ignored),
    )


def _name(section: Section) -> str:
    return section.name.split()[0] if section.name else ""


def addresses(bind: str) -> tuple[str, ...]:
    """The addresses of a `bind` line, as they stand there."""
    found = words(bind)
    return tuple(found[1].split(",")) if len(found) > 1 else ()


def bound(custom: "Custom") -> tuple[tuple[str, int, int], ...]:
    """What the sections of a custom text bind: host, first and last port. An address without a port is left out."""
    found = []
    for section in custom.sections:
        for line in section.lines:
            if words(line)[0] == "bind":
                found += [(host, *ports) for host, ports in map(_split, addresses(line)) if ports is not None]
    return tuple(found)


_WILDCARD = frozenset(("", "*", "0.0.0.0", "::"))


def overlap(one: str, other: str) -> bool:
    """Whether two `addr:port` texts name a common address and port. A range of ports counts whole."""
    (host_a, ports_a), (host_b, ports_b) = _split(one), _split(other)
    same_host = host_a == host_b or host_a in _WILDCARD or host_b in _WILDCARD
    if ports_a is None or ports_b is None:
        return False
    return same_host and ports_a[0] <= ports_b[1] and ports_b[0] <= ports_a[1]


def is_range(address: str) -> bool:
    """Whether an `addr:port` text names more than one port."""
    _, ports = _split(address)
    return ports is not None and ports[0] != ports[1]


def _split(text: str) -> tuple[str, tuple[int, int] | None]:
    host, _, ports = text.rpartition(":")
    host = re.sub(r"^(ipv4|ipv6|ipv4v6)@", "", host).strip("[]")
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", ports)
    return host, (int(found[1]), int(found[2] or found[1])) if found else None
