"""The services of one container: which of its ports go into the catalog, as what, and why the others do not. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from engine.container import Container, Port
from engine.health import HEALTHY, STARTING, UNHEALTHY
from registrar.core import endpoints, naming
from registrar.core.attributes import meta_of
from registrar.core.checks import Report, Target, check_of, switched
from registrar.core.endpoints import Endpoint, Node, Refused
from registrar.core.filters import Filter, is_one_off, why_left_out
from registrar.core.grammar import duration_seconds, is_loopback, read_host, split_list, unique
from registrar.core.metadata import Entry, Fault, Keys, read_metadata
from registrar.core.registration import MIRROR_TTL_S, Check, Heartbeat, Registration, Weights, marked
from registrar.core.tag_templates import LookUp, Tags, TagTemplate, nothing_yet, tags_of

PROTOCOLS = ("tcp", "udp", "sctp")
# An instance that is starting up is no failure, and gets no traffic where only passing ones do.
CONSUL_STATUS = {STARTING: "warning", HEALTHY: "passing", UNHEALTHY: "critical"}


class Wishes(Protocol):
    """What the operator wants, as far as services depend on it; `settings.Settings` has it all."""

    @property
    def internal(self) -> bool: ...
    @property
    def explicit(self) -> bool: ...
    @property
    def use_ip_from_label(self) -> str: ...
    @property
    def tags(self) -> TagTemplate: ...
    @property
    def host_ports(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def health(self) -> str: ...
    @property
    def only_label(self) -> tuple[str, ...]: ...
    @property
    def include(self) -> tuple[Filter, ...]: ...
    @property
    def exclude(self) -> tuple[Filter, ...]: ...
    @property
    def one_offs(self) -> bool: ...
    @property
    def max_ports(self) -> int: ...
    @property
    def suffix(self) -> str: ...
    @property
    def merge_tags(self) -> bool: ...


@dataclass(frozen=True, slots=True, order=True)
class Skip:
    """A container, or a port of it, that is not in the catalog, and why."""

    container: str
    port: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What one container brings to the catalog."""

    registrations: tuple[Registration, ...] = ()
    skips: tuple[Skip, ...] = ()
    faults: tuple[Fault, ...] = ()


def services_of(container: Container, target: Container | None, node: Node, wishes: Wishes,
                look_up: LookUp = nothing_yet) -> Offer:
    """The registrations of a container; `target` is the container whose network it shares, if it does.

    `look_up` knows the pages that a tag template asks for.
    """
    if not all(tuple(wanted.split("=", 1)) in container.labels for wanted in wishes.only_label):
        # The engine does not list it either; an event or a shared network has led here.
        return Offer()
    refused = _ineligible(container, wishes)
    if refused:
        return Offer(skips=(Skip(container.name, "", refused.code, refused.reason),))
    metadata = read_metadata(container.env, container.labels)
    faults = [Fault(container.name, lost.spelling, lost.value, f"{winner.spelling} is set as well and counts")
              for lost, winner in metadata.shadowed]

    def report(entry: Entry, rule: str) -> None:
        faults.append(Fault(container.name, entry.spelling, entry.value, rule))

    named = _named(metadata.generic(), report)
    ports = sorted({*container.ports, *(p for p in named if container.port(p.number, p.protocol) is None)})
    if not ports:
        return Offer(skips=(Skip(container.name, "", "no-ports", "exposes and publishes no port"),),
                     faults=unique_faults(faults))
    skips, usable = [], []
    label_address = _address_from_label(container, wishes, faults)
    for port in ports:
        keys = metadata.for_port(port.number, port.protocol)
        address = _address(keys, report) or label_address
        by_hand = Port(port.number, port.protocol) in named
        found = _place(container, port, target, node, wishes, keys, address, by_hand, len(ports) == 1, report)
        if isinstance(found, Refused):
            skips.append(Skip(container.name, str(port), found.code, found.reason))
        else:
            usable.append((port, keys, _moved(found, address, keys, report)))
    usable, flood = _without_flood(container, usable, wishes)
    grouped = len(usable) > 1  # counted after everything that takes a port out
    common = tags_of(wishes.tags, container.document or {}, look_up) if usable else Tags()
    faults += [Fault(container.name, "-tags", wishes.tags.shown, rule) for rule in common.rules]
    registrations = tuple(
        registration for port, keys, endpoint in usable
        for registration in _registrations(container, port, keys, endpoint, grouped, node, wishes, common, report)
    )
    return Offer(registrations, (*skips, *flood), unique_faults(faults))


def unique_faults(faults: list[Fault]) -> tuple[Fault, ...]:
    """A generic key is read once for each port, but is one fault."""
    return tuple(dict.fromkeys(faults))


def _ineligible(container: Container, wishes: Wishes) -> Refused | None:
    if why := why_left_out(container, wishes.include, wishes.exclude):
        return Refused("filtered", why)
    if is_one_off(container) and not wishes.one_offs:
        return Refused("one-off", "started by `docker compose run`, which --one-offs would register")
    if not container.serving:
        return Refused("not-running", "does not run")
    if wishes.health == "gate" and container.health and container.health.status != HEALTHY:
        word = "waiting for health: " if container.health.status == STARTING else ""
        return Refused("health", f"{word}Docker's health check says {container.health.status}")
    return None


def _named(keys: Keys, report: Report) -> frozenset[Port]:
    """The ports that SERVICE_PORT names; port 0 stands for a service without a port."""
    entry = keys.get("port")
    found = set()
    for item in split_list(entry.value) if entry else ():
        number, sign, protocol = item.partition("/")
        if number.isdecimal() and len(number) < 6 and int(number) < 65536 and (protocol in PROTOCOLS or not sign):
            found.add(Port(int(number), protocol or "tcp"))
        elif entry:
            report(entry, f"give ports such as 9000 or 53/udp, or 0 for a service without one: {item!r} is left out")
    return frozenset(found)


def _place(container: Container, port: Port, target: Container | None, node: Node, wishes: Wishes, keys: Keys,
           address: str, by_hand: bool, alone: bool, report: Report) -> Endpoint | Refused:
    """Where a port is reached. `address` is the one given by hand; `by_hand`: SERVICE_PORT names the port; `alone`: the
    container has no other.
    """
    if (ignore := keys.get("ignore")) and _ignored(ignore, report):
        return Refused("ignored", f"{ignore.spelling} is set")
    if wishes.explicit and not keys.get("name"):
        return Refused("explicit", "explicit mode, and no SERVICE_NAME")
    if by_hand and address and not port.bindings:
        return Endpoint(address, port.number)
    asked = by_hand or port.asked or keys.any_scoped or (alone and keys.get("name") is not None)
    asked = asked or wishes.host_ports == "all"
    if wishes.internal:
        return endpoints.internal(container, port, target, node, asked, keys.value("network"), wishes.network)
    if not port.number:
        return endpoints.portless(node)
    found = endpoints.published(container, port, target, node, asked)
    if by_hand and isinstance(found, Refused) and found.code == "not-published":
        return Refused(found.code, "SERVICE_PORT names it, but it is not published; if something else leads there, say "
                       "where with SERVICE_ADDRESS")
    return found


def _moved(found: Endpoint, address: str, keys: Keys, report: Report) -> Endpoint:
    """The endpoint with what was given by hand instead. What was moved has one address only."""
    entry, port = keys.get("port"), found.port
    if entry and entry.scoped:
        if entry.value.strip().isdecimal() and 0 < int(entry.value) < 65536:
            port = int(entry.value)
        else:
            report(entry, "give the port to register, 1 to 65535: not used")
    return Endpoint(address or found.address, port) if address or port != found.port else found


def _without_flood(container: Container, usable: list[tuple[Port, Keys, Endpoint]],
                   wishes: Wishes) -> tuple[list[tuple[Port, Keys, Endpoint]], list[Skip]]:
    """Ports without those of a published range, if there are too many; a port that was named by itself stays."""
    named = [one for one in usable if one[1].any_scoped_to_one]
    if not wishes.max_ports or len(usable) - len(named) <= wishes.max_ports:
        return usable, []
    rest = [port for port, keys, _ in usable if not keys.any_scoped_to_one]
    return named, [Skip(container.name, "", "too-many-ports", f"{len(rest)} ports, {rest[0]} to {rest[-1]}, are more "
                        f"than --max-ports {wishes.max_ports}: name those to register with SERVICE_<port>_NAME, or "
                        "take a range out with SERVICE_<low>-<high>_IGNORE")]


def _ignored(entry: Entry, report: Report) -> bool:
    # Registrator takes any value for a yes, and whoever wrote it did not want the port in the catalog.
    return switched(entry, False, True, report)


def _address_from_label(container: Container, wishes: Wishes, faults: list[Fault]) -> str:
    if not wishes.use_ip_from_label:
        return ""
    value = container.label(wishes.use_ip_from_label)
    if not value:
        faults.append(Fault(container.name, wishes.use_ip_from_label, value, "the container has no such label: it is "
                            "registered with the address that it has without it"))
        return ""
    try:
        address = read_host(value.partition("/")[0])
        if is_loopback(address):
            raise ValueError("a loopback address leads nowhere")
    except ValueError as fault:
        faults.append(Fault(container.name, wishes.use_ip_from_label, value, f"{fault}: not used"))
        return ""
    return address


def _address(keys: Keys, report: Report) -> str:
    entry = keys.get("address")
    if entry is None:
        return ""
    try:
        address = read_host(entry.value)
        if is_loopback(address):
            raise ValueError("a loopback address leads nowhere")
    except ValueError as fault:
        report(entry, f"{fault}: not used")
        return ""
    return address


def _registrations(container: Container, port: Port, keys: Keys, endpoint: Endpoint, grouped: bool, node: Node,
                   wishes: Wishes, common: Tags, report: Report) -> Iterator[Registration]:
    """One for each name of the port; those after the first have their name at the end of their id."""
    default_id = naming.default_id(node.id, container, port, endpoint.shared)
    custom_id = _id(keys, report) or default_id
    check = check_of(keys, Target(endpoint.address, endpoint.port, container.id, port.number), report)
    for number, name in enumerate(_names(container, port, keys, grouped, wishes, report)):
        suffix = f":{naming.dns_name(name) or number}" if number else ""
        yield _registration(container, port, keys, endpoint, node, wishes, common, report, check, name,
                            custom_id + suffix, default_id + suffix)


def _registration(container: Container, port: Port, keys: Keys, endpoint: Endpoint, node: Node, wishes: Wishes,
                  common: Tags, report: Report, check: Check, name: str, id: str, default_id: str) -> Registration:
    draft = Registration(
        id=id,
        default_id=default_id,
        name=name,
        address=endpoint.address,
        port=endpoint.port,
        tagged=endpoint.tagged,
        shared=endpoint.shared,
        protocol=port.protocol,
        tags=_tags(port, keys, wishes, common, report),
        meta=meta_of(keys, report),
        check=check,
        container_name=container.name,
        created=container.created,
        exposed=str(port),
        heartbeats=_heartbeats(container, check, wishes),
        weights=_weights(keys, report),
        tag_override=switched(keys.get("enable_tag_override"), False, False, report),
        unsettled=common.unsettled,
    )
    return marked(draft, node.id, container.id)


def _heartbeats(container: Container, check: Check, wishes: Wishes) -> tuple[Heartbeat, ...]:
    """The TTL checks that we report. One that was asked for hears us as long as the container runs."""
    ttl = dict(check).get("TTL")
    heartbeats = [Heartbeat("passing", duration_seconds(str(ttl)), output="the container runs")] if ttl else []
    if wishes.health == "mirror" and container.health:
        status, said = container.health.status, container.health.output
        text = f"Docker's health check says {status}" + (f": {said}" if said else "")
        heartbeats.append(Heartbeat(CONSUL_STATUS[status], MIRROR_TTL_S, mirror=True, output=text))
    return tuple(heartbeats)


def _weights(keys: Keys, report: Report) -> Weights | None:
    entry = keys.get("weights")
    if entry is None:
        return None
    words = [word.strip() for word in entry.value.split(",")]
    numbers = [int(word) for word in words if word.isdecimal() and len(word) < 6 and 0 < int(word) < 65536]
    if len(numbers) == len(words) <= 2:
        return numbers[0], numbers[-1] if len(numbers) == 2 else 1
    report(entry, "give 1 to 65535, or two of them for passing and warning, such as 10,1")
    return None


def _names(container: Container, port: Port, keys: Keys, grouped: bool, wishes: Wishes,
           report: Report) -> tuple[str, ...]:
    entry = keys.get("name")
    names = split_list(entry.value) if entry else ()
    if entry and not all(name.isprintable() for name in names):
        report(entry, "give printable characters: the default name is used")
        names = ()
    elif entry and any(naming.dns_name(name) != name for name in names):
        report(entry, "such a name cannot be looked up through DNS: registered under it all the same")
    # A port's own NAME, even an empty one, says that no suffix is wanted.
    grouped = {"auto": grouped, "always": True, "never": False}[wishes.suffix]
    suffix = f"-{port.number}" if grouped and port.number and not keys.scoped("name") else ""
    return tuple(name + suffix for name in names or (naming.default_name(container),))


def _id(keys: Keys, report: Report) -> str:
    entry = keys.get("id")
    if entry is None:
        return ""
    try:
        return naming.read_custom_id(entry.value)
    except ValueError as fault:
        report(entry, f"{fault}: the default id is used")
        return ""


def _tags(port: Port, keys: Keys, wishes: Wishes, common: Tags, report: Report) -> tuple[str, ...]:
    entries = keys.all("tags")
    if not switched(keys.get("merge_tags"), wishes.merge_tags, wishes.merge_tags, report):
        entries = entries[:1]
    own = tuple(tag for entry in entries for tag in split_list(entry.value))
    for entry in entries:
        if not all(tag.isprintable() for tag in split_list(entry.value)):
            report(entry, "tags have printable characters only: the others are left out")
    protocol = () if port.protocol == "tcp" else (port.protocol,)
    return unique((*(tag for tag in own if tag.isprintable()), *common.tags, *protocol))
