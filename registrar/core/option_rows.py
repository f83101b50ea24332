"""Every option and every command of registrar as one row, from which parser, names, errors and help come. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from registrar.core.filters import read_filter
from registrar.core.grammar import is_ipv6, read_bool, read_host
from registrar.core.naming import read_node_id
from registrar.core.tag_templates import TagTemplate, read_tags

ENV_PREFIX = "REGISTRAR_"


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `rule` says what would be right; `note` is said at start when the option is given."""

    name: str
    read: Callable[[str], Any]
    default: Any
    rule: str
    help: str
    switch: bool = False
    many: bool = False
    note: str = ""

    @property
    def field(self) -> str:
        """The name of the setting: `useIpFromLabel` and `node-id` become `use_ip_from_label` and `node_id`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name).replace("-", "_").lower()

    @property
    def variable(self) -> str:
        return ENV_PREFIX + self.field.upper()


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"give {' or '.join(words)}")
        return text
    return read


def _integer(low: int, high: int = 2**31) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,10}", text) or not low <= int(text) <= high:
            raise ValueError(f"give a whole number from {low}" + ("" if high == 2**31 else f" to {high}"))
        return int(text)
    return read


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not 0.1 <= float(text) <= 86400:
        raise ValueError("give seconds, from 0.1 to 86400")
    return float(text)


def _node_address(text: str) -> str:
    try:
        return read_host(text)
    except ValueError as fault:
        # An interface may have a name that no host has, such as br_lan.100.
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,14}", text.strip()):
            return text.strip()
        raise ValueError(f"{fault}, or the name of an interface") from None


def _ipv6(text: str) -> str:
    address = read_host(text)
    if not is_ipv6(address):
        raise ValueError("give an IPv6 address")
    return address


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as fault:
        raise ValueError(f"give a name or a regular expression: {fault}") from None
    return text


def _label(text: str) -> str:
    key, sign, _ = text.partition("=")
    if not sign or not key.strip():
        raise ValueError("give KEY=VALUE")
    return text


def _listen(text: str) -> tuple[str, int]:
    host, sign, port = text.rpartition(":")
    if not sign or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("give ADDR:PORT, such as 127.0.0.1:9180, or :9180 for every address")
    return host.removeprefix("[").removesuffix("]"), int(port)


_FOR_REGISTRATOR = "taken for Registrator's sake"

OPTIONS: tuple[Option, ...] = (
    Option("ip", _node_address, "", "ADDRESS", "the address of this node for published ports, taken as it is, or the "
           "name of an interface that has it (default: the address of the interface with the default route; without "
           "one, the node's address in its swarm)"),
    Option("ip6", _ipv6, "", "ADDRESS", "this node's IPv6 address, for ports published on IPv6 only "
           "(default: likewise)"),
    Option("family", _one_of("both", "ipv4", "ipv6"), "both", "both|ipv4|ipv6", "which addresses are registered: "
           "those of one family only, or both where there are both, IPv4 in front"),
    Option("internal", read_bool, False, "", "register the container's own address and port, not the published ones",
           switch=True),
    Option("network", _pattern, "", "NAME", "with -internal: the network whose address to register, where a container "
           "is on several and names none; a regular expression"),
    Option("explicit", read_bool, False, "", "register only ports that have a SERVICE_NAME or SERVICE_<port>_NAME",
           switch=True),
    Option("useIpFromLabel", str, "", "LABEL", "take the address from this container label; beats -ip and -internal"),
    Option("tags", read_tags, TagTemplate(), "A,B", "tags for every service, after its own: plain text, or a Go "
           "template over the container's inspect document"),
    Option("only-label", _label, (), "KEY=VALUE", "look only at containers with this label; may be given several times "
           "(all must match)", many=True),
    Option("include", read_filter, (), "KIND=PATTERN", "register only containers that match; KIND is label (KEY or "
           "KEY=VALUE), name, image, network or project (of compose, or a stack), and `*` stands for anything. May be "
           "given several times: of each kind one has to match", many=True),
    Option("exclude", read_filter, (), "KIND=PATTERN", "do not register containers that match; may be given several "
           "times, and beats --include", many=True),
    Option("one-offs", read_bool, False, "", "register what `docker compose run` started, too", switch=True),
    Option("host-ports", _one_of("named", "all"), "named", "named|all", "which exposed ports count under host "
           "networking: those asked for by metadata or -p, or all of them as in Registrator"),
    Option("max-ports", _integer(0), 50, "N", "a container with more ports to register than this brings none, but "
           "those that a SERVICE_<port>_… key names; 0: no limit"),
    Option("suffix", _one_of("auto", "always", "never"), "auto", "auto|always|never", "when `-<port>` is added to a "
           "name that was not given for a port: where several ports of the container are registered, always, or never"),
    Option("merge-tags", read_bool, False, "", "a port's SERVICE_<port>_TAGS are added to SERVICE_TAGS, and do not "
           "replace them; SERVICE_MERGE_TAGS says so for one container", switch=True),
    Option("image-scripts", read_bool, False, "", "let the agent run the SERVICE_CHECK_SCRIPT or SERVICE_CHECK_CMD "
           "of an image's own labels or variables, not only those that a container was given", switch=True),
    Option("deregister", _one_of("always", "on-success"), "always", "always|on-success", "when to take out a container "
           "that ended: always, or unless it failed (exit code 1 to 127)"),
    Option("deregister-on-exit", read_bool, False, "", "take everything out again at SIGTERM (default: it stays)",
           switch=True),
    Option("node-id", read_node_id, "", "NAME", "the owner mark and first part of service ids; unique in the cluster "
           "(default: the Docker engine's own name)"),
    Option("adopt-host", str, (), "NAME", "take over what a Registrator with this host name left in Consul: entries "
           "NAME:container:port without an owner; may be given several times", many=True),
    Option("remove-after", _seconds, 3600.0, "SECONDS", "with consul-catalog://: how long another node's registrar "
           "may be silent before its node is removed; it leaves rotation within 20 s"),
    Option("reconcile-interval", _seconds, 15.0, "SECONDS", "at most this long between two full comparisons"),
    Option("resync", _integer(0), 0, "SECONDS", "like --reconcile-interval, whichever is shorter; 0: not given"),
    Option("cleanup", read_bool, False, "", f"{_FOR_REGISTRATOR}: always on, for entries of this node id", switch=True,
           note="cleaning is always on, and touches entries of this node id only"),
    Option("retry-attempts", _integer(-1), 0, "N", "with --once: further tries when Docker or Consul is away, -1 for "
           "ever; without it registrar never gives up"),
    Option("retry-interval", _integer(1), 2000, "MS", "with --once: milliseconds between those tries"),
    Option("ttl", _integer(0), 0, "SECONDS", f"{_FOR_REGISTRATOR}: no effect with Consul",
           note="has no effect with Consul"),
    Option("ttl-refresh", _integer(0), 0, "SECONDS", f"{_FOR_REGISTRATOR}: no effect with Consul",
           note="has no effect with Consul"),
    Option("health", _one_of("off", "gate", "mirror"), "off", "off|gate|mirror", "what Docker's own health check does: "
           "nothing, hold a container back until it is healthy, or show as a check in Consul"),
    Option("drain", _one_of("off", "maintenance", "deregister"), "maintenance", "off|maintenance|deregister", "what "
           "becomes of the services of a container that was sent its stop signal, or is paused: nothing, Consul's "
           "maintenance, or deregistration"),
    Option("drain-limit", _seconds, 3600.0, "SECONDS", "how long a container that was sent its stop signal and goes on "
           "running stays out of rotation, or its own stop timeout if that is longer: to be above every `docker stop "
           "-t` in use, which no engine tells"),
    Option("http", _listen, None, "ADDR:PORT", "serve /health, /ready, /metrics and /containers there"),
    Option("log-level", _one_of("debug", "info", "warning", "error"), "info", "debug|info|warning|error", "how much is "
           "said: debug adds each event and each comparison that wrote nothing"),
    Option("once", read_bool, False, "", "make one full comparison and exit: 0 when all of it holds, else 1",
           switch=True),
    Option("dry-run", read_bool, False, "", "print what would be registered and removed, and why the rest is not; "
           "write nothing", switch=True),
)


@dataclass(frozen=True, slots=True)
class Command:
    """What registrar does when its first argument is this name: `words` it takes, and options besides the others."""

    name: str
    words: tuple[str, ...]
    options: tuple[Option, ...]
    help: str


COMMANDS: tuple[Command, ...] = (
    Command("plan", (), (
        Option("json", read_bool, False, "", "as JSON, not as a table", switch=True),
    ), "show what would be registered and removed and, for each port that is not, why; write nothing"),
    Command("drain", ("CONTAINER",), (
        Option("wait", _seconds, 0.0, "SECONDS", "return so long afterwards, when what was asked before is answered"),
        Option("undo", read_bool, False, "", "put it back into rotation", switch=True),
    ), "take a container that is about to be stopped out of rotation; it comes back with its next start"),
    Command("watch-nodes", (), (), "with consul-catalog://: only take the nodes of dead registrars out of rotation, "
            "and remove them after --remove-after; needs no Docker and runs anywhere, such as beside a Consul server"),
)
