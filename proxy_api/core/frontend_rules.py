"""The rules of the shared frontend: from the arrangement of the routes to the lines that choose a backend. Core.

What a map finds is in variables of the transaction: the first rule that sets `txn.backend` has chosen.
"""

from collections.abc import Iterator, Sequence

from proxy_api.core.routing import Acl, Frame, Level
from proxy_api.core.words import quoted, word

# The lines of one service's template for the inside of the frontend, by the service's name.
Inserted = Sequence[tuple[str, Sequence[str]]]

_ABSOLUTE = "{ url -m beg -i http:// https:// }"


def rules(groups: Sequence[Frame], inserted: Inserted) -> tuple[str, ...]:
    """The lines, in order. An operator's text may change the path: what is routed is what came in."""
    by_host = any(group.by_host for group in groups)
    by_variable = by_host or bool(inserted)
    return (*_request(by_host, by_variable), *_inserted(inserted), *_conditions(groups, by_host),
            *(line for group in groups for level in group.levels for line in _level(group, level, by_variable)),
            *(("use_backend %[var(txn.backend)] if pb:found",) if groups else ()))


def _request(by_host: bool, by_variable: bool) -> Iterator[str]:
    if by_host:
        yield "http-request set-var(txn.host) req.hdr(host),host_only,rtrim(.),lower"
        # HAProxy refuses a Host header that is another one than the target's.
        yield ("http-request set-var(txn.host) url,field(3,/),field(1,?),field(-1,@),host_only,rtrim(.),lower "
               f"if !{{ req.hdr(host) -m found }} {_ABSOLUTE}")
        # With a slash in it, the host would bring a path of its own into the key; with nothing in it, it is no host.
        yield "http-request unset-var(txn.host) if { var(txn.host) -m sub / } || { var(txn.host) -m len 0 }"
    # `http://acme.com` is `http://acme.com/`. It takes the host out of the target, which was read above.
    yield f"http-request set-path / if !{{ path -m found }} {_ABSOLUTE}"
    if by_variable:
        yield "http-request set-var(txn.path) path"


def _inserted(inserted: Inserted) -> Iterator[str]:
    for service, lines in inserted:
        if lines:
            yield f"# {service}, from its template"
            yield from lines


def _conditions(groups: Sequence[Frame], by_host: bool) -> Iterator[str]:
    if by_host:
        yield "acl pb:host var(txn.host) -m found"
    if groups:
        yield "acl pb:found var(txn.backend) -m found"
        yield "acl pb:well-known path_beg /.well-known/"


def _level(group: Frame, level: Level, by_variable: bool) -> Iterator[str]:
    """One host class: its key, what the maps have of it, then what only an ACL can tell."""
    only = " pb:well-known" if group.name == "well-known" else ""
    when, key = f"if !pb:found{only}", "var(txn.path)" if by_variable else "path"
    if level.kind == "exact":
        when, key = f"if pb:host !pb:found{only}", "var(txn.key)"
        yield f"http-request set-var(txn.key) var(txn.host),concat(,txn.path) {when}"
    elif level.kind == "wildcard":
        below = f"pb:below-{level.labels}"
        when, key = f"if !pb:found{only} {below}", "var(txn.key)"
        yield f"acl {below} var(txn.host),field(-{level.labels + 1},.) -m len gt 0"
        yield f"http-request set-var(txn.suffix) var(txn.host),field(-1,.,{level.labels}) {when}"
        yield f"http-request set-var(txn.key) str(*.),concat(,txn.suffix),concat(,txn.path) {when}"
    if group.exact:
        yield f"http-request set-var(txn.backend) {key},map_str({group.name}-path.map) {when}"
    if group.prefixes and level.acls:
        yield f"http-request set-var(txn.route) {key},map_beg({group.name}-prefix.map) {when}"
    elif group.prefixes:
        yield f"http-request set-var(txn.backend) {key},map_beg({group.name}-prefix.map),field(2,|) {when}"
    for acl in level.acls:
        yield from _acl(acl, "suffix" if level.kind == "wildcard" else "host", when)
    if level.acls:
        yield f"http-request set-var(txn.backend) var(txn.route),field(2,|) {when}"


def _acl(acl: Acl, host_variable: str, when: str) -> Iterator[str]:
    yield f"acl {acl.name}:path path -m {acl.match} -- {quoted(acl.pattern)}"
    yield f"acl {acl.name}:longer var(txn.route),field(1,|) -m int ge {acl.length}"
    for host in acl.hosts:
        yield f"acl {acl.name}:host var(txn.{host_variable}) -m str -- {quoted(host)}"
    only_host = f" {acl.name}:host" if acl.hosts else ""
    yield (f"http-request set-var(txn.route) str({acl.length}|{word(acl.backend)}) {when} {acl.name}:path "
           f"!{acl.name}:longer{only_host}")
