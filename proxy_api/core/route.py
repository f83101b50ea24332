"""RouteSpec: what a user asked for, parsed and checked. To and from JSON and the keys of 2016. Core.

Every parameter is one row of PARAMETERS, or of STEERING where it is about the call and not the route; parser, errors
and documentation come from them.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from proxy_api.core import grammar
from proxy_api.core.errors import Fault, InvalidRequest


@dataclass(frozen=True, slots=True)
class Parameter:
    """A request parameter: its name, the field that it fills, its rule, default and meaning."""

    name: str
    field: str
    rule: Callable[[str], Any]
    default: Any
    help: str


PARAMETERS: tuple[Parameter, ...] = (
    Parameter("serviceName", "service", grammar.name, "", "The service's name in the Consul catalog. Required."),
    Parameter("serviceColor", "color", grammar.optional_name, "",
              "Use the instances of `<serviceName>-<serviceColor>`, for a blue-green switch."),
    Parameter("servicePath", "paths", grammar.items(grammar.single_line), (),
              "Comma-separated paths that belong to the service."),
    Parameter("serviceDomain", "domains", grammar.items(grammar.domain), (),
              "Comma-separated hosts; `*.acme.com` stands for every host below acme.com. Without it any host matches."),
    Parameter("pathType", "path_type", grammar.one_of("", *grammar.PATH_TYPES), "",
              "How a path is compared, in HAProxy's words. Default path_beg."),
    Parameter("skipCheck", "skip_check", grammar.boolean, False, "Leave out HAProxy's own check of the servers."),
    Parameter("consulTemplatePath", "template", grammar.template_path, "",
              "One template file with whole sections (the form of May 2016)."),
    Parameter("consulTemplateFePath", "template_fe", grammar.template_path, "",
              "A template file for the inside of the shared frontend; goes with consulTemplateBePath."),
    Parameter("consulTemplateBePath", "template_be", grammar.template_path, "",
              "A template file with the backend sections; goes with consulTemplateFePath."),
    Parameter("follow", "follow", grammar.one_of(*grammar.FOLLOW), "restarts",
              "never: exactly the admitted instances; restarts: admitted containers that come back elsewhere; "
              "all: whatever the catalog has."),
    Parameter("port", "port", lambda text: grammar.port(text) if text else 0, 0,
              "Names the backend; with outboundHostname, the port to send to."),
    Parameter("outboundHostname", "outbound", grammar.hostname, "",
              "Send to this host instead of the catalog's instances; needs port."),
)
_DRY_RUN = "dryRun"
# What both calls take beside what they are about. No part of a RouteSpec, and never stored.
STEERING: tuple[Parameter, ...] = (
    Parameter("distribute", "distribute", grammar.boolean, False,
              "Accepted and echoed; every replica learns of every change anyway."),
    Parameter("strict", "strict", grammar.boolean, False,
              "Refuse unknown parameters, as the setting `STRICT_PARAMETERS` does for every call."),
    Parameter(_DRY_RUN, "dry_run", grammar.boolean, False,
              "Answer what the call would do, and change nothing. A misspelt or empty one is refused."),
)
KNOWN = tuple(p.name for p in (*PARAMETERS, *STEERING))
# Parameters of the predecessor that narrow who gets in. Ignoring one would publish what was meant to be closed.
RESTRICTING = frozenset((
    "users", "usersSecret", "usersPassEncrypted", "httpsOnly", "denyHttp", "allowedMethods", "deniedMethods",
    "verifyClientSsl", "servicePathExclude", "serviceHeader", "userAgent", "reqMode", "srcPort", "srcHttpsPort",
))
_RESTRICTING = frozenset(name.lower() for name in RESTRICTING)
MAX_ENTRIES = 4096  # paths times domains of one service: each is an entry of a map, made anew at every change
MAX_PARAMETERS = 1000  # each unknown one is compared with the known ones, and shown


def restricts(name: str) -> bool:
    """Whether the predecessor took this for one of RESTRICTING: in any case, and with an index behind it."""
    return re.sub(r"\.[0-9]+$", "", name).lower() in _RESTRICTING


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A user's wish: which requests go to which service."""

    service: str
    color: str = ""
    paths: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    path_type: str = ""
    skip_check: bool = False
    template: str = ""
    template_fe: str = ""
    template_be: str = ""
    follow: str = "restarts"
    port: int = 0
    outbound: str = ""

    @property
    def catalog_name(self) -> str:
        """The name in the catalog: a colour is part of it (2016-04-05)."""
        return f"{self.service}-{self.color}" if self.color else self.service

    @property
    def templated(self) -> bool:
        """Whether the operator's own text takes the place of the generated one."""
        return bool(self.template or self.template_fe)

    @property
    def backend(self) -> str:
        """The name of the generated backend, as the predecessor named it."""
        return f"{self.service}-be{self.port or ''}"


@dataclass(frozen=True, slots=True)
class Steering:
    """How a call is to be taken: a field for each row of STEERING."""

    distribute: bool = False
    strict: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed call: the spec, what is worth telling the caller, and the parameters that only steer the call."""

    spec: RouteSpec
    warnings: tuple[str, ...]
    steering: Steering = Steering()


def parse_request(given: Mapping[str, Sequence[str]], strict: bool = False) -> Request:
    """Parse the parameters of a reconfigure call; raises InvalidRequest with every fault there is."""
    faults: list[Fault] = []
    once = _once(given, faults)
    steering = _steering(once, faults)
    values: dict[str, Any] = {}
    for parameter in PARAMETERS:
        # An empty value means "not given", as it does for the clients of 2016; a name is never optional.
        text = once.get(parameter.name, "")
        if text or (parameter.name == "serviceName"):
            _take(parameter, parameter.rule, text, values, faults)
    if "paths" in values:
        rule = grammar.items(grammar.path_rule(values.get("path_type", "")))
        _take(_by_name("servicePath"), rule, once["servicePath"], values, faults)
    warnings = _unknown(once, strict or steering.strict, faults)
    faults.extend(_together(once))
    paths, domains = (len(values.get(field, ())) for field in ("paths", "domains"))
    if paths * domains > MAX_ENTRIES:
        faults.append(Fault("servicePath", f"has {paths} items for {domains} of serviceDomain, {paths * domains} "
                            "together", f"use at most {MAX_ENTRIES}, or several services"))
    if faults:
        raise InvalidRequest(tuple(faults))
    spec = RouteSpec(**values)
    if not spec.paths and not spec.templated:
        spec = RouteSpec(**{**values, "paths": ("/",)})  # a domain alone means all of it (2017-04-06)
    return Request(spec, (*warnings, *_remarks(spec)), steering)


@dataclass(frozen=True, slots=True)
class Removal:
    """A parsed remove call."""

    service: str
    warnings: tuple[str, ...]
    steering: Steering = Steering()


def parse_removal(given: Mapping[str, Sequence[str]], strict: bool = False) -> Removal:
    """Parse the parameters of a remove call; raises InvalidRequest."""
    faults: list[Fault] = []
    once = _once(given, faults)
    values: dict[str, Any] = {}
    steering = _steering(once, faults)
    _take(_by_name("serviceName"), grammar.name, once.get("serviceName", ""), values, faults)
    # Whatever narrows a route means nothing to its removal.
    warnings = _unknown({n: t for n, t in once.items() if not restricts(n)},
                        strict or steering.strict, faults)
    if faults:
        raise InvalidRequest(tuple(faults))
    return Removal(values["service"], warnings, steering)


def asks_for_dry_run(given: Mapping[str, Sequence[str]]) -> bool:
    """Whether a call is a dry run, as far as can be told before it is parsed."""
    return _steering({name: texts[0] for name, texts in given.items() if texts}, []).dry_run


def _once(given: Mapping[str, Sequence[str]], faults: list[Fault]) -> dict[str, str]:
    if len(given) > MAX_PARAMETERS:
        raise InvalidRequest((Fault("request", f"has {len(given)} parameters", f"give at most {MAX_PARAMETERS}"),))
    for name, texts in given.items():
        if len(texts) > 1 and name in KNOWN:
            faults.append(Fault(name, f"is given {len(texts)} times", "give it once, a list separated by commas"))
    return {name: texts[0] for name, texts in given.items() if texts}


def _steering(once: Mapping[str, str], faults: list[Fault]) -> Steering:
    values: dict[str, Any] = {}
    for parameter in STEERING:
        # To take an empty dryRun for none would make the change that was only to be looked at.
        if once.get(parameter.name) or (parameter.name == _DRY_RUN and _DRY_RUN in once):
            _take(parameter, parameter.rule, once[parameter.name], values, faults)
    return Steering(**values)


def _take(parameter: Parameter, rule: Callable[[str], Any], text: str, values: dict[str, Any],
          faults: list[Fault]) -> None:
    try:
        values[parameter.field] = rule(text)
    except ValueError as fault:
        values.pop(parameter.field, None)
        faults.append(Fault(parameter.name, *fault.args))


def _by_name(name: str) -> Parameter:
    return next(p for p in PARAMETERS if p.name == name)


def _unknown(once: Mapping[str, str], strict: bool, faults: list[Fault]) -> tuple[str, ...]:
    warnings = []
    for name in sorted(once):
        if name in KNOWN:
            continue
        near = ([_DRY_RUN] if re.sub(r"[^a-z]", "", name.lower()) == _DRY_RUN.lower()
                else difflib.get_close_matches(name[:64], KNOWN, n=1))
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(KNOWN)}"
        if restricts(name):
            faults.append(Fault(name, "is not supported",
                                "without it the service would be open to more than was asked for: leave it out "
                                "only if that is what you want"))
        elif strict or near == [_DRY_RUN]:
            faults.append(Fault(grammar.shown(name).strip("'"), "is not a known parameter", hint))
        else:
            warnings.append(f"{grammar.shown(name)} is not a known parameter and was ignored: {hint}")
    return tuple(warnings)


def _together(once: Mapping[str, str]) -> Iterable[Fault]:
    """The rules about parameters that need or exclude each other, as far as the texts alone tell."""
    has = {p.name for p in PARAMETERS if once.get(p.name)}
    pair = {"consulTemplateFePath", "consulTemplateBePath"}
    if len(pair & has) == 1:
        missing, = pair - has
        yield Fault(missing, "is missing", "give consulTemplateFePath and consulTemplateBePath together")
    if "consulTemplatePath" in has and pair & has:
        yield Fault("consulTemplatePath", "is given beside the pair of templates", "give one form or the other")
    if not has & {"servicePath", "serviceDomain", "consulTemplatePath", *pair}:
        yield Fault("servicePath", "is missing", "give serviceName and servicePath, or serviceName, "
                                                 "consulTemplateFePath and consulTemplateBePath")
    if "outboundHostname" in has and "port" not in has:
        yield Fault("port", "is missing", "outboundHostname needs the port to send to")


def _remarks(spec: RouteSpec) -> Iterable[str]:
    if spec.templated and (spec.paths or spec.domains or spec.path_type or spec.outbound):
        yield "servicePath, serviceDomain, pathType and outboundHostname have no effect beside a template"
    if spec.port and not spec.outbound and not spec.templated:
        yield f"port names the backend {spec.backend}; the instances' own ports come from the catalog"


# --- to and from what is stored ----------------------------------------------------------------------------------

def to_json(spec: RouteSpec) -> dict[str, Any]:
    """The spec as JSON values, every field, in the order of the class."""
    return asdict(spec)


def from_json(data: Mapping[str, Any]) -> RouteSpec:
    """The inverse of `to_json`; raises InvalidRequest. What is stored is checked like what is asked."""
    texts = {p.name: [_text(data[p.field])] for p in PARAMETERS if data.get(p.field)}
    return parse_request(texts, strict=True).spec


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


# Key of 2016 -> the parameter it holds (reference/proxy-api.md 5.1).
LEGACY_KEYS: dict[str, str] = {
    "path": "servicePath",
    "color": "serviceColor",
    "domain": "serviceDomain",
    "pathtype": "pathType",
    "skipcheck": "skipCheck",
    "consultemplatefepath": "consulTemplateFePath",
    "consultemplatebepath": "consulTemplateBePath",
    "consultemplatepath": "consulTemplatePath",
    "port": "port",
    "hostname": "outboundHostname",
}
# Written whether or not there is a value; the others only when there is one.
ALWAYS_WRITTEN = ("path", "color", "domain", "pathtype", "skipcheck", "consultemplatefepath", "consultemplatebepath")


def to_legacy(spec: RouteSpec) -> dict[str, str]:
    """The keys of 2016 that say the same, as the predecessor wrote them."""
    data = to_json(spec)
    texts = {key: _text(data[_by_name(name).field]) for key, name in LEGACY_KEYS.items()}
    texts["port"] = str(spec.port or "")
    return {key: text for key, text in texts.items() if text or key in ALWAYS_WRITTEN}


def from_legacy(service: str, keys: Mapping[str, str]) -> RouteSpec:
    """The spec that the keys of 2016 describe; raises InvalidRequest."""
    texts = {name: [keys[key]] for key, name in LEGACY_KEYS.items() if keys.get(key)}
    if "outboundHostname" in texts and "port" not in texts:
        del texts["outboundHostname"]  # written without a port it never had an effect
    return parse_request({"serviceName": [service], **texts}).spec
