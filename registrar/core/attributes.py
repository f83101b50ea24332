"""Plain attributes as Consul service Meta, within Consul's limits. Pure.

One pair beyond a limit makes Consul refuse the whole registration (400), so each is checked here first.
"""

import re

from registrar.core.checks import Report
from registrar.core.metadata import Entry, Keys
from registrar.core.registration import OWN_MARKS, Meta

MAX_PAIRS = 64
MAX_KEY = 128
MAX_VALUE_BYTES = 512

# Keys with a meaning of their own; `check_…` keys neither.
KEYS: tuple[tuple[str, str], ...] = (
    ("NAME", "the service's name, or several, separated by commas: the port is then registered under each, and the "
     "second and further ones have their name at the end of the id. Without it: the image's name; for an image given "
     "by its id the compose or swarm service, the image's tag, or the container's name"),
    ("ID", "the whole id. If somebody else has it, the default id is used"),
    ("TAGS", "comma list, `\\,` for a comma; trimmed, each once, in its order. A port's list replaces the generic one"),
    ("MERGE_TAGS", "boolean: a port's list is added to the generic one, a label's to a variable's; see `--merge-tags`"),
    ("IGNORE", "`true` takes the port out, `false` does not"),
    ("ADDRESS", "the address to register instead of the one found; the same as `IP`"),
    ("IP", "the same as `ADDRESS`"),
    ("PORT", "ports besides those exposed, such as `9000` or `9000,53/udp`: for what listens without EXPOSE under host "
     "networking or with `-internal`, or where `ADDRESS` says what leads there; `0` is a service without a port. For "
     "one port (`SERVICE_8080_PORT`): the port to register instead"),
    ("NETWORK", "with `-internal`: whose address to register, where a container is on several networks"),
    ("WEIGHT", "Consul's weight of an instance, 1 to 65535; the same as `WEIGHTS`"),
    ("WEIGHTS", "`10,1`: the weight of an instance that passes, and of one that warns"),
    ("ENABLE_TAG_OVERRIDE", "boolean: others may change the tags in the catalog, and registrar leaves them as they "
     "are"),
)
RESERVED = frozenset(key.lower() for key, _ in KEYS)
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
