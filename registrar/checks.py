"""The check that Consul is to run for an instance, from the `CHECK_…` keys. Pure.

One check at most, the first of http, https, tcp and ttl in Registrator's order. A value that cannot be used is
reported and replaced by its default, because a bad check must not keep a service out of the catalog.
"""

import re
from collections.abc import Callable

from registrar.grammar import join_host_port, read_bool, read_duration
from registrar.metadata import Entry, Keys
from registrar.registration import Check

Report = Callable[[Entry, str], None]

KINDS = ("http", "https", "ttl", "tcp")
UNSUPPORTED = ("check_cmd", "check_script", "check_grpc")
DEFAULT_INTERVAL = "10s"
STATUSES = ("passing", "warning", "critical")
_METHOD = re.compile(r"[A-Z]{1,20}")


def check_of(keys: Keys, address: str, port: int, report: Report) -> Check:
    """The definition of the check, () where none is asked for or none is possible."""
    for key in UNSUPPORTED:
        if entry := keys.get(key):
            report(entry, "only http, https, tcp and ttl checks are run: registered without this one")
    wanted = [entry for kind in KINDS if (entry := keys.get(f"check_{kind}"))]
    target: dict[str, str | bool] = {}
    for entry in wanted:
        if target:
            report(entry, "a service has one check: an earlier one of http, https, ttl, tcp counts")
        else:
            target = _target(entry, keys, join_host_port(address, port), report)
    if not target:
        return ()
    if "TTL" not in target:
        target["Interval"] = _duration(keys, "check_interval", report) or DEFAULT_INTERVAL
        if timeout := _duration(keys, "check_timeout", report):
            target["Timeout"] = timeout
    if reap := _duration(keys, "check_deregister_after", report):
        target["DeregisterCriticalServiceAfter"] = reap
    if status := _status(keys, report):
        target["Status"] = status
    return tuple(sorted(target.items()))


def _target(entry: Entry, keys: Keys, where: str, report: Report) -> dict[str, str | bool]:
    kind, value = entry.key.removeprefix("check_"), entry.value.strip()
    if kind == "ttl":
        ttl = _duration(keys, entry.key, report)
        return {"TTL": ttl} if ttl else {}
    if kind == "tcp":
        return {"TCP": where} if _is_on(value) else {}
    path = value if value.startswith("/") else f"/{value}"
    if not path.isprintable() or " " in path:
        report(entry, "give a path such as /health, without blanks: registered without a check")
        return {}
    target: dict[str, str | bool] = {"HTTP": f"{kind}://{where}{path}"}
    if method := keys.get(f"check_{kind}_method"):
        word = method.value.strip().upper()
        if _METHOD.fullmatch(word):
            target["Method"] = word
        else:
            report(method, "give an HTTP method such as HEAD: GET is used")
    return target


def _is_on(value: str) -> bool:
    """Any value turns a TCP check on, as in Registrator, except one that says no."""
    try:
        return read_bool(value)
    except ValueError:
        return True


def _duration(keys: Keys, key: str, report: Report) -> str:
    entry = keys.get(key)
    if entry is None:
        return ""
    try:
        return read_duration(entry.value)
    except ValueError as fault:
        report(entry, str(fault))
        return ""


def _status(keys: Keys, report: Report) -> str:
    entry = keys.get("check_initial_status")
    if entry is None:
        return ""
    word = entry.value.strip().lower()
    if word in STATUSES:
        return word
    report(entry, f"give one of {', '.join(STATUSES)}")
    return ""
