"""Plain attributes as Consul service Meta, within Consul's limits. Pure.

One pair beyond a limit makes Consul refuse the whole registration (400), so each is checked here first.
"""

import re

from registrar.checks import Report
from registrar.metadata import Entry, Keys
from registrar.registration import OWN_MARKS, Meta

MAX_PAIRS = 64
MAX_KEY = 128
MAX_VALUE_BYTES = 512

# Keys with a meaning of their own; `check_…` keys neither.
RESERVED = frozenset({"name", "id", "tags", "ignore", "network", "address", "weight", "weights", "enable_tag_override"})
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_-]")


def meta_of(keys: Keys, report: Report) -> Meta:
    """The pairs that Consul takes, sorted; what is changed or left out is reported."""
    found: dict[str, str] = {}
    plain = [e for k, e in keys.entries.items() if k not in RESERVED and not k.startswith("check_")]
    # Keys that need no mending first: they win over those that become equal to them.
    for entry in sorted(plain, key=lambda e: (_NOT_IN_KEYS.search(e.key) is not None, e.key)):
        key = _NOT_IN_KEYS.sub("_", entry.key)
        rule = _broken_rule(key, entry, found)
        if rule:
            report(entry, rule)
            continue
        if key != entry.key:
            report(entry, f"a metadata key has letters, digits, '_' and '-' only: stored as {key}")
        found[key] = entry.value
    return tuple(sorted(found.items()))


def _broken_rule(key: str, entry: Entry, found: dict[str, str]) -> str:
    if key in found:
        return f"left out: another attribute is stored as {key}"
    if key.startswith(("consul-", "registrar-")):
        return "left out: keys that begin with consul- or registrar- are reserved"
    if len(key) > MAX_KEY:
        return f"left out: a metadata key has at most {MAX_KEY} characters"
    if len(entry.value.encode()) > MAX_VALUE_BYTES:
        return f"left out: a metadata value has at most {MAX_VALUE_BYTES} bytes"
    if len(found) >= MAX_PAIRS - len(OWN_MARKS):
        return f"left out: Consul takes {MAX_PAIRS} pairs of metadata, {len(OWN_MARKS)} of them are the registrar's"
    return ""
