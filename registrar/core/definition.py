"""The registrations of one port: names, ids, tags, weights, checks and heartbeats, from metadata and defaults. Pure."""

from collections.abc import Iterator

from engine.container import Container, Port
from engine.health import HEALTHY, STARTING, UNHEALTHY
from registrar.core import naming
from registrar.core.attributes import meta_of
from registrar.core.checks import Report, Target, check_of, switched
from registrar.core.endpoints import Endpoint, Node
from registrar.core.grammar import duration_seconds, split_list, unique
from registrar.core.metadata import Keys
from registrar.core.registration import MIRROR_TTL_S, Check, Heartbeat, Registration, Weights, marked
from registrar.core.tag_templates import Tags
from registrar.core.wishes import Wishes

# An instance that is starting up is no failure, and gets no traffic where only passing ones do.
CONSUL_STATUS = {STARTING: "warning", HEALTHY: "passing", UNHEALTHY: "critical"}


def registrations_of(container: Container, port: Port, keys: Keys, endpoint: Endpoint, grouped: bool, node: Node,
                     wishes: Wishes, common: Tags, report: Report) -> Iterator[Registration]:
    """One for each name of the port; those after the first have their name at the end of their id."""
    default_id = naming.default_id(node.id, container, port, endpoint.shared)
    custom_id = _id(keys, report) or default_id
    check = check_of(keys, Target(endpoint.address, endpoint.port, container.id, port.number), report,
                     wishes.image_scripts)
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
