"""A template's frontend that binds what the shared frontend binds: what becomes of each of its lines. Core.

Two binds on one address and port would split the connections at random, so the rules of such a frontend move into the
shared one. A line that would say there something else than it says in a frontend of its own is refused, with what to
write instead: left out, it could open what it was to close.
"""

from collections.abc import Sequence
from dataclasses import replace

from proxy_api.core import sections
from proxy_api.core.errors import InvalidTemplate
from proxy_api.core.sections import Custom, Section

# HAProxy 2.6 configuration manual, chapter 4.1, column "frontend". What is in none of these is refused.
_RULES = frozenset(("acl", "use_backend", "http-request", "http-response", "http-after-response", "capture",
                    "declare", "filter", "unique-id-format", "unique-id-header"))
_THERE_ALREADY = frozenset(("mode http", "option forwardfor", "enabled"))
# Neither who gets in nor what is served depends on them: logs, limits and times of the sockets, how bytes travel.
_LEFT_OUT = frozenset((
    "backlog", "bind-process", "clitcpka-cnt", "clitcpka-idle", "clitcpka-intvl", "compression", "description",
    "email-alert", "error-log-format", "id", "log", "log-format", "log-format-sd", "log-tag", "maxconn", "timeout",
))
_LEFT_OUT_OPTIONS = frozenset((
    "clitcpka", "contstats", "dontlog-normal", "dontlognull", "http-ignore-probes", "http-keep-alive", "http-no-delay",
    "http-server-close", "http-use-proxy-header", "httpclose", "httplog", "httpslog", "idle-close-on-response",
    "independent-streams", "log-separate-errors", "logasap", "nolinger", "socket-stats", "splice-auto",
    "splice-request", "splice-response", "tcp-smart-accept", "tcpka", "tcplog",
))
_IN_BACKEND = "write it in the backend, where it is for this service alone"
_DENY_IN_BACKEND = ("write 'http-request deny' or 'silent-drop' with the same condition in the backend, where it is "
                    "for this service alone")
_ADVICE = {
    "bind": "write the bind without options, one address and port after the other; TLS comes from DEFAULT_PORTS and "
            "the certificates in CERTS_PATH",
    "default_backend": "write 'use_backend {} if' with a condition that says which requests are this service's",
    "disabled": "leave the frontend out",
    "errorfile": _IN_BACKEND, "errorfiles": _IN_BACKEND, "errorloc": _IN_BACKEND, "errorloc302": _IN_BACKEND,
    "errorloc303": _IN_BACKEND, "http-error": _IN_BACKEND, "stats": _IN_BACKEND,
    "monitor": "write 'http-request return status 503 if' with the path and the condition",
    "monitor-uri": "write 'http-request return status 200 if {{ path {} }}'",
    "option forwardfor": _IN_BACKEND, "option originalto": _IN_BACKEND,
    "option http-restrict-req-hdr-names": _IN_BACKEND,
    "option http-buffer-request": "write 'http-request wait-for-body time 1s if' with an acl of this service",
    "rate-limit": "count with 'http-request track-sc0' and refuse with 'http-request deny' in the backend",
    "redirect": _IN_BACKEND + ", such as 'redirect scheme https if !{{ ssl_fc }}'",
    "stick-table": "write it in a backend of its own, and name that as the table",
    "tcp-request": _DENY_IN_BACKEND,
}
_OWN_PORT = "bind a port that is not in DEFAULT_PORTS, where the frontend stays whole"


def merge(found: Sequence[Section], shared: Sequence[str]) -> Custom:
    """Move the rules of frontends that bind what the shared frontend binds (`shared`: `addr:port` texts) into that one.

    Raises InvalidTemplate with every line that cannot be moved. What is left out without harm comes back in the
    warnings. A frontend that binds other addresses too stays there, whole.
    """
    rules: list[str] = []
    own: list[Section] = []
    warnings: list[str] = []
    for section in found:
        if not any(_clashing(line, shared) for line in section.lines):
            own.append(section)
            continue
        if section.keyword == "listen":
            raise InvalidTemplate(f"'listen {section.name}' binds what the shared frontend binds already: make it a "
                                  f"backend, and a frontend with this bind and 'use_backend {section.name} if' with a "
                                  "condition that says which requests are this service's")
        if section.keyword != "frontend":
            raise InvalidTemplate(f"'{section.keyword} {section.name}' binds what the shared frontend binds already")
        _refuse_what_cannot_move(section, shared)
        rules.extend(line for line in section.lines if _keyword(line) in _RULES)
        warnings.append(f"frontend {section.name} binds what the shared frontend binds already: "
                        "its rules were merged into that one, ahead of the routes")
        rest = _elsewhere(section, shared)
        if any(_keyword(line) == "bind" for line in rest):
            own.append(replace(section, lines=rest))
        if left := [line for line in rest if _is_left_out(line)]:
            warnings.append(f"of frontend {section.name}, these lines are no rules and were left out there: "
                            + "; ".join(left))
    return Custom(sections.parse_inside("\n".join(rules)), tuple(own), tuple(warnings))


def _refuse_what_cannot_move(section: Section, shared: Sequence[str]) -> None:
    refused = [line for line in section.lines if not _can_move(line, shared)]
    if refused:
        raise InvalidTemplate(
            f"frontend {section.name} binds what the shared frontend binds already, so its rules would move into that "
            "one, where other services' requests are too. These lines cannot: "
            + ". ".join(f"{line!r}: {_advice(line)}" for line in refused))


def _can_move(line: str, shared: Sequence[str]) -> bool:
    if _keyword(line) == "bind":
        clashing = _clashing(line, shared)
        return not clashing or (len(sections.words(line)) == 2 and not any(sections.is_range(a) for a in clashing))
    return _keyword(line) in _RULES or _is_there_already(line) or _is_left_out(line)


def _is_there_already(line: str) -> bool:
    return " ".join(sections.words(line)) in _THERE_ALREADY


def _is_left_out(line: str) -> bool:
    words = sections.words(line)
    if words[0] in ("no", "default"):
        words = words[1:] or [""]
    if words[0] == "option":
        return len(words) > 1 and words[1] in _LEFT_OUT_OPTIONS
    return words[0] in _LEFT_OUT


def _advice(line: str) -> str:
    words = sections.words(line)
    advice = _ADVICE.get(" ".join(words[:2]) if words[0] == "option" else words[0])
    argument = words[1] if len(words) > 1 else ""
    return f"{advice.format(argument)}, or {_OWN_PORT}" if advice else _OWN_PORT


def _elsewhere(section: Section, shared: Sequence[str]) -> tuple[str, ...]:
    """The lines of a frontend without the addresses that the shared frontend binds."""
    lines = []
    for line in section.lines:
        clashing = _clashing(line, shared)
        if not clashing:
            lines.append(line)
        elif kept := [a for a in sections.addresses(line) if a not in clashing]:
            lines.append(f"bind {','.join(kept)}")
    return tuple(lines)


def _clashing(line: str, shared: Sequence[str]) -> tuple[str, ...]:
    """The addresses of a `bind` line that the shared frontend binds too."""
    if _keyword(line) != "bind":
        return ()
    return tuple(a for a in sections.addresses(line) if any(sections.overlap(a, s) for s in shared))


def _keyword(line: str) -> str:
    return sections.words(line)[0]
