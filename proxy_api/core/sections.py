"""An operator's HAProxy text taken apart into sections, and a whole frontend merged into the shared one. Core.

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
# What a merged frontend may bring into the shared one: rules, tried in order, that end nobody else's request unasked.
_RULES = frozenset(("acl", "use_backend", "http-request", "http-response", "http-after-response", "capture",
                    "declare", "filter", "unique-id-format", "unique-id-header"))


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a configuration: `frontend x` and its lines, stripped, without comments and blanks."""

    keyword: str
    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Custom:
    """What the templates of one service add: lines for the shared frontend, and sections of their own."""

    frontend: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    warnings: tuple[str, ...] = ()

    def acl_names(self) -> frozenset[str]:
        """The names of the ACLs among the shared frontend's lines."""
        return frozenset(words[1] for line in self.frontend if len(words := _words(line)) > 1 and words[0] == "acl")


def _lines(text: str) -> Iterable[str]:
    if "\0" in text:
        raise InvalidTemplate("the text has a NUL character")
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            # The first word, and the name of an ACL. HAProxy would put another one there: "${X-global}" and \x67lobal
            # are global.
            judged = line.split()[:2 if _words(line)[0] == "acl" else 1]
            if any("$" in word or "\\x" in word.lower() for word in judged):
                raise InvalidTemplate(f"the line {line!r} begins with a word in disguise; write it plainly")
            if _words(line)[0].startswith("."):
                raise InvalidTemplate(f"{_words(line)[0]!r} is refused in a template: it would switch lines "
                                      "on and off, those of other services among them")
            yield line


def _words(line: str) -> list[str]:
    """The words that say what a line is, as HAProxy reads them: quotes and backslashes go, a hash ends the line."""
    return re.sub(r"[\"'\\]", "", line).partition("#")[0].split() or [""]


def parse_inside(text: str) -> tuple[str, ...]:
    """The lines of a text that stands inside a section; raises InvalidTemplate where it begins one."""
    lines = tuple(_lines(text))
    for line in lines:
        words = _words(line)
        if words[0] in KEYWORDS:
            raise InvalidTemplate(f"the line {line!r} begins a section; this text stands inside frontend services")
        if words[0] == "acl" and len(words) > 1 and words[1].startswith("pb:"):
            raise InvalidTemplate(f"the line {line!r} uses the prefix pb:, which is reserved")
    return lines


def parse_sections(text: str) -> tuple[Section, ...]:
    """The sections of a text; raises InvalidTemplate for a refused one or a line before the first."""
    sections: list[Section] = []
    for line in _lines(text):
        words = _words(line)
        if words[0] in _REFUSED:
            raise InvalidTemplate(f"the section {words[0]!r} is refused in a template: {_REFUSED[words[0]]}")
        if words[0] in KEYWORDS:
            sections.append(Section(words[0], " ".join(words[1:]), ()))
        elif not sections:
            raise InvalidTemplate(f"the line {line!r} stands before any section; begin with one such as 'backend x'")
        else:
            sections[-1] = replace(sections[-1], lines=(*sections[-1].lines, line))
    if not sections:
        raise InvalidTemplate("the text has no section")
    return tuple(sections)


def merge(sections: Sequence[Section], shared: Sequence[str]) -> Custom:
    """Take frontends apart that bind what the shared frontend binds (`shared`: `addr:port` texts).

    Two binds on one address and port would split the connections at random (reference/proxy-api.md section 9), so
    such a frontend's rules move into the shared one, and its other lines stay behind with a warning.
    """
    frontend: list[str] = []
    own: list[Section] = []
    warnings: list[str] = []
    for section in sections:
        binds = [line for line in section.lines if _words(line)[0] == "bind"]
        clashing = [b for b in binds if any(_overlap(a, s) for a in _addresses(b) for s in shared)]
        if section.keyword != "frontend" or not clashing:
            if section.keyword == "listen" and clashing:
                raise InvalidTemplate(f"'listen {section.name}' binds what the shared frontend binds already: "
                                      "make it a frontend and a backend")
            own.append(section)
            continue
        rules = [line for line in section.lines if _words(line)[0] in _RULES]
        rest = [line for line in section.lines if line not in rules and line not in clashing]
        frontend.extend(rules)
        warnings.append(f"frontend {section.name} binds what the shared frontend binds already: "
                        "its rules were merged into that one, ahead of the routes")
        if len(clashing) < len(binds):
            own.append(replace(section, lines=tuple(line for line in section.lines if line not in clashing)))
        elif rest:
            warnings.append(f"of frontend {section.name}, these lines are no rules and were left out: "
                            + "; ".join(rest))
    return Custom(parse_inside("\n".join(frontend)), tuple(own), tuple(warnings))


def _addresses(bind: str) -> tuple[str, ...]:
    words = _words(bind)
    return tuple(words[1].split(",")) if len(words) > 1 else ()


def bound(custom: "Custom") -> tuple[tuple[str, int, int], ...]:
    """What the sections of a custom text bind: host, first and last port. An address without a port is left out."""
    found = []
    for section in custom.sections:
        for line in section.lines:
            if line.split()[0] == "bind":
                found += [(host, *ports) for host, ports in map(_split, _addresses(line)) if ports is not None]
    return tuple(found)


_WILDCARD = frozenset(("", "*", "0.0.0.0", "::"))


def _overlap(one: str, other: str) -> bool:
    """Whether two `addr:port` texts name a common address and port. A range of ports counts whole."""
    (host_a, ports_a), (host_b, ports_b) = _split(one), _split(other)
    same_host = host_a == host_b or host_a in _WILDCARD or host_b in _WILDCARD
    if ports_a is None or ports_b is None:
        return False
    return same_host and ports_a[0] <= ports_b[1] and ports_b[0] <= ports_a[1]


def _split(text: str) -> tuple[str, tuple[int, int] | None]:
    host, _, ports = text.rpartition(":")
    host = re.sub(r"^(ipv4|ipv6|ipv4v6)@", "", host).strip("[]")
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", ports)
    return host, (int(found[1]), int(found[2] or found[1])) if found else None
