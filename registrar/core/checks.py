"""The check that Consul is to run for an instance, from the `CHECK_…` keys. Pure.

One check at most, the first one in Registrator's order. A value that cannot be used is reported and replaced by its
default, because a bad check must not keep a service out of the catalog.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from registrar.core.grammar import duration_seconds, join_host_port, read_bool, read_duration, split_list
from registrar.core.metadata import Entry, Keys, entry_of
from registrar.core.registration import Check
from registrar.core.spelling import unknown_check
from registrar.core.urls import NoPath, read_path

Report = Callable[[Entry, str], None]

KINDS = ("http", "https", "cmd", "script", "ttl", "tcp", "grpc")
# What each kind is, and further keys that change a check; docs/registrar.md is made of these.
KEYS: tuple[tuple[str, str], ...] = (
    ("CHECK_HTTP", "path of an HTTP check. Of a whole address of the service itself the path is taken, and that is "
     "reported; any other address is refused"),
    ("CHECK_HTTPS", "path of an HTTPS check; likewise"),
    ("CHECK_CMD", "a command for the agent: `check-cmd CONTAINER PORT` and this, run by `sh -c`"),
    ("CHECK_SCRIPT", "a script for the agent, run by `sh -c`; `$SERVICE_IP` and `$SERVICE_PORT` are put in"),
    ("CHECK_TTL", "a duration; registrar reports to it while the container runs"),
    ("CHECK_TCP", "anything but a no: a connection to the port"),
    ("CHECK_GRPC", "anything but a no: gRPC's own health check"),
    ("CHECK_HTTP_METHOD", "the method of an HTTP check (`GET`)"),
    ("CHECK_HTTPS_METHOD", "the method of an HTTPS check (`GET`)"),
    ("CHECK_HEADER", "headers of an HTTP or HTTPS check: `Host: example.org, X-Check: 1`, `\\,` for a comma"),
    ("CHECK_GRPC_USE_TLS", "boolean: gRPC over TLS"),
    ("CHECK_TLS_SKIP_VERIFY", "boolean: any certificate is good enough, for HTTPS and for gRPC over TLS"),
    ("CHECK_INTERVAL", "a duration with its unit (`10s`)"),
    ("CHECK_TIMEOUT", "a duration with its unit; not for TTL"),
    ("CHECK_INITIAL_STATUS", "`passing`, `warning` or `critical`, until the first probe"),
    ("CHECK_DEREGISTER_AFTER", "a duration: Consul removes what is critical for so long (at least 1m)"),
)
DEFAULT_INTERVAL = "10s"
CONSULS_LEAST_S = {"check_interval": 1.0, "check_deregister_after": 60.0}
STATUSES = ("passing", "warning", "critical")
_KNOWN = frozenset(key.lower() for key, _ in KEYS)
_ELSEWHERE = re.compile(r"[:/]|^\d+$")
_COMMANDS = frozenset({"check_cmd", "check_script"})
_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100})\s*:\s*(\S.*)")


@dataclass(frozen=True, slots=True)
class Target:
    """What is checked: an address and port, and the port of the container behind it."""

    address: str
    port: int
    container: str = ""
    exposed: int = 0

    def __str__(self) -> str:
        return join_host_port(self.address, self.port)


def runs_command(spelling: str) -> bool:
    """Whether a label or variable of this name has the agent run something."""
    entry = entry_of(spelling, "", label=True)
    return entry is not None and entry.key in _COMMANDS


def check_of(keys: Keys, target: Target, report: Report, image_scripts: bool = False) -> Check:
    """The definition of the check, () where none is asked for or none is possible. `image_scripts`: an image's are
    as good as a container's.
    """
    wanted = [entry for kind in KINDS if (entry := keys.get(f"check_{kind}"))]
    found: dict[str, Any] = {}
    _report_idle(keys, report)
    for entry in wanted:
        if found:
            report(entry, f"a service has one check: an earlier one of {', '.join(KINDS)} counts")
        else:
            found = _probe(entry, keys, target, report) if image_scripts or not _is_the_images(entry, report) else {}
    if not found:
        return ()
    if "TTL" not in found:
        found["Interval"] = _duration(keys, "check_interval", report) or DEFAULT_INTERVAL
        if timeout := _duration(keys, "check_timeout", report):
            found["Timeout"] = timeout
    if reap := _duration(keys, "check_deregister_after", report):
        found["DeregisterCriticalServiceAfter"] = reap
    if status := _status(keys, report):
        found["Status"] = status
    return tuple(sorted(found.items()))


def _is_the_images(entry: Entry, report: Report) -> bool:
    # Whoever starts a container may not know what its image says; the agent would run it with its own rights.
    refused = entry.from_image and entry.key in _COMMANDS
    if refused:
        report(entry, "it stands in the image, or nobody can tell that it does not: the agent runs it only with "
                      "--image-scripts, or if the container itself says something else")
    return refused


def _probe(entry: Entry, keys: Keys, target: Target, report: Report) -> dict[str, Any]:
    kind, value = entry.key.removeprefix("check_"), entry.value.strip()
    if not target.port and kind in ("http", "https", "tcp", "grpc"):
        report(entry, "a service without a port has none to connect to: registered without a check")
        return {}
    if kind == "ttl":
        ttl = _duration(keys, entry.key, report)
        return {"TTL": ttl} if ttl else {}
    if kind in ("tcp", "grpc") and _ELSEWHERE.search(value) and value not in ("0", "1"):
        report(entry, "this says yes or no, and the check asks the service's own port: taken for a yes")
    if kind == "tcp":
        return {"TCP": str(target)} if _is_on(value) else {}
    if kind == "grpc":
        return _grpc(keys, target, report) if _is_on(value) else {}
    if kind in ("cmd", "script"):
        return _script(kind, value, target, entry, report)
    return _http(kind, value, keys, target, entry, report)


def _report_idle(keys: Keys, report: Report) -> None:
    """Keys of a check that change nothing: that there are not, or that no check was asked for with."""
    asked = any(f"check_{kind}" in keys.entries for kind in KINDS)
    for key, entry in sorted(keys.entries.items()):
        if key.startswith("check_") and key not in _KNOWN:
            report(entry, unknown_check(entry, _KNOWN))
        elif key in _KNOWN and not asked:
            report(entry, f"it changes a check, and none of {', '.join(KINDS)} asks for one")


def _http(kind: str, value: str, keys: Keys, target: Target, entry: Entry, report: Report) -> dict[str, Any]:
    try:
        path, taken_out = read_path(kind, value, target.address, (target.port, target.exposed))
    except NoPath as fault:
        report(entry, f"{fault}: registered without a check")
        return {}
    if taken_out:
        report(entry, f"give a path, not an address: {path} is asked for")
    found: dict[str, Any] = {"HTTP": f"{kind}://{target}{path}"}
    if method := keys.get(f"check_{kind}_method"):
        word = method.value.strip().upper()
        if _METHOD.fullmatch(word):
            found["Method"] = word
        else:
            report(method, "give an HTTP method such as HEAD: GET is used")
    if headers := _headers(keys, report):
        found["Header"] = headers
    if kind == "https" and _switch(keys, "check_tls_skip_verify", report):
        found["TLSSkipVerify"] = True
    return found


def _grpc(keys: Keys, target: Target, report: Report) -> dict[str, Any]:
    found: dict[str, Any] = {"GRPC": str(target)}
    if _switch(keys, "check_grpc_use_tls", report):
        found["GRPCUseTLS"] = True
        if _switch(keys, "check_tls_skip_verify", report):
            found["TLSSkipVerify"] = True
    return found


def _script(kind: str, value: str, target: Target, entry: Entry, report: Report) -> dict[str, Any]:
    if "\0" in value:
        report(entry, "a script has no NUL in it: registered without a check")
        return {}
    if kind == "cmd":
        text = f"check-cmd {target.container[:12]} {target.exposed} {value}"
    else:
        text = value.replace("$SERVICE_IP", target.address).replace("$SERVICE_PORT", str(target.port))
    return {"Args": ("/bin/sh", "-c", text)}


def _headers(keys: Keys, report: Report) -> tuple[tuple[str, tuple[str, ...]], ...]:
    entry = keys.get("check_header")
    if entry is None:
        return ()
    found: dict[str, tuple[str, ...]] = {}
    for item in split_list(entry.value):
        match = _HEADER.fullmatch(item)
        if match and item.isprintable():
            found[match[1]] = (*found.get(match[1], ()), match[2])
        else:
            report(entry, f"give headers as Name: value, separated by commas: {item!r} is left out")
    return tuple(sorted(found.items()))


def _switch(keys: Keys, key: str, report: Report) -> bool:
    """A key that Registrator takes for a yes whatever its value; a no means no here."""
    return switched(keys.get(key), False, True, report)


def switched(entry: Entry | None, absent: bool, doubtful: bool, report: Report) -> bool:
    """What a key says that is a yes or a no: `absent` where it is not there; `doubtful`, and that is told, where it is
    neither of them.
    """
    if entry is None:
        return absent
    try:
        return read_bool(entry.value)
    except ValueError as fault:
        report(entry, f"{fault}: taken for {str(doubtful).lower()}")
        return doubtful


def _is_on(value: str) -> bool:
    """Any value turns a check on, as in Registrator, except one that says no."""
    try:
        return read_bool(value)
    except ValueError:
        return True


def _duration(keys: Keys, key: str, report: Report) -> str:
    entry = keys.get(key)
    if entry is None:
        return ""
    try:
        duration = read_duration(entry.value)
    except ValueError as fault:
        report(entry, str(fault))
        return ""
    if duration_seconds(duration) < CONSULS_LEAST_S.get(key, 0.0):
        report(entry, f"Consul takes {CONSULS_LEAST_S[key]:g}s for anything shorter")
    return duration


def _status(keys: Keys, report: Report) -> str:
    entry = keys.get("check_initial_status")
    if entry is None:
        return ""
    word = entry.value.strip().lower()
    if word in STATUSES:
        return word
    report(entry, f"give one of {', '.join(STATUSES)}")
    return ""
