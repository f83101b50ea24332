"""The services of one container: which of its ports go into the catalog, as what, and why the others do not. Pure."""

from dataclasses import dataclass

from engine.container import Container, Port
from engine.health import HEALTHY, STARTING
from registrar.core import endpoints
from registrar.core.attributes import RESERVED
from registrar.core.checks import KEYS as CHECK_KEYS
from registrar.core.checks import Report, switched
from registrar.core.definition import registrations_of
from registrar.core.endpoints import Endpoint, Node, Refused
from registrar.core.filters import is_one_off, why_left_out
from registrar.core.grammar import is_loopback, read_host, split_list
from registrar.core.metadata import Entry, Fault, Keys, read_metadata
from registrar.core.registration import Registration
from registrar.core.spelling import hints
from registrar.core.tag_templates import LookUp, Tags, nothing_yet, tags_of
from registrar.core.wishes import Wishes

PROTOCOLS = ("tcp", "udp", "sctp")
KNOWN = RESERVED | frozenset(key.lower() for key, _ in CHECK_KEYS)


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
    if not _has_labels(container, wishes):
        # The engine does not list it either; an event or a shared network has led here.
        return Offer()
    refused = _ineligible(container, wishes)
    if refused:
        return Offer(skips=(Skip(container.name, "", refused.code, refused.reason),))
    metadata = read_metadata(container.env, container.labels, container.from_image)
    faults = [Fault(container.name, lost.spelling, lost.value, f"{winner.spelling} is set as well and counts")
              for lost, winner in metadata.shadowed]

    def report(entry: Entry, rule: str) -> None:
        faults.append(Fault(container.name, entry.spelling, entry.value, rule))

    written = {**dict(container.env), **dict(container.labels)}
    faults += [Fault(container.name, key, written[key], f"not read: did you mean {meant}?")
               for key, meant in hints(written, KNOWN)]
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
            usable.append((port, keys, _with_given(found, address, keys, report)))
    usable, flood = _without_flood(container, usable, wishes)
    grouped = len(usable) > 1  # counted after everything that takes a port out
    common = tags_of(wishes.tags, container.document or {}, look_up) if usable else Tags()
    faults += [Fault(container.name, "-tags", wishes.tags.shown, rule) for rule in common.rules]
    registrations = tuple(
        registration for port, keys, endpoint in usable
        for registration in registrations_of(container, port, keys, endpoint, grouped, node, wishes, common, report)
    )
    return Offer(registrations, (*skips, *flood), unique_faults(faults))


def is_left_out(container: Container, wishes: Wishes) -> bool:
    """Whether the operator's filters leave a container to somebody else, or to nobody."""
    return bool(why_left_out(container, wishes.include, wishes.exclude)) \
        or (is_one_off(container) and not wishes.one_offs) or not _has_labels(container, wishes)


def _has_labels(container: Container, wishes: Wishes) -> bool:
    return all(tuple(wanted.split("=", 1)) in container.labels for wanted in wishes.only_label)


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


def _with_given(found: Endpoint, address: str, keys: Keys, report: Report) -> Endpoint:
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
