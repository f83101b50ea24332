"""A container as one inspect document describes it, and whether it may be in the catalog at all. Pure.

Ports and addresses come from `NetworkSettings`, which says what is; `HostConfig` only says what was asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from engine.health import Health, read_health

SIGNALLED = 128  # an exit code from here on means: ended by a signal
STOP_SIGNAL = 15
_SIGNALS = {"HUP": 1, "INT": 2, "QUIT": 3, "ABRT": 6, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13,
            "ALRM": 14, "TERM": 15, "CHLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20, "WINCH": 28, "IO": 29, "PWR": 30}
_REALTIME = {"RTMIN": 34, "RTMAX": 64}
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """One address and port of the host that leads to a container's port."""

    host_ip: str
    host_port: int


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port inside the container. `asked` tells that somebody wanted it published, whether it was or not.

    `ingress` is the port of every node of a swarm that leads to it, 0 for none.
    """

    number: int
    protocol: str = "tcp"
    bindings: tuple[Binding, ...] = ()
    asked: bool = False
    ingress: int = 0

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
    paused: bool = False
    started: float = 0.0  # seconds since 1970, by the engine's clock


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
    stop_signal: int = STOP_SIGNAL
    stop_timeout: float = STOP_TIMEOUT_S
    health: Health | None = None
    # Of what it says, what its image says: (whether it is a label, its key). Known where the engine was asked for it.
    from_image: frozenset[tuple[bool, str]] = frozenset()
    service_known: bool = False  # of a swarm's task: whether what its service says is among labels and ports
    # All that the engine said, where a template needs it.
    document: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

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


def from_inspect(document: Mapping[str, Any], image_tags: Sequence[str] = (), keep: bool = False,
                 from_image: frozenset[tuple[bool, str]] = frozenset()) -> Container:
    """Read the answer of `GET /containers/ID/json`. Raises ValueError on what is no such document.

    `image_tags` are the names of its image, for a container that was started by an image id; `from_image` what of
    its labels and variables `said_by_image`. `keep` the document in it.
    """
    try:
        container = replace(_read(document, image_tags), from_image=from_image)
        return replace(container, document=document) if keep else container
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
            paused=bool(state.get("Paused")),
            started=_time(state.get("StartedAt") or ""),
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
        stop_signal=_signal(config.get("StopSignal") or ""),
        stop_timeout=STOP_TIMEOUT_S if config.get("StopTimeout") is None else float(config["StopTimeout"]),
        health=read_health(config, state),
    )


def said_by_image(config: Mapping[str, Any], image_config: Mapping[str, Any] | None) -> frozenset[tuple[bool, str]]:
    """The labels and variables of a container that its image has with the same values: (whether it is a label, its
    key). All of them where it is unknown what the image has (None).
    """
    image_config = config if image_config is None else image_config
    labels = (config.get("Labels") or {}).items() & (image_config.get("Labels") or {}).items()
    env = {*(config.get("Env") or ())} & {*(image_config.get("Env") or ())}
    return frozenset({*((True, key) for key, _ in labels), *((False, e.partition("=")[0]) for e in env)})


def _signal(text: str) -> int:
    """The number of a signal as `--stop-signal` takes it: 15, TERM, SIGTERM."""
    if text.isdecimal():
        return int(text)
    name = text.upper().removeprefix("SIG")
    base, _, offset = name.partition("-" if "-" in name else "+")
    if base in _REALTIME and (offset.isdecimal() or not offset):
        return _REALTIME[base] + int(offset or 0) * (-1 if "-" in name else 1)
    return _SIGNALS.get(name, STOP_SIGNAL)


def _time(text: str) -> float:
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp())
    except ValueError:
        return 0.0


def _ports(config: Mapping[str, Any], host: Mapping[str, Any], network: Mapping[str, Any]) -> tuple[Port, ...]:
    bound, asked = network.get("Ports") or {}, host.get("PortBindings") or {}
    found = []
    for key in {*(config.get("ExposedPorts") or ()), *bound}:
        number, _, protocol = key.partition("/")
        if number.isdecimal() and 0 < int(number) < 65536:
            found.append(Port(int(number), protocol or "tcp", _bindings(bound.get(key)), key in asked))
    return tuple(sorted(found))


def _bindings(listed: Sequence[Mapping[str, Any]] | None) -> tuple[Binding, ...]:
    pairs = ((item.get("HostIp") or "0.0.0.0", str(item.get("HostPort") or "")) for item in listed or ())
    return tuple(Binding(ip, int(port)) for ip, port in pairs
                 if _is_address(ip) and port.isdecimal() and 0 < int(port) < 65536)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
