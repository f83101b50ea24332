"""A container as one inspect document describes it, and whether it may be in the catalog at all. Pure.

Ports and addresses come from `NetworkSettings`, which says what is; `HostConfig` only says what was asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registrar.grammar import is_ip

SIGNALLED = 128  # an exit code from here on means: ended by a signal


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """One address and port of the host that leads to a container's port."""

    host_ip: str
    host_port: int


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port inside the container. `asked` tells that somebody wanted it published, whether it was or not."""

    number: int
    protocol: str = "tcp"
    bindings: tuple[Binding, ...] = ()
    asked: bool = False

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True, order=True)
class Network:
    """A network that the container is on, and its addresses there ("" where it has none)."""

    name: str
    ipv4: str = ""
    ipv6: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What the engine says about the process."""

    running: bool
    restarting: bool = False
    pid: int = 0
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """What one inspect document says, as far as it matters here."""

    id: str
    name: str
    image: str
    state: State
    env: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    networks: tuple[Network, ...] = ()
    network_mode: str = "default"
    created: str = ""
    image_tags: tuple[str, ...] = ()

    @property
    def serving(self) -> bool:
        """Running for real: a restarting container reports Running too, but has no process and no ports."""
        return self.state.running and not self.state.restarting and self.state.pid > 0

    @property
    def failed(self) -> bool:
        """Ended by itself with an error, as opposed to success or a signal."""
        return not self.serving and 0 < self.state.exit_code < SIGNALLED

    @property
    def joined(self) -> str:
        """The id (or name) of the container whose network this one shares, "" if it does not."""
        mode, _, other = self.network_mode.partition(":")
        return other if mode == "container" else ""

    def port(self, number: int, protocol: str) -> Port | None:
        return next((p for p in self.ports if (p.number, p.protocol) == (number, protocol)), None)

    def label(self, key: str) -> str:
        return dict(self.labels).get(key, "")


def is_image_id(image: str, image_id: str) -> bool:
    """Whether a container was started by an image's id, which names nothing (`sha256:…`, or a prefix of it)."""
    return image.startswith("sha256:") or (len(image) >= 4 and image_id.removeprefix("sha256:").startswith(image))


def from_inspect(document: Mapping[str, Any], image_tags: Sequence[str] = ()) -> Container:
    """Read the answer of `GET /containers/ID/json`. Raises ValueError on what is no such document.

    `image_tags` are the names of its image, for a container that was started by an image id.
    """
    try:
        return _read(document, image_tags)
    except (KeyError, TypeError, AttributeError) as fault:
        raise ValueError(f"not an inspect document: {type(fault).__name__} {fault}") from None


def _read(document: Mapping[str, Any], image_tags: Sequence[str]) -> Container:
    config, host = document["Config"], document.get("HostConfig") or {}
    state, network = document["State"], document.get("NetworkSettings") or {}
    image, image_id = config.get("Image") or "", document.get("Image") or ""
    return Container(
        id=document["Id"],
        name=document["Name"].removeprefix("/"),
        image="" if is_image_id(image, image_id) else image,
        state=State(
            running=bool(state.get("Running")),
            restarting=bool(state.get("Restarting")),
            pid=int(state.get("Pid") or 0),
            exit_code=int(state.get("ExitCode") or 0),
        ),
        # Docker passes a bare `-e NAME` on as an entry without "=": no value, no entry.
        env=tuple((k, v) for k, sign, v in (e.partition("=") for e in config.get("Env") or ()) if sign),
        labels=tuple(sorted((config.get("Labels") or {}).items())),
        ports=_ports(config, host, network),
        networks=tuple(sorted(
            Network(name, (n or {}).get("IPAddress") or "", (n or {}).get("GlobalIPv6Address") or "")
            for name, n in (network.get("Networks") or {}).items()
        )),
        network_mode=host.get("NetworkMode") or "default",
        created=document.get("Created") or "",
        image_tags=tuple(image_tags),
    )


def _ports(config: Mapping[str, Any], host: Mapping[str, Any], network: Mapping[str, Any]) -> tuple[Port, ...]:
    bound, asked = network.get("Ports") or {}, host.get("PortBindings") or {}
    found = []
    for key in {*(config.get("ExposedPorts") or ()), *bound}:
        number, _, protocol = key.partition("/")
        if number.isdigit() and 0 < int(number) < 65536:
            found.append(Port(int(number), protocol or "tcp", _bindings(bound.get(key)), key in asked))
    return tuple(sorted(found))


def _bindings(listed: Sequence[Mapping[str, Any]] | None) -> tuple[Binding, ...]:
    pairs = ((item.get("HostIp") or "0.0.0.0", str(item.get("HostPort") or "")) for item in listed or ())
    return tuple(Binding(ip, int(port)) for ip, port in pairs
                 if is_ip(ip) and port.isdigit() and 0 < int(port) < 65536)
