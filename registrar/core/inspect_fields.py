"""The inspect document as `-tags` templates see it: the fields, names and types that Registrator's users know. Pure.

Registrator gives its templates go-dockerclient's struct `Container`. Its fields differ from the engine's JSON in
capitals only (`.ID` is `Id`, `.HostIP` is `HostIp`), and one that the engine leaves out has its type's zero value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from gotemplate import tree
from gotemplate.faults import TemplateFault, Unfit
from gotemplate.values import GoMap, NilPointer, Record, Value

ROOT = "Container"

# Go's types: `[]` before a list's, `map[]` before a map's (its keys are text), and `*` before a struct's that may lack.
_STRUCTS = """
Container: ID string, Created time, Path string, Args []string, Config *Config, State State, Image string,
    Node *SwarmNode, NetworkSettings *NetworkSettings, SysInitPath string, ResolvConfPath string, HostnamePath string,
    HostsPath string, LogPath string, Name string, Driver string, Platform string, Mounts []Mount, Volumes map[]string,
    VolumesRW map[]bool, HostConfig *HostConfig, ExecIDs []string, GraphDriver *GraphDriver, RestartCount int,
    AppArmorProfile string, MountLabel string, ProcessLabel string, SizeRw int, SizeRootFs int
Config: Hostname string, Domainname string, User string, Memory int, MemorySwap int, MemoryReservation int,
    KernelMemory int, CPUShares int, CPUSet string, PortSpecs []string, ExposedPorts map[]Empty, PublishService string,
    StopSignal string, StopTimeout int, Env []string, Cmd []string, Shell []string, Healthcheck *HealthConfig,
    DNS []string, Image string, Volumes map[]Empty, VolumeDriver string, WorkingDir string, MacAddress string,
    Entrypoint []string, SecurityOpts []string, OnBuild []string, Mounts []Mount, Labels map[]string, AttachStdin bool,
    AttachStdout bool, AttachStderr bool, ArgsEscaped bool, Tty bool, OpenStdin bool, StdinOnce bool,
    NetworkDisabled bool, VolumesFrom string
State: Status string, Running bool, Paused bool, Restarting bool, OOMKilled bool, RemovalInProgress bool, Dead bool,
    Pid int, ExitCode int, Error string, StartedAt time, FinishedAt time, Health Health
Health: Status string, FailingStreak int, Log []HealthCheck
HealthCheck: Start time, Exit time, ExitCode int, Output string
HealthConfig: Test []string, Interval int, Timeout int, StartPeriod int, Retries int
SwarmNode: ID string, IP string, Addr string, Name string, CPUs int, Memory int, Labels map[]string
GraphDriver: Name string, Data map[]string
Mount: Type string, Name string, Source string, Destination string, Driver string, Mode string, RW bool,
    Propagation string
NetworkSettings: Networks map[]ContainerNetwork, IPAddress string, IPPrefixLen int, MacAddress string, Gateway string,
    Bridge string, PortMapping map[]Empty, Ports map[][]PortBinding, NetworkID string, EndpointID string,
    SandboxID string, SandboxKey string, HairpinMode bool, GlobalIPv6Address string, GlobalIPv6PrefixLen int,
    IPv6Gateway string, LinkLocalIPv6Address string, LinkLocalIPv6PrefixLen int, SecondaryIPAddresses []Address,
    SecondaryIPv6Addresses []Address
ContainerNetwork: Aliases []string, DNSNames []string, DriverOpts map[]string, MacAddress string,
    GlobalIPv6PrefixLen int, GlobalIPv6Address string, IPv6Gateway string, IPPrefixLen int, IPAddress string,
    Gateway string, EndpointID string, NetworkID string
Address: Addr string, PrefixLen int
PortBinding: HostIP string, HostPort string
HostConfig: Binds []string, CapAdd []string, CapDrop []string, GroupAdd []string, ContainerIDFile string,
    PortBindings map[][]PortBinding, Links []string, DNS []string, DNSOptions []string, DNSSearch []string,
    ExtraHosts []string, VolumesFrom []string, UsernsMode string, NetworkMode string, IpcMode string, PidMode string,
    UTSMode string, CgroupnsMode string, Isolation string, RestartPolicy RestartPolicy, Devices []Device,
    DeviceCgroupRules []string, LogConfig LogConfig, SecurityOpt []string, Cgroup string, CgroupParent string,
    Memory int, MemoryReservation int, KernelMemory int, MemorySwap int, MemorySwappiness int, CPUShares int,
    CPUSet string, CPUSetCPUs string, CPUSetMEMs string, CPUQuota int, CPUPeriod int, CPURealtimePeriod int,
    CPURealtimeRuntime int, CPUCount int, CPUPercent int, NanoCPUs int, BlkioWeight int,
    BlkioWeightDevice []BlockWeight, BlkioDeviceReadBps []BlockLimit, BlkioDeviceReadIOps []BlockLimit,
    BlkioDeviceWriteBps []BlockLimit, BlkioDeviceWriteIOps []BlockLimit, Ulimits []ULimit, VolumeDriver string,
    OomScoreAdj int, PidsLimit int, ShmSize int, Tmpfs map[]string, Privileged bool, PublishAllPorts bool,
    ReadonlyRootfs bool, OOMKillDisable bool, AutoRemove bool, Init bool, Runtime string, StorageOpt map[]string,
    Sysctls map[]string, MaskedPaths []string, ReadonlyPaths []string, Annotations map[]string
RestartPolicy: Name string, MaximumRetryCount int
Device: PathOnHost string, PathInContainer string, CgroupPermissions string
LogConfig: Type string, Config map[]string
BlockWeight: Path string, Weight int
BlockLimit: Path string, Rate int
ULimit: Name string, Soft int, Hard int
Empty:
"""

STRUCTS: Mapping[str, Mapping[str, str]] = {
    name: dict(re.findall(r"(\w+) (\S+?)(?:,|$)", " ".join(listed.split())))
    for name, listed in re.findall(r"^(\w+):((?:.|\n )*)", _STRUCTS, re.MULTILINE)
}
_SCALARS: Mapping[str, Value] = {"string": "", "int": 0, "bool": False, "time": "0001-01-01 00:00:00 +0000 UTC"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(?:Z|([+-]\d\d):?(\d\d))")


class Struct(Record):
    """A part of the document. Fields are read when they are asked for."""

    def __init__(self, name: str, part: Mapping[str, Any]) -> None:
        self.KIND = name
        self._part = part

    def member(self, name: str) -> Value:
        kind = STRUCTS[self.KIND].get(name)
        if kind is None:
            raise Unfit(why_no_field(self.KIND, name))
        return _value(kind, _entry(self._part, name))


class PortKey(str, Record):
    """A key of `.NetworkSettings.Ports`, such as `8080/tcp`: text, and what Go's type for it can be asked."""

    KIND = "string"

    def member(self, name: str) -> Value:
        number, _, protocol = self.partition("/")
        if name not in ("Port", "Proto"):
            raise Unfit(f"a port has no {name}, only Port and Proto")
        return number if name == "Port" else protocol or "tcp"


def root(document: Mapping[str, Any]) -> Struct:
    """The dot of a template: the whole document."""
    return Struct(ROOT, document)


def why_no_field(struct: str, name: str) -> str:
    """The fault for a name that is no field, and the nearest one that is."""
    known = STRUCTS[struct]
    lower = {field.lower(): field for field in known}
    near = [lower[match] for match in get_close_matches(name.lower(), lower, 1)]
    return f"{struct} has no field {name}" + (f"; did you mean {near[0]}?" if near else "")


def _entry(part: Mapping[str, Any], name: str) -> Any:
    """What the JSON has under that name. As in Go, capitals do not matter."""
    if name in part:
        return part[name]
    return next((part[key] for key in part if key.lower() == name.lower()), None)


def _value(kind: str, found: Any) -> Value:
    """What the JSON has, as Go decodes it into that type. What does not fit the type counts as not there."""
    if kind.startswith("[]"):
        return tuple(_value(kind[2:], item) for item in found) if isinstance(found, list) else ()
    if kind.startswith("map[]"):
        element = kind[5:]
        pairs = found if isinstance(found, dict) else {}
        of_ports = element in ("[]PortBinding", "Empty")
        return GoMap({PortKey(key) if of_ports else key: _value(element, item) for key, item in pairs.items()},
                     zero=_value(element, None))
    if kind in _SCALARS:
        return _scalar(kind, found)
    if kind.startswith("*"):
        return Struct(kind[1:], found) if isinstance(found, dict) else NilPointer(kind[1:])
    return Struct(kind, found if isinstance(found, dict) else {})


def _scalar(kind: str, found: Any) -> Value:
    zero = _SCALARS[kind]
    if kind == "time":
        return _shown_time(found) if isinstance(found, str) and found else zero
    if kind == "int" and isinstance(found, bool):
        return zero
    return found if isinstance(found, type(zero)) else zero


def _shown_time(text: str) -> str:
    """A time as Go prints it.

    >>> _shown_time("2026-11-21T11:00:00.120Z")
    '2026-11-21 11:00:00.12 +0000 UTC'
    """
    found = _TIME.fullmatch(text)
    if not found:
        return text
    day, clock, fraction, hours, minutes = found.groups()
    zone = "+0000 UTC" if hours is None else f"{hours}{minutes} {hours}{minutes}"
    return f"{day} {clock}{(fraction or '').rstrip('0').rstrip('.')} {zone}"


# --- fields that are not there, seen without any container ---------------------------------------------------------


def check(template: tree.Block) -> None:
    """Raise TemplateFault for a field that no container has, as far as the template alone tells.

    A type is known along `.A.B` and `$.A.B`, into `with` and `range` over such a thing, and lost elsewhere.
    """
    _check_block(template, ROOT)


def _check_block(block: tree.Block, dot: str) -> None:
    for node in block:
        match node:
            case tree.Action(pipeline=pipeline):
                _type_of(pipeline, dot)
            case tree.If(arms=arms, otherwise=otherwise):
                for pipeline, body in arms:
                    _type_of(pipeline, dot)
                    _check_block(body, dot)
                _check_block(otherwise, dot)
            case tree.With(pipeline=pipeline, body=body, otherwise=otherwise):
                _check_block(body, _type_of(pipeline, dot))
                _check_block(otherwise, dot)
            case tree.Range(pipeline=pipeline, body=body, otherwise=otherwise):
                _check_block(body, _element(_type_of(pipeline, dot)))
                _check_block(otherwise, dot)


def _type_of(term: tree.Term, dot: str) -> str:
    """The type of what a term gives; "" where it is not known."""
    match term:
        case tree.Dot():
            return dot
        case tree.Variable(name="$"):
            return ROOT
        case tree.Pipeline(commands=commands):
            types = [_type_of(command, dot) for command in commands]
            return types[0] if len(types) == 1 else ""
        case tree.Call(arguments=arguments):
            for argument in arguments:
                _type_of(argument, dot)
        case tree.Fields(base=base, names=names, line=line):
            kind = _type_of(base, dot)
            for name in names:
                kind = _field_type(kind, name, line)
            return kind
    return ""


def _field_type(kind: str, name: str, line: int) -> str:
    struct = kind.removeprefix("*")
    if struct in STRUCTS:
        if name not in STRUCTS[struct]:
            raise TemplateFault(line, why_no_field(struct, name))
        return STRUCTS[struct][name]
    if kind in _SCALARS or kind.startswith("[]"):
        raise TemplateFault(line, f"{kind} has no field {name}")
    return kind[5:] if kind.startswith("map[]") else ""


def _element(kind: str) -> str:
    return kind[2:] if kind.startswith("[]") else kind[5:] if kind.startswith("map[]") else ""
